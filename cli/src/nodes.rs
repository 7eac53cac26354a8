//! `nodes`: which profiles each node has, and whether its agent runs.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::facts::{NodeFacts, Snapshot};
use crate::node_profile_state::{NodeProfileState, NodeState};
use crate::show::{Cell, Paint, Table, Tone, age};

/// The maximum number of profiles that a line names; the rest are only counted.
const MAX_NAMED: usize = 5;

/// All nodes that should have an agent.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct NodesView {
    /// The nodes, by name.
    pub nodes: Vec<NodeView>,
}

/// One node.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// The status of its condition `Ready`: `True`, `False` or `Unknown`; absent before the operator writes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Since when.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// The operator's reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// How many of the wanted profiles it holds.
    pub held: usize,
    /// The number of profiles that it should hold.
    pub wanted: usize,
    /// Version of its agent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_version: Option<String>,
    /// What is wrong with its agent's pod, if the user may list pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent_trouble: Option<String>,
    /// The profiles that it does not hold as it should.
    pub behind: Vec<OutdatedProfile>,
}

/// A profile that a node does not hold as it should.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OutdatedProfile {
    /// The profile.
    pub profile: String,
    /// The node's state for it.
    #[serde(flatten)]
    pub node_state: NodeProfileState,
}

impl NodesView {
    /// The nodes of a cluster.
    #[must_use]
    pub fn of(snapshot: &Snapshot) -> Self {
        Self { nodes: snapshot.nodes.values().map(|node| NodeView::of(node, snapshot)).collect() }
    }

    /// The view as text.
    #[must_use]
    pub fn render(&self, paint: Paint, now: Timestamp) -> String {
        if self.nodes.is_empty() {
            return "No node is expected to run an agent. Is the operator running, and do the agents' node selector and affinity match any node?\n".to_owned();
        }
        let mut table = Table::new(["NODE", "READY", "SINCE", "PROFILES", "AGENT", "WHY"]);
        for node in &self.nodes {
            table.row([
                (&node.name).into(),
                Cell::toned(node.ready.as_deref().unwrap_or("?"), node.tone()),
                age(node.since.as_ref(), now).into(),
                format!("{}/{}", node.held, node.wanted).into(),
                node.agent_version.as_deref().unwrap_or("?").into(),
                node.why().into(),
            ]);
        }
        table.render(paint)
    }
}

impl NodeView {
    fn of(node: &NodeFacts, snapshot: &Snapshot) -> Self {
        let profiles = || snapshot.profiles.values().filter(|profile| !node.excludes(profile));
        let wanted_profiles: Vec<_> = profiles().filter(|profile| profile.wanted().is_some()).collect();
        let holds = |name: &str, hash| hash == node.file_hash(name);
        let behind = profiles()
            .map(|profile| OutdatedProfile {
                profile: profile.name.clone(),
                node_state: NodeProfileState::of(profile, node, &snapshot.agents),
            })
            // Without a report every profile would have the same reason; `why` shows that once.
            .filter(|_| node.report.is_some())
            .filter(|it| {
                matches!(it.node_state.state, NodeState::Failed | NodeState::Pending | NodeState::Removing)
            })
            .filter(|it| !holds(&it.profile, snapshot.profiles[&it.profile].wanted()))
            .collect();
        let ready = node.ready.as_ref();
        Self {
            name: node.name.clone(),
            ready: ready.map(|ready| ready.status.clone()),
            since: ready.map(|ready| ready.last_transition_time.clone()).or_else(|| node.created.clone()),
            reason: ready.filter(|ready| ready.status != "True").map(|ready| ready.reason.clone()),
            held: wanted_profiles.iter().filter(|profile| holds(&profile.name, profile.wanted())).count(),
            wanted: wanted_profiles.len(),
            agent_version: node.report.as_ref().map(|report| report.agent_version.clone()),
            agent_trouble: snapshot.agents.trouble(&node.name).map(|(trouble, _)| trouble),
            behind,
        }
    }

    fn tone(&self) -> Tone {
        match self.ready.as_deref() {
            Some("True") if self.behind.is_empty() && self.agent_trouble.is_none() => Tone::Good,
            Some("False") => Tone::Bad,
            _ => Tone::Waiting,
        }
    }

    fn why(&self) -> String {
        let describe = |behind: &OutdatedProfile| {
            let reason = behind.node_state.reason.as_deref().unwrap_or_default();
            format!("{} ({reason})", behind.profile)
        };
        let mut parts: Vec<String> = self.reason.iter().cloned().collect();
        if self.agent_version.is_none() {
            parts.push("its agent has never reported".to_owned());
        }
        parts.extend(self.agent_trouble.clone());
        if !self.behind.is_empty() {
            let named: Vec<_> = self.behind.iter().take(MAX_NAMED).map(describe).collect();
            let more = self.behind.len().saturating_sub(MAX_NAMED);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            parts.push(format!("lacks {}{more}", named.join(", ")));
        }
        parts.join("; ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{agents, node, profile, report, snapshot};
    use api::conditions::node as reasons;
    use serde_json::json;

    #[test]
    fn every_node_shows_its_profiles_and_why_one_is_missing() {
        const HASH: &str = "ada4d9a50895dd58cd1fd2a2deb4d6c9";
        let problem =
            json!([{ "name": "audit", "state": "Conflict", "reason": "NotOurs", "message": "somebody's" }]);
        let all = || report(json!({ "audit": HASH, "trace": HASH }), json!([]));
        let mut snapshot = snapshot(
            vec![profile("audit", 50), profile("trace", 50)],
            vec![
                node("node-1", Some(("True", reasons::ALL_PROFILES, 10)), all()),
                node(
                    "node-2",
                    Some(("False", reasons::BEHIND, 88)),
                    report(json!({ "trace": HASH }), problem),
                ),
                node("node-3", Some(("Unknown", reasons::UNREACHABLE, 20)), all()),
                node("node-4", Some(("False", reasons::AGENT_DOWN, 30)), all()),
                node("node-5", None, None),
                node("node-6", Some(("True", reasons::ALL_PROFILES, 10)), report(json!({}), json!([]))),
            ],
        );
        snapshot.agents = agents(&[
            ("node-1", true, 1),
            ("node-2", true, 1),
            ("node-3", true, 1),
            ("node-4", false, 30),
            ("node-5", true, 1),
            ("node-6", true, 1),
        ]);
        let view = NodesView::of(&snapshot);
        insta::assert_snapshot!(view.render(Paint::Plain, Timestamp::from_second(100).unwrap()));
        assert_eq!(view.nodes[1].behind[0].node_state.message.as_deref(), Some("somebody's"));
    }
}
