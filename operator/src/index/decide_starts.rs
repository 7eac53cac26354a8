//! What to write about containers that do not start on a node that has their profile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::conditions::{self, node::GRACE};
use api::{MAX_START_FAILURES, StartFailure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::node::Node;
use super::profile::Profile;
use super::starts::{FailureKey, LINGER, ObservedFailure};
use super::tally::NodeState;
use super::{Index, after};
use crate::facts::{Cause, PodStartFailure, ReportFacts};
use crate::status;

/// The shortest time between two writes of the list where nothing but its entries has changed.
const REWRITE: Duration = Duration::from_mins(1);

/// How many profiles the condition's message names; `status.startFailures` has all of them.
const MAX_NAMED: usize = 5;

/// What to write about the starts on one node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StartFailuresToWrite {
    /// `None` where no pod shows a failure.
    pub(super) condition: Option<Condition>,
    pub(super) failures: Vec<StartFailure>,
    /// The cause that is worth an Event.
    pub(super) cause: Option<Cause>,
}

impl Index {
    /// Updates the failures that are kept for a node to what pods show at `now`.
    pub(super) fn update_start_failures(&mut self, name: &str, now: Timestamp) {
        let Some(node) = self.nodes.get(name) else { return };
        let mut present = BTreeMap::new();
        for (pod, start) in self.failing_pods.on(name) {
            if start.until.is_none_or(|until| now < until)
                && self
                    .profiles
                    .get(&start.profile)
                    .is_some_and(|profile| counts_against(start, node, profile))
            {
                present
                    .entry((start.profile.clone(), start.cause))
                    .or_insert_with(|| (pod.to_owned(), start.place.clone()));
            }
        }
        let Self { nodes, profiles, .. } = self;
        let Some(node) =
            nodes.get_mut(name).filter(|node| !present.is_empty() || !node.start_failures.is_empty())
        else {
            return;
        };
        let mut failures = std::mem::take(&mut node.start_failures.by_key);
        let stored: BTreeSet<_> = stored(node.current_report()).collect();
        let stored = |(profile, cause): &FailureKey| stored.contains(&(profile.as_str(), cause.reason()));
        failures.retain(|key, failure| {
            // A failure under earlier contents does not count against these before the kubelet has tried them.
            let of_these_contents =
                |profile: &Profile| profile.changed.is_none_or(|time| time <= failure.since);
            if !profiles.get(&key.0).is_some_and(of_these_contents) {
                return false;
            }
            if present.contains_key(key) {
                failure.absent_since = None;
                return true;
            }
            let absent = *failure.absent_since.get_or_insert(now);
            after(failure.since, GRACE) <= absent && now < after(absent, LINGER)
        });
        for (key, (pod, place)) in present {
            if failures.contains_key(&key) || failures.len() >= MAX_START_FAILURES {
                continue;
            }
            // A failure that an earlier process has written has lasted for long enough, unless it was under earlier
            // contents.
            let changed = profiles.get(&key.0).and_then(|profile| profile.changed);
            let long = stored(&key) && changed.is_none_or(|time| after(time, GRACE) <= now);
            let since = if long { now.checked_sub(GRACE).unwrap_or(now) } else { now };
            failures.insert(key, ObservedFailure { since, absent_since: None, pod, place });
        }
        node.start_failures.by_key = failures;
    }

    /// What must be written about the starts on a node, if anything, and when the answer changes although no object
    /// does.
    pub(super) fn start_failures_to_write(
        &self,
        node: &Node,
        now: Timestamp,
    ) -> (Option<StartFailuresToWrite>, Option<Timestamp>) {
        let Some(report) = node.current_report() else { return (None, None) };
        let time = node.start_failures.next_change(now).into_iter();
        // The status of a pod that has ended counts for a limited time.
        let ends = self.failing_pods.on(&node.name).filter_map(|(_, start)| start.until);
        let time = time.chain(ends.filter(|until| *until > now)).min();
        let wanted: Vec<_> = node.start_failures.lasting(now).collect();
        let named = wanted.iter().map(|((profile, cause), _)| (profile.as_str(), cause.reason()));
        let is_false = report.containers_start.as_ref().is_some_and(|condition| condition.status == "False");
        if named.eq(stored(Some(report))) && is_false != wanted.is_empty() {
            return (None, time);
        }
        let written = node.start_failures.written.filter(|(written, _)| *written <= now);
        // The CRD of an earlier release has only the condition, so the API server drops the list.
        if is_false
            && report.start_failures.is_empty()
            && written.is_some_and(|(_, many)| many == wanted.len())
        {
            return (None, time);
        }
        let due = written.map(|(written, _)| after(written, REWRITE));
        if let Some(due) = due.filter(|due| is_false && !wanted.is_empty() && *due > now) {
            return (None, Some(time.map_or(due, |time| time.min(due))));
        }
        let known = |(profile, cause): &FailureKey| {
            let mut stored = report.start_failures.iter();
            stored.find(|it| it.profile == *profile && it.reason == cause.reason()).cloned()
        };
        // The entry of a failure is never rewritten, because it names a pod, and pods replace each other without end.
        let failures: Vec<_> = wanted
            .iter()
            .map(|(key, observed)| known(key).unwrap_or_else(|| failure(key, observed)))
            .collect();
        let cause = wanted.iter().map(|((_, cause), _)| *cause).min();
        let condition = cause.map(|cause| condition(report, cause, &wanted, now));
        let new_cause = cause.filter(|cause| {
            !is_false || report.containers_start.as_ref().is_none_or(|it| it.reason != cause.reason())
        });
        (Some(StartFailuresToWrite { condition, failures, cause: new_cause }), time)
    }

    /// Records when this process wrote this number of start failures of a node.
    pub fn start_failures_written(&mut self, name: &str, failures: usize, now: Timestamp) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.start_failures.written = Some((now, failures));
        }
    }
}

/// Whether a failed start counts against a profile: the node has it, and the start was not under earlier contents.
fn counts_against(start: &PodStartFailure, node: &Node, profile: &Profile) -> bool {
    let earlier = start.at.zip(profile.changed).is_some_and(|(at, changed)| at < changed);
    !earlier && node.contribution(&start.profile, profile).state == Some(NodeState::Ready)
}

/// The profiles and reasons in the stored list.
fn stored(report: Option<&ReportFacts>) -> impl Iterator<Item = (&str, &str)> {
    let failures = report.into_iter().flat_map(|report| &report.start_failures);
    failures.map(|failure| (failure.profile.as_str(), failure.reason.as_str()))
}

fn failure(
    (profile, cause): &FailureKey,
    ObservedFailure { pod, place, .. }: &ObservedFailure,
) -> StartFailure {
    let why = match (cause, place) {
        (Cause::FileNotFound, Some(place)) => format!(
            "the container runtime does not find the file, which the agent keeps: it looks in {place}. Likely the \
             kubelet's root directory is not the chart's kubeletRoot"
        ),
        (Cause::FileNotFound, None) => {
            "the container runtime does not find the file, which the agent keeps. Likely \
             the kubelet's root directory is not the chart's kubeletRoot"
                .to_owned()
        }
        (Cause::ListenerUnreachable, _) => "the container runtime reaches no seccomp agent on the socket that the \
             profile names as listenerPath. Likely none listens there on this node"
            .to_owned(),
        (Cause::StartFailed, _) => {
            "the container runtime starts no container under it. Likely it denies a call that \
             the runtime itself makes, or has something that the runtime of this node cannot load; a memory limit of \
             a few MiB ends containers so, too"
                .to_owned()
        }
    };
    StartFailure {
        profile: profile.clone(),
        reason: cause.reason().to_owned(),
        message: status::bounded(&format!("{why} (pod {pod})"), 1024),
    }
}

fn condition(
    report: &ReportFacts,
    cause: Cause,
    wanted: &[(&FailureKey, &ObservedFailure)],
    now: Timestamp,
) -> Condition {
    let named =
        wanted.iter().take(MAX_NAMED).map(|((profile, cause), _)| format!("{profile} ({})", cause.reason()));
    let mut message = format!("containers do not start under {}", named.collect::<Vec<_>>().join(", "));
    if wanted.len() > MAX_NAMED {
        message += &format!(" and {} more", wanted.len() - MAX_NAMED);
    }
    message += "; status.startFailures lists the reasons";
    Condition {
        type_: conditions::CONTAINERS_START.to_owned(),
        status: "False".to_owned(),
        reason: cause.reason().to_owned(),
        message,
        observed_generation: None,
        last_transition_time: status::transition_time(report.containers_start.as_ref(), "False")
            .unwrap_or(Time(status::whole_seconds(now))),
    }
}
