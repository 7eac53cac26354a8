//! What `status` shows.

use k8s_openapi::jiff::Timestamp;

use super::text::MAX_NAMED;
use super::*;
use crate::node_profile_state::NodeState;
use crate::show::Paint;
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
            node("node-1", Some(("False", reasons::BEHIND, 88)), report(json!({ "audit": HASH }), problem)),
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
    let nodes = (0..300).map(|i| node(&format!("node-{i:03}"), None, report(json!({}), json!([])))).collect();
    let text = StatusView::of_all(&snapshot(vec![profile("audit", 50)], nodes)).render(Paint::Plain, now());
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
