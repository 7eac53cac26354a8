//! What to do about one node.

use std::collections::BTreeMap;
use std::time::Duration;

use api::StartFailure;
use api::conditions::{
    self,
    node::{GRACE, grace},
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::decide_starts::StartFailuresToWrite;
use super::exclusion::ExclusionStep;
use super::node::AgentState;
use super::{Index, after};
use crate::facts::ObjectVersion;
use crate::notice::Notice;
use crate::status;

/// How long a report may exist without its Node. The Node may be registered late, or its watch event may be late; and
/// if a deleted Node owned the report, the garbage collector deletes it.
const ORPHANED: Duration = Duration::from_mins(5);

/// What to do about a node, and when to decide again if nothing changes before.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeDecision {
    /// What to do.
    pub operation: NodeOperation,
    /// When the decision changes by time alone.
    pub requeue_at: Option<Timestamp>,
}

/// One write, or none.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeOperation {
    /// Nothing to write.
    Nothing,
    /// Create the node's report, owned by the Node with this uid.
    CreateReport {
        /// The Node's uid.
        owner: String,
    },
    /// Delete the report: no agent runs on the node any more, or the Node does not own the report, or there is no Node.
    DeleteReport {
        /// The version on which the decision is based.
        version: ObjectVersion,
    },
    /// List all pods and pass them to [`Index::pods_of_node_listed`]: profiles are to be excluded from the node, and a
    /// watch event of a pod on it that uses one may still be to come.
    ListPods {
        /// The Node's uid.
        uid: String,
    },
    /// Write which profiles the node must not hold.
    WriteExclusions {
        /// The version on which the decision is based.
        version: ObjectVersion,
        /// The profiles, each with its uid.
        excluded: BTreeMap<String, String>,
    },
    /// Write all conditions, and the start failures.
    WriteConditions {
        /// The version on which the decision is based.
        version: ObjectVersion,
        /// Whether the object has a status to write them into.
        has_status: bool,
        /// The conditions.
        conditions: Vec<Condition>,
        /// The profiles under which containers do not start; `None` if the stored list is to stay.
        start_failures: Option<Vec<StartFailure>>,
        /// The Events to publish after the write.
        notices: Vec<Notice>,
    },
}

impl Index {
    /// What to do about the report `name`; `None` unless it exists and its Node does not. A restored backup or a copied
    /// manifest leaves such a report, and where it has no owner, no garbage collector would ever delete it.
    #[must_use]
    pub fn decide_orphan(&self, name: &str, now: Timestamp) -> Option<NodeDecision> {
        let node = self.nodes.get(name)?;
        let (report, since) = (node.report.as_ref()?, node.orphaned_since?);
        let due = after(since, ORPHANED);
        Some(if now < due {
            NodeDecision { operation: NodeOperation::Nothing, requeue_at: Some(due) }
        } else if !self.incomplete_kinds.is_empty() {
            // The watch may have missed the Node; the next complete list queues the report again.
            NodeDecision { operation: NodeOperation::Nothing, requeue_at: None }
        } else {
            NodeDecision {
                operation: NodeOperation::DeleteReport { version: report.version.clone() },
                requeue_at: None,
            }
        })
    }

    /// What to do about the node `name`; `None` if there is no such Node.
    #[must_use]
    pub fn decide_node(&self, name: &str, now: Timestamp) -> Option<NodeDecision> {
        let node = self.nodes.get(name)?;
        let object = node.object.as_ref()?;
        let decision = |operation, requeue_at| Some(NodeDecision { operation, requeue_at });
        let (agent_state, report) = match (node.agent_state, &node.report) {
            (None, Some(report)) => {
                return decision(NodeOperation::DeleteReport { version: report.version.clone() }, None);
            }
            (None, None) => return decision(NodeOperation::Nothing, None),
            (Some(_), None) => {
                return decision(NodeOperation::CreateReport { owner: object.uid.clone() }, None);
            }
            // An earlier node of this name owns it, or none does, in which case no garbage collector would delete it.
            (Some(_), Some(report)) if node.current_report().is_none() => {
                return decision(NodeOperation::DeleteReport { version: report.version.clone() }, None);
            }
            (Some(agent_state), Some(report)) => (agent_state, report),
        };
        let exclusion_time = match self.exclusion_step(node, agent_state, now) {
            ExclusionStep::Write(excluded) => {
                let version = report.version.clone();
                return decision(NodeOperation::WriteExclusions { version, excluded }, None);
            }
            ExclusionStep::ListPods => {
                return decision(NodeOperation::ListPods { uid: object.uid.clone() }, None);
            }
            ExclusionStep::Wait(until) => until,
        };
        let time = node.next_agent_state_change();
        // An agent that has never reported takes part in no rollout.
        let grace = match agent_state {
            AgentState::Reporting => grace(self.nodes.len() as u64),
            _ => GRACE,
        };
        let grace_end = node.behind.map(|since| after(since, grace));
        let in_grace = matches!(agent_state, AgentState::Silent | AgentState::Reporting)
            && grace_end.is_some_and(|end| now < end);
        let wanted = match agent_state {
            AgentState::Unreachable => {
                Some(("Unknown", conditions::node::UNREACHABLE, "the node is not Ready in the cluster"))
            }
            AgentState::Down => Some((
                "False",
                conditions::node::AGENT_DOWN,
                "no agent is ready on the node: its files are not watched",
            )),
            AgentState::Joining => None,
            _ if in_grace => None,
            AgentState::Silent => {
                Some(("False", conditions::node::NO_REPORT, "the node's agent has never reported"))
            }
            AgentState::Reporting if grace_end.is_some() => Some((
                "False",
                conditions::node::BEHIND,
                "the node lacks a profile; status.report lists what it has",
            )),
            AgentState::Reporting => {
                Some(("True", conditions::node::ALL_PROFILES, "the node has every profile"))
            }
        };
        let (starts, starts_time) = self.start_failures_to_write(node, now);
        let grace_end = grace_end.filter(|_| in_grace);
        let time = [time, grace_end, starts_time, exclusion_time].into_iter().flatten().min();
        let ready = wanted.filter(|(status, reason, _)| {
            report.ready.as_ref().is_none_or(|ready| ready.status != *status || ready.reason != *reason)
        });
        if ready.is_none() && starts.is_none() {
            return decision(NodeOperation::Nothing, time);
        }
        let ready = ready.map(|(status, reason, message)| Condition {
            type_: conditions::READY.to_owned(),
            status: status.to_owned(),
            reason: reason.to_owned(),
            message: message.to_owned(),
            observed_generation: None,
            last_transition_time: status::transition_time(report.ready.as_ref(), status)
                .unwrap_or(Time(status::whole_seconds(now))),
        });
        let (containers_start, start_failures, notices) = match starts {
            Some(StartFailuresToWrite { condition, failures, cause }) => {
                (condition, Some(failures), cause.map(Notice::of_start).into_iter().collect())
            }
            None => (report.containers_start.clone(), None, Vec::new()),
        };
        let conditions = ready.or_else(|| report.ready.clone()).into_iter().chain(containers_start).collect();
        let (version, has_status) = (report.version.clone(), report.has_status);
        decision(
            NodeOperation::WriteConditions { version, has_status, conditions, start_failures, notices },
            time,
        )
    }
}
