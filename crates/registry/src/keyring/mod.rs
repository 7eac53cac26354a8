//! Which logins of pull secrets the kubelet would use for a repository, and in which order.
//!
//! The rules are those of `k8s.io/kubernetes` 1.37.2 (`pkg/credentialprovider`): `tests/keyring/` compares this module with
//! it. Three of them surprise. The path of a key is a prefix of letters, so that `example.com/team` also counts for
//! `example.com/teammate`. The order is descending by the bytes of the keys of all secrets, so that an exact host comes
//! before a wildcard with a longer path. One unreadable entry anywhere makes all of them unusable, and the pod's images
//! are not pulled.
//!
//! Two keys of one secret that mean the same come in random order in the kubelet. Here the order is that of their text.

mod config;
mod endpoint;
mod loose;

use std::collections::BTreeMap;

use config::Entry;
use endpoint::Endpoint;

use crate::{Fingerprint, Login, Repository};

/// The key of Docker Hub, by its older name, which counts if nothing else matches.
const HUB_KEY: &[u8] = b"index.docker.io";

/// The contents of a pull secret, by the type of the Secret.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum PullSecret<'a> {
    /// `kubernetes.io/dockerconfigjson`, the value of `.dockerconfigjson`.
    DockerConfigJson(&'a [u8]),
    /// `kubernetes.io/dockercfg`, the value of `.dockercfg`.
    DockerConfig(&'a [u8]),
}

/// Why pull secrets cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("pull secret {}: {problem}", .secret + 1)]
pub struct KeyringError {
    /// The index of the secret.
    pub secret: usize,
    /// What is wrong with it.
    pub problem: SecretProblem,
}

/// What is wrong with a pull secret. No message contains a part of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecretProblem {
    /// It is not JSON, or a value has another type than it should have.
    #[error("its value is not a Docker configuration")]
    Format,
    /// An `auth` cannot be decoded.
    #[error("an auth in it is not base64 of NAME:PASSWORD")]
    Auth,
}

impl SecretProblem {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Format => "PullSecretFormat",
            Self::Auth => "PullSecretAuth",
        }
    }
}

/// The logins of several pull secrets.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Keyring {
    /// By key; those of one key in the order of the secrets.
    logins: BTreeMap<Vec<u8>, Vec<Kept>>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Kept {
    secret: usize,
    login: Login,
}

/// A login that the kubelet would try.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Matched<'a> {
    /// The index of the pull secret.
    pub secret: usize,
    /// The login.
    pub login: &'a Login,
}

impl Keyring {
    /// The logins of a pod's pull secrets, in their order.
    ///
    /// # Errors
    /// One of them cannot be read. Then the kubelet pulls none of the pod's images.
    pub fn new(secrets: &[PullSecret<'_>]) -> Result<Self, KeyringError> {
        let mut logins: BTreeMap<Vec<u8>, Vec<Kept>> = BTreeMap::new();
        for (secret, contents) in secrets.iter().enumerate() {
            let entries = config::read(*contents).map_err(|problem| KeyringError { secret, problem })?;
            for (key, Entry { username, password }) in entries {
                // The kubelet leaves out keys that are no URL.
                let Some(key) = Endpoint::of_configuration(&key).map(|endpoint| endpoint.key()) else {
                    continue;
                };
                let login = Login::user(&username, &password);
                logins.entry(key).or_default().push(Kept { secret, login });
            }
        }
        Ok(Self { logins })
    }

    /// A key for caches: equal only for keyrings that choose the same logins for every repository.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        let of_key = self.logins.iter().map(|(key, kept)| {
            let logins: Vec<_> = kept.iter().map(|kept| kept.login.fingerprint()).collect();
            (key, Fingerprint::of(logins.iter().map(|login| &login.bytes()[..])))
        });
        let all: Vec<_> = of_key.collect();
        Fingerprint::of(all.iter().flat_map(|(key, logins)| [&key[..], &logins.bytes()[..]]))
    }

    /// The logins for a repository, in the order in which the kubelet tries them until one succeeds.
    ///
    /// If there is none, it pulls without a login. If there is one, it does not try without one, unless the login itself
    /// is [`Login::Anonymous`].
    #[must_use]
    pub fn find(&self, repository: &Repository) -> Vec<Matched<'_>> {
        let target = repository.to_string();
        let Some(target) = Endpoint::of_key(target.as_bytes()) else { return Vec::new() };
        let matching = self
            .logins
            .iter()
            .rev()
            .filter(|(key, _)| Endpoint::of_key(key).is_some_and(|pattern| pattern.covers(&target)));
        let mut found: Vec<_> = matching.flat_map(|(_, kept)| kept).collect();
        if found.is_empty() && counts_as_hub(repository.domain()) {
            found.extend(self.logins.get(HUB_KEY).into_iter().flatten());
        }
        found.into_iter().map(|kept| Matched { secret: kept.secret, login: &kept.login }).collect()
    }
}

/// Whether Docker Hub's key counts for a registry: also for one whose name has neither a point nor a port
/// (`isDefaultRegistryMatch` in `keyring.go`), such as `localhost`.
fn counts_as_hub(domain: &str) -> bool {
    domain == "docker.io" || !domain.contains(['.', ':'])
}
