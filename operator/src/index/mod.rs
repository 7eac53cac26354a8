//! The cluster as the operator knows it, and what follows from each piece of news.
//!
//! Plain, synchronous state: objects go in as facts, in any order that watches can deliver, and out come the names
//! of the profiles and nodes that are worth another look ([`Index::take_dirty`]). What to do about one of them is a
//! question to [`Index::verdict_on_profile`] and [`Index::judge_node`]. Time is an argument everywhere.
//!
//! Everything is incremental. Each profile holds a [`Tally`] of its nodes, each node the number of profiles that it
//! lacks; a change takes the old contributions out, changes the facts and puts the new ones in. News about a node
//! costs work in proportion to the profiles, never to the other nodes, and the other way round.

mod judge_node;
mod judge_profile;
mod judge_starts;
mod listed;
mod node;
mod pacing;
mod profile;
mod starts;
mod tally;
#[cfg(test)]
mod tests;
mod users;
mod without_profile;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::facts::{NodeFacts, PodFacts, PodKind, ProfileFacts, ReportFacts, Source, Version};

pub use judge_node::{NodeOperation, NodeVerdict};
pub use judge_profile::{ProfileOperation, ProfileVerdict};
pub use listed::Listed;
pub use node::Class;
pub use tally::{NodeState, Tally};

use node::Node;
use pacing::Joins;
use profile::Profile;
use starts::Witnesses;
use users::Users;

/// The cluster as the operator knows it.
#[derive(Debug)]
pub struct Index {
    /// Where profiles lie below the kubelet's `seccomp/`.
    directory: String,
    profiles: BTreeMap<String, Profile>,
    nodes: BTreeMap<String, Node>,
    users: Users,
    /// Pods of which some container does not start because of a profile.
    witnesses: Witnesses,
    /// The node of each agent's pod, by the pod's uid.
    agents: HashMap<String, String>,
    /// Kinds of which some objects may not be known.
    doubtful: BTreeSet<&'static str>,
    /// The latest version of any report that the watch has brought: what was created before is known, or gone.
    reports_seen: Option<Version>,
    /// Nodes whose report is known only from the answer to its creation.
    created: BTreeSet<String>,
    /// When the reports were last listed: what was created before is known, or gone, or the watch brings it.
    reports_listed: Option<Timestamp>,
    /// When nodes have joined, for which mere counts wait.
    joins: Joins,
    dirty: Dirty,
    /// How long contents took that have become Ready since somebody asked.
    rollouts: Vec<Duration>,
}

/// What is reconciled.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkKey {
    /// The profile of this name.
    Profile(String),
    /// The Node of this name, and the report about it.
    Node(String),
    /// The report of this name, whose Node does not exist.
    Orphan(String),
}

/// What is to be reconciled, each once.
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
    /// An empty cluster. `directory` is where profiles lie below the kubelet's `seccomp/`.
    #[must_use]
    pub fn new(directory: &str) -> Self {
        Self {
            directory: directory.to_owned(),
            profiles: BTreeMap::new(),
            nodes: BTreeMap::new(),
            users: Users::default(),
            witnesses: Witnesses::default(),
            agents: HashMap::new(),
            doubtful: BTreeSet::new(),
            reports_seen: None,
            created: BTreeSet::new(),
            reports_listed: None,
            joins: Joins::default(),
            dirty: Dirty::default(),
            rollouts: Vec::new(),
        }
    }

    /// What is to be reconciled because of changes since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// How long new contents took from when this process saw them until it saw a status that calls them Ready; those that
    /// have become so since the last call.
    pub fn take_rollouts(&mut self) -> Vec<Duration> {
        std::mem::take(&mut self.rollouts)
    }

    /// Marks everything as to be reconciled, as at the start.
    pub fn queue_all(&mut self) {
        self.dirty.profiles.extend(self.profiles.keys().cloned());
        self.dirty.nodes.extend(self.nodes.keys().cloned());
        self.queue_orphans();
    }

    fn queue_orphans(&mut self) {
        let orphans = self.nodes.iter().filter(|(_, node)| node.is_orphaned());
        self.dirty.orphans.extend(orphans.map(|(name, _)| name.clone()));
    }

    /// A profile was created or changed, or we changed it ourselves.
    pub fn apply_profile(&mut self, facts: ProfileFacts, source: Source, now: Timestamp) {
        let name = facts.name.clone();
        if !source.counts(&facts.version, self.profile_version(&name)) {
            return;
        }
        self.dirty.profiles.insert(name.clone());
        let known = self.profiles.remove(&name);
        let mut profile = match known {
            Some(mut profile) if profile.facts.version.uid == facts.version.uid => {
                let recount = !profile.counts_like(&facts);
                if !recount {
                    self.rollouts.extend(profile.update(facts, now));
                    self.profiles.insert(name, profile);
                    return;
                }
                self.lacks_no_more(&name, &profile, now);
                self.rollouts.extend(profile.update(facts, now));
                profile.clear_counts();
                profile
            }
            // New, or deleted and recreated while nobody looked: nothing of the old one counts.
            old => {
                if let Some(old) = old {
                    self.lacks_no_more(&name, &old, now);
                }
                Profile::new(facts, now)
            }
        };
        for (node_name, node) in &mut self.nodes {
            let contribution = node.contribution(&name, &profile);
            profile.count(&node.name, contribution, Sign::Plus);
            let lacks = contribution.lacking && node.lack(Sign::Plus, now);
            // New contents may start.
            if lacks || !node.starts.is_empty() {
                self.dirty.nodes.insert(node_name.clone());
            }
        }
        self.profiles.insert(name, profile);
    }

    /// A profile is gone.
    pub fn delete_profile(&mut self, name: &str, uid: &str, now: Timestamp) {
        if self.profiles.get(name).is_some_and(|profile| profile.facts.version.uid == uid)
            && let Some(profile) = self.profiles.remove(name)
        {
            self.lacks_no_more(name, &profile, now);
            self.dirty.profiles.insert(name.to_owned());
        }
    }

    /// A Node was created or changed.
    pub fn apply_node(&mut self, facts: NodeFacts, now: Timestamp) {
        let name = facts.name.clone();
        self.touch_used_if(self.nodes.get(&name).is_none_or(|node| !node.hosts_like(&facts)));
        self.change_node(&name, now, |node| node.set_object(facts, now));
    }

    /// A Node is gone.
    pub fn delete_node(&mut self, name: &str, uid: &str, now: Timestamp) {
        if self.nodes.get(name).and_then(|node| node.object.as_ref()).is_some_and(|object| object.uid == uid)
        {
            self.touch_used_if(true);
            self.change_node(name, now, |node| node.object = None);
        }
    }

    /// A report was created or changed, or we created it or changed its conditions; then `now` is when that was begun.
    pub fn apply_report(&mut self, facts: ReportFacts, source: Source, now: Timestamp) {
        let name = facts.node.clone();
        let known = self.nodes.get(&name).and_then(|node| node.report.as_ref());
        let seen = self.reports_seen.as_ref();
        let passed = seen.is_some_and(|seen| !seen.is_older_than(&facts.version))
            || self.reports_listed.is_some_and(|listed| now <= listed);
        if source == Source::Created && passed {
            return;
        }
        if source.counts(&facts.version, known.map(|known| &known.version)) {
            if source == Source::Watch && seen.is_none_or(|seen| seen.is_older_than(&facts.version)) {
                self.reports_seen = Some(facts.version.clone());
            }
            match source {
                Source::Created => _ = self.created.insert(name.clone()),
                Source::List | Source::Watch => _ = self.created.remove(&name),
                Source::Answer => {}
            }
            self.change_node(&name, now, |node| node.set_report(Some(facts)));
        }
    }

    /// A report is gone.
    pub fn delete_report(&mut self, name: &str, uid: &str, now: Timestamp) {
        let known = self.nodes.get(name).and_then(|node| node.report.as_ref());
        if known.is_some_and(|known| known.version.uid == uid) {
            self.created.remove(name);
            self.change_node(name, now, |node| node.set_report(None));
        }
    }

    /// A Pod was created or changed. It may have been something else to us before: labels change.
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
        self.dirty.nodes.extend(self.witnesses.apply(&mut pod));
        self.dirty.profiles.extend(self.users.apply(pod));
    }

    /// A Pod is gone.
    pub fn delete_pod(&mut self, uid: &str, now: Timestamp) {
        if let Some(node) = self.agents.remove(uid) {
            self.change_node(&node, now, |node| node.agent_pod(uid, None, now));
        }
        self.dirty.nodes.extend(self.witnesses.delete(uid));
        self.dirty.profiles.extend(self.users.delete(uid));
    }

    /// News of Pods or Nodes may be missing: until [`Self::is_whole`] no file goes that some pod may need.
    pub fn doubt(&mut self, kind: &'static str) {
        self.doubtful.insert(kind);
    }

    /// A list of the kind is complete, so that no object of it is missing.
    pub fn is_whole(&mut self, kind: &'static str) {
        if self.doubtful.remove(kind) && self.doubtful.is_empty() {
            // What had to wait for it.
            let deleting = self.profiles.iter().filter(|(_, profile)| profile.facts.deleting());
            self.dirty.profiles.extend(deleting.map(|(name, _)| name.clone()));
            self.queue_orphans();
        }
    }

    /// Lets the time that has passed change a node's class, and what is known of the starts there.
    pub fn pass_time(&mut self, node: &str, now: Timestamp) {
        if self.nodes.get(node).is_some_and(|node| node.classify(now) != node.class) {
            self.change_node(node, now, |_| {});
        }
        self.note_starts(node, now);
    }

    /// A list of the reports is complete, as of `now`. One that is known only from the answer to its creation, and that the
    /// list did not bring, is gone.
    pub fn reports_listed(&mut self, now: Timestamp) {
        for name in std::mem::take(&mut self.created) {
            self.change_node(&name, now, |node| node.set_report(None));
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

    /// How each node stands that should have an agent, as of now.
    pub fn classes(&self, now: Timestamp) -> impl Iterator<Item = Class> {
        self.nodes.values().filter_map(move |node| node.classify(now))
    }

    /// What is known of a profile.
    #[must_use]
    pub fn profile(&self, name: &str) -> Option<&ProfileFacts> {
        Some(&self.profiles.get(name)?.facts)
    }

    /// The version of a profile that is known, for writes.
    #[must_use]
    pub fn profile_version(&self, name: &str) -> Option<&Version> {
        Some(&self.profile(name)?.version)
    }

    /// The version of a node's report that is known.
    #[must_use]
    pub fn report_version(&self, node: &str) -> Option<&Version> {
        Some(&self.nodes.get(node)?.report.as_ref()?.version)
    }

    /// Takes what each node lacks of this profile off what it lacks.
    fn lacks_no_more(&mut self, name: &str, profile: &Profile, now: Timestamp) {
        for (node_name, node) in &mut self.nodes {
            let contribution = node.contribution(name, profile);
            let lacks_none = contribution.lacking && node.lack(Sign::Minus, now);
            if lacks_none || !node.starts.is_empty() {
                self.dirty.nodes.insert(node_name.clone());
            }
        }
    }

    /// Changes one node between taking its contributions out and putting them back in.
    fn change_node(&mut self, name: &str, now: Timestamp, change: impl FnOnce(&mut Node)) {
        let mut node = self.nodes.remove(name).unwrap_or_else(|| Node::new(name, now));
        let mut words = node.words();
        let before: Vec<_> =
            self.profiles.iter().map(|(name, profile)| node.view(words.of(name), profile)).collect();
        change(&mut node);
        let was = node.class;
        node.class = node.classify(now);
        if node.class == Some(Class::Joining) && was != node.class {
            self.joins.node_joins(now);
        }
        let mut lacks = 0;
        let mut words = node.words();
        for (before, (profile_name, profile)) in before.into_iter().zip(&mut self.profiles) {
            let after = node.view(words.of(profile_name), profile);
            lacks += u32::from(after.contribution.lacking);
            if before != after && profile.recount(&node.name, before.contribution, after.contribution, now) {
                self.dirty.profiles.insert(profile_name.clone());
            }
        }
        node.set_lacking(lacks, now);
        self.dirty.nodes.insert(name.to_owned());
        node.note_orphaned(now);
        if node.is_orphaned() {
            self.dirty.orphans.insert(name.to_owned());
        }
        if !node.is_empty() {
            self.nodes.insert(name.to_owned(), node);
        }
    }

    /// Whether a pod is live can turn on whether its node is there and reachable.
    fn touch_used_if(&mut self, changed: bool) {
        if changed {
            self.dirty.profiles.extend(self.users.used().cloned());
        }
    }
}

/// `time` and `span` later; the end of time where a node or a pod claims a time so late that this would be beyond it.
fn after(time: Timestamp, span: Duration) -> Timestamp {
    time.checked_add(span).unwrap_or(Timestamp::MAX)
}

/// Whether a contribution is put in or taken out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sign {
    Plus,
    Minus,
}
