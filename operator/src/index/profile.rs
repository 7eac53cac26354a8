//! One profile in the index.

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use api::SeccompProfileStatus;
use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;
use syscalls::Architecture;

use super::pacing::StatusPacing;
use super::tally::{Contribution, NodeState};
use super::{Sign, Tally};
use crate::facts::{ProfileFacts, uid_hash};
use crate::findings::Checked;
use crate::status::{is_ready, ready_condition};

/// One profile, with the count of its nodes.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) facts: ProfileFacts,
    pub(super) tally: Tally,
    /// The nodes that `tally` counts as pending.
    pub(super) pending: BTreeSet<Arc<str>>,
    /// The nodes that `tally` counts as failed.
    pub(super) failed: BTreeSet<Arc<str>>,
    /// When its status may be written, and when it may call the profile ready.
    pub(super) pacing: StatusPacing,
    /// When this process saw its contents change.
    pub(super) changed: Option<Timestamp>,
    /// When a full pod list for its deletion last contained only pods that the index knows.
    pub(super) pods_listed: Option<Timestamp>,
    /// Since when every such list has failed or contained a pod or a node that the index lacks.
    pub(super) pods_unknown_since: Option<Timestamp>,
    /// Since when this process has seen the approval to remove its file from the nodes; after a restart, since the
    /// restart.
    pub(super) approved_since: Option<Timestamp>,
    /// Since when this process has seen that it is being deleted; after a restart, since the restart.
    pub(super) deleting_since: Option<Timestamp>,
    /// Since when this process knows of no pod that names it; kept for profiles of images alone.
    pub(super) unnamed_since: Option<Timestamp>,
    /// Whether the last status that this process has written says since when no pod names it.
    pub(super) unused_written: bool,
    /// What was found in its contents, once they have been checked.
    pub(super) checked: Option<CheckResult>,
    /// Whether this process has written a status with the number of its pods.
    pub(super) pods_written: bool,
    /// Identifies its uid among the exclusions of a node.
    pub(super) uid: ShortHash,
    /// Since when this process has seen its present contents; `None` once a status calls them Ready.
    rollout: Option<Timestamp>,
}

/// What a check has found, for nodes of these architectures.
#[derive(Debug)]
pub(super) struct CheckResult {
    pub(super) architectures: Vec<Architecture>,
    pub(super) checked: Checked,
}

impl Profile {
    pub(super) fn new(facts: ProfileFacts, now: Timestamp) -> Self {
        // If an earlier leader has reconciled these contents, this process cannot know since when they have been rolled
        // out.
        let is_reconciled =
            facts.status.as_ref().is_some_and(|status| status.observed_generation == facts.generation);
        let mut profile = Self {
            tally: Tally::default(),
            pending: BTreeSet::new(),
            failed: BTreeSet::new(),
            pacing: StatusPacing::new(now),
            changed: None,
            pods_listed: None,
            pods_unknown_since: None,
            approved_since: None,
            deleting_since: None,
            unnamed_since: None,
            unused_written: false,
            checked: None,
            pods_written: false,
            uid: uid_hash(&facts.version.uid),
            rollout: (facts.content.is_ok() && !is_reconciled).then_some(now),
            facts,
        };
        profile.update_deletion(now);
        profile
    }

    /// Applies an update of the same object. Returns how long its contents took to become Ready, if they now have.
    pub(super) fn update(&mut self, facts: ProfileFacts, now: Timestamp) -> Option<Duration> {
        let (old, new) = (self.expected_hash(), expected_hash(&facts));
        if old != new {
            // Agents take the number of nodes from the stored status.
            let stored = self.facts.status.as_ref().and_then(|status| status.nodes.as_ref());
            let stored = stored.map_or(0, |nodes| u32::try_from(nodes.desired).unwrap_or_default());
            self.pacing.contents_changed(old, new, stored.max(self.tally.desired()), now);
            self.rollout = new.map(|_| now);
            self.changed = Some(now);
        }
        if self.facts.text != facts.text {
            self.checked = None;
        }
        self.facts = facts;
        self.update_deletion(now);
        let since = if self.has_ready_status() { self.rollout.take() } else { None };
        since.map(|since| Duration::try_from(now.duration_since(since)).unwrap_or_default())
    }

    /// What the API server stores of a status, as far as is known. If the stored status lacks the number of pods, or since
    /// when there is none, although this process has written it, the API server has a definition of an earlier release, and
    /// would drop it each time.
    pub(super) fn storable<'a>(&self, wanted: &'a SeccompProfileStatus) -> Cow<'a, SeccompProfileStatus> {
        let mut storable = Cow::Borrowed(wanted);
        if let Some(stored) = &self.facts.status {
            if self.pods_written && stored.pods.is_none() {
                storable.to_mut().pods = None;
            }
            if self.unused_written && stored.unused_since.is_none() && wanted.unused_since.is_some() {
                storable.to_mut().unused_since = None;
            }
        }
        storable
    }

    /// Whether the stored status calls the present contents Ready, and not those of an earlier generation.
    fn has_ready_status(&self) -> bool {
        let ProfileFacts { status, generation, .. } = &self.facts;
        status.as_ref().is_some_and(|status| status.observed_generation == *generation && is_ready(status))
    }

    /// Since when it is not Ready: by the stored status, which outlives the operator that wrote it, or, where that
    /// calls earlier contents Ready or does not exist, since this process saw the contents.
    pub(super) fn not_ready_since(&self) -> Option<Timestamp> {
        let ready = self.facts.status.as_ref().and_then(ready_condition);
        let stored = ready.filter(|ready| ready.status != "True").map(|ready| ready.last_transition_time.0);
        stored.or(self.rollout)
    }

    fn update_deletion(&mut self, now: Timestamp) {
        self.deleting_since = self.facts.deleting().then(|| self.deleting_since.unwrap_or(now));
        // Somebody else may have removed the approval from the status; then the time for it ends.
        self.approved_since = self.facts.removal_approved.then(|| self.approved_since.unwrap_or(now));
    }

    /// Replaces the earlier contribution of a node by the present one; returns whether the profile must be reconciled.
    pub(super) fn recount(
        &mut self,
        node: &Arc<str>,
        earlier: Contribution,
        present: Contribution,
        now: Timestamp,
    ) -> bool {
        let before = self.urgent_counts();
        self.count(node, earlier, Sign::Minus);
        self.count(node, present, Sign::Plus);
        let is_deferred = self.pacing.is_deferred(now) && !self.facts.deleting();
        !is_deferred || self.urgent_counts() != before
    }

    /// The properties of the counts that make a deferred status urgent when they change: the condition Ready flips, the
    /// first node fails to hold the contents, or the last joining node has reported.
    fn urgent_counts(&self) -> impl PartialEq + use<> {
        (self.tally.is_ready(), self.tally.failed > 0, self.tally.joining > 0)
    }

    /// Whether some node that should hold the contents has not reported that it does or cannot.
    pub(super) fn awaits_reports(&self) -> bool {
        self.tally.pending + self.tally.joining > 0
    }

    /// Puts a node's contribution into the counts or takes it out.
    pub(super) fn count(&mut self, node: &Arc<str>, contribution: Contribution, sign: Sign) {
        self.tally.add(contribution, sign);
        let names = match contribution.state {
            Some(NodeState::Pending) => &mut self.pending,
            Some(NodeState::Failed) => &mut self.failed,
            _ => return,
        };
        match sign {
            Sign::Plus => names.insert(node.clone()),
            Sign::Minus => names.remove(node),
        };
    }

    /// Sets all counts to zero.
    pub(super) fn clear_counts(&mut self) {
        self.tally = Tally::default();
        self.pending.clear();
        self.failed.clear();
    }

    /// What each node should report, if the contents are valid.
    pub(super) fn expected_hash(&self) -> Option<ShortHash> {
        expected_hash(&self.facts)
    }

    /// Whether nodes should have the file: the contents are valid, and its removal is not approved.
    pub(super) fn is_required(&self) -> bool {
        is_required(&self.facts)
    }

    /// Whether every node's contribution, and the age of its file, is the same under these facts as under the present ones.
    pub(super) fn counts_like(&self, facts: &ProfileFacts) -> bool {
        self.expected_hash() == expected_hash(facts)
            && self.facts.removal_approved == facts.removal_approved
            && self.facts.node_selector == facts.node_selector
    }
}

fn expected_hash(facts: &ProfileFacts) -> Option<ShortHash> {
    facts.content.as_ref().ok().map(profile::ContentHash::short)
}

fn is_required(facts: &ProfileFacts) -> bool {
    facts.content.is_ok() && !facts.removal_approved
}
