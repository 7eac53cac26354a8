//! The state of the cluster as seen by the watches, and what each update requires.
//!
//! A *report* here is the whole NodeProfileStatus object of a node.
//!
//! Plain, synchronous state: facts about objects go in, in any order in which watches can deliver them; out come the
//! keys of what must be reconciled ([`Index::take_dirty`]). [`Index::decide_profile`], [`Index::decide_node`] and
//! [`Index::decide_orphan`] decide what to do about one of them. Time is an argument everywhere.
//!
//! Everything is incremental. Each profile has a [`Tally`] of its nodes, each node the number of profiles that it
//! lacks; a change subtracts the old contributions, changes the facts and adds the new ones. An update of a node costs
//! work in proportion to the number of profiles, never of other nodes, and the other way round; a report costs work in
//! proportion to the entries in it that changed (`report_changes.rs`).

mod checks;
mod decide_node;
mod decide_profile;
mod decide_starts;
mod denials;
mod exclusion;
mod exclusion_state;
mod failures;
mod first_status;
mod node;
mod pacing;
mod pods_listed;
mod profile;
mod profile_pods;
mod report_changes;
mod standing;
mod starts;
mod tally;
#[cfg(test)]
mod tests;
mod unused;
mod without_profile;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use syscalls::Architecture;

use crate::facts::{NodeFacts, ObjectVersion, PodFacts, PodKind, ProfileFacts, ReportFacts, UpdateSource};
use crate::queue::Lanes;
use crate::time::after;

pub use checks::Check;
pub use decide_node::{NodeDecision, NodeOperation};
pub use decide_profile::{ProfileDecision, ProfileOperation};
pub use node::{AgentState, PROBLEMS_OMITTED};
pub use pods_listed::ListedPods;
pub use profile_pods::Outdated;
pub use standing::{MissingProfile, NodeStanding};
pub use tally::{NodeState, Tally};

use denials::Denials;
use node::{Node, file_age};
use pacing::Joins;
use profile::Profile;
use profile_pods::ProfilePods;
use starts::FailingPods;

/// The state of the cluster as seen by the watches.
#[derive(Debug)]
pub struct Index {
    /// Where profiles are, below the kubelet's `seccomp/`.
    directory: String,
    profiles: BTreeMap<String, Profile>,
    nodes: BTreeMap<String, Node>,
    /// The nodes that do not say why they lack a profile.
    silent: BTreeSet<Arc<str>>,
    users: ProfilePods,
    /// Pods that have a container which does not start because of a profile.
    failing_pods: FailingPods,
    /// The node of each agent's pod, by the pod's uid.
    agents: HashMap<String, String>,
    /// Kinds of which the index may lack objects.
    incomplete_kinds: BTreeSet<&'static str>,
    /// The latest version of any report that the watch has delivered: the index has every report that was created
    /// before and still exists.
    reports_seen: Option<ObjectVersion>,
    /// Nodes whose report is known only from the answer to its creation.
    created_reports: BTreeSet<String>,
    /// When the reports were last listed: the list or the watch has delivered, or will deliver, every report that was
    /// created before and still exists.
    reports_listed: Option<Timestamp>,
    /// The architectures of the nodes that hold or have held profiles.
    architectures: BTreeSet<Architecture>,
    /// When nodes have joined, for whose reports count-only changes wait.
    joins: Joins,
    /// How long no pod may have named a profile of an image before it is removed; `None` for ever.
    remove_unused_after: Option<Duration>,
    /// The calls that filters refused or logged, if they are counted.
    denials: Option<Denials>,
    dirty: Dirty,
    /// How long contents took that have become Ready since [`Self::take_rollouts`] was last called.
    rollouts: Vec<Duration>,
}

/// What one reconciliation is about.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum WorkKey {
    /// The profile of this name.
    Profile(String),
    /// The Node of this name, and the report about it.
    Node(String),
    /// The report of this name, whose Node does not exist.
    Orphan(String),
}

/// Profiles have a lane of their own, so that they never wait for nodes.
impl Lanes for WorkKey {
    const LANES: usize = 2;

    fn lane(&self) -> usize {
        match self {
            Self::Profile(_) => 0,
            Self::Node(_) | Self::Orphan(_) => 1,
        }
    }
}

/// What must be reconciled, each once.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    pub(crate) profiles: BTreeSet<String>,
    pub(crate) nodes: BTreeSet<String>,
    pub(crate) orphans: BTreeSet<String>,
}

impl IntoIterator for Dirty {
    type Item = WorkKey;
    type IntoIter = Box<dyn Iterator<Item = WorkKey>>;

    fn into_iter(self) -> Self::IntoIter {
        let profiles = self.profiles.into_iter().map(WorkKey::Profile);
        let nodes = self.nodes.into_iter().map(WorkKey::Node);
        Box::new(profiles.chain(nodes).chain(self.orphans.into_iter().map(WorkKey::Orphan)))
    }
}

impl Index {
    /// An empty cluster. `directory` is where profiles are, below the kubelet's `seccomp/`.
    #[must_use]
    pub fn new(directory: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            profiles: BTreeMap::new(),
            nodes: BTreeMap::new(),
            silent: BTreeSet::new(),
            users: ProfilePods::default(),
            failing_pods: FailingPods::default(),
            agents: HashMap::new(),
            incomplete_kinds: BTreeSet::new(),
            reports_seen: None,
            created_reports: BTreeSet::new(),
            reports_listed: None,
            architectures: BTreeSet::new(),
            joins: Joins::default(),
            remove_unused_after: None,
            denials: None,
            dirty: Dirty::default(),
            rollouts: Vec::new(),
        }
    }

    /// What must be reconciled because of changes since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// For each profile whose new contents have become Ready since the last call: the time from when this process
    /// first saw the contents until it saw a status that reports them Ready.
    pub fn take_rollouts(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.rollouts)
    }

    /// Queues every object.
    pub fn queue_all(&mut self) {
        self.dirty.profiles.extend(self.profiles.keys().cloned());
        self.dirty.nodes.extend(self.nodes.keys().cloned());
        self.queue_orphans();
    }

    fn queue_orphans(&mut self) {
        let orphans = self.nodes.iter().filter(|(_, node)| node.is_orphaned());
        self.dirty.orphans.extend(orphans.map(|(name, _)| name.clone()));
    }

    /// A profile was created or changed, by the operator or somebody else.
    pub fn apply_profile(&mut self, facts: ProfileFacts, source: UpdateSource, now: Timestamp) {
        let name = facts.name.clone();
        if !source.accepts(&facts.version, self.profile_version(&name)) {
            return;
        }
        self.dirty.profiles.insert(name.clone());
        let known = self.profiles.remove(&name);
        let same = known.as_ref().filter(|known| known.facts.version.uid == facts.version.uid);
        let selected_before = same.and_then(|known| known.facts.node_selector.clone());
        let selects_others = selected_before != facts.node_selector;
        let is_new = same.is_none();
        let mut profile = match known {
            Some(mut profile) if profile.facts.version.uid == facts.version.uid => {
                let recount = !profile.counts_like(&facts);
                if !recount {
                    self.rollouts.extend(profile.update(facts, now));
                    self.profiles.insert(name, profile);
                    return;
                }
                self.subtract_lacking(&name, &profile, now);
                self.rollouts.extend(profile.update(facts, now));
                profile.clear_counts();
                profile
            }
            // New, or deleted and recreated unobserved: nothing of the old one counts.
            old => {
                if let Some(old) = old {
                    self.subtract_lacking(&name, &old, now);
                }
                Profile::new(facts, now)
            }
        };
        for (node_name, node) in &mut self.nodes {
            let contribution = node.contribution(&name, &profile);
            profile.count(&node.name, contribution, Sign::Plus);
            let lacks = contribution.lacking && node.lack(Sign::Plus, now);
            // New contents may start.
            let excludes = (selects_others || is_new && node.excludes(&name)) && node.exclusion.mark(now);
            if lacks || excludes || !node.start_failures.is_empty() {
                self.dirty.nodes.insert(node_name.clone());
            }
        }
        self.profiles.insert(name.clone(), profile);
        self.compare_containers(&name);
    }

    /// A profile was deleted.
    pub fn delete_profile(&mut self, name: &str, uid: &str, now: Timestamp) {
        if self.profiles.get(name).is_some_and(|profile| profile.facts.version.uid == uid)
            && let Some(profile) = self.profiles.remove(name)
        {
            self.subtract_lacking(name, &profile, now);
            self.compare_containers(name);
            if let Some(denials) = &mut self.denials {
                denials.profile_gone(name);
            }
            for (node_name, node) in &mut self.nodes {
                if node.excludes(name) && node.exclusion.mark(now) {
                    self.dirty.nodes.insert(node_name.clone());
                }
            }
            self.dirty.profiles.insert(name.to_owned());
        }
    }

    /// A Node was created or changed.
    pub fn apply_node(&mut self, facts: NodeFacts, now: Timestamp) {
        let name = facts.name.clone();
        if self.nodes.get(&name).is_none_or(|node| !node.same_liveness(&facts)) {
            self.queue_used_profiles();
        }
        self.count_architecture(&facts);
        self.change_node(&name, now, |node| node.set_object(facts, now));
    }

    /// A Node was deleted.
    pub fn delete_node(&mut self, name: &str, uid: &str, now: Timestamp) {
        if self.nodes.get(name).and_then(|node| node.object.as_ref()).is_some_and(|object| object.uid == uid)
        {
            self.queue_used_profiles();
            self.change_node(name, now, |node| node.object = None);
            if let Some(denials) = &mut self.denials {
                denials.node_gone(name);
            }
        }
    }

    /// A report was created or changed. Where the operator did so itself, `now` is when it began the write.
    pub fn apply_report(&mut self, facts: ReportFacts, source: UpdateSource, now: Timestamp) {
        let name = facts.node.clone();
        let known = self.nodes.get(&name).and_then(|node| node.report.as_ref());
        let seen = self.reports_seen.as_ref();
        let passed = seen.is_some_and(|seen| !seen.is_older_than(&facts.version))
            || self.reports_listed.is_some_and(|listed| now <= listed);
        // A list or the watch may have delivered it before the answer. Then the end of that list must not remove it.
        let delivered = known.is_some_and(|known| known.version == facts.version);
        if source == UpdateSource::Created && (passed || delivered) {
            if known.is_none() {
                // Somebody has deleted it since, and the list that shows it was complete before this answer came.
                self.dirty.nodes.insert(name);
            }
            return;
        }
        if source.accepts(&facts.version, known.map(|known| &known.version)) {
            if source == UpdateSource::Watch && seen.is_none_or(|seen| seen.is_older_than(&facts.version)) {
                self.reports_seen = Some(facts.version.clone());
            }
            match source {
                UpdateSource::Created => _ = self.created_reports.insert(name.clone()),
                UpdateSource::List | UpdateSource::Watch => _ = self.created_reports.remove(&name),
                UpdateSource::Answer => {}
            }
            self.replace_report(&name, facts, now);
        }
    }

    /// A report was deleted.
    pub fn delete_report(&mut self, name: &str, uid: &str, now: Timestamp) {
        let known = self.nodes.get(name).and_then(|node| node.report.as_ref());
        if known.is_some_and(|known| known.version.uid == uid) {
            self.created_reports.remove(name);
            self.change_node(name, now, |node| node.set_report(None, now));
        }
    }

    /// A Pod was created or changed. Its kind may have changed, because labels can.
    pub fn apply_pod(&mut self, mut pod: PodFacts, now: Timestamp) {
        let agent = match (&pod.kind, &pod.node) {
            (PodKind::Agent { ready, since }, Some(node)) => {
                Some((node.clone(), *ready, since.unwrap_or(now).min(now)))
            }
            _ => None,
        };
        let known = match &agent {
            Some((node, ..)) => self.agents.insert(pod.uid.clone(), node.clone()),
            None => self.agents.remove(&pod.uid),
        };
        if let Some(node) = known.filter(|known| agent.as_ref().is_none_or(|(node, ..)| node != known)) {
            self.change_node(&node, now, |node| node.agent_pod(&pod.uid, None, now));
        }
        if let Some((node, ready, since)) = agent {
            self.change_node(&node, now, |node| node.agent_pod(&pod.uid, Some(ready), since));
        }
        self.dirty.nodes.extend(self.failing_pods.apply(&mut pod));
        let uid = pod.uid.clone();
        self.mark_exclusions_for(&uid, now);
        let (profiles, nodes) = (&self.profiles, &self.nodes);
        let node = pod.node.as_ref().and_then(|node| nodes.get(node));
        let age = |profile: &str| file_age(node, profile, profiles.get(profile));
        let concerned = self.users.apply(pod, age);
        self.users_changed(&concerned, now);
        self.dirty.profiles.extend(concerned);
        self.mark_exclusions_for(&uid, now);
    }

    /// A Pod was deleted.
    pub fn delete_pod(&mut self, uid: &str, now: Timestamp) {
        if let Some(denials) = &mut self.denials {
            denials.pod_gone(uid, now);
        }
        if let Some(node) = self.agents.remove(uid) {
            self.change_node(&node, now, |node| node.agent_pod(uid, None, now));
        }
        self.dirty.nodes.extend(self.failing_pods.delete(uid));
        self.mark_exclusions_for(uid, now);
        let concerned = self.users.delete(uid);
        self.users_changed(&concerned, now);
        self.dirty.profiles.extend(concerned);
    }

    /// The index may lack Pods or Nodes: until [`Self::kind_is_complete`], no file is removed that some pod may need.
    pub fn kind_may_be_incomplete(&mut self, kind: &'static str) {
        self.incomplete_kinds.insert(kind);
    }

    /// A list of the kind is complete: the index lacks no object of it.
    pub fn kind_is_complete(&mut self, kind: &'static str) {
        if self.incomplete_kinds.remove(kind) && self.incomplete_kinds.is_empty() {
            // These wait for it.
            let waits = |profile: &Profile| profile.facts.deleting() || profile.facts.is_from_image();
            let waiting = self.profiles.iter().filter(|(_, profile)| waits(profile));
            self.dirty.profiles.extend(waiting.map(|(name, _)| name.clone()));
            self.queue_orphans();
            self.queue_exclusions();
        }
    }

    /// Updates the state of a node's agent and its start failures to the time `now`.
    pub fn advance_time(&mut self, node: &str, now: Timestamp) {
        if self.nodes.get(node).is_some_and(|node| node.agent_state_at(now) != node.agent_state) {
            self.change_node(node, now, |_| {});
        }
        self.update_start_failures(node, now);
    }

    /// A list of the reports is complete, as of `now`. A report that is known only from the answer to its creation and
    /// that the list did not contain does not exist any more.
    pub fn reports_listed(&mut self, now: Timestamp) {
        for name in std::mem::take(&mut self.created_reports) {
            self.change_node(&name, now, |node| node.set_report(None, now));
        }
        self.reports_listed = Some(now);
    }

    /// Every profile, with the count of its nodes, and since when it is not Ready.
    pub fn profiles(&self) -> impl Iterator<Item = (&str, &Tally, &ProfileFacts, Option<Timestamp>)> {
        self.profiles
            .iter()
            .map(|(name, profile)| (name.as_str(), &profile.tally, &profile.facts, profile.not_ready_since()))
    }

    /// How many pods name a profile and have not ended.
    #[must_use]
    pub fn pods_naming(&self, profile: &str) -> usize {
        self.users.count(profile)
    }

    /// How many pods and containers under a profile are older than its file on their node.
    #[must_use]
    pub fn outdated(&self, profile: &str) -> Outdated {
        self.users.outdated(profile)
    }

    /// The state of the agent of each node that should have one, as of `now`.
    pub fn agent_states(&self, now: Timestamp) -> impl Iterator<Item = AgentState> {
        self.nodes.values().filter_map(move |node| node.agent_state_at(now))
    }

    /// The facts of a profile.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&ProfileFacts> {
        Some(&self.profiles.get(name)?.facts)
    }

    /// The latest known version of a profile.
    #[must_use]
    pub fn profile_version(&self, name: &str) -> Option<&ObjectVersion> {
        Some(&self.profile(name)?.version)
    }

    /// The latest known version of a node's report.
    #[must_use]
    pub fn report_version(&self, node: &str) -> Option<&ObjectVersion> {
        Some(&self.nodes.get(node)?.report.as_ref()?.version)
    }

    /// Subtracts this profile from the count of missing profiles of each node that lacks it.
    fn subtract_lacking(&mut self, name: &str, profile: &Profile, now: Timestamp) {
        for (node_name, node) in &mut self.nodes {
            let contribution = node.contribution(name, profile);
            let lacks_none = contribution.lacking && node.lack(Sign::Minus, now);
            if lacks_none || !node.start_failures.is_empty() {
                self.dirty.nodes.insert(node_name.clone());
            }
        }
    }

    /// Compares the containers under a profile with its file on each node, after a change of the profile.
    fn compare_containers(&mut self, name: &str) {
        let (profile, nodes) = (self.profiles.get(name), &self.nodes);
        let age = |node: Option<&str>| file_age(node.and_then(|node| nodes.get(node)), name, profile);
        self.users.compare_all(name, age);
    }

    /// Changes one node: subtracts its old contributions from the counts and adds the new ones.
    fn change_node(&mut self, name: &str, now: Timestamp, change: impl FnOnce(&mut Node)) {
        let mut node = self.nodes.remove(name).unwrap_or_else(|| Node::new(name, now));
        let mut files = node.reported_files();
        let before: Vec<_> =
            self.profiles.iter().map(|(name, profile)| node.view(files.of(name), profile)).collect();
        change(&mut node);
        let was = node.agent_state;
        node.agent_state = node.agent_state_at(now);
        if node.agent_state == Some(AgentState::Joining) && was != node.agent_state {
            self.joins.node_joins(now);
        }
        let mut lacks = 0;
        let mut files = node.reported_files();
        for (before, (profile_name, profile)) in before.into_iter().zip(&mut self.profiles) {
            let after = node.view(files.of(profile_name), profile);
            lacks += u32::from(after.contribution.lacking);
            // Whoever waits for a mitigation waits for the end of the last container under the old filter.
            let last_outdated =
                before.age != after.age && self.users.compare_on(name, profile_name, after.age);
            if before != after
                && (profile.recount(&node.name, before.contribution, after.contribution, now)
                    || last_outdated)
            {
                self.dirty.profiles.insert(profile_name.clone());
            }
        }
        if node.silence().is_some() {
            self.silent.insert(node.name.clone());
        } else {
            self.silent.remove(&node.name);
        }
        node.set_lacking(lacks, now);
        self.dirty.nodes.insert(name.to_owned());
        node.update_orphaned_since(now);
        if node.is_orphaned() {
            self.dirty.orphans.insert(name.to_owned());
        }
        if !node.is_empty() {
            self.nodes.insert(name.to_owned(), node);
        }
    }

    /// Queues every profile that a pod names: whether the pod is live can depend on its node.
    fn queue_used_profiles(&mut self) {
        self.dirty.profiles.extend(self.users.used().cloned());
    }
}

/// Whether a contribution is added or subtracted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}
