//! The facts about a profile that decide whether pods may be scheduled.

use std::collections::BTreeSet;

use api::{NodeLabelSelector, SeccompProfileStatus, State};

use crate::facts::WatchedProfile;
use crate::status;

/// The facts about a profile that pods may wait for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AwaitedProfile {
    /// Its uid.
    pub uid: String,
    /// Whether the nodes have it.
    pub progress: Progress,
    /// The nodes that must have it; `None` for all that have an agent.
    pub node_selector: Option<NodeLabelSelector>,
}

impl AwaitedProfile {
    /// The facts of a profile.
    #[must_use]
    pub fn of(profile: &WatchedProfile) -> Self {
        Self {
            uid: profile.metadata.uid.clone().unwrap_or_default(),
            progress: Progress::of(profile),
            node_selector: NodeLabelSelector::of_spec(&profile.spec),
        }
    }
}

/// Whether the nodes have a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Progress {
    /// Every node that the profile selects has had the present contents, or it selects none: there is nothing to wait for.
    /// A gated pod makes no autoscaler add a node, so that a pod that waited for the first node would wait for ever.
    ReadyOnce,
    /// Some node does not have them yet, or the operator has not looked at them.
    RollingOut,
    /// These nodes cannot hold the file, and every other one has it.
    Failed(BTreeSet<String>),
    /// Nodes cannot hold the file: too many to be named in the status, or all.
    FailedWidely,
    /// The contents are not a valid profile.
    Rejected,
    /// The nodes are removing the file of the deleted profile.
    Removed,
}

impl Progress {
    /// The progress that the profile's status shows.
    ///
    /// While a deletion waits for pods, the file stays, and a pod that is gated counts among them: so it may be
    /// scheduled until the removal is approved.
    #[must_use]
    pub fn of(profile: &WatchedProfile) -> Self {
        if profile.removal_approved() {
            return Self::Removed;
        }
        // An older status is about other contents.
        let current = |status: &SeccompProfileStatus| {
            status.is_reconciled() && status.observed_generation == profile.metadata.generation
        };
        let Some(status) = profile.status().filter(current) else { return Self::RollingOut };
        if status.state == Some(State::Rejected.into()) {
            return Self::Rejected;
        }
        let Some(hash) = &status.content_hash else { return Self::RollingOut };
        // An operator of an earlier release writes no `readyHash`.
        if status.ready_hash.as_ref() == Some(hash) || status::is_ready(&status) {
            return Self::ReadyOnce;
        }
        let Some(nodes) = status.nodes else { return Self::RollingOut };
        if nodes.desired == 0 {
            return Self::ReadyOnce;
        }
        // Those that cannot hold it; ten at most, so that of more nodes nobody can tell which those are. A node without a working agent is one of them, and counts as pending.
        let failed: BTreeSet<String> = status.failures.into_iter().map(|failure| failure.node).collect();
        let all_are_named = usize::try_from(nodes.failed + nodes.pending) == Ok(failed.len());
        let may_be_more = failed.len() >= status::MAX_FAILURES;
        if nodes.failed == 0 && failed.is_empty() || nodes.pending > 0 && !all_are_named && !may_be_more {
            Self::RollingOut
        } else if all_are_named && nodes.ready > 0 {
            Self::Failed(failed)
        } else {
            Self::FailedWidely
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    const HASH: &str = "sha256:a";

    fn of(metadata: Value, status: Value) -> Progress {
        let spec = json!({ "contents": { "defaultAction": "SCMP_ACT_LOG" } });
        let object = json!({ "metadata": metadata, "spec": spec, "status": status });
        Progress::of(&serde_json::from_value(object).unwrap())
    }

    fn second_generation(status: Value) -> Progress {
        of(json!({ "name": "a", "generation": 2 }), status)
    }

    fn nodes(ready: i32, pending: i32, failed: i32, named: usize) -> Progress {
        let failures: Vec<_> = (0..named)
            .map(|number| json!({ "node": format!("n{number}"), "reason": "r", "message": "m" }))
            .collect();
        second_generation(json!({
            "observedGeneration": 2, "contentHash": HASH, "state": "Failed", "failures": failures,
            "nodes": {
                "desired": ready + pending + failed, "ready": ready, "pending": pending, "failed": failed,
                "joining": 0, "unreachable": 0,
            },
        }))
    }

    #[test]
    fn a_profile_that_was_ready_once_with_its_present_contents_stays_so_whatever_nodes_do() {
        let status = json!({
            "observedGeneration": 2, "contentHash": HASH, "readyHash": HASH, "state": "Progressing",
            "nodes": { "desired": 2, "ready": 1, "pending": 1, "failed": 0, "joining": 0, "unreachable": 0 },
        });
        assert_eq!(second_generation(status), Progress::ReadyOnce);
    }

    #[test]
    fn readiness_with_other_contents_does_not_count() {
        let later = json!({ "observedGeneration": 2, "contentHash": HASH, "readyHash": "sha256:b", "state": "Progressing" });
        assert_eq!(second_generation(later), Progress::RollingOut);
        // The operator has not looked at the second generation.
        let unseen =
            json!({ "observedGeneration": 1, "contentHash": HASH, "readyHash": HASH, "state": "Ready" });
        assert_eq!(second_generation(unseen), Progress::RollingOut);
        assert_eq!(second_generation(Value::Null), Progress::RollingOut);
    }

    #[test]
    fn an_operator_that_writes_no_ready_hash_is_understood() {
        let ready = json!({ "type": "Ready", "status": "True", "reason": "AllNodesReady", "message": "", "lastTransitionTime": "1970-01-01T00:00:00Z" });
        let status =
            json!({ "observedGeneration": 2, "contentHash": HASH, "state": "Ready", "conditions": [ready] });
        assert_eq!(second_generation(status), Progress::ReadyOnce);
    }

    #[test]
    fn nodes_that_cannot_hold_the_file_are_named_if_all_others_have_it() {
        let named = |number: usize| (0..number).map(|number| format!("n{number}")).collect();
        assert_eq!(nodes(1, 0, 2, 2), Progress::Failed(named(2)));
        assert_eq!(nodes(1, 1, 2, 2), Progress::RollingOut);
        assert_eq!(nodes(5, 0, 11, 10), Progress::FailedWidely);
        assert_eq!(nodes(0, 0, 2, 2), Progress::FailedWidely, "no node is left");
        // Pending nodes without an agent are named, too.
        assert_eq!(nodes(1, 1, 1, 2), Progress::Failed(named(2)));
        assert_eq!(nodes(1, 2, 0, 2), Progress::Failed(named(2)));
        assert_eq!(nodes(1, 3, 0, 2), Progress::RollingOut, "one of them has an agent");
        assert_eq!(nodes(0, 2, 0, 2), Progress::FailedWidely, "no node is left");
        // Of more than ten nodes, whether they say why or have no agent, not all are named.
        assert_eq!(nodes(5, 12, 0, 10), Progress::FailedWidely);
        assert_eq!(nodes(5, 1, 11, 10), Progress::FailedWidely);
        assert_eq!(nodes(5, 10, 0, 10), Progress::Failed(named(10)));
    }

    #[test]
    fn a_profile_that_selects_no_node_holds_nobody_back() {
        assert_eq!(nodes(0, 0, 0, 0), Progress::ReadyOnce);
        let uncounted = json!({ "observedGeneration": 2, "contentHash": HASH, "state": "Progressing" });
        assert_eq!(second_generation(uncounted), Progress::RollingOut);
    }

    #[test]
    fn invalid_contents_and_an_approved_removal_are_told_apart_from_a_rollout() {
        let rejected = json!({ "observedGeneration": 2, "state": "Rejected", "readyHash": HASH });
        assert_eq!(second_generation(rejected), Progress::Rejected);
        let deleted = json!({ "name": "a", "generation": 2, "deletionTimestamp": "2026-01-01T00:00:00Z" });
        let status = |removal: Value| json!({ "observedGeneration": 2, "contentHash": HASH, "readyHash": HASH, "removal": removal, "state": "Deleting" });
        assert_eq!(of(deleted.clone(), status(json!("Approved"))), Progress::Removed);
        assert_eq!(of(deleted, status(Value::Null)), Progress::ReadyOnce);
    }
}
