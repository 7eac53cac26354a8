//! One profile in the index.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use super::pacing::Pacing;
use super::tally::{Contribution, NodeState};
use super::{Sign, Tally};
use crate::facts::ProfileFacts;
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
    /// When its status may be written, and call it ready.
    pub(super) pacing: Pacing,
    /// When its contents changed, as far as this process has seen them change.
    pub(super) changed: Option<Timestamp>,
    /// When a list of all pods last named no user of it that is not known, while it is being deleted.
    pub(super) pods_listed: Option<Timestamp>,
    /// Since when every such list has failed, or has named what is not known.
    pub(super) unlisted_since: Option<Timestamp>,
    /// Since when its file may go from the nodes, as far as this process knows: a restart starts it anew.
    pub(super) approved_since: Option<Timestamp>,
    /// Since when this process sees its contents on their way to the nodes; none once a status calls them Ready.
    rollout: Option<Timestamp>,
}

impl Profile {
    pub(super) fn new(facts: ProfileFacts, now: Timestamp) -> Self {
        // What an earlier leader has judged already has been under way for who knows how long.
        let judged =
            facts.status.as_ref().is_some_and(|status| status.observed_generation == facts.generation);
        let mut profile = Self {
            tally: Tally::default(),
            pending: BTreeSet::new(),
            failed: BTreeSet::new(),
            pacing: Pacing::new(now),
            changed: None,
            pods_listed: None,
            unlisted_since: None,
            approved_since: None,
            rollout: (facts.content.is_ok() && !judged).then_some(now),
            facts,
        };
        profile.note_times(now);
        profile
    }

    /// News of the same object. Gives how long its contents have taken to become Ready, if that is the news.
    pub(super) fn update(&mut self, facts: ProfileFacts, now: Timestamp) -> Option<Duration> {
        let (old, new) = (self.want(), want(&facts));
        if old != new {
            // Agents go by the last status.
            let said = self.facts.status.as_ref().and_then(|status| status.nodes.as_ref());
            let said = said.map_or(0, |nodes| u32::try_from(nodes.desired).unwrap_or_default());
            self.pacing.contents_changed(old, new, said.max(self.tally.desired()), now);
            self.rollout = new.map(|_| now);
            self.changed = Some(now);
        }
        self.facts = facts;
        self.note_times(now);
        let since = if self.called_ready() { self.rollout.take() } else { None };
        since.map(|since| Duration::try_from(now.duration_since(since)).unwrap_or_default())
    }

    /// Whether the stored status calls the present contents Ready, and not those of an earlier generation.
    fn called_ready(&self) -> bool {
        let ProfileFacts { status, generation, .. } = &self.facts;
        status.as_ref().is_some_and(|status| status.observed_generation == *generation && is_ready(status))
    }

    /// Since when it is not Ready. The stored status outlives the operator that wrote it, but where it calls earlier
    /// contents Ready, or nothing was ever stored, this process alone knows.
    pub(super) fn not_ready_since(&self) -> Option<Timestamp> {
        let ready = self.facts.status.as_ref().and_then(ready_condition);
        let stored = ready.filter(|ready| ready.status != "True").map(|ready| ready.last_transition_time.0);
        stored.or(self.rollout)
    }

    fn note_times(&mut self, now: Timestamp) {
        // Somebody else may have wiped it off the status; then nothing is waited for any more.
        self.approved_since = self.facts.removal_approved.then(|| self.approved_since.unwrap_or(now));
    }

    /// Another contribution of a node takes the place of its earlier one; says whether the profile is due for a look.
    pub(super) fn recount(
        &mut self,
        node: &Arc<str>,
        earlier: Contribution,
        present: Contribution,
        now: Timestamp,
    ) -> bool {
        let before = self.urgent();
        self.count(node, earlier, Sign::Minus);
        self.count(node, present, Sign::Plus);
        let held = self.pacing.is_held(now) && !self.facts.deleting();
        !held || self.urgent() != before
    }

    /// What of the counts can make a status urgent that is held back: what flips the condition, what says for the first
    /// time that a node cannot hold the contents, and that no node is waited for any more that is about to report.
    fn urgent(&self) -> impl PartialEq + use<> {
        (self.tally.is_ready(), self.tally.failed > 0, self.tally.joining > 0)
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

    /// Forgets every count.
    pub(super) fn clear_counts(&mut self) {
        self.tally = Tally::default();
        self.pending.clear();
        self.failed.clear();
    }

    /// What each node should report, if the contents are valid.
    pub(super) fn want(&self) -> Option<ShortHash> {
        want(&self.facts)
    }

    /// Whether nodes should have the file: it is valid, and has no leave to go.
    pub(super) fn demanded(&self) -> bool {
        demanded(&self.facts)
    }

    /// Whether these facts count on every node as the present ones do.
    pub(super) fn counts_like(&self, facts: &ProfileFacts) -> bool {
        self.want() == want(facts) && self.demanded() == demanded(facts)
    }
}

fn want(facts: &ProfileFacts) -> Option<ShortHash> {
    facts.content.as_ref().ok().map(profile::ContentHash::short)
}

fn demanded(facts: &ProfileFacts) -> bool {
    facts.content.is_ok() && !facts.removal_approved
}
