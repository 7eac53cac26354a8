//! What to do about one node.

use std::time::Duration;

use api::StartFailure;
use api::conditions::{self, node::GRACE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

use super::judge_starts::StartsToWrite;
use super::node::Class;
use super::{Index, after};
use crate::facts::Version;
use crate::notice::Notice;
use crate::status;

/// How long a report may be there without its Node. The Node may be registered late, or the news of it come late; and
/// where a Node has gone that owns its report, the garbage collector takes the report by itself.
const ORPHANED: Duration = Duration::from_secs(300);

/// What to do about a node, and when to ask again if nothing happens before.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeVerdict {
    /// What to do.
    pub step: NodeOperation,
    /// When time alone changes the answer.
    pub requeue_at: Option<Timestamp>,
}

/// One write, or none.
#[derive(Debug, Clone, PartialEq)]
pub enum NodeOperation {
    /// All is said.
    Nothing,
    /// Create the node's report, owned by the Node with this uid.
    CreateReport {
        /// The Node's uid.
        owner: String,
    },
    /// Delete the report: no agent runs on the node any more, or it is not about this node, or about none.
    DeleteReport {
        /// The version that was judged.
        version: Version,
    },
    /// Write all conditions, and what belongs to them.
    WriteConditions {
        /// The version that was judged.
        version: Version,
        /// Whether the object has a status to write them into.
        has_status: bool,
        /// The conditions.
        conditions: Vec<Condition>,
        /// The profiles under which containers do not start, where that is another list than the stored one.
        start_failures: Option<Vec<StartFailure>>,
        /// What is worth an Event once it is written.
        notices: Vec<Notice>,
    },
}

impl Index {
    /// What to do about the report `name`; `None` unless it is there and its Node is not. A backup that was restored or a
    /// manifest that was copied leaves such a report, and where it names no owner nobody else would ever take it.
    #[must_use]
    pub fn judge_orphan(&self, name: &str, now: Timestamp) -> Option<NodeVerdict> {
        let node = self.nodes.get(name)?;
        let (report, since) = (node.report.as_ref()?, node.orphaned?);
        let due = after(since, ORPHANED);
        Some(if now < due {
            NodeVerdict { step: NodeOperation::Nothing, requeue_at: Some(due) }
        } else if !self.doubtful.is_empty() {
            // The Node may be missing from what is known; once the list is complete, the report is reconciled again.
            NodeVerdict { step: NodeOperation::Nothing, requeue_at: None }
        } else {
            NodeVerdict {
                step: NodeOperation::DeleteReport { version: report.version.clone() },
                requeue_at: None,
            }
        })
    }

    /// What to do about the node `name`; `None` if there is no such Node.
    #[must_use]
    pub fn judge_node(&self, name: &str, now: Timestamp) -> Option<NodeVerdict> {
        let node = self.nodes.get(name)?;
        let object = node.object.as_ref()?;
        let verdict = |step, requeue_at| Some(NodeVerdict { step, requeue_at });
        let (class, report) = match (node.class, &node.report) {
            (None, Some(report)) => {
                return verdict(NodeOperation::DeleteReport { version: report.version.clone() }, None);
            }
            (None, None) => return verdict(NodeOperation::Nothing, None),
            (Some(_), None) => {
                return verdict(NodeOperation::CreateReport { owner: object.uid.clone() }, None);
            }
            // It belongs to an earlier node of this name, or to none, and then no garbage collector would take it.
            (Some(_), Some(report)) if node.own_report().is_none() => {
                return verdict(NodeOperation::DeleteReport { version: report.version.clone() }, None);
            }
            (Some(class), Some(report)) => (class, report),
        };
        let time = node.next_class_change();
        let late = node.behind.map(|since| after(since, GRACE));
        let in_grace =
            matches!(class, Class::Silent | Class::Reporting) && late.is_some_and(|late| now < late);
        let wanted = match class {
            Class::Unreachable => {
                Some(("Unknown", conditions::node::UNREACHABLE, "the node is not Ready in the cluster"))
            }
            Class::AgentDown => Some((
                "False",
                conditions::node::AGENT_DOWN,
                "no agent is ready on the node: nobody watches its files",
            )),
            Class::Joining => None,
            _ if in_grace => None,
            Class::Silent => {
                Some(("False", conditions::node::NO_REPORT, "the node's agent has never reported"))
            }
            Class::Reporting if late.is_some() => Some((
                "False",
                conditions::node::BEHIND,
                "the node lacks a profile; status.report says what it has",
            )),
            Class::Reporting => Some(("True", conditions::node::ALL_PROFILES, "the node has every profile")),
        };
        let (starts, starts_time) = self.judge_starts(node, now);
        let late = late.filter(|_| in_grace);
        let time = [time, late, starts_time].into_iter().flatten().min();
        let ready = wanted.filter(|(status, reason, _)| {
            report.ready.as_ref().is_none_or(|ready| ready.status != *status || ready.reason != *reason)
        });
        if ready.is_none() && starts.is_none() {
            return verdict(NodeOperation::Nothing, time);
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
            Some(StartsToWrite { condition, failures, cause }) => {
                (condition, Some(failures), cause.map(Notice::of_start).into_iter().collect())
            }
            None => (report.containers_start.clone(), None, Vec::new()),
        };
        let conditions = ready.or_else(|| report.ready.clone()).into_iter().chain(containers_start).collect();
        let (version, has_status) = (report.version.clone(), report.has_status);
        verdict(
            NodeOperation::WriteConditions { version, has_status, conditions, start_failures, notices },
            time,
        )
    }
}
