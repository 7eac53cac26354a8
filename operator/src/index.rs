//! The cluster as the operator knows it, and what follows from each piece of news.
//!
//! Plain, synchronous state: objects go in as facts, in any order that watches can deliver, and out come the names
//! of the profiles and nodes that are worth another look ([`Index::take_dirty`]). What to do about one of them is a
//! question to [`Index::judge_profile`] and [`Index::judge_node`]. Time is an argument everywhere.
//!
//! Everything is incremental. Each profile holds a [`Tally`] of its nodes, each node the number of profiles that it
//! lacks; a change takes the old contributions out, changes the facts and puts the new ones in. News about a node
//! costs work in proportion to the profiles, never to the other nodes, and the other way round.

mod judge_node;
mod judge_profile;
mod node;
mod profile;
mod tally;
#[cfg(test)]
mod tests;
mod users;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;

use crate::facts::{NodeFacts, PodFacts, PodKind, ProfileFacts, ReportFacts, Version};

pub use judge_node::{NodeStep, NodeVerdict};
pub use judge_profile::{ProfileStep, ProfileVerdict};
pub use tally::{NodeState, Tally};

use node::Node;
use profile::Profile;
use users::Users;

/// The cluster as the operator knows it.
#[derive(Debug)]
pub struct Index {
    /// Where profiles lie below the kubelet's `seccomp/`.
    directory: String,
    profiles: BTreeMap<String, Profile>,
    nodes: BTreeMap<String, Node>,
    users: Users,
    dirty: Dirty,
}

/// Names of what is worth another look.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Profiles.
    pub profiles: BTreeSet<String>,
    /// Nodes.
    pub nodes: BTreeSet<String>,
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
            dirty: Dirty::default(),
        }
    }

    /// What is worth another look since the last call.
    pub fn take_dirty(&mut self) -> Dirty {
        std::mem::take(&mut self.dirty)
    }

    /// Marks everything as worth a look, as at the start.
    pub fn touch_all(&mut self) {
        self.dirty.profiles.extend(self.profiles.keys().cloned());
        self.dirty.nodes.extend(self.nodes.keys().cloned());
    }

    /// A profile was created or changed, or we changed it ourselves. Older news than what is known is dropped.
    pub fn apply_profile(&mut self, facts: ProfileFacts, now: Timestamp) {
        let name = facts.name.clone();
        if self.profiles.get(&name).is_some_and(|known| facts.version.is_older_than(&known.facts.version)) {
            return;
        }
        let mut profile = match self.profiles.remove(&name) {
            Some(profile) if profile.facts.version.uid == facts.version.uid => profile,
            // Deleted and recreated while nobody looked: nothing of the old one counts.
            Some(old) => {
                self.count_everywhere(&name, &old, Sign::Minus, now);
                self.count_in_new(&name, facts, now);
                return;
            }
            None => {
                self.count_in_new(&name, facts, now);
                return;
            }
        };
        let recount = !profile.counts_like(&facts);
        if recount {
            self.count_everywhere(&name, &profile, Sign::Minus, now);
        }
        profile.update(facts, now);
        if recount {
            profile.tally = Tally::default();
            self.count_in(&name, &mut profile, now);
        }
        self.profiles.insert(name.clone(), profile);
        self.dirty.profiles.insert(name);
    }

    /// A profile is gone.
    pub fn delete_profile(&mut self, name: &str, uid: &str, now: Timestamp) {
        if self.profiles.get(name).is_some_and(|profile| profile.facts.version.uid == uid)
            && let Some(profile) = self.profiles.remove(name)
        {
            self.count_everywhere(name, &profile, Sign::Minus, now);
            self.dirty.profiles.insert(name.to_owned());
        }
    }

    /// A Node was created or changed.
    pub fn apply_node(&mut self, facts: NodeFacts, now: Timestamp) {
        let name = facts.name.clone();
        self.touch_used_if(self.nodes.get(&name).is_none_or(|node| !node.hosts_like(&facts)));
        self.change_node(&name, now, |node| node.object = Some(facts));
    }

    /// A Node is gone.
    pub fn delete_node(&mut self, name: &str, uid: &str, now: Timestamp) {
        if self.nodes.get(name).and_then(|node| node.object.as_ref()).is_some_and(|object| object.uid == uid)
        {
            self.touch_used_if(true);
            self.change_node(name, now, |node| node.object = None);
        }
    }

    /// A report was created or changed, or we changed its conditions. Older news than what is known is dropped.
    pub fn apply_report(&mut self, facts: ReportFacts, now: Timestamp) {
        let name = facts.node.clone();
        let known = self.nodes.get(&name).and_then(|node| node.report.as_ref());
        if known.is_some_and(|known| facts.version.is_older_than(&known.version)) {
            return;
        }
        self.change_node(&name, now, |node| node.report = Some(facts));
    }

    /// A report is gone.
    pub fn delete_report(&mut self, name: &str, uid: &str, now: Timestamp) {
        let known = self.nodes.get(name).and_then(|node| node.report.as_ref());
        if known.is_some_and(|known| known.version.uid == uid) {
            self.change_node(name, now, |node| node.report = None);
        }
    }

    /// A Pod was created or changed.
    pub fn apply_pod(&mut self, pod: PodFacts, now: Timestamp) {
        match (&pod.kind, &pod.node) {
            (PodKind::Agent { ready, since }, Some(node)) => {
                let (ready, since) = (*ready, *since);
                self.change_node(node, now, |node| {
                    node.agent_pod(&pod.uid, Some(ready), since.unwrap_or(now).min(now))
                });
            }
            (PodKind::Agent { .. }, None) => {}
            (PodKind::User(_) | PodKind::Other, _) => self.dirty.profiles.extend(self.users.apply(pod)),
        }
    }

    /// A Pod is gone.
    pub fn delete_pod(&mut self, pod: &PodFacts, now: Timestamp) {
        match (&pod.kind, &pod.node) {
            (PodKind::Agent { .. }, Some(node)) => {
                self.change_node(node, now, |node| node.agent_pod(&pod.uid, None, now));
            }
            _ => self.dirty.profiles.extend(self.users.delete(&pod.uid)),
        }
    }

    /// Lets the time that has passed change a node's class.
    pub fn pass_time(&mut self, node: &str, now: Timestamp) {
        if self.nodes.get(node).is_some_and(|node| node.classify(now) != node.class) {
            self.change_node(node, now, |_| {});
        }
    }

    /// Names and uids of all profiles: a relist drops those that it did not bring.
    #[must_use]
    pub fn profile_keys(&self) -> BTreeMap<String, String> {
        self.profiles
            .iter()
            .map(|(name, profile)| (name.clone(), profile.facts.version.uid.clone()))
            .collect()
    }

    /// Names and uids of all Nodes.
    #[must_use]
    pub fn node_keys(&self) -> BTreeMap<String, String> {
        let key = |(name, node): (&String, &Node)| Some((name.clone(), node.object.as_ref()?.uid.clone()));
        self.nodes.iter().filter_map(key).collect()
    }

    /// Names and uids of all reports.
    #[must_use]
    pub fn report_keys(&self) -> BTreeMap<String, String> {
        let key =
            |(name, node): (&String, &Node)| Some((name.clone(), node.report.as_ref()?.version.uid.clone()));
        self.nodes.iter().filter_map(key).collect()
    }

    /// Drops every pod whose uid a relist did not bring.
    pub fn retain_pods(&mut self, uids: &BTreeSet<String>, now: Timestamp) {
        self.dirty.profiles.extend(self.users.retain(uids));
        let gone: Vec<_> = self
            .nodes
            .iter()
            .flat_map(|(name, node)| node.agent_pods().map(move |uid| (name.clone(), uid.to_owned())))
            .filter(|(_, uid)| !uids.contains(uid))
            .collect();
        for (node, uid) in gone {
            self.change_node(&node, now, |node| node.agent_pod(&uid, None, now));
        }
    }

    /// How many profiles are known, by what the stored status says of them.
    pub fn profiles(&self) -> impl Iterator<Item = (&str, &Tally, &ProfileFacts)> {
        self.profiles.iter().map(|(name, profile)| (name.as_str(), &profile.tally, &profile.facts))
    }

    /// The version of a profile that is known, for writes.
    #[must_use]
    pub fn profile_version(&self, name: &str) -> Option<&Version> {
        Some(&self.profiles.get(name)?.facts.version)
    }

    fn count_in_new(&mut self, name: &str, facts: ProfileFacts, now: Timestamp) {
        let mut profile = Profile::new(facts, now);
        self.count_in(name, &mut profile, now);
        self.profiles.insert(name.to_owned(), profile);
        self.dirty.profiles.insert(name.to_owned());
    }

    fn count_in(&mut self, name: &str, profile: &mut Profile, now: Timestamp) {
        let mut tally = std::mem::take(&mut profile.tally);
        for node in self.nodes.values() {
            tally.add(node.contribution(name, profile), Sign::Plus);
        }
        profile.tally = tally;
        self.count_everywhere(name, profile, Sign::Plus, now);
    }

    /// Changes what each node lacks by what it lacks of this profile.
    fn count_everywhere(&mut self, name: &str, profile: &Profile, sign: Sign, now: Timestamp) {
        for (node_name, node) in &mut self.nodes {
            let contribution = node.contribution(name, profile);
            if contribution.lacking && node.lack(sign, now) {
                self.dirty.nodes.insert(node_name.clone());
            }
        }
    }

    /// Changes one node between taking its contributions out and putting them back in.
    fn change_node(&mut self, name: &str, now: Timestamp, change: impl FnOnce(&mut Node)) {
        let mut node = self.nodes.remove(name).unwrap_or_else(|| Node::new(now));
        let before: Vec<_> = self.profiles.iter().map(|(name, profile)| node.view(name, profile)).collect();
        change(&mut node);
        node.class = node.classify(now);
        let mut lacks = 0;
        for (before, (profile_name, profile)) in before.into_iter().zip(&mut self.profiles) {
            let after = node.view(profile_name, profile);
            lacks += u32::from(after.contribution.lacking);
            if before != after {
                profile.tally.add(before.contribution, Sign::Minus);
                profile.tally.add(after.contribution, Sign::Plus);
                self.dirty.profiles.insert(profile_name.clone());
            }
        }
        node.set_lacking(lacks, now);
        self.dirty.nodes.insert(name.to_owned());
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
