//! The CustomResourceDefinitions as YAML.

use kube::CustomResourceExt;
use serde_json::{Number, Value, json};

use crate::{NodeProfileStatus, SeccompObservation, SeccompProfile};

/// File name and text of each definition, for the chart.
///
/// # Errors
/// None in practice: a definition is always YAML.
pub fn files() -> Result<[(&'static str, String); 3], serde_saphyr::SerializeError> {
    let yaml = |crd| serde_saphyr::to_string(&as_stored(json!(crd))).map(|text| format!("{HEADER}{text}"));
    Ok([
        ("seccompprofiles.yaml", yaml(SeccompProfile::crd())?),
        ("nodeprofilestatuses.yaml", yaml(NodeProfileStatus::crd())?),
        ("seccompobservations.yaml", yaml(SeccompObservation::crd())?),
    ])
}

/// A definition in the form in which the API server returns it: without `nullable: false`, and with whole numbers
/// without a fraction. The API server compares the list of versions as a whole. With such a difference in it, a second
/// client that applies the same definition gets a conflict (tried: Kubernetes 1.37.2, Helm 4.3.1, then kubectl), and
/// GitOps tools always see a difference.
fn as_stored(definition: Value) -> Value {
    match definition {
        Value::Object(fields) => {
            let kept =
                fields.into_iter().filter(|(name, value)| !(name == "nullable" && *value == json!(false)));
            kept.map(|(name, value)| (name, as_stored(value))).collect()
        }
        Value::Array(items) => items.into_iter().map(as_stored).collect(),
        Value::Number(number) => whole(&number).map_or(Value::Number(number), Value::from),
        other => other,
    }
}

/// The number as an integer, if it is whole.
fn whole(number: &Number) -> Option<i64> {
    let text = number.is_f64().then(|| number.to_string())?;
    text.strip_suffix(".0")?.parse().ok()
}

const HEADER: &str = "# Generated from the types of the crate `api` by `make generate`; do not edit.\n";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_definition_is_written_as_the_api_server_gives_it_back() {
        let written = json!({ "minimum": 0.0, "maximum": 4094.0, "multipleOf": 0.5, "properties": {
            "a": { "nullable": false, "enum": [1.0, "nullable"] }, "nullable": { "nullable": true },
        } });
        let stored = json!({ "minimum": 0, "maximum": 4094, "multipleOf": 0.5, "properties": {
            "a": { "enum": [1, "nullable"] }, "nullable": { "nullable": true },
        } });
        assert_eq!(as_stored(written), stored);
        for (name, text) in files().unwrap() {
            assert!(!text.contains("nullable: false") && !text.contains(".0\n"), "{name}");
        }
    }
}
