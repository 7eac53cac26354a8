//! What a `RuntimeClass` says about how its containers' seccomp profiles are applied.

use k8s_openapi::api::node::v1::RuntimeClass;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};

/// The fields of a `RuntimeClass` that matter here.
#[derive(Debug, Clone, Deserialize)]
pub struct WatchedRuntimeClass {
    /// Metadata.
    #[serde(deserialize_with = "crate::metadata::lenient")]
    pub metadata: ObjectMeta,
    /// The name that the configuration of containerd or CRI-O gives to a runtime.
    #[serde(default)]
    pub handler: String,
}
crate::watched_as!(WatchedRuntimeClass, RuntimeClass);

/// The kind of runtime that a handler stands for, as far as its name tells.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandlerKind {
    /// It runs containers on the node's kernel, and loads their filters there.
    Plain,
    /// It runs containers under a separate kernel.
    Sandbox(Sandbox),
    /// The name tells nothing.
    Unknown,
}

impl HandlerKind {
    /// The kind of a handler.
    #[must_use]
    pub fn of(handler: &str) -> Self {
        let is = |name: &str| {
            handler == name || handler.strip_prefix(name).is_some_and(|rest| rest.starts_with(['-', '_']))
        };
        if is("runsc") || is("gvisor") {
            Self::Sandbox(Sandbox::GVisor)
        } else if is("kata") {
            Self::Sandbox(Sandbox::Kata)
        } else if ["runc", "crun", "youki", "nvidia"].into_iter().any(is) {
            Self::Plain
        } else {
            Self::Unknown
        }
    }
}

/// A runtime that runs containers under a separate kernel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum Sandbox {
    /// gVisor's runsc.
    #[serde(rename = "gVisor")]
    GVisor,
    /// Kata Containers.
    Kata,
}

impl Sandbox {
    /// What it is, and when it applies a filter: continues "The runtime is ".
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::GVisor => {
                "gVisor, which applies a filter only inside its sandbox and only with --oci-seccomp"
            }
            Self::Kata => {
                "Kata Containers, which applies a filter only inside its virtual machine and only with \
                 disable_guest_seccomp=false"
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_handler_tells_the_kind_of_its_runtime() {
        for (handler, kind) in [
            ("runc", HandlerKind::Plain),
            ("crun-wasm", HandlerKind::Plain),
            ("nvidia", HandlerKind::Plain),
            ("runsc", HandlerKind::Sandbox(Sandbox::GVisor)),
            ("gvisor_debug", HandlerKind::Sandbox(Sandbox::GVisor)),
            ("kata", HandlerKind::Sandbox(Sandbox::Kata)),
            ("kata-qemu", HandlerKind::Sandbox(Sandbox::Kata)),
            ("katalog", HandlerKind::Unknown),
            ("", HandlerKind::Unknown),
        ] {
            assert_eq!(HandlerKind::of(handler), kind, "{handler}");
        }
    }
}
