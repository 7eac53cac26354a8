//! One profile in the index.

use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use super::Tally;
use crate::facts::ProfileFacts;

/// One profile, with the count of its nodes.
#[derive(Debug)]
pub(super) struct Profile {
    pub(super) facts: ProfileFacts,
    pub(super) tally: Tally,
    /// Since when its file may go from the nodes, as far as this process knows: a restart starts it anew.
    pub(super) approved_since: Option<Timestamp>,
    /// When this process last wrote its status.
    pub(super) written: Option<Timestamp>,
}

impl Profile {
    pub(super) fn new(facts: ProfileFacts, now: Timestamp) -> Self {
        let approved_since = facts.removal_approved().then_some(now);
        Self { facts, tally: Tally::default(), approved_since, written: None }
    }

    pub(super) fn update(&mut self, facts: ProfileFacts, now: Timestamp) {
        if facts.removal_approved() {
            self.approved_since.get_or_insert(now);
        }
        self.facts = facts;
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
    facts.content.is_ok() && !facts.removal_approved()
}
