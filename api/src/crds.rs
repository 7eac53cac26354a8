//! The CustomResourceDefinitions as YAML.

use kube::CustomResourceExt;

use crate::{NodeProfileStatus, SeccompProfile};

/// File name and text of each definition, as the chart holds them.
///
/// # Errors
/// None in practice: a definition is always YAML.
pub fn files() -> Result<[(&'static str, String); 2], serde_saphyr::SerializeError> {
    let yaml = |crd| serde_saphyr::to_string(&crd).map(|text| format!("{HEADER}{text}"));
    Ok([
        ("seccompprofiles.yaml", yaml(SeccompProfile::crd())?),
        ("nodeprofilestatuses.yaml", yaml(NodeProfileStatus::crd())?),
    ])
}

const HEADER: &str = "# Generated from the types of the crate `api` by `make generate`; do not edit.\n";
