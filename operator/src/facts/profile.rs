//! What the index needs to know of a `SeccompProfile`.

use api::names::{DELETE_IN_USE, FINALIZER};
use api::{SeccompProfile, SeccompProfileStatus, Untrusted};
use k8s_openapi::jiff::Timestamp;
use profile::ContentHash;

use super::Version;

/// A `SeccompProfile`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileFacts {
    /// Its name.
    pub name: String,
    /// The version that these facts are of.
    pub version: Version,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// The hash that every node should report, or why there is none.
    pub content: Result<ContentHash, String>,
    /// When somebody deleted it.
    pub deletion: Option<Timestamp>,
    /// Where our finalizer stands among its finalizers.
    pub finalizer: Option<usize>,
    /// Whether it has any finalizer.
    pub has_finalizers: bool,
    /// Whether its file may go although pods use it.
    pub delete_in_use: bool,
    /// Whether the file may go from the nodes: read by itself, as the agents do, so that a status with a word of
    /// another release in it does not take it back.
    pub removal_approved: bool,
    /// The status that is stored; `None` where there is none, or none that can be read.
    pub status: Option<SeccompProfileStatus>,
}

impl ProfileFacts {
    /// Whether somebody deleted it.
    #[must_use]
    pub fn deleting(&self) -> bool {
        self.deletion.is_some()
    }

    /// What a stored profile says.
    #[must_use]
    pub fn of(object: &Untrusted<SeccompProfile>) -> Self {
        let metadata = &object.metadata;
        let name = metadata.name.clone().unwrap_or_default();
        let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
        let annotation = |key| metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let content = match name.parse::<api::ProfileName>() {
            Ok(_) => {
                object.profile().map(|profile| profile.canonical().hash()).map_err(|error| error.to_string())
            }
            Err(error) => Err(format!("metadata.name: {error}")),
        };
        Self {
            version: Version::of(metadata),
            generation: metadata.generation,
            content,
            deletion: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            finalizer: finalizers.iter().position(|finalizer| finalizer == FINALIZER),
            has_finalizers: !finalizers.is_empty(),
            removal_approved: object.removal_approved(),
            delete_in_use: annotation(DELETE_IN_USE) == Some("true"),
            // An object that was never judged has no status, or an empty one; both read as none.
            status: object.status().filter(|status| *status != SeccompProfileStatus::default()),
            name,
        }
    }
}
