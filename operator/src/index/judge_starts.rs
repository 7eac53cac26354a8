//! What to say of containers that do not start on a node that has their profile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::conditions::{self, node::GRACE};
use api::{MOST_START_FAILURES, StartFailure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::node::Node;
use super::profile::Profile;
use super::starts::{Key, LINGER, Seen};
use super::tally::NodeState;
use super::{Index, after};
use crate::facts::{Cause, FailedStart, ReportFacts};
use crate::status;

/// How often the list is written at most where only what it names has changed.
const REWRITE: Duration = Duration::from_secs(60);

/// Profiles that the condition names; the list has all.
const NAMED: usize = 5;

/// What is to be written of the starts on one node.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct StartsToWrite {
    /// `None` where containers start, as far as anybody says.
    pub(super) condition: Option<Condition>,
    pub(super) failures: Vec<StartFailure>,
    /// What is worth an Event.
    pub(super) cause: Option<Cause>,
}

impl Index {
    /// Brings what is known of the starts on a node up to the time.
    pub(super) fn note_starts(&mut self, name: &str, now: Timestamp) {
        let Some(node) = self.nodes.get(name) else { return };
        let mut present = BTreeMap::new();
        for (pod, start) in self.witnesses.on(name) {
            if start.until.is_none_or(|until| now < until)
                && self.profiles.get(&start.profile).is_some_and(|profile| counts(start, node, profile))
            {
                present
                    .entry((start.profile.clone(), start.cause))
                    .or_insert_with(|| (pod.to_owned(), start.place.clone()));
            }
        }
        let Self { nodes, profiles, .. } = self;
        let Some(node) = nodes.get_mut(name).filter(|node| !present.is_empty() || !node.starts.is_empty())
        else {
            return;
        };
        let mut seen = std::mem::take(&mut node.starts.seen);
        let stored: BTreeSet<_> = stored(node.own_report()).collect();
        let stored = |(profile, cause): &Key| stored.contains(&(profile.as_str(), cause.reason()));
        seen.retain(|key, seen| {
            // What was said of earlier contents is not held against these before the kubelet has tried them.
            let of_these_contents = |profile: &Profile| profile.changed.is_none_or(|time| time <= seen.since);
            if !profiles.get(&key.0).is_some_and(of_these_contents) {
                return false;
            }
            if present.contains_key(key) {
                seen.silent = None;
                return true;
            }
            let silent = *seen.silent.get_or_insert(now);
            after(seen.since, GRACE) <= silent && now < after(silent, LINGER)
        });
        for (key, (pod, place)) in present {
            if seen.contains_key(&key) || seen.len() >= MOST_START_FAILURES {
                continue;
            }
            // What an earlier process has said of it has been so for long enough, unless it was of earlier contents.
            let changed = profiles.get(&key.0).and_then(|profile| profile.changed);
            let long = stored(&key) && changed.is_none_or(|time| after(time, GRACE) <= now);
            let since = if long { now.checked_sub(GRACE).unwrap_or(now) } else { now };
            seen.insert(key, Seen { since, silent: None, pod, place });
        }
        node.starts.seen = seen;
    }

    /// What must be written of the starts on a node, if anything, and when that is another answer with nothing but time
    /// passing.
    pub(super) fn judge_starts(
        &self,
        node: &Node,
        now: Timestamp,
    ) -> (Option<StartsToWrite>, Option<Timestamp>) {
        let Some(report) = node.own_report() else { return (None, None) };
        let time = node.starts.next_change(now).into_iter();
        // A pod that has ended says nothing any more at some time.
        let ends = self.witnesses.on(&node.name).filter_map(|(_, start)| start.until);
        let time = time.chain(ends.filter(|until| *until > now)).min();
        let wanted: Vec<_> = node.starts.said(now).collect();
        let named = wanted.iter().map(|((profile, cause), _)| (profile.as_str(), cause.reason()));
        let is_said = report.containers_start.as_ref().is_some_and(|condition| condition.status == "False");
        if named.eq(stored(Some(report))) && is_said != wanted.is_empty() {
            return (None, time);
        }
        let written = node.starts.written.filter(|(written, _)| *written <= now);
        // A definition of an earlier release knows the condition alone, and drops the list of what was written.
        if is_said
            && report.start_failures.is_empty()
            && written.is_some_and(|(_, many)| many == wanted.len())
        {
            return (None, time);
        }
        let due = written.map(|(written, _)| after(written, REWRITE));
        if let Some(due) = due.filter(|due| is_said && !wanted.is_empty() && *due > now) {
            return (None, Some(time.map_or(due, |time| time.min(due))));
        }
        let known = |(profile, cause): &Key| {
            let mut stored = report.start_failures.iter();
            stored.find(|it| it.profile == *profile && it.reason == cause.reason()).cloned()
        };
        // What is said of one stays as it was first said: pods replace each other without end.
        let failures: Vec<_> =
            wanted.iter().map(|(key, seen)| known(key).unwrap_or_else(|| failure(key, seen))).collect();
        let cause = wanted.iter().map(|((_, cause), _)| *cause).min();
        let condition = cause.map(|cause| condition(report, cause, &wanted, now));
        let news = cause.filter(|cause| {
            !is_said || report.containers_start.as_ref().is_none_or(|it| it.reason != cause.reason())
        });
        (Some(StartsToWrite { condition, failures, cause: news }), time)
    }

    /// Remembers when this process wrote of so many start failures on a node.
    pub fn starts_written(&mut self, name: &str, failures: usize, now: Timestamp) {
        if let Some(node) = self.nodes.get_mut(name) {
            node.starts.written = Some((now, failures));
        }
    }
}

/// Whether a failed start says something against a profile that the node has: one of earlier contents does not.
fn counts(start: &FailedStart, node: &Node, profile: &Profile) -> bool {
    let earlier = start.at.zip(profile.changed).is_some_and(|(at, changed)| at < changed);
    !earlier && node.contribution(&start.profile, profile).state == Some(NodeState::Ready)
}

/// Profiles and reasons that are stored.
fn stored(report: Option<&ReportFacts>) -> impl Iterator<Item = (&str, &str)> {
    let failures = report.into_iter().flat_map(|report| &report.start_failures);
    failures.map(|failure| (failure.profile.as_str(), failure.reason.as_str()))
}

fn failure((profile, cause): &Key, Seen { pod, place, .. }: &Seen) -> StartFailure {
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
        (Cause::NobodyListens, _) => "the container runtime reaches no seccomp agent on the socket that the \
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

fn condition(report: &ReportFacts, cause: Cause, wanted: &[(&Key, &Seen)], now: Timestamp) -> Condition {
    let named =
        wanted.iter().take(NAMED).map(|((profile, cause), _)| format!("{profile} ({})", cause.reason()));
    let mut message = format!("containers do not start under {}", named.collect::<Vec<_>>().join(", "));
    if wanted.len() > NAMED {
        message += &format!(" and {} more", wanted.len() - NAMED);
    }
    message += "; status.startFailures says why";
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
