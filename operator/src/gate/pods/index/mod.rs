//! Which pods wait, and for which profiles: plain state, and the pods to reconcile after each change of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::{NodeLabelSelector, ProfileName};
use daemon::metrics::Label;
use k8s_openapi::jiff::Timestamp;

use super::decision::{Decision, KnownProfile, Settings, Wait, after, decide, explained_at};
use super::notice::WaitReason;
use super::pod::GatedPod;
use super::profile::Progress;

/// The uid of a pod.
pub type PodUid = Arc<str>;

/// How long a gate that does not lead leaves a pod to the leader. Two gates that lift the same pod do no harm, as the
/// second patch is refused, so that pods need not wait until the lease of a crashed leader expires.
const LEFT_TO_THE_LEADER: Duration = Duration::from_secs(1);

/// The pods with our gate, and all profiles.
#[derive(Debug)]
pub struct Index {
    settings: Settings,
    pods: HashMap<PodUid, WaitingPod>,
    /// The pods that name each profile, oldest first. A name is in it only while some pod has it.
    users: BTreeMap<ProfileName, BTreeSet<(Timestamp, PodUid)>>,
    profiles: BTreeMap<ProfileName, KnownProfile>,
    /// The pods to reconcile, in order.
    dirty: Vec<PodUid>,
    /// When a pod was last seen to lose its gate without this process.
    lifted_by_others: Option<Timestamp>,
}

#[derive(Debug)]
struct WaitingPod {
    facts: Arc<GatedPod>,
    /// The reasons that an Event has been published for.
    explained: BTreeSet<WaitReason>,
    /// Since when its gate may be lifted.
    liftable_since: Option<Timestamp>,
}

/// A decision about a pod, with the facts on which it is based.
#[derive(Debug, Clone)]
pub struct PodDecision {
    /// The pod.
    pub pod: Arc<GatedPod>,
    /// What to do about it.
    pub decision: Decision,
    /// The reasons for which an Event is due.
    pub due: Vec<WaitReason>,
    /// When to decide again if nothing changes before.
    pub requeue_at: Option<Timestamp>,
}

/// How many pods wait, by their worst reason.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Summary {
    /// The number of pods by reason, with those that are about to be lifted under `None`.
    pub pods: BTreeMap<Option<WaitReason>, usize>,
    /// When the oldest was created.
    pub oldest: Option<Timestamp>,
}

impl Index {
    /// No pods and no profiles.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self {
            settings,
            pods: HashMap::new(),
            users: BTreeMap::new(),
            profiles: BTreeMap::new(),
            dirty: Vec::new(),
            lifted_by_others: None,
        }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The pods to reconcile since the last call, in order.
    pub fn take_dirty(&mut self) -> Vec<PodUid> {
        std::mem::take(&mut self.dirty)
    }

    /// Makes every pod due, the oldest first.
    pub fn queue_all(&mut self) {
        let mut all: Vec<_> = self.pods.iter().map(|(uid, pod)| (pod.facts.created, uid.clone())).collect();
        all.sort_unstable();
        self.dirty.extend(all.into_iter().map(|(_, uid)| uid));
    }

    /// A pod with our gate was created or changed.
    pub fn apply_pod(&mut self, facts: GatedPod) {
        let uid: PodUid = facts.version.uid.as_str().into();
        let explained = self.remove(&uid).map(|known| known.explained).unwrap_or_default();
        self.insert(uid.clone(), WaitingPod { facts: Arc::new(facts), explained, liftable_since: None });
        self.dirty.push(uid);
    }

    /// A pod without our gate was created or changed.
    pub fn pod_is_free(&mut self, uid: &str, now: Timestamp) {
        if self.remove(uid).is_some() {
            self.lifted_by_others = Some(now);
        }
    }

    /// A pod does not exist any more, or its gate was lifted by this process.
    pub fn forget_pod(&mut self, uid: &str) {
        self.remove(uid);
    }

    /// A profile was created or changed.
    pub fn apply_profile(
        &mut self,
        name: &ProfileName,
        progress: Progress,
        node_selector: Option<NodeLabelSelector>,
        now: Timestamp,
    ) {
        let known = self.profiles.get(name);
        let is_failing = matches!(progress, Progress::Failed(_));
        let failing_since = is_failing.then(|| known.and_then(|known| known.failing_since).unwrap_or(now));
        let profile = KnownProfile { progress, failing_since, node_selector };
        if known != Some(&profile) {
            self.profiles.insert(name.clone(), profile);
            self.queue_users(name);
        }
    }

    /// A profile does not exist any more.
    pub fn forget_profile(&mut self, name: &str) {
        if let Some((name, _)) = self.profiles.remove_entry(name) {
            self.queue_users(&name);
        }
    }

    /// What to do about a pod; `None` if it does not wait.
    pub fn decide(&mut self, uid: &str, now: Timestamp) -> Option<PodDecision> {
        let pod = self.pods.get_mut(uid)?;
        let facts = pod.facts.clone();
        let decision = decide(&facts, |name| self.profiles.get(name), &self.settings, now);
        let mut due = Vec::new();
        let mut requeue_at = None;
        match &decision {
            Decision::Lift(_) => {
                pod.liftable_since.get_or_insert(now);
            }
            Decision::Wait(Wait { files, until }) => {
                pod.liftable_since = None;
                requeue_at = *until;
                for reason in files.keys().filter(|reason| !pod.explained.contains(reason)) {
                    let time = explained_at(*reason, facts.created);
                    if time <= now {
                        due.push(*reason);
                    } else {
                        requeue_at = Some(requeue_at.map_or(time, |sooner: Timestamp| sooner.min(time)));
                    }
                }
            }
        }
        Some(PodDecision { pod: facts, decision, due, requeue_at })
    }

    /// Until when a gate that does not lead leaves a pod that may be lifted to the leader: until the leader has lifted no
    /// pod for a second.
    #[must_use]
    pub fn left_to_leader_until(&self, uid: &str) -> Option<Timestamp> {
        let since = self.pods.get(uid)?.liftable_since?;
        Some(after(since.max(self.lifted_by_others.unwrap_or(since)), LEFT_TO_THE_LEADER))
    }

    /// An Event about a pod was published, or is lost.
    pub fn explained(&mut self, uid: &str, reason: WaitReason) {
        if let Some(pod) = self.pods.get_mut(uid) {
            pod.explained.insert(reason);
        }
    }

    /// How many pods wait.
    #[must_use]
    pub fn summary(&self, now: Timestamp) -> Summary {
        let reasons = WaitReason::ALL.iter().copied().map(Some);
        let mut summary =
            Summary { pods: reasons.chain([None]).map(|reason| (reason, 0)).collect(), oldest: None };
        for pod in self.pods.values() {
            let reason = match decide(&pod.facts, |name| self.profiles.get(name), &self.settings, now) {
                Decision::Lift(_) => None,
                Decision::Wait(wait) => wait.reason(),
            };
            *summary.pods.entry(reason).or_default() += 1;
            let created = pod.facts.created;
            summary.oldest = Some(summary.oldest.map_or(created, |oldest| oldest.min(created)));
        }
        summary
    }

    fn queue_users(&mut self, name: &ProfileName) {
        self.dirty.extend(self.users.get(name).into_iter().flatten().map(|(_, uid)| uid.clone()));
    }

    fn insert(&mut self, uid: PodUid, pod: WaitingPod) {
        for name in &pod.facts.profiles {
            self.users.entry(name.clone()).or_default().insert((pod.facts.created, uid.clone()));
        }
        self.pods.insert(uid, pod);
    }

    fn remove(&mut self, uid: &str) -> Option<WaitingPod> {
        let (uid, pod) = self.pods.remove_entry(uid)?;
        let entry = (pod.facts.created, uid);
        for name in &pod.facts.profiles {
            if let Some(users) = self.users.get_mut(name) {
                users.remove(&entry);
                if users.is_empty() {
                    self.users.remove(name);
                }
            }
        }
        Some(pod)
    }
}

#[cfg(test)]
mod tests;
