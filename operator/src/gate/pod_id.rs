//! Which pod something is about.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

/// One pod, as opposed to another one that is later created under the same name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodId {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid.
    pub uid: String,
}

impl PodId {
    /// That of a pod with this metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Self {
        let text = |field: &Option<String>| field.clone().unwrap_or_default();
        Self { namespace: text(&metadata.namespace), name: text(&metadata.name), uid: text(&metadata.uid) }
    }
}
