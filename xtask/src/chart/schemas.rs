//! The schemas of each Kubernetes release that the chart is for, made once and cached beside the programs.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{ChartError, openapi};
use crate::files::{self, NamePath};
use crate::programs::{self, KUBERNETES, Module};
use crate::step::step;

/// The newest patch of each minor release whose module was published when this was written; the last is the one that
/// the cluster runs.
pub(super) const RELEASES: [&str; 5] = ["1.33.13", "1.34.4", "1.35.4", "1.36.3", KUBERNETES];

/// Increase it when the output of [`openapi`] changes, so that cached schemas are regenerated.
const SCHEMA_VERSION: u32 = 1;

/// The directory with the schemas of a release, as kubeconform's `-schema-location` wants it.
///
/// # Errors
/// When the module cannot be downloaded or the schemas cannot be written.
pub(super) fn of_release(release: &str) -> Result<PathBuf, ChartError> {
    let root = programs::cache().join("schemas").join(SCHEMA_VERSION.to_string());
    let directory = root.join(format!("v{release}-standalone-strict"));
    if directory.is_dir() {
        return Ok(root);
    }
    files::create_dir(&root)?;
    step(format!("make the schemas of Kubernetes {release}"), || {
        let scratch = tempfile::Builder::new().prefix(".new-").tempdir_in(&root);
        let scratch = scratch.name_path("create a directory in", &root)?;
        let schemas = openapi::kinds(&swagger(release, scratch.path())?);
        if schemas.is_empty() {
            return Err(ChartError::NoKinds(release.to_owned()));
        }
        let made = scratch.path().join("schemas");
        write(&schemas, &made)?;
        // Whole or not at all.
        fs::rename(&made, &directory).name_path("rename to", &directory)?;
        Ok(())
    })?;
    Ok(root)
}

/// Whether a release, whose schemas are in `root`, serves a kind: `apps/v1/Deployment`.
pub(super) fn serves(root: &Path, release: &str, kind: &str) -> bool {
    let mut parts = kind.split('/');
    let [group, version, kind] = std::array::from_fn(|_| parts.next().unwrap_or_default());
    let file = openapi::file_name(group, version, kind);
    root.join(format!("v{release}-standalone-strict")).join(file).is_file()
}

/// The OpenAPI document of a release, from the module of Kubernetes itself. The module is 20 MB, and 100 MB unpacked,
/// of which nothing else is needed: it goes into a module cache of its own.
fn swagger(release: &str, scratch: &Path) -> Result<Value, ChartError> {
    let modules = scratch.join("modules");
    let module = Module::download("k8s.io/kubernetes", release, scratch, Some(&modules))?;
    Ok(serde_json::from_str(&files::read(&module.directory.join("api/openapi-spec/swagger.json"))?)?)
}

/// Writes the schemas of this project's kinds into `root`, apart from those of Kubernetes. They come from the
/// definitions that the chart installs; a test checks that the definitions match the types.
///
/// # Errors
/// When a definition cannot be read, or a schema not be written.
pub(super) fn of_ours(release: &str, chart: &Path, root: &Path) -> Result<(), ChartError> {
    for definition in files::entries(&chart.join("charts/crds/templates"))? {
        let schemas = openapi::custom(&serde_saphyr::from_str(&files::read(&definition)?)?);
        write(&schemas, &root.join(format!("v{release}-standalone-strict")))?;
    }
    Ok(())
}

fn write(schemas: &openapi::Schemas, directory: &Path) -> Result<(), ChartError> {
    files::create_dir(directory)?;
    for (name, schema) in schemas {
        files::write(&directory.join(name), schema.to_string())?;
    }
    Ok(())
}
