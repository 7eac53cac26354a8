//! What should be under the name of one profile.

use api::ProfileName;
use profile::{Canonical, ContentHash, Listener, ParseError};

use crate::budget::Refusal;
use crate::kept::Kept;

/// What should be under the name of one profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Goal {
    /// A file with these bytes.
    File {
        /// The canonical bytes: kept so that a file is repaired while the API server is away.
        bytes: Kept,
        /// Their hash.
        hash: ContentHash,
    },
    /// No file is made of the profile's contents; a file that is there stays as it is.
    Rejected {
        /// Why, in one word.
        reason: &'static str,
        /// Why, for a person.
        message: Box<str>,
    },
    /// There is no room for the profile; its file stays as it is.
    OverBudget(Refusal),
    /// No file of the agent's: the operator has approved the removal, or the profile does not exist any more.
    Removal,
}

/// Whether the node holds the file of a profile that exists.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Placement {
    /// It does.
    #[default]
    Here,
    /// The profile selects nodes, and what the operator says of this one is not known yet: a file that is there stays as
    /// it is, and none is written.
    Unknown,
    /// The operator says that it does not: no file of the agent's.
    Excluded,
}

/// Whether profiles may name a listener, for which the runtime connects to a socket on this node.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Listeners {
    /// No file of a profile that names one is written: the API server may have admitted the profile before its policy
    /// was in force.
    #[default]
    Refused,
    /// They may.
    Admitted,
}

/// Why no file is made of a profile whose name no file can have, or whose name states other contents, in one word.
pub(crate) const MISNAMED: &str = "InvalidProfile";

/// Why no file is made of a profile that names a listener, in one word.
const LISTENERS_DISABLED: &str = "ListenersDisabled";

impl Goal {
    /// The goal of a profile whose contents were parsed with this result, as long as there is room for it.
    #[must_use]
    pub fn of(parsed: Result<Canonical, ParseError>, listeners: Listeners) -> Self {
        match parsed {
            Ok(canonical) => match (canonical.listener(), listeners) {
                (Some(listener), Listeners::Refused) => Self::listening(listener),
                _ => Self::File { hash: canonical.hash(), bytes: Kept::of(canonical.bytes()) },
            },
            Err(error) => Self::Rejected { reason: error.reason(), message: error.to_string().into() },
        }
    }

    /// A file with these bytes.
    #[must_use]
    pub fn file(bytes: &[u8]) -> Self {
        Self::File { hash: ContentHash::of(bytes), bytes: Kept::of(bytes) }
    }

    /// The goal of a profile of this name: no file is made of other contents than those that the name states.
    #[must_use]
    pub fn under(self, name: &ProfileName) -> Self {
        match &self {
            Self::File { hash, .. } => match name.permits(*hash) {
                Ok(()) => self,
                Err(error) => Self::Rejected { reason: MISNAMED, message: error.to_string().into() },
            },
            _ => self,
        }
    }

    fn listening(listener: &Listener) -> Self {
        let message = format!(
            "spec.contents.listenerPath: {} is a socket that the runtime would connect to, and no profile may name one \
             in this cluster (the chart's value listeners.enabled)",
            listener.path()
        );
        Self::Rejected { reason: LISTENERS_DISABLED, message: message.into() }
    }
}

#[cfg(test)]
mod tests {
    use profile::Profile;

    use super::*;

    #[test]
    fn no_file_is_made_of_other_contents_than_the_name_states() {
        let of = |action: &str| {
            Profile::from_value(&serde_json::json!({ "defaultAction": action })).unwrap().canonical()
        };
        let name = ProfileName::stating(of("SCMP_ACT_LOG").hash());
        let goal = |action| Goal::of(Ok(of(action)), Listeners::Refused).under(&name);
        assert!(matches!(goal("SCMP_ACT_LOG"), Goal::File { .. }));
        assert!(matches!(goal("SCMP_ACT_ALLOW"), Goal::Rejected { reason: MISNAMED, .. }));
    }

    #[test]
    fn where_listeners_are_refused_no_file_is_made_of_a_profile_that_names_one() {
        let contents = serde_json::json!({
            "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/a.sock",
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }]
        });
        let canonical = Profile::from_value(&contents).unwrap().canonical();
        let goal = |listeners| Goal::of(Ok(canonical.clone()), listeners);
        assert!(matches!(goal(Listeners::Admitted), Goal::File { .. }));
        let Goal::Rejected { reason, message } = goal(Listeners::Refused) else { panic!("it is admitted") };
        assert_eq!(reason, "ListenersDisabled");
        assert!(message.contains("/run/a.sock") && message.contains("listeners.enabled"), "{message}");
    }
}
