//! Which pods wait, and for which profiles: plain state, and the pods to reconcile after each change of it.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use api::ProfileName;
use daemon::metrics::Label;
use k8s_openapi::jiff::Timestamp;

use super::decision::{Decision, KnownProfile, Settings, Wait, decide, explained_at};
use super::notice::WaitReason;
use super::pod::GatedPod;
use super::profile::{AwaitedProfile, Progress};
use crate::time::after;

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
    /// How often the API server has refused to lift the gate of this version of the pod.
    refusals: u32,
    /// Whether an Event about that has been published.
    refusal_explained: bool,
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
        let (explained, refusal_explained) =
            self.remove(&uid).map(|known| (known.explained, known.refusal_explained)).unwrap_or_default();
        let pod = WaitingPod {
            facts: Arc::new(facts),
            explained,
            liftable_since: None,
            refusals: 0,
            refusal_explained,
        };
        self.insert(uid.clone(), pod);
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
    pub fn apply_profile(&mut self, name: &ProfileName, facts: AwaitedProfile, now: Timestamp) {
        let known = self.profiles.get(name).filter(|known| known.facts.uid == facts.uid);
        let is_failing = matches!(facts.progress, Progress::Failed(_));
        let failing_since = is_failing.then(|| known.and_then(|known| known.failing_since).unwrap_or(now));
        let profile = KnownProfile { facts, failing_since };
        if known != Some(&profile) {
            self.profiles.insert(name.clone(), profile);
            self.queue_users(name);
        }
    }

    /// The profile with this uid does not exist any more. Another one of its name may.
    pub fn forget_profile(&mut self, name: &str, uid: &str) {
        if self.profiles.get(name).is_some_and(|known| known.facts.uid == uid)
            && let Some((name, _)) = self.profiles.remove_entry(name)
        {
            self.queue_users(&name);
        }
    }

    /// What to do about a pod; `None` if it does not wait.
    pub fn decide(&mut self, uid: &str, now: Timestamp) -> Option<PodDecision> {
        let pod = self.pods.get_mut(uid)?;
        let facts = pod.facts.clone();
        for name in &facts.profiles {
            if let Some(since) = self.profiles.get_mut(name).and_then(|known| known.failing_since.as_mut()) {
                // Where the clock was set back, the time begins anew.
                *since = now.min(*since);
            }
        }
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
    pub fn left_to_leader_until(&mut self, uid: &str, now: Timestamp) -> Option<Timestamp> {
        let since = self.pods.get_mut(uid)?.liftable_since.as_mut()?;
        // Where the clock was set back, the time begins anew.
        *since = now.min(*since);
        let lifted = self.lifted_by_others.as_mut().map(|lifted| {
            *lifted = now.min(*lifted);
            *lifted
        });
        Some(after(lifted.map_or(*since, |lifted| lifted.max(*since)), LEFT_TO_THE_LEADER))
    }

    /// The API server has refused to lift the gate of a pod. Returns whether an Event is due: when it has refused the same
    /// version of the pod twice, once for a pod. A first refusal may be about a version that is out of date.
    pub fn refused(&mut self, uid: &str) -> bool {
        let Some(pod) = self.pods.get_mut(uid) else { return false };
        pod.refusals = pod.refusals.saturating_add(1);
        pod.refusals >= 2 && !std::mem::replace(&mut pod.refusal_explained, true)
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
