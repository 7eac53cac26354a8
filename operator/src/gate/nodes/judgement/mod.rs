//! Whether a node has the profiles that it should have, and whether pods may be scheduled there.

use std::time::Duration;

use api::ProblemKind;
use api::conditions::node::GRACE;
use k8s_openapi::jiff::Timestamp;

use crate::facts::NodeCondition;
use crate::index::{MissingProfile, NodeStanding};
use crate::time::after;

/// How long after it joined a node that no agent selects keeps the taint: labels by which an agent would select it may
/// be set by a controller after the registration.
pub const LABELS_MAY_BE_LATE: Duration = Duration::from_secs(30);
/// How many profiles a message names.
const MAX_NAMED: usize = 5;

/// What the chart's values decide.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// Whether a node is released although it lacks profiles, if its agent cannot write any of them because of a lasting
    /// problem.
    pub release_with_problems: bool,
    /// How long no agent may have been ready on a node before it is unknown whether its files are there.
    pub unknown_after: Duration,
}

/// The reason of the condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// The node has every profile.
    AllProfiles,
    /// It lacks a profile that its agent may still write.
    Behind,
    /// It lacks a profile whose file cannot be written at present; the agent keeps trying.
    Failed,
    /// It lacks a profile that its agent refuses.
    Rejected,
    /// It lacks a profile because a file of another owner has the name.
    Conflict,
    /// Its agent has not reported.
    NoReport,
    /// No agent has been ready on it for some time.
    AgentDown,
    /// No agent should run on it.
    NotSelected,
}

impl Reason {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::AllProfiles,
        Self::Behind,
        Self::Failed,
        Self::Rejected,
        Self::Conflict,
        Self::NoReport,
        Self::AgentDown,
        Self::NotSelected,
    ];

    /// One word for the condition.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AllProfiles => "AllProfiles",
            Self::Behind => "Behind",
            Self::Failed => "Failed",
            Self::Rejected => "Rejected",
            Self::Conflict => "Conflict",
            Self::NoReport => "NoReport",
            Self::AgentDown => "AgentDown",
            Self::NotSelected => "NotSelected",
        }
    }

    /// The status of the condition.
    #[must_use]
    pub fn status(self) -> &'static str {
        match self {
            Self::AllProfiles => "True",
            Self::Behind | Self::Failed | Self::Rejected | Self::Conflict => "False",
            Self::NoReport | Self::AgentDown | Self::NotSelected => "Unknown",
        }
    }

    /// Whether only a person can end it: somebody must change the profile or the node.
    #[must_use]
    pub fn is_lasting_problem(self) -> bool {
        matches!(self, Self::Rejected | Self::Conflict)
    }
}

/// Whether a node has the profiles that it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judgement {
    /// The condition to show; `None` if the stored one, or none, is right.
    pub condition: Option<(Reason, String)>,
    /// Whether pods may be scheduled there, so that the taint may go.
    pub release: Release,
    /// When time alone changes this.
    pub until: Option<Timestamp>,
}

/// Whether the start-up taint may go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Release {
    /// It stays.
    No,
    /// The node has every profile, or needs none.
    Complete,
    /// The node lacks profiles because of lasting problems, and the rules release it anyway.
    WithProblems,
}

/// Judges a node. `stored` is its condition.
#[must_use]
pub fn judge(
    standing: &NodeStanding,
    stored: Option<&NodeCondition>,
    rules: Rules,
    now: Timestamp,
) -> Judgement {
    let judgement = |reason: Reason, message: String, release, until| Judgement {
        condition: Some((reason, message)),
        release,
        until,
    };
    if !standing.selected {
        // Only where a condition was written while an agent ran there.
        let condition = stored.map(|_| {
            (Reason::NotSelected, "no agent should run on the node: it does not get profiles".to_owned())
        });
        let end = after(standing.joined, LABELS_MAY_BE_LATE);
        let (release, until) = if now < end { (Release::No, Some(end)) } else { (Release::Complete, None) };
        return Judgement { condition, release, until };
    }
    let is_stored = |reason: Reason| stored.is_some_and(|stored| stored.reason == reason.as_str());
    let unknown_from = standing.agent_down_since.map(|since| after(since, rules.unknown_after));
    // After a restart of the gate, the stored condition remembers that the agent was down for long.
    if let Some(from) = unknown_from
        && (from <= now || is_stored(Reason::AgentDown))
    {
        let message = "no agent is ready on the node: its files are not watched";
        return judgement(Reason::AgentDown, message.to_owned(), Release::No, None);
    }
    if !standing.reported {
        let message = "the node's agent has not reported";
        return judgement(Reason::NoReport, message.to_owned(), Release::No, unknown_from);
    }
    if standing.missing.is_empty() {
        let message = "the node has every profile";
        return judgement(Reason::AllProfiles, message.to_owned(), Release::Complete, unknown_from);
    }
    let lasting_from = after(standing.behind_since.unwrap_or(now), GRACE);
    let in_grace = now < lasting_from;
    let reason = worst(&standing.missing);
    let until = [Some(lasting_from).filter(|_| in_grace), unknown_from].into_iter().flatten().min();
    let all_lasting = standing.missing.iter().all(|profile| reason_of(profile).is_lasting_problem());
    let release = if rules.release_with_problems && all_lasting && !in_grace {
        Release::WithProblems
    } else {
        Release::No
    };
    // A rollout does not cost two writes for each node, and whoever taints nodes by the condition does not taint all of
    // them whenever a profile is applied.
    let condition =
        (!(in_grace && is_stored(Reason::AllProfiles))).then(|| (reason, message(reason, &standing.missing)));
    Judgement { condition, release, until }
}

fn reason_of(profile: &MissingProfile) -> Reason {
    match profile.problem {
        None => Reason::Behind,
        Some(ProblemKind::Failed) => Reason::Failed,
        Some(ProblemKind::Rejected) => Reason::Rejected,
        Some(ProblemKind::Conflict) => Reason::Conflict,
    }
}

/// The reason that somebody should know first.
fn worst(missing: &[MissingProfile]) -> Reason {
    let has = |reason| missing.iter().any(|profile| reason_of(profile) == reason);
    let order = [Reason::Conflict, Reason::Rejected, Reason::Failed];
    order.into_iter().find(|reason| has(*reason)).unwrap_or(Reason::Behind)
}

/// The message that goes with `reason`. It names no profile of a node that is merely behind, because it would change, and
/// be written, with each report of a rollout.
fn message(reason: Reason, missing: &[MissingProfile]) -> String {
    let fact = match reason {
        Reason::Conflict => "a file of another owner is in the place of",
        Reason::Rejected => "the node's agent refuses",
        Reason::Failed => "the node's agent cannot write",
        _ => return "the node lacks a profile; its NodeProfileStatus lists what it has".to_owned(),
    };
    let named: Vec<_> =
        missing.iter().filter(|profile| reason_of(profile) == reason).map(|it| it.name.as_str()).collect();
    let rest = named.len().saturating_sub(MAX_NAMED);
    let names = named[..named.len() - rest].join(", ");
    let more = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("{fact} {names}{more}; the node's NodeProfileStatus has the details")
}

#[cfg(test)]
mod tests;
