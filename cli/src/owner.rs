//! The controller that made an object.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Serialize, Serializer};

/// A kind of objects. Products define kinds of the names that Kubernetes' own have.
///
/// As text it is `StatefulSet`, and `StatefulSet.apps.kruise.io` for a kind that is not Kubernetes' own, which kubectl
/// accepts as well.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct GroupKind {
    /// The kind.
    pub kind: String,
    /// The API group; empty for the core group.
    pub group: String,
}

impl GroupKind {
    /// The kind of an object with this `apiVersion`.
    #[must_use]
    pub fn of(api_version: &str, kind: &str) -> Self {
        let group = api_version.rsplit_once('/').map_or("", |(group, _)| group);
        Self { kind: kind.to_owned(), group: group.to_owned() }
    }

    /// A kind of the core group.
    #[must_use]
    pub fn core(kind: &str) -> Self {
        Self::of("v1", kind)
    }

    /// The group and the kind if it is one of Kubernetes' own workloads. Their groups have no dot, and the group of a
    /// CustomResourceDefinition must have one.
    #[must_use]
    pub fn builtin(&self) -> Option<(&str, &str)> {
        (!self.group.contains('.')).then_some((&self.group, &self.kind))
    }

    /// Whether its objects have controllers that stand for them: those of Deployments.
    #[must_use]
    pub fn is_replica_set(&self) -> bool {
        self.builtin() == Some(("apps", "ReplicaSet"))
    }
}

impl fmt::Display for GroupKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.builtin() {
            Some((_, kind)) => formatter.write_str(kind),
            None => write!(formatter, "{}.{}", self.kind, self.group),
        }
    }
}

impl Serialize for GroupKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// The controller that made an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    /// Its kind.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
}

impl Owner {
    /// The controller of the object with this metadata.
    #[must_use]
    pub fn of(metadata: &ObjectMeta) -> Option<Self> {
        let mut owners = metadata.owner_references.iter().flatten();
        let owner = owners.find(|owner| owner.controller == Some(true))?;
        Some(Self { kind: GroupKind::of(&owner.api_version, &owner.kind), name: owner.name.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kind_of_another_product_is_told_from_kubernetes_own_of_that_name() {
        let [own, other] = ["apps/v1", "apps.kruise.io/v1beta1"].map(|it| GroupKind::of(it, "StatefulSet"));
        assert_ne!(own, other);
        assert_eq!((own.builtin(), other.builtin()), (Some(("apps", "StatefulSet")), None));
        assert_eq!([own.to_string(), other.to_string()], ["StatefulSet", "StatefulSet.apps.kruise.io"]);
        assert_eq!(serde_json::to_string(&own).unwrap(), r#""StatefulSet""#);
        assert_eq!(GroupKind::core("Pod").to_string(), "Pod");
        assert!(GroupKind::of("apps/v1", "ReplicaSet").is_replica_set());
        assert!(!GroupKind::of("example.org/v1", "ReplicaSet").is_replica_set());
    }
}
