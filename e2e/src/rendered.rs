//! The chart as helm renders it, without a cluster.

use std::ffi::OsStr;

use cluster::{Client, NAMESPACE};
use serde_json::Value;
use xtask::command::CommandError;
use xtask::programs::{Programs, ProgramsError};
use xtask::workspace::repository;

use crate::rights::rules::Rights;
use crate::rights::table::Account;

/// Why nothing is rendered.
#[derive(Debug, thiserror::Error)]
pub enum RenderError {
    /// helm does not build.
    #[error(transparent)]
    Programs(#[from] ProgramsError),
    /// helm refuses, which may be what is wanted.
    #[error(transparent)]
    Helm(#[from] CommandError),
    /// What it printed is not YAML.
    #[error("not YAML: {0}")]
    Yaml(#[from] serde_saphyr::Error),
}

/// Every object of the chart, including hooks, for the oldest supported Kubernetes. `more` are further arguments of
/// helm, such as values.
///
/// # Errors
/// helm refuses, with its message.
pub fn objects(more: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Result<Vec<Value>, RenderError> {
    let programs = Programs::in_cache();
    programs.build_clients()?;
    let chart = repository().join("charts").join(NAMESPACE).display().to_string();
    let arguments = ["template", NAMESPACE, &chart, "--namespace", NAMESPACE, "--kube-version", "1.33"];
    let more: Vec<_> = more.into_iter().collect();
    let all = arguments.iter().map(OsStr::new).chain(more.iter().map(AsRef::as_ref));
    let text = Client::new(programs, "/dev/null").helm(all)?;
    let objects: Vec<Value> = serde_saphyr::from_multiple(&text)?;
    Ok(objects.into_iter().filter(|object| !object.is_null()).collect())
}

/// The objects of a kind.
pub fn of_kind<'a>(objects: &'a [Value], kind: &str) -> Vec<&'a Value> {
    objects.iter().filter(|object| object["kind"] == kind).collect()
}

/// The object of a kind that has exactly one.
pub fn only<'a>(objects: &'a [Value], kind: &str) -> Option<&'a Value> {
    match of_kind(objects, kind)[..] {
        [object] => Some(object),
        _ => None,
    }
}

/// Every service account of the chart, with what its roles grant.
pub fn accounts(objects: &[Value]) -> Vec<Account> {
    let names = of_kind(objects, "ServiceAccount").into_iter();
    let names = names.filter_map(|account| account["metadata"]["name"].as_str());
    names
        .map(|name| Account { rights: Rights::of(NAMESPACE, name, objects), name: name.to_owned() })
        .collect()
}
