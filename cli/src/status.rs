//! `status`: the state of each profile, and the nodes that are behind and why.

use api::{OpenEnum, ProfileWarning, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use crate::facts::{ProfileSummary, Snapshot};
use crate::node_profile_state::{NodeProfileState, NodeState};
use crate::show::{Cell, Paint, Table, Tone, age, escaped};

/// The maximum number of nodes that the overview names for one profile; the profile's own page names all.
const MAX_NAMED: usize = 10;

/// Some profiles, or one.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct StatusView {
    /// The profiles.
    pub profiles: Vec<ProfileStatus>,
    /// Whether a single profile was requested; then every node is shown.
    #[serde(skip)]
    single: bool,
}

/// One profile.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ProfileStatus {
    /// Its name.
    pub name: String,
    /// The state from the operator's status, or `Unknown` without one.
    pub state: String,
    /// Nodes that hold it, of those that should.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ready: Option<String>,
    /// Since when it has been ready or not ready.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<Time>,
    /// What is wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub why: Vec<String>,
    /// What the operator found in the current contents.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<ProfileWarning>,
    /// Whether a live pod uses it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub in_use: Option<bool>,
    /// What a pod writes into `localhostProfile`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub localhost_profile: Option<String>,
    /// SHA-256 of the file that every node should hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub content_hash: Option<String>,
    /// The state of each node, the worst first.
    pub nodes: Vec<NodeProfileState>,
}

impl StatusView {
    /// All profiles.
    #[must_use]
    pub fn of_all(snapshot: &Snapshot) -> Self {
        let profiles = snapshot.profiles.values().map(|it| ProfileStatus::of(it, snapshot)).collect();
        Self { profiles, single: false }
    }

    /// One profile.
    #[must_use]
    pub fn of_one(profile: &ProfileSummary, snapshot: &Snapshot) -> Self {
        Self { profiles: vec![ProfileStatus::of(profile, snapshot)], single: true }
    }

    /// The view as text.
    #[must_use]
    pub fn render(&self, paint: Paint, now: Timestamp) -> String {
        match &self.profiles[..] {
            [profile] if self.single => profile.render(paint, now),
            [] => "There are no profiles.\n".to_owned(),
            profiles => overview(profiles, paint, now),
        }
    }
}

impl ProfileStatus {
    /// The state of a profile.
    #[must_use]
    pub fn of(profile: &ProfileSummary, snapshot: &Snapshot) -> Self {
        let status = profile.status.as_ref();
        let ready = profile.condition(conditions::READY);
        Self {
            name: profile.name.clone(),
            state: status
                .and_then(|status| status.state.as_ref())
                .map_or("Unknown", OpenEnum::as_str)
                .to_owned(),
            ready: status.and_then(|status| status.ready.clone()),
            since: ready.map(|ready| ready.last_transition_time.clone()),
            why: why(profile, ready),
            warnings: status
                .filter(|_| profile.is_current())
                .map(|status| status.warnings.clone())
                .unwrap_or_default(),
            in_use: status.and_then(|status| status.in_use),
            localhost_profile: status.and_then(|status| status.localhost_profile.clone()),
            content_hash: profile.content.as_ref().ok().map(ToString::to_string),
            nodes: snapshot.node_states(profile),
        }
    }

    /// The nodes where something is wrong.
    pub fn behind(&self) -> impl Iterator<Item = &NodeProfileState> {
        self.nodes.iter().filter(|node_state| !node_state.is_right())
    }

    fn tone(&self) -> Tone {
        match self.state.as_str() {
            "Ready" if self.why.is_empty() => Tone::Good,
            "Failed" | "Rejected" => Tone::Bad,
            _ => Tone::Waiting,
        }
    }

    fn render(&self, paint: Paint, now: Timestamp) -> String {
        let since = age(self.since.as_ref(), now);
        let state = if since.is_empty() { self.state.clone() } else { format!("{} for {since}", self.state) };
        let mut lines = format!(
            "Profile:   {}\nState:     {}",
            paint.text(&self.name, Tone::Heading),
            paint.text(&state, self.tone())
        );
        if let Some(ready) = &self.ready {
            lines += &format!(", on {} nodes", escaped(ready));
        }
        lines.push('\n');
        for why in &self.why {
            lines += &format!("           {}\n", paint.text(why, Tone::Plain));
        }
        let field = |name: &str, value: Option<&str>| {
            value.map(|value| format!("{name:<11}{}\n", paint.text(value, Tone::Plain))).unwrap_or_default()
        };
        lines += &field("Path:", self.localhost_profile.as_deref());
        lines += &field("Hash:", self.content_hash.as_deref());
        lines += &field("In use:", self.in_use.map(|in_use| if in_use { "yes" } else { "no" }));
        for (at, warning) in self.warnings.iter().enumerate() {
            let ProfileWarning { rule, severity, path, message } = warning;
            let label = if at == 0 { "Warnings:" } else { "" };
            let tone = if severity == "error" { Tone::Bad } else { Tone::Waiting };
            let what = paint.text(&format!("{severity}[{rule}]"), tone);
            lines +=
                &format!("{label:<11}{what} {}\n", paint.text(&format!("{path}: {message}"), Tone::Plain));
        }
        lines.push('\n');
        if self.nodes.is_empty() {
            return lines
                + "No node is expected to hold it. Is the operator running, and do the agents' node selector and affinity match any node?\n";
        }
        let mut table = Table::new(["NODE", "STATE", "SINCE", "WHY"]);
        for node_state in &self.nodes {
            table.row([
                (&node_state.node).into(),
                state_cell(node_state),
                age(node_state.since.as_ref(), now).into(),
                because(node_state).into(),
            ]);
        }
        lines + &table.render(paint)
    }
}

fn overview(profiles: &[ProfileStatus], paint: Paint, now: Timestamp) -> String {
    let mut table = Table::new(["PROFILE", "STATE", "READY", "SINCE", "IN USE", "WHY"]);
    for profile in profiles {
        table.row([
            (&profile.name).into(),
            Cell::toned(&profile.state, profile.tone()),
            profile.ready.as_deref().unwrap_or("?").into(),
            age(profile.since.as_ref(), now).into(),
            profile.in_use.map_or("?", |in_use| if in_use { "yes" } else { "no" }).into(),
            profile.why.join("; ").into(),
        ]);
    }
    let mut text = table.render(paint);
    if profiles.iter().any(|profile| profile.behind().next().is_some()) {
        let mut table = Table::new(["PROFILE", "NODE", "STATE", "SINCE", "WHY"]);
        for profile in profiles {
            for node_state in profile.behind().take(MAX_NAMED) {
                table.row([
                    (&profile.name).into(),
                    (&node_state.node).into(),
                    state_cell(node_state),
                    age(node_state.since.as_ref(), now).into(),
                    because(node_state).into(),
                ]);
            }
            let more = profile.behind().count().saturating_sub(MAX_NAMED);
            if more > 0 {
                let all = format!("kubectl seccomp status {}", profile.name);
                table.row([
                    (&profile.name).into(),
                    format!("and {more} more").into(),
                    "".into(),
                    "".into(),
                    all.into(),
                ]);
            }
        }
        text.push('\n');
        text += &table.render(paint);
    }
    text
}

/// What is wrong with a profile, from its conditions.
fn why(profile: &ProfileSummary, ready: Option<&Condition>) -> Vec<String> {
    let mut why = Vec::new();
    match &profile.status {
        None => why.push(
            "the operator has not reconciled it, which is normal for some seconds after its creation; if it lasts, \
             does it run?"
                .to_owned(),
        ),
        Some(status) if !profile.is_current() => why.push(format!(
            "the status is about generation {}, not {}",
            status.observed_generation.unwrap_or_default(),
            profile.generation.unwrap_or_default()
        )),
        Some(_) => {}
    }
    // For rejected contents the operator's message would be the same, because it uses the same parser.
    if let Err(error) = &profile.content {
        why.push(error.clone());
    }
    if let Some(ready) = ready.filter(|ready| ready.status != "True" && profile.content.is_ok()) {
        why.push(format!("{}: {}", ready.reason, ready.message));
    }
    if let Some(deleting) = profile.condition(conditions::DELETING) {
        why.push(format!("{}: {}", deleting.reason, deleting.message));
    }
    why
}

/// A node's state in its colour.
fn state_cell(node_state: &NodeProfileState) -> Cell {
    let state = node_state.state;
    let tone = match state {
        NodeState::Ready if !node_state.is_right() => Tone::Bad,
        NodeState::Ready | NodeState::Removed => Tone::Good,
        NodeState::Failed => Tone::Bad,
        NodeState::Pending | NodeState::Removing | NodeState::Joining | NodeState::Unreachable => {
            Tone::Waiting
        }
    };
    Cell::toned(state, tone)
}

/// Reason and message of a node where something is wrong.
#[must_use]
pub fn because(node_state: &NodeProfileState) -> String {
    match (&node_state.reason, &node_state.message) {
        (Some(reason), Some(message)) => format!("{reason}: {message}"),
        (reason, message) => reason.clone().or_else(|| message.clone()).unwrap_or_default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, profile, profile_with, report, snapshot};
    use api::conditions::node as reasons;
    use serde_json::json;

    const HASH: &str = "ada4d9a50895dd58cd1fd2a2deb4d6c9";

    fn now() -> Timestamp {
        Timestamp::from_second(100).unwrap()
    }

    fn ready(name: &str) -> ProfileSummary {
        profile_with(name, "Ready", ("True", "AllNodesReady", "2 of 2 nodes hold it"), 40)
    }

    fn failed(name: &str) -> ProfileSummary {
        profile_with(name, "Failed", ("False", "NodesFailed", "1 of 2 nodes hold it; 1 failed"), 58)
    }

    fn conflict() -> Snapshot {
        let problem = json!([{
            "name": "claimed", "state": "Conflict", "reason": "NotOurs",
            "message": "a file that is not the agent's has this name; remove it or rename the profile",
        }]);
        snapshot(
            vec![ready("audit"), failed("claimed")],
            vec![
                node(
                    "node-1",
                    Some(("False", reasons::BEHIND, 88)),
                    report(json!({ "audit": HASH }), problem),
                ),
                node(
                    "node-2",
                    Some(("True", reasons::ALL_PROFILES, 10)),
                    report(json!({ "audit": HASH, "claimed": HASH }), json!([])),
                ),
            ],
        )
    }

    #[test]
    fn the_overview_shows_every_profile_and_every_node_that_is_behind() {
        insta::assert_snapshot!(StatusView::of_all(&conflict()).render(Paint::Plain, now()));
    }

    #[test]
    fn a_node_where_no_container_starts_has_a_row_although_it_has_the_bytes() {
        let failing = json!({
            "metadata": { "name": "node-2", "creationTimestamp": "1970-01-01T00:00:00Z" },
            "status": {
                "report": report(json!({ "audit": HASH }), json!([])),
                "conditions": [{
                    "type": "ContainersStart", "status": "False", "reason": "StartFailed", "message": "",
                    "lastTransitionTime": "1970-01-01T00:01:10Z",
                }],
                "startFailures": [{
                    "profile": "audit", "reason": "StartFailed",
                    "message": "the container runtime starts no container under it (pod shop/web)",
                }],
            },
        });
        let failing = crate::facts::NodeFacts::of(&serde_json::from_value(failing).unwrap());
        let other = node("node-1", None, report(json!({ "audit": HASH }), json!([])));
        let snapshot = snapshot(vec![ready("audit")], vec![other, failing]);
        insta::assert_snapshot!(StatusView::of_all(&snapshot).render(Paint::Plain, now()), @r"
        PROFILE   STATE   READY   SINCE   IN USE   WHY
        audit     Ready   1/2     60s     yes

        PROFILE   NODE     STATE   SINCE   WHY
        audit     node-2   Ready   30s     StartFailed: the container runtime starts no container under it (pod shop/web)
        ");
        let own = StatusView::of_one(&snapshot.profiles["audit"], &snapshot).render(Paint::Plain, now());
        assert!(own.contains("\nnode-2   Ready   30s     StartFailed: "), "{own}");
    }

    #[test]
    fn a_profiles_own_page_shows_every_node() {
        let snapshot = conflict();
        let view = StatusView::of_one(&snapshot.profiles["claimed"], &snapshot);
        insta::assert_snapshot!(view.render(Paint::Plain, now()));
    }

    #[test]
    fn a_profiles_own_page_shows_what_the_operator_found_in_its_present_contents() {
        let warning = |severity: &str, rule: &str, path: &str, message: &str| ProfileWarning {
            rule: rule.into(),
            severity: severity.into(),
            path: format!("spec.contents.{path}"),
            message: message.into(),
        };
        let mut profile = ready("audit");
        profile.status.as_mut().unwrap().warnings = vec![
            warning("error", "unknown-syscall", "syscalls[0].names[0]", "epol_wait is no system call"),
            warning("warning", "log-left-in", "defaultAction", "every call is logged"),
        ];
        let cluster = snapshot(vec![profile.clone()], vec![]);
        let view = StatusView::of_one(&cluster.profiles["audit"], &cluster);
        let text = view.render(Paint::Plain, now());
        let shown: Vec<_> = text.lines().skip_while(|line| !line.starts_with("Warnings:")).take(2).collect();
        insta::assert_snapshot!(shown.join("\n"), @r"
        Warnings:  error[unknown-syscall] spec.contents.syscalls[0].names[0]: epol_wait is no system call
                   warning[log-left-in] spec.contents.defaultAction: every call is logged
        ");
        assert_eq!(serde_json::to_value(&view).unwrap()["profiles"][0]["warnings"][1]["rule"], "log-left-in");
        profile.generation = Some(9);
        let cluster = snapshot(vec![profile], vec![]);
        assert!(StatusView::of_one(&cluster.profiles["audit"], &cluster).profiles[0].warnings.is_empty());
    }

    #[test]
    fn colours_mark_what_is_right_and_what_is_wrong() {
        let snapshot = conflict();
        let view = StatusView::of_one(&snapshot.profiles["claimed"], &snapshot);
        insta::assert_snapshot!(view.render(Paint::Colours, now()).replace('\x1b', "ESC"));
    }

    #[test]
    fn programs_read_the_same_as_people() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&StatusView::of_all(&conflict())).unwrap());
    }

    #[test]
    fn a_missing_or_outdated_status_is_shown_as_such() {
        let mut silent = profile("audit", 50);
        silent.status = None;
        let mut late = ready("late");
        late.generation = Some(4);
        insta::assert_snapshot!(
            StatusView::of_all(&snapshot(vec![silent, late], vec![])).render(Paint::Plain, now())
        );
    }

    #[test]
    fn invalid_contents_are_shown_with_the_field() {
        let mut rejected =
            profile_with("misspelt", "Rejected", ("False", "InvalidProfile", "the profile is invalid"), 50);
        rejected.content = Err("spec.contents.defaultAction: is required".into());
        insta::assert_snapshot!(
            StatusView::of_all(&snapshot(vec![rejected], vec![])).render(Paint::Plain, now())
        );
    }

    #[test]
    fn the_overview_of_a_large_cluster_stays_readable() {
        let nodes =
            (0..300).map(|i| node(&format!("node-{i:03}"), None, report(json!({}), json!([])))).collect();
        let text =
            StatusView::of_all(&snapshot(vec![profile("audit", 50)], nodes)).render(Paint::Plain, now());
        assert_eq!(text.lines().count(), 2 + 1 + 1 + MAX_NAMED + 1);
        let last = text.lines().last().unwrap();
        assert_eq!(last, "audit     and 290 more                     kubectl seccomp status audit");
    }

    /// Programs of two releases run at the same time during every upgrade, and users upgrade the plugin last.
    #[test]
    fn unknown_values_of_a_newer_operator_or_agent_are_shown_unchanged() {
        let paused = profile_with("audit", "Paused", ("False", "SomebodyPausedIt", "till Monday"), 40);
        let newer = json!([
            { "name": "audit", "state": "Frozen", "reason": "NewReason", "message": "a new word", "since": {} },
            { "name": 7 },
        ]);
        let mut behind = node("node-1", Some(("False", reasons::BEHIND, 88)), None);
        let object = json!({ "metadata": { "name": "node-1" }, "status": { "report": {
            "agentVersion": "9.0.0", "directory": "/d", "fileCount": 1, "files": { "trace": HASH }, "problems": newer, "news": [],
        } } });
        behind.report = crate::facts::NodeFacts::of(&serde_json::from_value(object).unwrap()).report;
        let snapshot = snapshot(vec![paused, ready("trace")], vec![behind]);
        let view = StatusView::of_all(&snapshot);
        insta::assert_snapshot!(view.render(Paint::Plain, now()));
        assert_eq!(view.profiles[1].nodes[0].state, NodeState::Ready, "the rest of the report counts");
        assert_eq!(serde_json::to_value(&view).unwrap()["profiles"][0]["state"], "Paused");
    }

    #[test]
    fn an_empty_cluster_is_shown_as_such() {
        assert_eq!(
            StatusView::of_all(&Snapshot::default()).render(Paint::Plain, now()),
            "There are no profiles.\n"
        );
    }
}
