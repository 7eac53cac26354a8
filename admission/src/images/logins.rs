//! The logins of a pod's pull secrets.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::core::v1::Secret;
use kube::{Api, Client};
use link::client::within;
use registry::{Bounds, Cache, Keep, Keyring, PullSecret};

use super::choice::Why;

/// How long a pull secret is kept, so that pods that are created at once cost one request.
const KEPT: Duration = Duration::from_secs(10);
/// The bounds of what is kept.
const BOUNDS: Bounds = Bounds { number: 1_000, bytes: 4 * 1024 * 1024 };

/// Whose pull secrets may be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readable {
    /// Those of these namespaces.
    In(BTreeSet<String>),
    /// Those of all.
    Everywhere,
}

impl Readable {
    fn permits(&self, namespace: &str) -> bool {
        match self {
            Self::In(namespaces) => namespaces.contains(namespace),
            Self::Everywhere => true,
        }
    }
}

/// A pull secret, by the type of its contents; nothing where there is none, which the kubelet skips, too.
type Read = Result<Option<Arc<Contents>>, Why>;

#[derive(PartialEq, Eq)]
enum Contents {
    Json(Vec<u8>),
    Plain(Vec<u8>),
}

/// Reads pull secrets.
pub struct PullSecrets {
    client: Client,
    readable: Readable,
    kept: Cache<(String, String), Read>,
}

impl std::fmt::Debug for PullSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PullSecrets").field("readable", &self.readable).finish_non_exhaustive()
    }
}

/// The logins for a pod.
#[derive(Debug, Default)]
pub struct Logins {
    /// The keyring.
    pub keyring: Keyring,
    /// Whether the pod has pull secrets that may not be read, so that a login may be missing.
    pub may_lack_some: bool,
}

impl PullSecrets {
    /// Those that may be read.
    #[must_use]
    pub fn new(client: Client, readable: Readable) -> Self {
        Self { client, readable, kept: Cache::new(BOUNDS) }
    }

    /// The logins of these pull secrets of a namespace, in their order.
    ///
    /// # Errors
    /// One cannot be read, or is none, so that the kubelet would pull no image either.
    pub async fn logins(&self, namespace: &str, names: &[String]) -> Result<Logins, Why> {
        if !self.readable.permits(namespace) {
            return Ok(Logins { keyring: Keyring::default(), may_lack_some: !names.is_empty() });
        }
        let mut found = Vec::new();
        for name in names {
            found.extend(self.read(namespace, name).await?);
        }
        let secrets: Vec<_> = found
            .iter()
            .map(|contents| match &**contents {
                Contents::Json(bytes) => PullSecret::DockerConfigJson(bytes),
                Contents::Plain(bytes) => PullSecret::DockerConfig(bytes),
            })
            .collect();
        let keyring = Keyring::new(&secrets)
            .map_err(|error| Why { reason: error.problem.reason(), message: error.to_string() })?;
        Ok(Logins { keyring, may_lack_some: false })
    }

    async fn read(&self, namespace: &str, name: &str) -> Read {
        let secrets: Api<Secret> = Api::namespaced(self.client.clone(), namespace);
        let load = async || match within(secrets.get_opt(name)).await {
            Ok(secret) => Ok(secret.and_then(contents).map(Arc::new)),
            Err(error) => Err(Why {
                reason: "PullSecretNotRead",
                message: format!("the pull secret {name} cannot be read: {}", shortly(&error)),
            }),
        };
        let keep = |read: &Read| {
            let length = match read {
                Ok(Some(contents)) => match &**contents {
                    Contents::Json(bytes) | Contents::Plain(bytes) => bytes.len(),
                },
                _ => 0,
            };
            Keep::alone(KEPT, namespace.len() + name.len() + length)
        };
        self.kept.get((namespace.to_owned(), name.to_owned()), load, keep).await
    }
}

/// The contents by the type of the Secret, as the kubelet reads them (`pkg/credentialprovider/secrets` of Kubernetes
/// 1.37.2).
fn contents(secret: Secret) -> Option<Contents> {
    let mut data = secret.data?;
    match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => Some(Contents::Json(data.remove(".dockerconfigjson")?.0)),
        Some("kubernetes.io/dockercfg") => Some(Contents::Plain(data.remove(".dockercfg")?.0)),
        _ => None,
    }
}

/// An error of the API server without what it quotes.
fn shortly(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => format!("the API server answers {}", status.code),
        _ => "the API server did not answer".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::ByteString;
    use serde_json::json;

    use super::*;

    #[test]
    fn only_the_two_types_of_pull_secrets_count() {
        let of = |kind: &str, key: &str| {
            let data = json!({ key: ByteString(b"{}".to_vec()) });
            contents(serde_json::from_value(json!({ "type": kind, "data": data })).unwrap())
        };
        assert!(matches!(of("kubernetes.io/dockerconfigjson", ".dockerconfigjson"), Some(Contents::Json(_))));
        assert!(matches!(of("kubernetes.io/dockercfg", ".dockercfg"), Some(Contents::Plain(_))));
        assert!(of("Opaque", ".dockerconfigjson").is_none());
        assert!(of("kubernetes.io/dockercfg", ".dockerconfigjson").is_none());
    }

    #[test]
    fn secrets_are_read_in_the_named_namespaces_alone() {
        let readable = Readable::In(["shop".to_owned()].into());
        assert!(readable.permits("shop") && !readable.permits("shop2"));
        assert!(Readable::Everywhere.permits("shop2"));
    }
}
