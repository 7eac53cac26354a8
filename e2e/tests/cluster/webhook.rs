//! The admission webhook in the cluster.

use api::names::INCLUDED_NAMESPACE;
use cluster::NAMESPACE;
use serde_json::json;
use xtask::workspace::repository;

use super::image_registry::ImageRegistry;
use super::support::{Session, expect_cleanup};

/// Installs the chart with the webhook, with these values below `admission`, and with what it needs to know of a registry.
pub(crate) fn install(cluster: &Session, registry: Option<&ImageRegistry<'_>>, values: &[&str]) {
    let of_registry = registry.into_iter().flat_map(ImageRegistry::values);
    let values = ["enabled=true"].iter().chain(values);
    let values = values.flat_map(|value| ["--set".to_owned(), format!("admission.{value}")]);
    let options: Vec<_> = of_registry.chain(values).collect();
    let options: Vec<_> = options.iter().map(String::as_str).collect();
    let chart = repository().join("charts").join(NAMESPACE);
    cluster.client().install_chart(&chart, &options).unwrap_or_else(|error| panic!("{error}"));
}

/// A namespace about whose pods the API server asks the webhook; it is deleted when this is dropped.
pub(crate) struct IncludedNamespace<'a> {
    cluster: &'a Session,
    name: &'static str,
}

impl<'a> IncludedNamespace<'a> {
    /// It has its label from the start: the API server learns of one that is added a moment later.
    pub(crate) fn create(cluster: &'a Session, name: &'static str) -> Self {
        let namespace = Self { cluster, name };
        let object = json!({
            "apiVersion": "v1", "kind": "Namespace",
            "metadata": { "name": name, "labels": { INCLUDED_NAMESPACE: "true" } },
        });
        let created = cluster.kubectl_input(["create", "--filename=-"], &object.to_string());
        created.unwrap_or_else(|error| panic!("{error}"));
        namespace
    }
}

impl Drop for IncludedNamespace<'_> {
    fn drop(&mut self) {
        let delete = ["delete", "namespace", self.name, "--ignore-not-found", "--timeout=120s"];
        expect_cleanup(self.cluster.kubectl(delete).map(drop));
    }
}
