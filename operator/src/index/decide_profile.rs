//! What to do about one profile.

use std::time::Duration;

use api::names::DELETE_IN_USE;
use api::{NodeCounts, PodCounts, ProfileName, Removal, SeccompProfileStatus, State, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::checks::add_findings;
use super::node::Node;
use super::pacing::ClusterSize;
use super::pods_listed::{PODS_LISTED, PODS_UNKNOWN};
use super::profile::Profile;
use super::profile_pods::{ProfilePod, UNSCHEDULED};
use super::{Index, after};
use crate::facts::ObjectVersion;
use crate::notice::{self, Notice};
use crate::status::{self, Urgency};

/// How long reachable nodes may take to confirm that they removed a file. After that the operator removes its finalizer
/// without them; their agents remove the file when they run again.
const CONFIRMATION: Duration = Duration::from_mins(2);
/// How many names a message contains; the others are counted.
const MAX_NAMED: usize = 5;

/// What to do about a profile, and when to decide again if nothing changes before.
#[derive(Debug, Clone, PartialEq)]
pub struct ProfileDecision {
    /// The version on which the decision is based: the precondition of the write.
    pub version: ObjectVersion,
    /// What to do.
    pub operation: ProfileOperation,
    /// When the decision changes by time alone.
    pub requeue_at: Option<Timestamp>,
}

/// One write, or none.
#[derive(Debug, Clone, PartialEq)]
pub enum ProfileOperation {
    /// Nothing to write.
    Nothing,
    /// Write nothing before [`ProfileDecision::requeue_at`]: only counts and messages have changed.
    Defer,
    /// Add the operator's finalizer.
    AddFinalizer {
        /// Whether there is a list of finalizers to add it to.
        has_finalizers: bool,
    },
    /// List all pods and pass them to [`Index::pods_listed`]: the profile is being deleted and the index knows no pod
    /// that uses it, but a watch event of one may still be to come.
    ListPods,
    /// Replace the status.
    WriteStatus {
        /// The whole new status.
        status: Box<SeccompProfileStatus>,
        /// The Events to publish after the write.
        notices: Vec<Notice>,
    },
    /// Delete the profile: an image has brought it, and no pod has named it for long enough.
    Delete {
        /// Since when.
        unused_since: Timestamp,
    },
    /// Remove the operator's finalizer.
    RemoveFinalizer {
        /// Its position in the list.
        finalizer: usize,
        /// Nodes that have not confirmed that they removed the file; not empty only after a time-out.
        unconfirmed: Vec<String>,
    },
}

/// The pods that use a profile.
#[derive(Debug, Default)]
struct Usage {
    in_use: bool,
    /// Lists of all pods fail, so that there may be more.
    unlisted: bool,
    /// Until when a pod may come whose creation began before the deletion was known.
    under_way: Option<Timestamp>,
    /// The live ones, sorted by name; collected for a deletion only.
    live: Vec<String>,
    /// Some are on a Node that exists and is unreachable.
    cut_off: bool,
    /// When this changes by time alone, because an unscheduled pod stops counting: the last such pod, or, while the
    /// profile is being deleted and its status names the pods, the next one.
    until: Option<Timestamp>,
}

impl Index {
    /// What to do about the profile `name`; `None` if there is no such profile. The caller carries the decision out and
    /// asks again at [`ProfileDecision::requeue_at`]: until then, changes that may wait do not queue the profile.
    #[must_use = "until the decision's time, changes that may wait do not queue the profile"]
    pub fn decide_profile(&mut self, name: &str, now: Timestamp) -> Option<ProfileDecision> {
        self.note_unnamed(name, now);
        let decision = self.profile_decision(name, now)?;
        if let Some(profile) = self.profiles.get_mut(name) {
            let defers = decision.operation == ProfileOperation::Defer;
            profile.pacing.defer_until(decision.requeue_at.filter(|_| defers));
        }
        Some(decision)
    }

    /// Like [`Self::decide_profile`], but does not record that a write was deferred.
    pub(super) fn profile_decision(&self, name: &str, now: Timestamp) -> Option<ProfileDecision> {
        let profile = self.profiles.get(name)?;
        let facts = &profile.facts;
        let decision = |operation, requeue_at| {
            Some(ProfileDecision { version: facts.version.clone(), operation, requeue_at })
        };
        match (facts.deleting(), facts.finalizer) {
            (false, None) => {
                return decision(
                    ProfileOperation::AddFinalizer { has_finalizers: facts.has_finalizers },
                    None,
                );
            }
            // It is gone, or waits for the finalizers of others.
            (true, None) => return decision(ProfileOperation::Nothing, None),
            (true, Some(finalizer)) if facts.removal_approved => {
                let over = profile.approved_since.is_some_and(|since| after(since, CONFIRMATION) <= now);
                if profile.tally.holding == 0 || over {
                    let unconfirmed = self.holding(name, profile).map(str::to_owned).collect();
                    return decision(ProfileOperation::RemoveFinalizer { finalizer, unconfirmed }, None);
                }
            }
            (_, Some(_)) => {}
        }
        let mut usage = self.usage(name, profile, now);
        let waits = facts.deleting() && !facts.removal_approved && !facts.delete_in_use;
        let listed = profile.pods_listed.is_some_and(|at| at <= now && now < after(at, PODS_LISTED));
        if waits && self.is_unused(&usage) && !listed {
            if !profile.must_report_pods_unknown(now) {
                return decision(ProfileOperation::ListPods, None);
            }
            // The answer to this write queues the profile for the next list.
            usage.unlisted = true;
        }
        let due = self.removal_due(name, profile);
        let ready_withheld = profile.pacing.ready_delayed_until(now).filter(|_| profile.tally.is_ready());
        let wanted = self.status(name, profile, &usage, ready_withheld.is_some(), now);
        let confirmation =
            profile.approved_since.filter(|_| facts.deleting()).map(|since| after(since, CONFIRMATION));
        let time =
            [usage.until, usage.under_way, confirmation, ready_withheld, due].into_iter().flatten().min();
        let urgency = status::urgency(facts.status.as_ref(), &profile.storable(&wanted));
        if due.is_some_and(|due| due <= now) && urgency != Urgency::Now {
            // A pod that the index does not know yet would keep the profile in its deletion for as long as it lives.
            let operation = match profile.stored_unused_since().filter(|_| listed) {
                Some(unused_since) => ProfileOperation::Delete { unused_since },
                None => ProfileOperation::ListPods,
            };
            return decision(operation, None);
        }
        let fails = wanted.state == Some(State::Failed.into());
        let size = ClusterSize {
            nodes: self.nodes.len(),
            profiles: self.profiles.len(),
            joining: profile.tally.joining,
            joins: &self.joins,
        };
        if urgency == Urgency::None {
            return decision(ProfileOperation::Nothing, time);
        }
        let first = self.first_status_delayed_until(name, profile, &wanted, now);
        if let Some(from) = first.or_else(|| profile.pacing.write_delayed_until(urgency, fails, size, now)) {
            return decision(ProfileOperation::Defer, Some(time.map_or(from, |time| time.min(from))));
        }
        let overridden = facts.delete_in_use && usage.in_use;
        let notices = notice::of_change(facts.status.as_ref(), &wanted, overridden, usage.cut_off);
        decision(ProfileOperation::WriteStatus { status: Box::new(wanted), notices }, time)
    }

    /// Remembers when this process wrote which status of `name`.
    pub fn status_written(&mut self, name: &str, status: &SeccompProfileStatus, now: Timestamp) {
        if let Some(profile) = self.profiles.get_mut(name) {
            let failed = status.state == Some(State::Failed.into());
            profile.pacing.status_written(profile.expected_hash(), status::is_ready(status), failed, now);
            profile.pods_written |= status.pods.is_some();
            profile.unused_written = status.unused_since.is_some();
        }
    }

    fn usage(&self, name: &str, profile: &Profile, now: Timestamp) -> Usage {
        let mut usage = Usage { under_way: profile.pods_under_way_until(now), ..Usage::default() };
        let node_of = |user: &ProfilePod| user.node.as_ref().map(|node| self.nodes.get(node));
        let mut bound = false;
        for user in self.users.of(name) {
            let live = match node_of(user) {
                Some(node) => {
                    let live = node.is_some_and(Node::hosts_live_pods);
                    bound |= live;
                    usage.cut_off |= !live && node.is_some_and(|node| node.object.is_some());
                    live
                }
                None => {
                    let until = after(user.created, UNSCHEDULED);
                    let sooner = usage.until.is_none_or(|known| (until < known) == profile.facts.deleting());
                    if until > now && sooner {
                        usage.until = Some(until);
                    }
                    until > now
                }
            };
            usage.in_use |= live;
            // Unless the profile is being deleted, only whether any pod is live matters; a deletion's status names
            // them.
            match profile.facts.deleting() {
                true if live => usage.live.push(user.namespaced_name.clone()),
                false if bound => break,
                _ => {}
            }
        }
        usage.live.sort_unstable();
        if bound && !profile.facts.deleting() {
            usage.until = None;
        }
        usage
    }

    /// Whether no known pod uses it, and the index lacks no pod or node.
    fn is_unused(&self, usage: &Usage) -> bool {
        let may_grow = usage.unlisted || usage.under_way.is_some() || !self.incomplete_kinds.is_empty();
        !usage.in_use && !may_grow
    }

    fn status(
        &self,
        name: &str,
        profile: &Profile,
        usage: &Usage,
        ready_withheld: bool,
        now: Timestamp,
    ) -> SeccompProfileStatus {
        let facts = &profile.facts;
        let tally = profile.tally;
        let approve =
            facts.removal_approved || facts.deleting() && (self.is_unused(usage) || facts.delete_in_use);
        let (ready, ready_reason, ready_message) = self.ready(profile, approve, ready_withheld);
        let (accepted, accepted_reason, accepted_message) = match &facts.content {
            Ok(_) => (true, "Valid", "the profile is valid".to_owned()),
            Err(error) => (false, "InvalidProfile", status::bounded(error, 2048)),
        };
        let mut conditions = vec![
            condition(conditions::ACCEPTED, accepted, accepted_reason, accepted_message, facts.generation),
            condition(conditions::READY, ready, ready_reason, ready_message, facts.generation),
        ];
        if facts.deleting() {
            let (reason, message) = self.deleting(name, profile, usage, approve);
            conditions.push(condition(conditions::DELETING, true, reason, message, facts.generation));
        } else if facts.content.is_err() {
            let message =
                "the profile cannot become ready: the condition Accepted gives the reason".to_owned();
            conditions.push(condition(conditions::STALLED, true, accepted_reason, message, facts.generation));
        }
        let state = match &facts.content {
            _ if facts.deleting() => State::Deleting,
            Err(_) => State::Rejected,
            Ok(_) if tally.failed > 0 => State::Failed,
            Ok(_) if ready => State::Ready,
            Ok(_) => State::Progressing,
        };
        let content_hash = facts.content.as_ref().ok().map(ToString::to_string);
        let mut status = SeccompProfileStatus {
            observed_generation: facts.generation,
            ready_hash: status::ready_hash(
                facts.status.as_ref(),
                facts.generation,
                content_hash.as_deref(),
                ready,
            ),
            content_hash,
            localhost_profile: name
                .parse()
                .ok()
                .map(|name: ProfileName| name.localhost_profile(&self.directory)),
            ready: Some(format!("{}/{}", tally.ready, tally.desired())),
            state: Some(state.into()),
            nodes: Some(NodeCounts {
                desired: count(tally.desired()),
                ready: count(tally.ready),
                pending: count(tally.pending),
                failed: count(tally.failed),
                joining: count(tally.joining),
                unreachable: count(tally.unreachable),
            }),
            failures: self.failures(name, profile),
            in_use: Some(usage.in_use),
            unused_since: self.unused_since(name, profile),
            pods: Some(self.pod_counts(name)),
            warnings: Vec::new(),
            removal: approve.then(|| Removal::Approved.into()),
            conditions,
        };
        add_findings(profile, &mut status);
        status::keep_transition_times(facts.status.as_ref(), &mut status.conditions, now);
        status
    }

    fn pod_counts(&self, name: &str) -> PodCounts {
        let using = u32::try_from(self.users.count(name)).unwrap_or(u32::MAX);
        let found = self.users.outdated(name);
        let unknown = (found.unknown_pods > 0).then(|| count(found.unknown_pods));
        let is_known = found.pods > 0 || unknown.is_none();
        PodCounts { using: count(using), outdated: is_known.then(|| count(found.pods)), unknown }
    }

    fn ready(&self, profile: &Profile, approve: bool, ready_withheld: bool) -> (bool, &'static str, String) {
        let tally = profile.tally;
        if profile.facts.content.is_err() {
            return (false, "InvalidProfile", "the profile is invalid; files stay as they were".to_owned());
        }
        if approve {
            return (false, "RemovalApproved", "the file is being removed from the nodes".to_owned());
        }
        let mut message = format!("{} of {} nodes hold it", tally.ready, tally.desired());
        for (number, state) in
            [(tally.failed, "failed"), (tally.joining, "joining"), (tally.unreachable, "unreachable")]
        {
            if number > 0 {
                message += &format!("; {number} {state}");
            }
        }
        if tally.pending > 0 {
            let pending =
                profile.pending.iter().map(|name| match self.nodes.get(&**name).and_then(Node::silence) {
                    Some((reason, _)) => format!("{name} ({reason})"),
                    None if self.lacks_report_flag(name, profile) => {
                        format!("{name} (has it without the flag of spec.report, as earlier agents write it)")
                    }
                    None => name.to_string(),
                });
            message += "; waiting for ";
            message += &named(pending, profile.pending.len());
        }
        if tally.failed > 0 {
            (false, "NodesFailed", message)
        } else if tally.pending > 0 {
            (false, "RollingOut", message)
        } else if tally.ready == 0 {
            (false, "NoNodes", message)
        } else if ready_withheld {
            (false, "RollingOut", format!("{message}; waiting until no outdated report can arrive"))
        } else {
            (true, "AllNodesReady", message)
        }
    }

    /// Whether a node has the file that an agent writes which does not know `spec.report`.
    fn lacks_report_flag(&self, node: &str, profile: &Profile) -> bool {
        let node = self.nodes.get(node);
        let without = profile.facts.without_report.map(|hash| hash.short());
        without.is_some() && node.is_some_and(|node| node.reported_hash(&profile.facts.name) == without)
    }

    fn deleting(
        &self,
        name: &str,
        profile: &Profile,
        usage: &Usage,
        approve: bool,
    ) -> (&'static str, String) {
        if approve {
            let holding = profile.tally.holding as usize;
            if holding == 0 {
                return ("RemovingFiles", "no reachable node holds the file".to_owned());
            }
            let names = named(self.holding(name, profile).map(str::to_owned), holding);
            ("RemovingFiles", format!("waiting for nodes to remove the file: {names}"))
        } else if !usage.in_use && usage.under_way.is_some() {
            (
                PODS_UNKNOWN,
                "a pod may still come whose creation began before the deletion was known: the file stays for some seconds"
                    .to_owned(),
            )
        } else if !usage.in_use {
            (
                PODS_UNKNOWN,
                "the operator's cache may lack pods or nodes: the file stays until it is known that no pod uses it"
                    .to_owned(),
            )
        } else {
            let pods = usage.live.len();
            let names = named(usage.live.iter().cloned(), pods);
            let plural = if pods == 1 { "pod uses" } else { "pods use" };
            (
                "InUse",
                format!(
                    "{pods} {plural} it: {names}; the annotation {DELETE_IN_USE}: \"true\" deletes it anyway"
                ),
            )
        }
    }

    /// The nodes that a deletion waits for.
    fn holding<'a>(&'a self, name: &'a str, profile: &'a Profile) -> impl Iterator<Item = &'a str> {
        let holds = move |node: &Node| node.contribution(name, profile).holding;
        self.nodes.iter().filter(move |(_, node)| holds(node)).map(|(name, _)| name.as_str())
    }
}

fn count(number: u32) -> i32 {
    i32::try_from(number).unwrap_or(i32::MAX)
}

/// The first few of `all` names, and how many more there are.
fn named(names: impl Iterator<Item = String>, all: usize) -> String {
    let mut text = names.take(MAX_NAMED).collect::<Vec<_>>().join(", ");
    if all > MAX_NAMED {
        text += &format!(" and {} more", all - MAX_NAMED);
    }
    text
}

fn condition(kind: &str, status: bool, reason: &str, message: String, generation: Option<i64>) -> Condition {
    Condition {
        type_: kind.to_owned(),
        status: if status { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        observed_generation: generation,
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    }
}
