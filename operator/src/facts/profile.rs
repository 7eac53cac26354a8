//! The facts that the index needs about a `SeccompProfile`.

use std::collections::BTreeMap;
use std::sync::Arc;

use api::names::{DELETE_IN_USE, FINALIZER, FROM, FROM_IMAGE};
use api::{NodeLabelSelector, ProfileName, SeccompProfile, SeccompProfileStatus, Text, Untrusted};
use k8s_openapi::jiff::Timestamp;
use profile::ContentHash;

use super::ObjectVersion;

/// A `SeccompProfile` in a watch or in an answer: its contents are text, which is parsed only where it has changed.
pub type WatchedProfile = Untrusted<SeccompProfile, Text>;

/// A `SeccompProfile`.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileFacts {
    /// Its name.
    pub name: String,
    /// The version from which these facts were taken.
    pub version: ObjectVersion,
    /// `metadata.generation`.
    pub generation: Option<i64>,
    /// SHA-256 of the text of the contents. A cryptographic hash, so that nobody who may write a profile can make one
    /// that passes for another.
    pub text: ContentHash,
    /// The hash that every node should report, or why the contents are invalid.
    pub content: Result<ContentHash, String>,
    /// The hash that an agent reports which does not know `spec.report`, if that makes a difference.
    pub without_report: Option<ContentHash>,
    /// Which nodes must have it; `None` for all that have an agent.
    pub node_selector: Option<NodeLabelSelector>,
    /// The text of the spec, until the contents have been checked ([`Index::checked`](crate::index::Index::checked)).
    pub unchecked: Option<Arc<Text>>,
    /// When its deletion began.
    pub deletion: Option<Timestamp>,
    /// The position of the operator's finalizer in the list of finalizers.
    pub finalizer: Option<usize>,
    /// Whether it has any finalizer.
    pub has_finalizers: bool,
    /// Where it comes from.
    pub origin: ProfileOrigin,
    /// Whether its file may be removed although pods use it.
    pub delete_in_use: bool,
    /// Whether the agents may remove the file. The field is read by itself, as the agents do, so that an unknown value
    /// of another release elsewhere in the status does not withdraw the approval.
    pub removal_approved: bool,
    /// The stored status; `None` where no operator has written one, or where it cannot be read.
    pub status: Option<SeccompProfileStatus>,
}

/// Where a profile comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProfileOrigin {
    /// An image has brought it: by its label, and by its name, which states its contents. It is removed when no pod has
    /// named it for a while.
    Image,
    /// Somebody has applied it.
    User,
}

impl ProfileFacts {
    /// Whether an image has brought it.
    #[must_use]
    pub fn is_from_image(&self) -> bool {
        self.origin == ProfileOrigin::Image
    }

    /// Whether it is being deleted.
    #[must_use]
    pub fn deleting(&self) -> bool {
        self.deletion.is_some()
    }

    /// Whether a node with these labels must have it.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        self.node_selector.as_ref().is_none_or(|selector| selector.matches(labels))
    }

    /// The facts of a stored profile.
    #[must_use]
    pub fn of(object: &WatchedProfile) -> Self {
        Self::given(None, object)
    }

    /// The facts of a stored profile, given the facts of an earlier version. The contents are parsed only if they
    /// differ, because parsing takes longest, and during a rollout every status comes with the same contents.
    #[must_use]
    pub fn given(known: Option<&Self>, object: &WatchedProfile) -> Self {
        let metadata = &object.metadata;
        let name = metadata.name.clone().unwrap_or_default();
        let text = ContentHash::of(object.spec.as_bytes());
        let finalizers = metadata.finalizers.as_deref().unwrap_or_default();
        let label = |key| metadata.labels.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let annotation = |key| metadata.annotations.as_ref().and_then(|all| all.get(key)).map(String::as_str);
        let read = || {
            let content = match name.parse::<ProfileName>() {
                Ok(name) => Untrusted::<SeccompProfile>::canonical_in(&object.spec)
                    .map_err(|error| error.to_string())
                    .and_then(|canonical| {
                        let hash = canonical.hash();
                        name.permits(hash).map(|()| hash).map_err(|error| error.to_string())
                    }),
                Err(error) => Err(format!("metadata.name: {error}")),
            };
            // Most specs do not have the word, and need not be parsed a second time.
            let reports = object.spec.as_str().contains("report");
            let without_report =
                reports.then(|| Untrusted::<SeccompProfile>::hash_without_report(&object.spec)).flatten();
            (content, without_report, NodeLabelSelector::of_spec(&object.spec))
        };
        let known = known.filter(|known| known.name == name && known.text == text);
        let (content, without_report, node_selector) = known.map_or_else(read, |known| {
            (known.content.clone(), known.without_report, known.node_selector.clone())
        });
        let unchecked = match known {
            Some(known) => known.unchecked.clone(),
            None => content.is_ok().then(|| Arc::new(object.spec.clone())),
        };
        Self {
            version: ObjectVersion::of(metadata),
            generation: metadata.generation,
            text,
            content,
            without_report,
            node_selector,
            unchecked,
            deletion: metadata.deletion_timestamp.as_ref().map(|time| time.0),
            finalizer: finalizers.iter().position(|finalizer| finalizer == FINALIZER),
            has_finalizers: !finalizers.is_empty(),
            removal_approved: object.removal_approved(),
            origin: match label(FROM) == Some(FROM_IMAGE)
                && name.parse().is_ok_and(|name: ProfileName| name.stated_hash().is_some())
            {
                true => ProfileOrigin::Image,
                false => ProfileOrigin::User,
            },
            delete_in_use: annotation(DELETE_IN_USE) == Some("true"),
            // An object that was never reconciled has no status, an empty one or the default; all read as none.
            status: object.status().filter(SeccompProfileStatus::is_reconciled),
            name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_status_that_an_object_has_by_default_is_none() {
        let of = |status| {
            let spec = json!({ "contents": { "defaultAction": "SCMP_ACT_LOG" } });
            let object = json!({ "metadata": { "name": "a" }, "spec": spec, "status": status });
            ProfileFacts::of(&serde_json::from_value(object).unwrap()).status
        };
        let ready = json!({ "type": "Ready", "status": "Unknown", "reason": "Pending", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" });
        assert_eq!(of(json!({ "conditions": [ready] })), None);
        assert_eq!(of(json!({})), None);
        assert!(of(json!({ "observedGeneration": 1, "conditions": [ready] })).is_some());
    }

    #[test]
    fn a_name_that_states_the_contents_is_accepted_with_these_contents_alone() {
        let of = |name: &str, action: &str| {
            let spec = json!({ "contents": { "defaultAction": action } });
            let object = json!({ "metadata": { "name": name }, "spec": spec });
            ProfileFacts::of(&serde_json::from_value(object).unwrap()).content
        };
        let hash = of("audit", "SCMP_ACT_LOG").unwrap();
        let name = api::ProfileName::stating(hash);
        assert_eq!(of(name.as_str(), "SCMP_ACT_LOG"), Ok(hash));
        let rejected = of(name.as_str(), "SCMP_ACT_ALLOW").unwrap_err();
        assert!(rejected.starts_with("metadata.name: it states sha256:"), "{rejected}");
    }

    #[test]
    fn what_an_agent_reports_that_does_not_know_the_report_is_known() {
        let of = |spec| {
            let object = json!({ "metadata": { "name": "audit" }, "spec": spec });
            ProfileFacts::of(&serde_json::from_value(object).unwrap())
        };
        let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO" });
        let (plain, reporting) =
            (of(json!({ "contents": contents })), of(json!({ "contents": contents, "report": true })));
        assert_eq!(plain.without_report, None);
        assert_eq!(reporting.without_report, plain.content.clone().ok());
        assert_ne!(reporting.content, plain.content);
    }

    #[test]
    fn a_profile_is_from_an_image_by_its_label_and_its_name_together() {
        let of = |name: &str, from: &str| {
            let spec = json!({ "contents": { "defaultAction": "SCMP_ACT_LOG" } });
            let object = json!({ "metadata": { "name": name, "labels": { FROM: from } }, "spec": spec });
            ProfileFacts::of(&serde_json::from_value(object).unwrap()).is_from_image()
        };
        let stating = ProfileName::stating(ContentHash::of(b"{}"));
        // Also with other contents, which are rejected: they occupy the name for nothing.
        assert!(of(stating.as_str(), FROM_IMAGE));
        assert!(!of(stating.as_str(), "user"));
        assert!(!of("audit", FROM_IMAGE));
    }

    #[test]
    fn contents_are_parsed_only_where_their_text_has_changed() {
        let object = |name: &str, action: &str| {
            let contents = json!({ "defaultAction": action });
            serde_json::from_value(json!({ "metadata": { "name": name }, "spec": { "contents": contents } }))
                .unwrap()
        };
        let (logs, allows) = (object("audit", "SCMP_ACT_LOG"), object("audit", "SCMP_ACT_ALLOW"));
        let known = ProfileFacts { content: Err("not read again".to_owned()), ..ProfileFacts::of(&logs) };
        let content = |object| ProfileFacts::given(Some(&known), object).content;
        assert_eq!(content(&logs), known.content);
        assert_eq!(content(&allows), ProfileFacts::of(&allows).content);
        // Whether the profile is valid depends on its name, too.
        let misnamed = object("Audit", "SCMP_ACT_LOG");
        assert!(content(&misnamed).unwrap_err().starts_with("metadata.name"));
    }
}
