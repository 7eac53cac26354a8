//! How often the filters of profiles refused or logged calls, from what the observers of all nodes report.
//!
//! An observation has totals, which an observer counts on after a restart, and which begin again where it has lost them. Here
//! are the totals as they were last seen, so that an update adds what is new, and nothing is ever subtracted. What the first
//! list has was counted before this process began, and adds nothing.
//!
//! A stolen observer can write anything about its own node. So a container counts only if its pod is on that node, and only
//! under the profile that the pod names, and what is kept is bounded by the pods that exist.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

use ::profile::{Action, ShortHash};
use k8s_openapi::jiff::Timestamp;

use super::Index;
use crate::denied_call::{DenialReason, DeniedCall};
use crate::facts::{CallId, ObservationFacts, ObservedContainerFacts, ObservedPod, RefusedCall};

/// How long a pod that is gone is remembered: its last calls are reported up to half a minute later, or after some attempts.
const GONE: Duration = Duration::from_mins(2);
/// The most pods that are gone and remembered.
const MAX_GONE: usize = 5000;
/// How long the same call of the same container is not published again. The recorder counts Events as one as long as less
/// than 6 minutes are between them.
const REPEAT: Duration = Duration::from_mins(5);
/// The most different calls of a pod that are published.
const MAX_PUBLISHED: usize = 64;

/// The calls of all nodes.
#[derive(Debug, Default)]
pub(super) struct Denials {
    /// The pods with containers under profiles, by uid.
    pods: HashMap<String, Pod>,
    /// The uid of the pod that has or had the name `namespace/name` last.
    by_name: HashMap<String, String>,
    /// Pods that are gone, and since when.
    gone: VecDeque<(Timestamp, String)>,
    nodes: HashMap<String, Seen>,
    /// Whether the first list of observations is complete.
    listed: bool,
    /// How often calls were refused or logged, by profile.
    counts: BTreeMap<String, BTreeMap<Action, u64>>,
    denied: Vec<DeniedCall>,
}

#[derive(Debug)]
struct Pod {
    facts: ObservedPod,
    /// When a call was last published, by container, name and reason.
    published: BTreeMap<(String, String, DenialReason), Timestamp>,
    is_gone: bool,
}

/// The observation of a node as it was last seen.
#[derive(Debug, Default)]
struct Seen {
    /// The counts of containers under profiles.
    containers: BTreeMap<ShortHash, BTreeMap<CallId, u64>>,
    /// The object was deleted. As long as the Node exists, its observer creates it again, with the same counts.
    is_gone: bool,
}

impl Pod {
    /// The call, if it is time to publish it.
    fn publish(&mut self, container: usize, call: &RefusedCall, now: Timestamp) -> Option<DeniedCall> {
        let reason = DenialReason::of(call.action)?;
        let profile = self.facts.containers.get(container)?;
        let key = (profile.container.clone(), call.name.clone(), reason);
        let is_due = match self.published.get(&key) {
            Some(last) => now.duration_since(*last).unsigned_abs() >= REPEAT,
            None => self.published.len() < MAX_PUBLISHED,
        };
        if !is_due {
            return None;
        }
        self.published.insert(key, now);
        Some(DeniedCall {
            namespace: self.facts.namespace.clone(),
            pod: self.facts.name.clone(),
            uid: self.facts.uid.clone(),
            field: profile.field.clone(),
            container: profile.container.clone(),
            profile: profile.profile.to_string(),
            call: call.name.clone(),
            reason,
        })
    }
}

impl Denials {
    fn apply_pod(&mut self, facts: ObservedPod) {
        self.by_name.insert(format!("{}/{}", facts.namespace, facts.name), facts.uid.clone());
        match self.pods.get_mut(&facts.uid) {
            Some(pod) => pod.facts = facts,
            None => {
                let pod = Pod { facts, published: BTreeMap::new(), is_gone: false };
                self.pods.insert(pod.facts.uid.clone(), pod);
            }
        }
    }

    pub(super) fn pod_gone(&mut self, uid: &str, now: Timestamp) {
        if let Some(pod) = self.pods.get_mut(uid).filter(|pod| !pod.is_gone) {
            pod.is_gone = true;
            self.gone.push_back((now, uid.to_owned()));
        }
        self.forget_pods(now);
    }

    /// Forgets pods that have been gone for long enough.
    fn forget_pods(&mut self, now: Timestamp) {
        let is_over = |since: Timestamp| now.duration_since(since).unsigned_abs() >= GONE;
        while self.gone.front().is_some_and(|(since, _)| self.gone.len() > MAX_GONE || is_over(*since))
            && let Some((_, uid)) = self.gone.pop_front()
        {
            let Some(pod) = self.pods.remove(&uid) else { continue };
            let name = format!("{}/{}", pod.facts.namespace, pod.facts.name);
            if self.by_name.get(&name) == Some(&uid) {
                self.by_name.remove(&name);
            }
        }
    }

    /// The pod of an observed container and the position of the container in it, if it is on the node and under a profile.
    fn container_on(&mut self, node: &str, container: &ObservedContainerFacts) -> Option<(&mut Pod, usize)> {
        let by_name = || self.by_name.get(&container.pod).map(String::as_str);
        let uid = Some(container.pod_uid.as_str()).filter(|uid| !uid.is_empty()).or_else(by_name)?;
        let pod = self.pods.get_mut(uid).filter(|pod| pod.facts.node == node)?;
        let at = pod.facts.containers.iter().position(|it| it.container == container.container)?;
        Some((pod, at))
    }

    fn apply(&mut self, facts: ObservationFacts, is_profile: impl Fn(&str) -> bool, now: Timestamp) {
        self.forget_pods(now);
        let ObservationFacts { node, containers } = facts;
        let listed = self.listed;
        let mut before = self.nodes.remove(&node).unwrap_or_default().containers;
        let (mut after, mut denied) = (Seen::default(), Vec::new());
        let mut added = BTreeMap::<String, Vec<(Action, u64)>>::new();
        for container in containers {
            let Some((pod, at)) = self.container_on(&node, &container) else { continue };
            let seen = before.remove(&container.id).unwrap_or_default();
            let profile = pod.facts.containers[at].profile.to_string();
            // Whoever creates pods must not be able to create series of the metric.
            if listed && is_profile(&profile) {
                for call in &container.calls {
                    let seen = seen.get(&call.id).copied().unwrap_or_default();
                    let new = if call.count >= seen { call.count - seen } else { call.count };
                    if new > 0 {
                        added.entry(profile.clone()).or_default().push((call.action, new));
                        denied.extend(pod.publish(at, call, now));
                    }
                }
            }
            let counts = container.calls.iter().map(|call| (call.id, call.count)).collect();
            after.containers.insert(container.id, counts);
        }
        self.nodes.insert(node, after);
        self.denied.extend(denied);
        for (profile, new) in added {
            let counts = self.counts.entry(profile).or_default();
            for (action, new) in new {
                let count = counts.entry(action).or_default();
                *count = count.saturating_add(new);
            }
        }
    }

    fn observation_gone(&mut self, node: &str, node_exists: bool) {
        if !node_exists {
            self.nodes.remove(node);
        } else if let Some(seen) = self.nodes.get_mut(node) {
            seen.is_gone = true;
        }
    }

    pub(super) fn node_gone(&mut self, node: &str) {
        if self.nodes.get(node).is_some_and(|seen| seen.is_gone) {
            self.nodes.remove(node);
        }
    }

    pub(super) fn profile_gone(&mut self, profile: &str) {
        self.counts.remove(profile);
    }
}

impl Index {
    /// Counts the calls in observations, if `counts`.
    #[must_use]
    pub fn counting_denials(mut self, counts: bool) -> Self {
        self.denials = counts.then(Denials::default);
        self
    }

    /// Whether calls are counted.
    #[must_use]
    pub fn counts_denials(&self) -> bool {
        self.denials.is_some()
    }

    /// A pod with containers under profiles was created or changed.
    pub fn apply_observed_pod(&mut self, pod: ObservedPod) {
        if let Some(denials) = &mut self.denials {
            denials.apply_pod(pod);
        }
    }

    /// The observation of a node was created or changed.
    pub fn apply_observation(&mut self, facts: ObservationFacts, now: Timestamp) {
        if let Some(denials) = &mut self.denials {
            denials.apply(facts, |name| self.profiles.contains_key(name), now);
        }
    }

    /// The observation of a node was deleted.
    pub fn delete_observation(&mut self, node: &str) {
        let exists = self.nodes.get(node).is_some_and(|node| node.object.is_some());
        if let Some(denials) = &mut self.denials {
            denials.observation_gone(node, exists);
        }
    }

    /// A list of observations is complete.
    pub fn observations_listed(&mut self) {
        if let Some(denials) = &mut self.denials {
            denials.listed = true;
        }
    }

    /// How often calls under a profile have been refused or logged since this process began, by action. `None` if calls
    /// are not counted.
    #[must_use]
    pub fn denials(&self, profile: &str) -> Option<impl Iterator<Item = (Action, u64)>> {
        let counts = self.denials.as_ref()?.counts.get(profile);
        let count = move |action| counts.and_then(|counts| counts.get(&action).copied()).unwrap_or_default();
        Some(ObservationFacts::ACTIONS.into_iter().map(move |action| (action, count(action))))
    }

    /// The refused calls to publish Events about, since the last call.
    pub fn take_denied_calls(&mut self) -> Vec<DeniedCall> {
        self.denials.as_mut().map(|denials| std::mem::take(&mut denials.denied)).unwrap_or_default()
    }
}
