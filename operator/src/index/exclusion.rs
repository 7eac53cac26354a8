//! Which profiles a node's agent is told not to hold: `spec.excludedProfiles` of the node's object.
//!
//! A profile with a node selector is excluded from the nodes that it does not select. The operator's word is the only
//! reason for which an agent removes the file of a profile that exists, so it is given with the care of a deletion, node by
//! node: a live pod on the node that names the profile keeps it there, and because the watch event of such a pod may be
//! late, all pods are listed first. Once given, the word stands until the node is selected: a pod that comes afterwards
//! does not bring the file back, or whoever may create pods would decide which nodes have it.
//!
//! What has been said is stored in the object, so that it outlives the operator. Nothing here keeps a list for each node;
//! it is computed when one of its reasons has changed.

use std::collections::BTreeMap;
use std::time::Duration;

use api::pace::Load;
use api::{MAX_EXCLUDED, MAX_EXCLUDED_BYTES};
use k8s_openapi::jiff::Timestamp;

use super::node::{AgentState, Node};
use super::pacing::hash_share;
use super::pods_listed::PODS_LISTED;
use super::profile::Profile;
use super::{Index, after};
use crate::facts::{PodFacts, PodKind};

/// How long further changes are waited for before a profile is excluded: profiles that are applied together then cost a
/// node one write. A file too many is harmless meanwhile.
const GATHER: Duration = Duration::from_millis(300);
/// How long entries about profiles that do not exist any more may stay.
const STALE: Duration = Duration::from_mins(1);
/// How long until the next try after the API server has dropped the field: its definition is of an earlier release.
const DROPPED: Duration = Duration::from_mins(10);
/// Bytes of an entry beside its name: the uid and the signs of JSON.
const ENTRY: usize = 42;

/// What to do about the exclusions of a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ExclusionStep {
    /// Nothing, before this time if there is one.
    Wait(Option<Timestamp>),
    /// List all pods.
    ListPods,
    /// Write this list of profiles and their uids.
    Write(BTreeMap<String, String>),
}

/// What the list of one node should be, and how that differs from the stored one.
#[derive(Debug, Default)]
struct Wanted {
    /// Entries that stay.
    kept: BTreeMap<String, String>,
    /// New entries.
    added: BTreeMap<String, String>,
    /// The node must hold a profile again that it is told not to hold.
    withdraws: bool,
    /// There are entries of profiles that do not exist any more.
    is_stale: bool,
}

impl Index {
    /// Records that the exclusions of a node are as they should be, if they are. Called before each decision about it.
    pub fn settle_exclusions(&mut self, name: &str) {
        let settled = |node: &Node| {
            let wanted = self.wanted_exclusions(node)?;
            Some(!wanted.withdraws && !wanted.is_stale && wanted.added.is_empty())
        };
        if self.nodes.get(name).filter(|node| node.exclusion.is_marked()).and_then(settled) == Some(true)
            && let Some(node) = self.nodes.get_mut(name)
        {
            (node.exclusion.changed, node.exclusion.pods_listed) = (None, None);
        }
    }

    /// What to do about the exclusions of a node.
    pub(super) fn exclusion_step(&self, node: &Node, agent: AgentState, now: Timestamp) -> ExclusionStep {
        let state = &node.exclusion;
        let Some(changed) = state.changed else { return ExclusionStep::Wait(None) };
        let Some(wanted) = self.wanted_exclusions(node) else { return ExclusionStep::Wait(None) };
        // Pods may be on their way to a node that has just been selected.
        if wanted.withdraws {
            return ExclusionStep::Write(wanted.kept);
        }
        if let Some(until) = state.dropped_until.filter(|until| *until > now) {
            return ExclusionStep::Wait(Some(until));
        }
        let stale = wanted.is_stale.then(|| after(changed, STALE));
        // A node that is cut off would hear of it only when it is back, and whether a pod on it lives is unknown.
        let excludes =
            !wanted.added.is_empty() && agent != AgentState::Unreachable && self.incomplete_kinds.is_empty();
        if !excludes {
            return match stale {
                Some(due) if due <= now => ExclusionStep::Write(wanted.kept),
                due => ExclusionStep::Wait(due),
            };
        }
        let nodes = Load { nodes: self.nodes.len() as u64, profiles: 0 };
        let due = after(changed, GATHER + nodes.coming_back() * hash_share(&node.name) / 1000);
        if now < due {
            return ExclusionStep::Wait(Some(due));
        }
        if state.pods_listed.is_some_and(|at| at <= now && now < after(at, PODS_LISTED)) {
            let mut all = wanted.kept;
            all.extend(wanted.added);
            ExclusionStep::Write(all)
        } else {
            ExclusionStep::ListPods
        }
    }

    /// `None` if the node's object is not known.
    fn wanted_exclusions(&self, node: &Node) -> Option<Wanted> {
        let (object, report) = (node.object.as_ref()?, node.current_report()?);
        let mut wanted = Wanted::default();
        let (mut stored, mut room) = (report.excluded.len(), MAX_EXCLUDED_BYTES);
        let mut candidates = Vec::new();
        for (name, profile) in &self.profiles {
            let uid = &profile.facts.version.uid;
            let stands = report.excluded.get(name) == Some(&profile.uid);
            if profile.facts.selects(&object.labels) {
                wanted.withdraws |= stands && !profile.facts.removal_approved;
                stored -= usize::from(stands && !profile.facts.removal_approved);
            } else if stands {
                stored -= 1;
                room = room.saturating_sub(name.len() + ENTRY);
                wanted.kept.insert(name.clone(), uid.clone());
            } else if !profile.facts.deleting() && !self.users.names_on(&node.name, name) {
                candidates.push((name, uid));
            }
        }
        wanted.is_stale = stored > 0;
        for (name, uid) in candidates.into_iter().take(MAX_EXCLUDED.saturating_sub(wanted.kept.len())) {
            let Some(left) = room.checked_sub(name.len() + ENTRY) else { break };
            room = left;
            wanted.added.insert(name.clone(), uid.clone());
        }
        Some(wanted)
    }

    /// Whether the agent of a node is told not to hold a profile.
    #[must_use]
    pub fn is_excluded(&self, node: &str, profile: &str) -> bool {
        let report = self.nodes.get(node).and_then(Node::current_report);
        let profile_uid = self.profiles.get(profile).map(|known| &known.uid);
        profile_uid.is_some() && report.and_then(|report| report.excluded.get(profile)) == profile_uid
    }

    /// Compares the index with a list of all pods that began after the exclusions of the node `name` with this uid were
    /// due. `pods` are the listed pods that name any profile. Returns whether the index knows each that is on the node.
    pub fn pods_of_node_listed(&mut self, name: &str, uid: &str, pods: &[PodFacts], now: Timestamp) -> bool {
        let is_on_it =
            |pod: &&PodFacts| matches!(pod.kind, PodKind::User(_)) && pod.node.as_deref() == Some(name);
        let all_known = pods.iter().filter(is_on_it).all(|pod| self.users.knows(pod));
        if all_known
            && let Some(node) = self.nodes.get_mut(name)
            && node.object.as_ref().is_some_and(|object| object.uid == uid)
        {
            node.exclusion.pods_listed = Some(now);
            self.dirty.nodes.insert(name.to_owned());
        }
        all_known
    }

    /// The API server has accepted the exclusions of a node and not stored them.
    pub fn exclusions_dropped(&mut self, name: &str, now: Timestamp) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.exclusion.dropped_until = Some(after(now, DROPPED));
        }
    }

    /// The pod with this uid came to its node, or leaves it or ends: what it holds there may be excluded afterwards.
    pub(super) fn mark_exclusions_for(&mut self, uid: &str, now: Timestamp) {
        let Some(pod) = self.users.get(uid) else { return };
        let Some(node) = pod.node.as_ref().and_then(|node| self.nodes.get_mut(node)) else { return };
        let Some(object) = &node.object else { return };
        let leaves_out = |profile: &Profile| !profile.facts.selects(&object.labels);
        if pod.profiles().any(|name| self.profiles.get(name).is_some_and(leaves_out)) {
            node.exclusion.mark(now);
            self.dirty.nodes.insert(node.name.to_string());
        }
    }

    /// Queues the nodes whose exclusions wait for complete watches.
    pub(super) fn queue_exclusions(&mut self) {
        let marked = self.nodes.iter().filter(|(_, node)| node.exclusion.is_marked());
        self.dirty.nodes.extend(marked.map(|(name, _)| name.clone()));
    }
}

impl Node {
    /// Whether its agent is told not to hold a profile of this name, whatever its uid.
    pub(super) fn excludes(&self, name: &str) -> bool {
        self.report.as_ref().is_some_and(|report| report.excluded.contains_key(name))
    }
}
