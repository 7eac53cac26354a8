//! What is known of the Nodes and their files, and which Nodes must be reconciled.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;

use super::decision::{NodeDecision, decide};
use super::judgement::Rules;
use super::misplaced::{BoundPod, BoundPods, MisplacedPod};
use super::startup_node::StartupNode;
use crate::facts::{NodeFacts, PodFacts, ProfileFacts, ReportFacts, UpdateSource};
use crate::index::Index;

/// The Nodes, their files and their agents, as seen by the watches.
#[derive(Debug)]
pub struct Cluster {
    index: Index,
    nodes: BTreeMap<String, StartupNode>,
    /// Those that have the start-up taint, and since when.
    tainted: BTreeMap<String, Timestamp>,
    bound_pods: BoundPods,
    rules: Rules,
    /// Whether profiles may be missing: their watch has failed, and no list is complete since.
    profiles_incomplete: bool,
    dirty: BTreeSet<String>,
}

impl Cluster {
    /// An empty cluster. `directory` is where profiles are, below the kubelet's `seccomp/`.
    #[must_use]
    pub fn new(directory: &str, rules: Rules) -> Self {
        Self {
            index: Index::new(directory),
            nodes: BTreeMap::new(),
            tainted: BTreeMap::new(),
            bound_pods: BoundPods::default(),
            rules,
            profiles_incomplete: false,
            dirty: BTreeSet::new(),
        }
    }

    /// The names of the Nodes that must be reconciled because of changes since the last call.
    pub fn take_dirty(&mut self) -> BTreeSet<String> {
        let mut dirty = std::mem::take(&mut self.dirty);
        dirty.append(&mut self.index.take_dirty().nodes);
        dirty
    }

    /// Queues every Node.
    pub fn queue_all(&mut self) {
        self.dirty.extend(self.nodes.keys().cloned());
    }

    /// A Node was created or changed, by the gate or somebody else.
    pub fn apply_node(&mut self, facts: NodeFacts, node: StartupNode, source: UpdateSource, now: Timestamp) {
        let known = self.nodes.get(&facts.name);
        if source.accepts(&node.version, known.map(|known| &known.version)) {
            let same = known.filter(|known| known.version.uid == node.version.uid);
            if node.taints.is_empty() {
                self.tainted.remove(&facts.name);
            } else if same.is_none() {
                // Most get it at their registration, which may have been before the start of this program.
                self.tainted.insert(facts.name.clone(), facts.created);
            } else {
                self.tainted.entry(facts.name.clone()).or_insert(now);
            }
            self.nodes.insert(facts.name.clone(), node);
            self.index.apply_node(facts, now);
        }
    }

    /// A Node was deleted.
    pub fn delete_node(&mut self, name: &str, uid: &str, now: Timestamp) {
        if self.nodes.get(name).is_some_and(|known| known.version.uid == uid) {
            self.nodes.remove(name);
            self.tainted.remove(name);
        }
        self.index.delete_node(name, uid, now);
    }

    /// A profile was created or changed.
    pub fn apply_profile(&mut self, facts: ProfileFacts, source: UpdateSource, now: Timestamp) {
        let name = facts.name.clone();
        let before = self.requirement(&name);
        self.index.apply_profile(facts, source, now);
        if self.requirement(&name) != before {
            self.dirty.extend(self.index.lacking_nodes().map(str::to_owned));
        }
    }

    /// A profile was deleted.
    pub fn delete_profile(&mut self, name: &str, uid: &str, now: Timestamp) {
        self.dirty.extend(self.index.lacking_nodes().map(str::to_owned));
        self.index.delete_profile(name, uid, now);
    }

    /// The known facts of a profile.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&ProfileFacts> {
        self.index.profile(name)
    }

    /// What a profile requires of the nodes.
    fn requirement(&self, name: &str) -> impl PartialEq + use<> {
        let profile = self.index.profile(name);
        profile.map(|it| {
            let contents = (it.content.as_ref().ok().copied(), it.deleting(), it.removal_approved);
            (it.version.uid.clone(), it.node_selector.clone(), contents)
        })
    }

    /// The watch of the profiles has failed: until [`Self::profiles_complete`], a node may lack a profile that is not
    /// known here, so that nothing is written.
    pub fn profiles_may_be_incomplete(&mut self) {
        self.profiles_incomplete = true;
    }

    /// A list of the profiles is complete.
    pub fn profiles_complete(&mut self) {
        if std::mem::take(&mut self.profiles_incomplete) {
            self.queue_all();
        }
    }

    /// A report was created or changed.
    pub fn apply_report(&mut self, facts: ReportFacts, source: UpdateSource, now: Timestamp) {
        if self.bound_pods.any_on(&facts.node) {
            self.dirty.insert(facts.node.clone());
        }
        self.index.apply_report(facts, source, now);
    }

    /// A report was deleted.
    pub fn delete_report(&mut self, name: &str, uid: &str, now: Timestamp) {
        self.index.delete_report(name, uid, now);
    }

    /// A list of the reports is complete.
    pub fn reports_complete(&mut self, now: Timestamp) {
        self.index.reports_listed(now);
    }

    /// An agent's pod was created or changed.
    pub fn apply_pod(&mut self, facts: PodFacts, now: Timestamp) {
        self.index.apply_pod(facts, now);
    }

    /// An agent's pod was deleted.
    pub fn delete_pod(&mut self, uid: &str, now: Timestamp) {
        self.index.delete_pod(uid, now);
    }

    /// A pod that is bound to a node and has not started was created or changed.
    pub fn apply_bound_pod(&mut self, pod: BoundPod, now: Timestamp) {
        let node = pod.node.clone();
        if self.bound_pods.apply(pod, now) {
            self.dirty.insert(node);
        }
    }

    /// A pod has started, has ended or does not exist any more.
    pub fn forget_bound_pod(&mut self, uid: &str) {
        self.bound_pods.forget(uid);
    }

    /// The pods on a node that must get an Event, and when to ask again if nothing changes before. Each is returned once.
    pub fn take_misplaced(&mut self, node: &str, now: Timestamp) -> (Vec<MisplacedPod>, Option<Timestamp>) {
        let index = &self.index;
        self.bound_pods.take_due(node, |profile| index.is_excluded(node, profile.as_str()), now)
    }

    /// What to do about a Node; `None` if there is no such Node, or if a profile may be missing.
    pub fn decide(&mut self, name: &str, now: Timestamp) -> Option<NodeDecision> {
        if self.profiles_incomplete {
            return None;
        }
        self.index.advance_time(name, now);
        let standing = self.index.node_standing(name)?;
        Some(decide(self.nodes.get(name)?, &standing, self.rules, now))
    }

    /// How many Nodes have the start-up taint.
    #[must_use]
    pub fn tainted(&self) -> usize {
        self.tainted.len()
    }

    /// Since when the Node has the start-up taint that has had it longest.
    #[must_use]
    pub fn tainted_since(&self) -> Option<Timestamp> {
        self.tainted.values().min().copied()
    }

    /// The latest known version of a Node.
    #[must_use]
    pub fn node(&self, name: &str) -> Option<&StartupNode> {
        self.nodes.get(name)
    }
}

#[cfg(test)]
mod tests;
