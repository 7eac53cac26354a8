//! One node in the index: the Node, its report, its agent's pods.

use std::collections::{BTreeMap, btree_map};
use std::iter::Peekable;
use std::sync::Arc;
use std::time::Duration;

use api::{FileProblem, FileState, OpenEnum, conditions};
use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use super::profile::Profile;
use super::starts::Starts;
use super::tally::{Contribution, NodeState};
use super::{Sign, after};
use crate::facts::{NodeFacts, ReportFacts};

/// How long a new node may take to its first report before it counts as pending: agents have no host network, so a
/// node turns Ready before its agent can run.
pub(super) const JOINING: Duration = Duration::from_secs(120);
/// How long an agent may be down before nobody counts as watching the node's files.
pub(super) const AGENT_DOWN: Duration = Duration::from_secs(300);

/// How a node stands, apart from any profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// It is younger than two minutes and has not reported.
    Joining,
    /// Its Ready condition is not True.
    Unreachable,
    /// No agent has been ready there for five minutes.
    AgentDown,
    /// It has not reported.
    Silent,
    /// It has reported.
    Reporting,
}

impl Class {
    /// All of them.
    pub const ALL: [Self; 5] =
        [Self::Joining, Self::Unreachable, Self::AgentDown, Self::Silent, Self::Reporting];

    /// One word for a metric label.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Joining => "joining",
            Self::Unreachable => "unreachable",
            Self::AgentDown => "down",
            Self::Silent => "silent",
            Self::Reporting => "reporting",
        }
    }
}

/// One node. Each part may come before the others.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: Arc<str>,
    pub(super) object: Option<NodeFacts>,
    /// The uid of the last Node of this name.
    uid: Option<String>,
    pub(super) report: Option<ReportFacts>,
    /// By uid, whether it is ready: during an update there are two.
    agents: BTreeMap<String, bool>,
    /// Since when no agent is ready, if none is.
    agent_down: Option<Down>,
    /// When this process first heard of the last Node of this name.
    first_seen: Timestamp,
    /// `None` where no agent should run: there is no Node, or it is not selected.
    pub(super) class: Option<Class>,
    /// How many profiles the node should have and has not reported.
    lacking: u32,
    /// Since when it lacks some, or has been silent.
    pub(super) behind: Option<Timestamp>,
    /// Under which profiles that it has containers do not start.
    pub(super) starts: Starts,
    /// Since when this process has known a report and no Node that it could be about.
    pub(super) orphaned: Option<Timestamp>,
}

/// Since when no agent is ready.
#[derive(Debug, Clone, Copy)]
struct Down {
    since: Timestamp,
    /// This process has just begun and does not know better yet.
    guess: bool,
}

/// All of a node that can matter to one profile's status.
#[derive(Debug, PartialEq)]
pub(super) struct View {
    pub(super) contribution: Contribution,
    class: Option<Class>,
    problem: Option<FileProblem>,
}

/// What a node's report says of one profile.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct FileReport<'a> {
    /// Which bytes the disk holds.
    held: Option<ShortHash>,
    problem: Option<&'a FileProblem>,
}

/// What a node's report says of one profile after the other. Each step is one comparison of names or two, where a search
/// for each profile takes a dozen: of two hundred profiles that was a tenth of all that the operator does.
#[derive(Debug)]
pub(super) struct FileReports<'a> {
    files: Option<InOrder<'a, ShortHash>>,
    problems: Option<InOrder<'a, FileProblem>>,
}

type InOrder<'a, T> = Peekable<btree_map::Iter<'a, String, T>>;

impl<'a> FileReports<'a> {
    /// What it says of the profile `name`, which comes after every one that was asked for before.
    pub(super) fn of(&mut self, name: &str) -> FileReport<'a> {
        let held = self.files.as_mut().and_then(|files| advance(files, name));
        FileReport { held: held.copied(), problem: self.problems.as_mut().and_then(|all| advance(all, name)) }
    }
}

/// The entry of `name`, after leaving those before it behind.
fn advance<'a, T>(entries: &mut InOrder<'a, T>, name: &str) -> Option<&'a T> {
    while entries.next_if(|(key, _)| key.as_str() < name).is_some() {}
    entries.next_if(|(key, _)| *key == name).map(|(_, value)| value)
}

/// Whether the file may be there although the report does not list it: one that can be neither removed nor read is, and
/// what an agent of another release says may mean that.
fn may_hold(problem: &FileProblem) -> bool {
    !matches!(problem.state, OpenEnum::Known(FileState::Conflict | FileState::Rejected))
}

impl Node {
    pub(super) fn new(name: &str, now: Timestamp) -> Self {
        Self {
            name: name.into(),
            object: None,
            uid: None,
            report: None,
            agents: BTreeMap::new(),
            agent_down: Some(Down { since: now, guess: true }),
            first_seen: now,
            class: None,
            lacking: 0,
            behind: None,
            starts: Starts::default(),
            orphaned: None,
        }
    }

    /// Whether nothing is known of it any more.
    pub(super) fn is_empty(&self) -> bool {
        self.object.is_none() && self.report.is_none() && self.agents.is_empty()
    }

    /// Whether there is a report and no Node.
    pub(super) fn is_orphaned(&self) -> bool {
        self.object.is_none() && self.report.is_some()
    }

    /// Keeps since when that is so.
    pub(super) fn note_orphaned(&mut self, now: Timestamp) {
        self.orphaned = self.is_orphaned().then(|| self.orphaned.unwrap_or(now));
    }

    /// Whether pods on it are as live under these facts as under the present ones.
    pub(super) fn hosts_like(&self, facts: &NodeFacts) -> bool {
        self.object.as_ref().is_some_and(|object| object.answers == facts.answers)
    }

    /// Whether a pod on it can be alive.
    pub(super) fn hosts_live_pods(&self) -> bool {
        self.object.as_ref().is_some_and(|object| object.answers)
    }

    /// The Node as it is now. What was known of an earlier one of its name is not known of it: it is new, whatever
    /// report or pod of the earlier one is still there.
    pub(super) fn set_object(&mut self, facts: NodeFacts, now: Timestamp) {
        if self.uid.as_ref() != Some(&facts.uid) {
            let succeeds = self.uid.replace(facts.uid.clone()).is_some();
            self.first_seen = now;
            if succeeds {
                self.behind = None;
                self.starts = Starts::default();
                self.agent_down = self.agent_down.map(|_| Down { since: now, guess: true });
            }
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
            Some(Down { since: known, guess: false }) => Some(Down { since: known, guess: false }),
            Some(Down { since: guess, guess: true }) => Some(Down { since: since.min(guess), guess: false }),
            None => Some(Down { since, guess: false }),
        };
    }

    /// The report as it is now. Where this process does not know since when the agent is down, what an earlier one
    /// made of it counts.
    pub(super) fn set_report(&mut self, report: Option<ReportFacts>) {
        let said_down = report
            .as_ref()
            .and_then(|report| report.ready.as_ref())
            .filter(|ready| ready.reason == conditions::node::AGENT_DOWN);
        if let (Some(Down { since, guess: true }), Some(ready)) = (self.agent_down, said_down) {
            let said = ready.last_transition_time.0.checked_sub(AGENT_DOWN).unwrap_or(since);
            self.agent_down = Some(Down { since: said.min(since), guess: true });
        }
        self.report = report;
    }

    /// The report, if it is about this node and not about an earlier one of its name.
    pub(super) fn own_report(&self) -> Option<&ReportFacts> {
        let uid = &self.object.as_ref()?.uid;
        self.report.as_ref().filter(|report| report.owner.as_ref() == Some(uid))
    }

    pub(super) fn has_reported(&self) -> bool {
        self.own_report().is_some_and(|report| report.files.is_some())
    }

    pub(super) fn classify(&self, now: Timestamp) -> Option<Class> {
        let object = self.object.as_ref().filter(|object| object.selected)?;
        let young = now < self.grown(object);
        Some(if !self.has_reported() && young {
            Class::Joining
        } else if !object.reachable {
            Class::Unreachable
        } else if self.agent_down.is_some_and(|down| after(down.since, AGENT_DOWN) <= now) {
            Class::AgentDown
        } else if self.has_reported() {
            Class::Reporting
        } else {
            Class::Silent
        })
    }

    /// When it is no longer new. Its own word counts as far as it is not of a time to come.
    fn grown(&self, object: &NodeFacts) -> Timestamp {
        after(object.created.min(self.first_seen), JOINING)
    }

    /// When [`Self::classify`] gives another answer with nothing but time passing.
    pub(super) fn next_class_change(&self) -> Option<Timestamp> {
        let agent_down = self.agent_down.map(|down| after(down.since, AGENT_DOWN));
        match self.class? {
            Class::Unreachable | Class::AgentDown => None,
            Class::Reporting | Class::Silent => agent_down,
            Class::Joining => self.object.as_ref().map(|object| self.grown(object)),
        }
    }

    pub(super) fn contribution(&self, name: &str, profile: &Profile) -> Contribution {
        self.contribution_with(self.word(name), profile)
    }

    fn contribution_with(
        &self,
        FileReport { held, problem }: FileReport<'_>,
        profile: &Profile,
    ) -> Contribution {
        let Some(class) = self.class else { return Contribution::default() };
        let has = profile.want().is_some_and(|want| held == Some(want));
        let state = match class {
            Class::Unreachable => NodeState::Unreachable,
            Class::Joining => NodeState::Joining,
            Class::AgentDown | Class::Silent => NodeState::Pending,
            Class::Reporting if has => NodeState::Ready,
            // What is no profile no node can hold: that is the profile's fault, and said by `Accepted`.
            Class::Reporting if problem.is_some() && profile.want().is_some() => NodeState::Failed,
            Class::Reporting => NodeState::Pending,
        };
        Contribution {
            state: Some(state),
            holding: class != Class::Unreachable && (held.is_some() || problem.is_some_and(may_hold)),
            lacking: profile.demanded() && !has,
        }
    }

    /// What its report says of one profile.
    fn word(&self, name: &str) -> FileReport<'_> {
        let Some(report) = self.own_report() else { return FileReport::default() };
        let held = report.files.as_ref().and_then(|files| files.get(name));
        FileReport { held: held.copied(), problem: report.problems.get(name) }
    }

    /// What its report says, for whoever goes through all profiles.
    pub(super) fn words(&self) -> FileReports<'_> {
        let report = self.own_report();
        let files = report.and_then(|report| report.files.as_ref());
        FileReports {
            files: files.map(|files| files.iter().peekable()),
            problems: report.map(|report| report.problems.iter().peekable()),
        }
    }

    pub(super) fn view(&self, word: FileReport<'_>, profile: &Profile) -> View {
        let contribution = self.contribution_with(word, profile);
        View { contribution, class: self.class, problem: word.problem.cloned() }
    }

    /// One profile more or less that the node lacks; says whether that changes the node's condition.
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
        if lacking == 0 && self.class != Some(Class::Silent) {
            self.behind = None;
        } else {
            self.behind.get_or_insert(now);
        }
    }

    #[cfg(test)]
    pub(super) fn first_seen(&self) -> Timestamp {
        self.first_seen
    }

    #[cfg(test)]
    pub(super) fn agents_down_since(&self) -> Option<Timestamp> {
        self.agent_down.map(|down| down.since)
    }

    #[cfg(test)]
    pub(super) fn lacking(&self) -> u32 {
        self.lacking
    }
}
