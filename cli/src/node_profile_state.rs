//! The state of one node for one profile, its reason, and since when.
//!
//! The operator also uses facts that not every user may read (the Nodes). Here the state is derived from the two kinds
//! that every user of the plugin may read, and from the agents' pods if the user may list them.

use std::fmt;

use api::conditions::{self, node as reasons};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use serde::Serialize;

use crate::facts::{Agents, NodeFacts, ProfileSummary, Snapshot};

/// The plugin's own reasons; others come from the operator and the agents.
pub mod plugin_reasons {
    /// Its agent has never reported, and is new.
    pub const JOINING: &str = "Joining";
    /// It has yet to remove the file of a profile that is being deleted.
    pub const HOLDS_FILE: &str = "HoldsFile";
    /// It has no file of the profile.
    pub const NO_FILE: &str = "NoFile";
    /// Its file has other contents.
    pub const OTHER_CONTENTS: &str = "OtherContents";
    /// One of the two above, and no agent is ready to write the file.
    pub const AGENT_NOT_READY: &str = "AgentNotReady";

    /// All of them.
    pub const ALL: [&str; 5] = [JOINING, HOLDS_FILE, NO_FILE, OTHER_CONTENTS, AGENT_NOT_READY];
}

/// The state of one node for one profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeProfileState {
    /// The node.
    pub node: String,
    /// The state.
    pub state: NodeState,
    /// The reason, as one word, if something is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// A readable explanation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// The earliest time since which this can be so: before it, the node or the profile was ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
}

/// The state of one node for one profile; the worst comes first. The operator does not distinguish `Removing` and
/// `Removed`: these two exist only in the plugin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum NodeState {
    /// Its agent reports that it cannot hold the file, although the contents are valid.
    Failed,
    /// It does not hold the file, and the operator waits for it.
    Pending,
    /// It has yet to remove the file of a profile that is being deleted.
    Removing,
    /// Its agent has never reported, and is new.
    Joining,
    /// It is not Ready in the cluster. The operator does not wait for it.
    Unreachable,
    /// It holds exactly these bytes.
    Ready,
    /// It holds no file of a profile that is being deleted.
    Removed,
}

impl NodeState {
    /// All of them.
    pub const ALL: [Self; 7] = [
        Self::Failed,
        Self::Pending,
        Self::Removing,
        Self::Joining,
        Self::Unreachable,
        Self::Ready,
        Self::Removed,
    ];

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_right(self) -> bool {
        matches!(self, Self::Ready | Self::Removed)
    }
}

impl fmt::Display for NodeState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

impl Snapshot {
    /// The state of every node that is to hold a profile, the worst first.
    #[must_use]
    pub fn node_states(&self, profile: &ProfileSummary) -> Vec<NodeProfileState> {
        let nodes = self.nodes.values().filter(|node| !node.excludes(profile));
        let mut all: Vec<_> = nodes.map(|node| NodeProfileState::of(profile, node, &self.agents)).collect();
        // Stable: by name among equals.
        all.sort_by_key(|node_state| (node_state.state, node_state.is_right()));
        all
    }
}

impl NodeProfileState {
    /// Whether nothing is wrong, including that no start failure is known.
    #[must_use]
    pub fn is_right(&self) -> bool {
        self.state.is_right() && self.reason.is_none()
    }

    /// The state of `node` for `profile`.
    #[must_use]
    pub fn of(profile: &ProfileSummary, node: &NodeFacts, agents: &Agents) -> Self {
        let node_state = |state, why: Option<(&str, String)>, since: Option<Time>| {
            let (reason, message) = why.map(|(reason, message)| (reason.to_owned(), message)).unzip();
            Self { node: node.name.clone(), state, reason, message, since }
        };
        let since = node.not_ready_since().cloned();
        if node.reason() == Some(reasons::UNREACHABLE) {
            let why = "the node is not Ready in the cluster, so the operator does not wait for it".to_owned();
            return node_state(NodeState::Unreachable, Some((reasons::UNREACHABLE, why)), since);
        }
        let Some(report) = &node.report else {
            let (state, reason, since) = match node.reason() {
                Some(reasons::NO_REPORT) => (NodeState::Pending, reasons::NO_REPORT, since),
                _ => (NodeState::Joining, plugin_reasons::JOINING, node.created.clone()),
            };
            let (trouble, _) = agents.trouble(&node.name).unzip();
            return node_state(state, Some((reason, and("its agent has never reported", trouble))), since);
        };
        let trouble = agents.trouble(&node.name);
        if node.reason() == Some(reasons::AGENT_DOWN) {
            // The operator reports this only after some time.
            let (trouble, down_since) = trouble.unzip();
            let why = and("no agent is ready on it, so nothing watches its files", trouble);
            let since = down_since.flatten().cloned().or(since);
            return node_state(NodeState::Pending, Some((reasons::AGENT_DOWN, why)), since);
        }
        let held = node.file_hash(&profile.name);
        if profile.removal_approved {
            return match held {
                Some(_) => {
                    let why = and("it has yet to remove the file", trouble.unzip().0);
                    node_state(
                        NodeState::Removing,
                        Some((plugin_reasons::HOLDS_FILE, why)),
                        lacking_since(profile, node),
                    )
                }
                None => node_state(NodeState::Removed, None, None),
            };
        }
        if held.is_some() && held == profile.wanted() {
            // Start failures do not change the state, because the bytes are right.
            let failure = node.start_failures.iter().find(|failure| failure.profile == profile.name);
            let why = failure.map(|failure| (failure.reason.as_str(), failure.message.clone()));
            let since = why.as_ref().and(node.start_failures_since.clone());
            return node_state(NodeState::Ready, why, since);
        }
        if let Some(problem) = report.problems.iter().find(|problem| problem.name == profile.name) {
            let why = (problem.reason.as_str(), problem.message.clone());
            // If the contents are invalid the node is not at fault; the operator also counts it as pending.
            let state = if profile.content.is_ok() { NodeState::Failed } else { NodeState::Pending };
            return node_state(state, Some(why), lacking_since(profile, node));
        }
        let (trouble, down_since) = match trouble {
            Some((trouble, since)) => (Some(trouble), since.cloned()),
            None => (None, None),
        };
        let (reason, lacks) = match held {
            Some(held) => (plugin_reasons::OTHER_CONTENTS, format!("its file has other contents ({held})")),
            None => (plugin_reasons::NO_FILE, "it has no file yet".to_owned()),
        };
        let reason = if trouble.is_some() { plugin_reasons::AGENT_NOT_READY } else { reason };
        let since = down_since.max(lacking_since(profile, node));
        node_state(NodeState::Pending, Some((reason, and(&lacks, trouble))), since)
    }
}

fn and(what: &str, more: Option<String>) -> String {
    more.map_or_else(|| what.to_owned(), |more| format!("{what}; {more}"))
}

/// The earliest time since which a node can lack a profile: while it does, neither the node nor the profile is ready.
/// The node's condition changes only after a grace time, which grows with the number of nodes.
fn lacking_since(profile: &ProfileSummary, node: &NodeFacts) -> Option<Time> {
    let not_ready = profile.condition(conditions::READY).filter(|ready| ready.status != "True");
    let by_profile = not_ready.map(|ready| ready.last_transition_time.clone());
    let nodes = profile.status.as_ref().and_then(|status| status.nodes.as_ref());
    let grace = reasons::grace(nodes.map_or(0, |nodes| u64::try_from(nodes.desired).unwrap_or_default()));
    let by_node = node.not_ready_since().map(|said| Time(said.0.checked_sub(grace).unwrap_or(said.0)));
    by_profile.max(by_node)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agents, node, profile, report};
    use serde_json::json;

    const WANTED: &str = "ada4d9a50895dd58cd1fd2a2deb4d6c9";

    fn shown(node_state: &NodeProfileState) -> String {
        let part = |part: &Option<String>| part.clone().unwrap_or_default();
        let since = node_state.since.as_ref().map(|since| since.0.to_string()).unwrap_or_default();
        format!("{} {} {} | {}", node_state.state, part(&node_state.reason), since, part(&node_state.message))
    }

    fn of(node: &NodeFacts) -> String {
        shown(&NodeProfileState::of(&profile("audit", 50), node, &Agents::Unknown))
    }

    #[test]
    fn a_node_is_ready_by_the_hash_that_its_agent_read_back_and_by_nothing_else() {
        let held = |hash: &str| {
            node("n1", Some(("True", reasons::ALL_PROFILES, 10)), report(json!({ "audit": hash }), json!([])))
        };
        assert_eq!(of(&held(WANTED)), "Ready   | ");
        insta::assert_snapshot!(of(&held(&WANTED.replace('a', "b"))),
            @"Pending OtherContents 1970-01-01T00:00:50Z | its file has other contents (bdb4d9b50895dd58cd1fd2b2deb4d6c9)");
        assert!(of(&held("no hash")).starts_with("Pending NoFile"));
    }

    #[test]
    fn an_agents_reason_and_message_are_shown() {
        let conflict =
            json!([{ "name": "audit", "state": "Conflict", "reason": "NotOurs", "message": "somebody's" }]);
        let node = node("n1", Some(("False", reasons::BEHIND, 90)), report(json!({}), conflict));
        assert_eq!(of(&node), "Failed NotOurs 1970-01-01T00:01:00Z | somebody's");
    }

    #[test]
    fn invalid_contents_are_not_the_nodes_failure() {
        let invalid = json!([{ "name": "audit", "state": "Rejected", "reason": "InvalidProfile", "message": "no action" }]);
        let node = node("n1", Some(("False", reasons::BEHIND, 90)), report(json!({}), invalid));
        let mut profile = profile("audit", 50);
        profile.content = Err("no action".to_owned());
        let node_state = NodeProfileState::of(&profile, &node, &Agents::Unknown);
        assert_eq!(shown(&node_state), "Pending InvalidProfile 1970-01-01T00:01:00Z | no action");
    }

    #[test]
    fn a_node_lacks_a_profile_since_the_later_of_both_at_the_earliest() {
        for (since, at) in [(70, "1970-01-01T00:00:50Z"), (90, "1970-01-01T00:01:00Z")] {
            let node = node("n1", Some(("False", reasons::BEHIND, since)), report(json!({}), json!([])));
            assert!(of(&node).contains(at), "{}", of(&node));
        }
    }

    /// A node that has the profile, with a start failure of `failing`.
    fn not_starting(failing: &str, condition_kind: &str) -> NodeFacts {
        let condition = |kind: &str, status: &str, at: &str| json!({ "type": kind, "status": status, "reason": "", "message": "", "lastTransitionTime": at });
        let conditions = [
            condition("Ready", "True", "1970-01-01T00:00:10Z"),
            condition(condition_kind, "False", "1970-01-01T00:01:30Z"),
        ];
        let failure =
            json!({ "profile": failing, "reason": "FileNotFound", "message": "it looks elsewhere" });
        let object = json!({
            "metadata": { "name": "n1" },
            "status": {
                "report": report(json!({ "audit": WANTED }), json!([])),
                "conditions": conditions,
                "startFailures": [failure],
            },
        });
        NodeFacts::of(&serde_json::from_value(object).unwrap())
    }

    #[test]
    fn a_node_with_the_bytes_where_no_container_starts_shows_why() {
        let failing = not_starting("audit", "ContainersStart");
        assert_eq!(of(&failing), "Ready FileNotFound 1970-01-01T00:01:30Z | it looks elsewhere");
        assert!(!NodeProfileState::of(&profile("audit", 50), &failing, &Agents::Unknown).is_right());
        assert_eq!(of(&not_starting("other", "ContainersStart")), "Ready   | ");
        // Left by a newer operator than the present one.
        assert_eq!(of(&not_starting("audit", "Other")), "Ready   | ");
    }

    #[test]
    fn the_right_bytes_without_a_running_agent_are_not_ready() {
        let held = || report(json!({ "audit": WANTED }), json!([]));
        insta::assert_snapshot!(of(&node("n1", Some(("False", reasons::AGENT_DOWN, 90)), held())),
            @"Pending AgentDown 1970-01-01T00:01:30Z | no agent is ready on it, so nothing watches its files");
        insta::assert_snapshot!(of(&node("n1", Some(("Unknown", reasons::UNREACHABLE, 90)), held())),
            @"Unreachable NodeUnreachable 1970-01-01T00:01:30Z | the node is not Ready in the cluster, so the operator does not wait for it");
    }

    #[test]
    fn a_node_without_a_report_is_new_until_the_operator_calls_it_silent() {
        insta::assert_snapshot!(of(&node("n1", None, None)), @"Joining Joining 1970-01-01T00:00:00Z | its agent has never reported");
        insta::assert_snapshot!(of(&node("n1", Some(("False", reasons::NO_REPORT, 90)), None)),
            @"Pending NoReport 1970-01-01T00:01:30Z | its agent has never reported");
    }

    #[test]
    fn an_agent_whose_pod_is_not_ready_is_named_before_the_operator_gives_it_up() {
        let node = node("n1", Some(("True", reasons::ALL_PROFILES, 10)), report(json!({}), json!([])));
        let node_state = |agents: &Agents| shown(&NodeProfileState::of(&profile("audit", 50), &node, agents));
        insta::assert_snapshot!(node_state(&agents(&[("n1", false, 95)])),
            @"Pending AgentNotReady 1970-01-01T00:01:35Z | it has no file yet; the pod of its agent, seccomp-profile/agent-n1, is not ready");
        insta::assert_snapshot!(node_state(&agents(&[])),
            @"Pending AgentNotReady 1970-01-01T00:00:50Z | it has no file yet; no pod of an agent is on it");
        assert!(node_state(&agents(&[("n1", true, 95)])).starts_with("Pending NoFile"));
    }

    #[test]
    fn a_node_without_the_file_of_a_deleted_profile_is_right() {
        let mut profile = profile("audit", 50);
        (profile.deleted, profile.removal_approved) = (true, true);
        let state = |files| {
            let node = node("n1", None, report(files, json!([])));
            NodeProfileState::of(&profile, &node, &Agents::Unknown).state
        };
        assert_eq!(state(json!({ "audit": WANTED })), NodeState::Removing);
        assert_eq!(state(json!({})), NodeState::Removed);
    }

    #[test]
    fn the_worst_comes_first() {
        let nodes = [
            node("a", None, report(json!({ "audit": WANTED }), json!([]))),
            node("b", None, report(json!({}), json!([]))),
            node("c", None, None),
        ];
        let nodes = nodes.into_iter().map(|node| (node.name.clone(), node)).collect();
        let snapshot = Snapshot { nodes, ..Snapshot::default() };
        let order: Vec<_> =
            snapshot.node_states(&profile("audit", 50)).into_iter().map(|it| it.node).collect();
        assert_eq!(order, ["b", "c", "a"]);
    }

    #[test]
    fn a_node_that_a_profile_does_not_select_is_left_out_only_if_the_profile_selects_nodes() {
        let mut excluding = node("n1", None, report(json!({}), json!([])));
        excluding.excluded.insert("audit".to_owned(), "7c1e".to_owned());
        let snapshot = crate::testing::snapshot(vec![], vec![excluding]);
        let states = |selects, uid: &str| {
            let profile = ProfileSummary { selects, uid: uid.to_owned(), ..profile("audit", 50) };
            let mut snapshot = snapshot.clone();
            snapshot.profiles.insert("audit".to_owned(), profile.clone());
            let verified = crate::verify::VerifyView::of(&snapshot, None);
            let shown = &crate::nodes::NodesView::of(&snapshot).nodes[0];
            assert_eq!((verified.wanted, shown.wanted), (shown.wanted, shown.behind.len()));
            snapshot.node_states(&profile).len()
        };
        assert_eq!([states(true, "7c1e"), states(true, "another"), states(false, "7c1e")], [0, 1, 1]);
    }
}
