//! One node in the index: the Node, its report, its agent's pods.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use api::{FileAge, FileProblem, OpenEnum, ProblemKind, conditions};
use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use super::exclusion_state::ExclusionState;
use super::profile::Profile;
use super::starts::ObservedFailures;
use super::tally::{Contribution, NodeState};
use super::{Sign, after};
use crate::facts::{NodeFacts, ReportFacts};

/// How long a new node may take until its first report before it counts as pending. It turns Ready before its agent can
/// run, because agents have no host network.
pub(super) const JOINING: Duration = Duration::from_mins(2);
/// How long an agent may be down before the node's files count as unwatched.
pub(super) const AGENT_DOWN: Duration = Duration::from_mins(5);

/// Why a node does not say why it lacks a profile: its report has no room for all problems.
pub const PROBLEMS_OMITTED: &str = "ProblemsOmitted";

/// The state of a node and its agent, whatever the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AgentState {
    /// The node is younger than two minutes and its agent has not reported.
    Joining,
    /// The node's Ready condition is not True.
    Unreachable,
    /// No agent has been ready on the node for five minutes.
    Down,
    /// The agent has not reported, and the node is not new.
    Silent,
    /// The agent has reported.
    Reporting,
}

impl AgentState {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Joining, Self::Unreachable, Self::Down, Self::Silent, Self::Reporting];

    /// One word for a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Unreachable => "unreachable",
            Self::Down => "down",
            Self::Silent => "silent",
            Self::Reporting => "reporting",
        }
    }
}

/// One node. The Node, the report and the agent's pod may arrive in any order.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Arc<str>,
    pub(super) object: Option<NodeFacts>,
    /// The uid of the last Node of this name.
    uid: Option<String>,
    pub(super) report: Option<ReportFacts>,
    /// The agent's pods by uid, and whether each is ready: during an update there are two.
    agents: BTreeMap<String, bool>,
    /// Since when no agent is ready, if none is.
    agent_down: Option<DownSince>,
    /// When this process first saw the last Node of this name.
    first_seen: Timestamp,
    /// `None` where no agent should run: there is no Node, or it is not selected.
    pub(super) agent_state: Option<AgentState>,
    /// How many profiles the node should have and has not reported.
    lacking: u32,
    /// Since when it lacks a profile, or has been silent.
    pub(super) behind: Option<Timestamp>,
    /// The profiles that the node has and under which containers do not start.
    pub(super) start_failures: ObservedFailures,
    /// Whether the profiles that it is told not to hold must be decided again.
    pub(super) exclusion: ExclusionState,
    /// Since when this process has known a report of this name and no Node.
    pub(super) orphaned_since: Option<Timestamp>,
}

/// Since when no agent is ready.
#[derive(Debug, Clone, Copy)]
struct DownSince {
    time: Timestamp,
    /// Whether the time is only when this process began to watch.
    is_guess: bool,
}

/// Everything about a node that can change one profile's status.
#[derive(Debug, PartialEq)]
pub(super) struct View {
    pub(super) contribution: Contribution,
    pub(super) age: FileAge,
    agent_state: Option<AgentState>,
    /// Why the node does not say why it lacks a profile.
    silence: Option<&'static str>,
    problem: Option<FileProblem>,
}

/// What a node's report has about one profile.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct ReportedFile<'a> {
    /// Whether the node has reported its files at all.
    is_reported: bool,
    /// The hash of the bytes on the disk.
    hash: Option<ShortHash>,
    /// Since when the bytes have been in the place of others; the outer `None` if the report states no such times.
    changed: Option<Option<Timestamp>>,
    problem: Option<&'a FileProblem>,
    /// The uid of the profile of this name that the agent is told not to hold.
    excluded: Option<ShortHash>,
}

impl<'a> ReportedFile<'a> {
    /// The problem with it, if there is one.
    pub(super) fn problem(self) -> Option<&'a FileProblem> {
        self.problem
    }

    /// Since when the file has had the contents of `profile`.
    fn age(self, profile: &Profile) -> FileAge {
        if profile.facts.removal_approved {
            return FileAge::Irrelevant;
        }
        if !self.is_reported {
            return FileAge::Unknown;
        }
        FileAge::of(profile.expected_hash(), self.hash, self.changed)
    }
}

/// A cursor over a node's report, for callers that visit the profiles in order. Each profile costs one or two
/// comparisons of names, where a search costs a dozen: with two hundred profiles, the searches took a tenth of the
/// operator's CPU time.
#[derive(Debug)]
pub(super) struct ReportedFiles<'a> {
    files: Option<InOrder<'a, ShortHash>>,
    changed: Option<InOrder<'a, Timestamp>>,
    problems: Option<InOrder<'a, FileProblem>>,
    excluded: Option<InOrder<'a, ShortHash>>,
}

type InOrder<'a, T> = Peekable<btree_map::Iter<'a, String, T>>;

impl<'a> ReportedFile<'a> {
    /// What a report has about the profile `name`.
    pub(super) fn of(report: &'a ReportFacts, name: &str) -> Self {
        let hash = report.files.as_ref().and_then(|files| files.get(name));
        Self {
            is_reported: report.files.is_some(),
            hash: hash.copied(),
            changed: report.changed.as_ref().map(|changed| changed.get(name).copied()),
            problem: report.problems.get(name),
            excluded: report.excluded.get(name).copied(),
        }
    }
}

impl<'a> ReportedFiles<'a> {
    /// What the report has about the profile `name`. Callers ask for profiles in ascending order of their names.
    pub(super) fn of(&mut self, name: &str) -> ReportedFile<'a> {
        let hash = self.files.as_mut().and_then(|files| advance(files, name));
        let changed = self.changed.as_mut().map(|changed| advance(changed, name).copied());
        ReportedFile {
            is_reported: self.files.is_some(),
            hash: hash.copied(),
            changed,
            problem: self.problems.as_mut().and_then(|all| advance(all, name)),
            excluded: self.excluded.as_mut().and_then(|all| advance(all, name)).copied(),
        }
    }
}

/// The entry of `name`; skips the entries before it.
fn advance<'a, T>(entries: &mut InOrder<'a, T>, name: &str) -> Option<&'a T> {
    while entries.next_if(|(key, _)| key.as_str() < name).is_some() {}
    entries.next_if(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Whether the file may exist although the report does not list it. A file that the agent can neither remove nor read
/// does, and a state of another release may mean that.
fn may_hold(problem: &FileProblem) -> bool {
    !matches!(problem.state, OpenEnum::Known(ProblemKind::Conflict | ProblemKind::Rejected))
}

/// Since when the file of a profile on a node has had the profile's contents.
pub(super) fn file_age(node: Option<&Node>, name: &str, profile: Option<&Profile>) -> FileAge {
    let Some(profile) = profile else { return FileAge::Irrelevant };
    node.map(|node| node.reported_file(name)).unwrap_or_default().age(profile)
}

impl Node {
    pub(super) fn new(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.into(),
            object: None,
            uid: None,
            report: None,
            agents: BTreeMap::new(),
            agent_down: Some(DownSince { time: now, is_guess: true }),
            first_seen: now,
            agent_state: None,
            lacking: 0,
            behind: None,
            start_failures: ObservedFailures::default(),
            exclusion: ExclusionState::default(),
            orphaned_since: None,
        }
    }

    /// Whether neither the Node, nor its report, nor a pod of its agent exists.
    pub(super) fn is_empty(&self) -> bool {
        self.object.is_none() && self.report.is_none() && self.agents.is_empty()
    }

    /// Whether there is a report and no Node.
    pub(super) fn is_orphaned(&self) -> bool {
        self.object.is_none() && self.report.is_some()
    }

    /// Updates since when the report has no Node.
    pub(super) fn update_orphaned_since(&mut self, now: Timestamp) {
        self.orphaned_since = self.is_orphaned().then(|| self.orphaned_since.unwrap_or(now));
    }

    /// Whether these facts give the same answer as the current ones to whether pods on the node count as live.
    pub(super) fn same_liveness(&self, facts: &NodeFacts) -> bool {
        self.object.as_ref().is_some_and(|object| object.answers == facts.answers)
    }

    /// Whether a pod on it can be alive.
    pub(super) fn hosts_live_pods(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.answers)
    }

    /// Applies the current Node. A Node that replaces another one of its name is new: nothing that was known of
    /// its predecessor applies, even where the predecessor's report or pod still exists.
    pub(super) fn set_object(&mut self, facts: NodeFacts, now: Timestamp) {
        if self.uid.as_ref() != Some(&facts.uid) {
            let replaces = self.uid.replace(facts.uid.clone()).is_some();
            self.first_seen = now;
            if replaces {
                self.behind = None;
                self.start_failures = ObservedFailures::default();
                self.exclusion = ExclusionState::default();
                self.agent_down = self.agent_down.map(|_| DownSince { time: now, is_guess: true });
            }
        }
        if self.object.as_ref().is_none_or(|object| object.labels != facts.labels) {
            self.exclusion.mark(now);
        }
        self.object = Some(facts);
    }

    /// An agent's pod is ready, not ready, or gone (`None`), since `since`.
    pub(super) fn agent_pod(&mut self, uid: &str, ready: Option<bool>, since: Timestamp) {
        match ready {
            Some(ready) => self.agents.insert(uid.to_owned(), ready),
            None => self.agents.remove(uid),
        };
        self.agent_down = match self.agent_down {
            _ if self.agents.values().any(|ready| *ready) => None,
            Some(DownSince { time, is_guess: false }) => Some(DownSince { time, is_guess: false }),
            Some(DownSince { time, is_guess: true }) => {
                Some(DownSince { time: since.min(time), is_guess: false })
            }
            None => Some(DownSince { time: since, is_guess: false }),
        };
    }

    /// Applies the current report. Where this process does not know since when the agent is down, the time
    /// follows from the condition that an earlier process wrote.
    pub(super) fn set_report(&mut self, report: Option<ReportFacts>, now: Timestamp) {
        let stored_down = report
            .as_ref()
            .and_then(|report| report.ready.as_ref())
            .filter(|ready| ready.reason == conditions::node::AGENT_DOWN);
        if let (Some(DownSince { time, is_guess: true }), Some(ready)) = (self.agent_down, stored_down) {
            let stored = ready.last_transition_time.0.checked_sub(AGENT_DOWN).unwrap_or(time);
            self.agent_down = Some(DownSince { time: stored.min(time), is_guess: true });
        }
        let stored = self.report.as_ref().map(|report| &report.excluded);
        if stored != report.as_ref().map(|report| &report.excluded) {
            self.exclusion.mark(now);
        }
        self.report = report;
    }

    /// Whether it is unknown since when no agent is ready; a report may show it.
    pub(super) fn guesses_since_when_no_agent_is_ready(&self) -> bool {
        self.agent_down.is_some_and(|down| down.is_guess)
    }

    /// The report, if this Node owns it and not an earlier one of its name.
    pub(super) fn current_report(&self) -> Option<&ReportFacts> {
        let uid = &self.object.as_ref()?.uid;
        self.report.as_ref().filter(|report| report.owner.as_ref() == Some(uid))
    }

    pub(super) fn has_reported(&self) -> bool {
        self.current_report().is_some_and(|report| report.files.is_some())
    }

    /// Why it does not say why it lacks a profile, as reason and message; `None` if it is expected to hold it or to say.
    pub(super) fn silence(&self) -> Option<(&'static str, &'static str)> {
        match self.agent_state? {
            AgentState::Down => {
                Some((conditions::node::AGENT_DOWN, "no agent has been ready on the node for minutes"))
            }
            AgentState::Silent => Some((conditions::node::NO_REPORT, "the node's agent has never reported")),
            AgentState::Reporting if !self.current_report()?.lists_all_problems() => {
                Some((PROBLEMS_OMITTED, "the node has more problems than its report can list"))
            }
            AgentState::Reporting | AgentState::Joining | AgentState::Unreachable => None,
        }
    }

    pub(super) fn agent_state_at(&self, now: Timestamp) -> Option<AgentState> {
        let object = self.object.as_ref().filter(|object| object.selected)?;
        let young = now < self.joining_until(object);
        Some(if !self.has_reported() && young {
            AgentState::Joining
        } else if !object.reachable {
            AgentState::Unreachable
        } else if self.agent_down.is_some_and(|down| after(down.time, AGENT_DOWN) <= now) {
            AgentState::Down
        } else if self.has_reported() {
            AgentState::Reporting
        } else {
            AgentState::Silent
        })
    }

    /// When it joined. Its creation time counts unless it lies in the future.
    pub(super) fn joined(&self, object: &NodeFacts) -> Timestamp {
        object.created.min(self.first_seen)
    }

    /// When it is no longer new.
    fn joining_until(&self, object: &NodeFacts) -> Timestamp {
        after(self.joined(object), JOINING)
    }

    /// When the result of [`Self::agent_state_at`] changes although no object does.
    pub(super) fn next_agent_state_change(&self) -> Option<Timestamp> {
        let agent_down = self.agent_down.map(|down| after(down.time, AGENT_DOWN));
        match self.agent_state? {
            AgentState::Unreachable | AgentState::Down => None,
            AgentState::Reporting | AgentState::Silent => agent_down,
            AgentState::Joining => self.object.as_ref().map(|object| self.joining_until(object)),
        }
    }

    pub(super) fn contribution(&self, name: &str, profile: &Profile) -> Contribution {
        self.contribution_with(self.reported_file(name), profile)
    }

    fn contribution_with(
        &self,
        ReportedFile { hash, problem, excluded, .. }: ReportedFile<'_>,
        profile: &Profile,
    ) -> Contribution {
        let Some(agent_state) = self.agent_state else { return Contribution::default() };
        let selected = self.object.as_ref().is_none_or(|object| profile.facts.selects(&object.labels));
        // A file that the agent is about to remove does not count, until it is told to keep it.
        let has = profile.expected_hash().is_some_and(|expected| hash == Some(expected))
            && excluded != Some(profile.uid);
        let state = match agent_state {
            AgentState::Unreachable => NodeState::Unreachable,
            AgentState::Joining => NodeState::Joining,
            AgentState::Down | AgentState::Silent => NodeState::Pending,
            AgentState::Reporting if has => NodeState::Ready,
            // No node can hold invalid contents; that is the fault of the profile, and the condition Accepted reports
            // it.
            AgentState::Reporting if problem.is_some() && profile.expected_hash().is_some() => {
                NodeState::Failed
            }
            AgentState::Reporting => NodeState::Pending,
        };
        Contribution {
            state: selected.then_some(state),
            holding: agent_state != AgentState::Unreachable
                && (hash.is_some() || problem.is_some_and(may_hold)),
            lacking: selected && profile.is_required() && !has,
        }
    }

    /// The hash of the file of this name, as it last reported it.
    pub(super) fn reported_hash(&self, name: &str) -> Option<ShortHash> {
        self.reported_file(name).hash
    }

    /// What its report has about one profile.
    fn reported_file(&self, name: &str) -> ReportedFile<'_> {
        self.current_report().map(|report| ReportedFile::of(report, name)).unwrap_or_default()
    }

    /// What its report has about all profiles, for callers that iterate over them.
    pub(super) fn reported_files(&self) -> ReportedFiles<'_> {
        let report = self.current_report();
        let files = report.and_then(|report| report.files.as_ref());
        ReportedFiles {
            files: files.map(|files| files.iter().peekable()),
            changed: report.and_then(|report| Some(report.changed.as_ref()?.iter().peekable())),
            problems: report.map(|report| report.problems.iter().peekable()),
            excluded: report.map(|report| report.excluded.iter().peekable()),
        }
    }

    pub(super) fn view(&self, file: ReportedFile<'_>, profile: &Profile) -> View {
        let contribution = self.contribution_with(file, profile);
        let age = file.age(profile);
        let silence = self.silence().map(|(reason, _)| reason);
        View { contribution, age, agent_state: self.agent_state, silence, problem: file.problem.cloned() }
    }

    /// Counts one profile more or less that the node lacks; returns whether that changes the node's condition.
    pub(super) fn lack(&mut self, sign: Sign, now: Timestamp) -> bool {
        let before = self.lacking;
        let lacking = match sign {
            Sign::Plus => before + 1,
            Sign::Minus => before - 1,
        };
        self.set_lacking(lacking, now);
        (before == 0) != (lacking == 0)
    }

    pub(super) fn set_lacking(&mut self, lacking: u32, now: Timestamp) {
        self.lacking = lacking;
        if lacking == 0 && self.agent_state != Some(AgentState::Silent) {
            self.behind = None;
        } else {
            self.behind.get_or_insert(now);
        }
    }

    /// Since when no agent is ready, if none is.
    pub(super) fn agents_down_since(&self) -> Option<Timestamp> {
        self.agent_down.map(|down| down.time)
    }

    /// How many profiles the node should have and has not reported.
    pub(super) fn lacking(&self) -> u32 {
        self.lacking
    }

    /// Whether it should have the profile and, by `file`, has not.
    pub(super) fn lacks(&self, file: ReportedFile<'_>, profile: &Profile) -> bool {
        self.contribution_with(file, profile).lacking
    }

    #[cfg(test)]
    pub(super) fn first_seen(&self) -> Timestamp {
        self.first_seen
    }
}
