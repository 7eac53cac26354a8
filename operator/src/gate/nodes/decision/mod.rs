//! What to write to a Node: one write at most, because its answer may change the next decision.

use k8s_openapi::jiff::Timestamp;

use super::judgement::{Judgement, Release, Rules, judge};
use super::notice::NodeNotice;
use super::startup_node::{ListedTaint, StartupNode};
use crate::index::NodeStanding;

/// What to do about a Node, and when to decide again if nothing changes before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeDecision {
    /// The write, if there is one.
    pub write: Option<NodeWrite>,
    /// The Events to publish after the write.
    pub notices: Vec<NodeNotice>,
    /// When the decision changes by time alone.
    pub requeue_at: Option<Timestamp>,
}

/// A write to a Node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeWrite {
    /// Take the start-up taint off.
    RemoveTaints(Vec<ListedTaint>),
    /// Set the condition.
    SetCondition {
        /// `True`, `False` or `Unknown`.
        status: &'static str,
        /// The reason, as one word.
        reason: &'static str,
        /// A readable explanation.
        message: String,
        /// When the status last changed, in the format of the API; `None`: now.
        last_transition_time: Option<String>,
    },
}

/// Decides about the Node `node`, of whose files `standing` is known. The taint goes first: pods wait for it.
#[must_use]
pub fn decide(node: &StartupNode, standing: &NodeStanding, rules: Rules, now: Timestamp) -> NodeDecision {
    let stored = node.condition.as_ref();
    // The index and the Node come from one update; a Node that has just replaced another one is decided about with the
    // next.
    if node.version.uid != standing.uid {
        return NodeDecision { write: None, notices: Vec::new(), requeue_at: None };
    }
    let Judgement { condition, release, until } = judge(standing, stored, rules, now);
    let decision = |write, notice: Option<NodeNotice>| NodeDecision {
        write: Some(write),
        notices: notice.into_iter().collect(),
        requeue_at: until,
    };
    let notice = match release {
        Release::No => None,
        Release::Complete => Some(NodeNotice::Released),
        Release::WithProblems => Some(NodeNotice::ReleasedWithProblems),
    };
    if notice.is_some() && !node.taints.is_empty() {
        return decision(NodeWrite::RemoveTaints(node.taints.clone()), notice);
    }
    match condition {
        Some((reason, message)) => {
            let (status, word) = (reason.status(), reason.as_str());
            let same_reason = stored.is_some_and(|stored| stored.reason == word && stored.status == status);
            if same_reason && stored.is_some_and(|stored| stored.message == message) {
                return NodeDecision { write: None, notices: Vec::new(), requeue_at: until };
            }
            let same_status = stored.filter(|stored| stored.status == status);
            let last_transition_time = same_status.and_then(|stored| stored.last_transition_time.clone());
            let notice = NodeNotice::of_reason(reason).filter(|_| !same_reason);
            decision(NodeWrite::SetCondition { status, reason: word, message, last_transition_time }, notice)
        }
        None => NodeDecision { write: None, notices: Vec::new(), requeue_at: until },
    }
}

#[cfg(test)]
pub(super) mod tests;
