//! Why a pod that names a profile may run without its filter.
//!
//! Kubernetes only reads the fields of a security context; privileged containers have no filter; and a sandboxed
//! runtime applies the filter only inside the sandbox, if at all.

use std::collections::BTreeMap;
use std::fmt;

use api::{HandlerKind, ProfileName, Sandbox};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The annotation of a whole pod.
const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
/// The prefix of the annotations of single containers, before the container's name.
const CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";

/// Why a filter may not be enforced, although a pod or workload names its profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(tag = "why", rename_all_fields = "camelCase")]
pub enum Unenforced {
    /// Only an annotation names the profile.
    Annotation {
        /// Its key.
        annotation: String,
    },
    /// These of the containers that name it are privileged.
    Privileged {
        /// Their names.
        containers: Vec<String>,
    },
    /// The `RuntimeClass` is a sandbox.
    Sandbox {
        /// The `RuntimeClass`.
        runtime_class: String,
        /// Its handler.
        handler: String,
        /// The kind of sandbox.
        sandbox: Sandbox,
    },
    /// It is not known whether the `RuntimeClass` applies a filter.
    UnknownRuntime {
        /// The `RuntimeClass`.
        runtime_class: String,
        /// Its handler; absent if the class cannot be read or does not exist.
        #[serde(skip_serializing_if = "Option::is_none")]
        handler: Option<String>,
    },
}

impl fmt::Display for Unenforced {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Kubelets have not read it since 1.25, and since 1.27 the API server does not copy it into the field
            // (https://github.com/kubernetes/kubernetes/pull/114947).
            Self::Annotation { annotation } => write!(
                f,
                "not in force: names the profile only by the annotation {annotation}, which Kubernetes has not read since 1.27; use \
                 securityContext.seccompProfile"
            ),
            Self::Privileged { containers } => {
                write!(f, "not in force in {}: privileged containers have no filter", containers.join(", "))
            }
            Self::Sandbox { runtime_class, handler, sandbox } => write!(
                f,
                "not in force on the node's kernel: RuntimeClass {runtime_class} (handler {handler}) is {}",
                sandbox.description()
            ),
            Self::UnknownRuntime { runtime_class, handler: Some(handler) } => write!(
                f,
                "RuntimeClass {runtime_class} (handler {handler}): it is not known whether that runtime applies filters"
            ),
            Self::UnknownRuntime { runtime_class, handler: None } => write!(
                f,
                "RuntimeClass {runtime_class}, which could not be read: it is not known whether its runtime applies \
                 filters"
            ),
        }
    }
}

/// The fields of a pod or a pod template that decide whether a filter is enforced.
#[derive(Debug, Clone, Default)]
pub struct Circumstances {
    /// The key and the profile's path of each annotation that names one.
    annotations: Vec<(String, String)>,
    runtime_class: Option<String>,
    pod: Option<String>,
    containers: Vec<Container>,
}

#[derive(Debug, Clone)]
struct Container {
    name: String,
    privileged: bool,
    /// Its own field, which takes precedence over the pod's.
    own: Option<Seccomp>,
}

impl Circumstances {
    /// The fields of a pod or template with this metadata and spec. Unreadable fields count as absent.
    #[must_use]
    pub fn of(metadata: &ObjectMeta, spec: &Value) -> Self {
        let spec = Spec::deserialize(spec).unwrap_or_default();
        let annotations = metadata.annotations.iter().flatten().filter_map(|(key, value)| {
            let asks = key == POD || key.starts_with(CONTAINER);
            asks.then(|| Some((key.clone(), value.strip_prefix("localhost/")?.to_owned())))?
        });
        let containers = [spec.containers, spec.init_containers, spec.ephemeral_containers];
        Self {
            annotations: annotations.collect(),
            runtime_class: spec.runtime_class_name.filter(|class| !class.is_empty()),
            pod: spec.security_context.seccomp_profile.and_then(|it| it.localhost_profile),
            containers: containers
                .into_iter()
                .flatten()
                .map(|it| Container {
                    name: it.name,
                    privileged: it.security_context.privileged == Some(true),
                    own: it.security_context.seccomp_profile,
                })
                .collect(),
        }
    }

    /// The profiles that annotations name, with the annotation.
    pub(crate) fn annotated(&self, directory: &str) -> BTreeMap<ProfileName, &str> {
        let named = self.annotations.iter().filter_map(|(key, path)| {
            Some((ProfileName::from_localhost_profile(path, directory)?, key.as_str()))
        });
        named.collect()
    }

    /// Why the filter of a profile that a field names may not be enforced; `handlers` are the handlers of the
    /// `RuntimeClasses` by name.
    pub(crate) fn unenforced(
        &self,
        profile: &ProfileName,
        directory: &str,
        handlers: &BTreeMap<String, String>,
    ) -> Vec<Unenforced> {
        let runtime = self.runtime_class.clone().and_then(|runtime_class| {
            let handler = handlers.get(&runtime_class).cloned();
            match (handler.as_deref().map_or(HandlerKind::Unknown, HandlerKind::of), handler) {
                (HandlerKind::Plain, _) => None,
                (HandlerKind::Sandbox(sandbox), Some(handler)) => {
                    Some(Unenforced::Sandbox { runtime_class, handler, sandbox })
                }
                (_, handler) => Some(Unenforced::UnknownRuntime { runtime_class, handler }),
            }
        });
        let names = |path: &Option<String>| {
            let path = path.as_deref()?;
            ProfileName::from_localhost_profile(path, directory)
        };
        let privileged = self.containers.iter().filter(|container| {
            let path = container.own.as_ref().map_or(&self.pod, |own| &own.localhost_profile);
            container.privileged && names(path).as_ref() == Some(profile)
        });
        let containers: Vec<_> = privileged.map(|container| container.name.clone()).collect();
        let privileged = (!containers.is_empty()).then_some(Unenforced::Privileged { containers });
        privileged.into_iter().chain(runtime).collect()
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    runtime_class_name: Option<String>,
    #[serde(deserialize_with = "or_default")]
    security_context: SecurityContext,
    #[serde(deserialize_with = "or_default")]
    containers: Vec<NamedContainer>,
    #[serde(deserialize_with = "or_default")]
    init_containers: Vec<NamedContainer>,
    #[serde(deserialize_with = "or_default")]
    ephemeral_containers: Vec<NamedContainer>,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct NamedContainer {
    name: String,
    #[serde(deserialize_with = "or_default")]
    security_context: SecurityContext,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct SecurityContext {
    privileged: Option<bool>,
    seccomp_profile: Option<Seccomp>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Seccomp {
    localhost_profile: Option<String>,
}

/// Null counts as absent.
fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de> + Default,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
