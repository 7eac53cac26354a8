//! Which workloads are outdated, and how it is shown.

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::*;
use crate::show::Paint;
use crate::testing::{at, node, profile, snapshot};

/// The short hash of the contents of [`profile`].
const HASH: &str = "ada4d9a50895dd58cd1fd2a2deb4d6c9";

/// A pod on a node that the kubelet accepted at a second, and whose container started a second later.
fn pod(name: &str, owner: Option<(&str, &str)>, on: &str, accepted: i64) -> UserPod {
    let owners: Vec<_> = owner
        .iter()
        .map(|(kind, name)| {
            let (kind, group) = kind.split_once('.').unwrap_or((kind, "apps"));
            json!({ "apiVersion": format!("{group}/v1"), "kind": kind, "name": name, "uid": "u", "controller": true })
        })
        .collect();
    let profile = json!({ "type": "Localhost", "localhostProfile": "profiles/audit.json" });
    let pod: WatchedPod = serde_json::from_value(json!({
        "metadata": { "name": name, "namespace": "shop", "ownerReferences": owners },
        "spec": {
            "nodeName": on, "securityContext": { "seccompProfile": profile }, "containers": [{ "name": "main" }],
        },
        "status": {
            "phase": "Running", "startTime": at(accepted).0.to_string(),
            "containerStatuses": [{ "name": "main", "state": { "running": { "startedAt": at(accepted + 1).0.to_string() } } }],
        },
    }))
    .unwrap();
    UserPod::of(&pod, "profiles").unwrap()
}

fn report(hash: &str, changed: &Value) -> Option<api::Report> {
    let report = json!({
        "agentVersion": "0.1.0", "directory": "/var/lib/kubelet/seccomp/profiles", "fileCount": 1,
        "files": { "audit": hash }, "problems": [], "changed": changed,
    });
    serde_json::from_value(report).unwrap()
}

/// `audit` was replaced at second 1000 on `n1`, `n2` has never had other bytes, `n3` has others, and the agent on `n4`
/// states no times.
fn cluster() -> Snapshot {
    let nodes = vec![
        node("n1", None, report(HASH, &json!({ "audit": at(1000).0.to_string() }))),
        node("n2", None, report(HASH, &json!({}))),
        node("n3", None, report("00000000000000000000000000000000", &json!({}))),
        node("n4", None, report(HASH, &Value::Null)),
    ];
    snapshot(vec![profile("audit", 1)], nodes)
}

fn shop() -> Vec<UserPod> {
    let web = Some(("ReplicaSet", "web-5d"));
    vec![
        pod("web-1", web, "n1", 500),
        pod("web-2", web, "n1", 1500),
        pod("web-3", web, "n2", 500),
        pod("db-0", Some(("StatefulSet", "db")), "n3", 2000),
        pod("alone", None, "n1", 100),
        pod("old-1", Some(("DaemonSet", "old")), "n4", 100),
    ]
}

fn owners() -> ReplicaSetOwners {
    let deployment = Owner { kind: GroupKind::of("apps/v1", "Deployment"), name: "web".to_owned() };
    BTreeMap::from([(("shop".to_owned(), "web-5d".to_owned()), deployment)])
}

#[test]
fn a_node_whose_clock_is_off_by_a_minute_shows_what_one_whose_clock_is_right_shows() {
    let shown = |off: i64| {
        let report = report(HASH, &json!({ "audit": at(1000 + off).0.to_string() }));
        let snapshot = snapshot(vec![profile("audit", 1)], vec![node("n1", None, report)]);
        let pods = [("a", 990), ("b", 999), ("c", 1001), ("d", 1010)];
        let pods: Vec<_> = pods.map(|(name, accepted)| pod(name, None, "n1", accepted + off)).into();
        let view = OutdatedView::of(&pods, &BTreeMap::new(), &snapshot, None);
        view.workloads.into_iter().map(|it| it.name).collect::<Vec<_>>()
    };
    assert_eq!(shown(0), ["a", "b"]);
    assert_eq!(shown(-60), shown(0));
    assert_eq!(shown(60), shown(0));
}

fn now() -> Timestamp {
    at(4600).0
}

#[test]
fn workloads_are_shown_with_the_oldest_container_first() {
    let view = OutdatedView::of(&shop(), &owners(), &cluster(), None);
    insta::assert_snapshot!(view.render(Paint::Plain, now()));
    insta::assert_snapshot!(view.remarks().join("\n"));
}

#[test]
fn programs_read_the_same_as_people() {
    let view = OutdatedView::of(&shop(), &owners(), &cluster(), Some("audit"));
    insta::assert_snapshot!(serde_json::to_string_pretty(&view).unwrap());
}

#[test]
fn a_pod_that_was_deleted_counts_until_it_has_ended_and_is_told_apart() {
    let mut pods = shop();
    pods.push(pod("web-0", Some(("ReplicaSet", "web-5d")), "n1", 400));
    let ending = |pods: &[UserPod]| {
        let view = OutdatedView::of(pods, &owners(), &cluster(), None);
        let web = view.workloads.into_iter().find(|it| it.name == "web").unwrap();
        (web.outdated_pods, web.ending_pods, web.is_ending())
    };
    assert_eq!(ending(&pods), (2, 0, false));
    pods[0].is_ending = true;
    assert_eq!(ending(&pods), (2, 1, false));
    pods.last_mut().unwrap().is_ending = true;
    assert_eq!(ending(&pods), (2, 2, true));
}

#[test]
fn without_its_owner_a_replica_set_stands_for_itself() {
    let view = OutdatedView::of(&shop()[..1], &ReplicaSetOwners::new(), &cluster(), None);
    assert_eq!(titles(&view), ["ReplicaSet shop/web-5d"]);
}

fn titles(view: &OutdatedView) -> Vec<String> {
    view.workloads.iter().map(OutdatedWorkload::title).collect()
}

#[test]
fn kinds_of_other_products_are_not_mixed_up_with_kubernetes_own() {
    let pods = [
        pod("db-0", Some(("StatefulSet", "db")), "n1", 100),
        pod("db-1", Some(("StatefulSet.apps.kruise.io", "db")), "n1", 200),
        pod("web-1", Some(("ReplicaSet.example.org", "web-5d")), "n1", 300),
    ];
    assert!(!pods[2].is_of_replica_set());
    let view = OutdatedView::of(&pods, &owners(), &cluster(), None);
    assert_eq!(
        titles(&view),
        ["StatefulSet shop/db", "StatefulSet.apps.kruise.io shop/db", "ReplicaSet.example.org shop/web-5d"]
    );
}

#[test]
fn where_nothing_is_outdated_the_answer_is_a_sentence() {
    let view = OutdatedView::of(&shop()[1..3], &owners(), &cluster(), Some("audit"));
    assert_eq!(
        view.render(Paint::Plain, now()),
        "No container that could be checked is older than the file of audit.\n"
    );
    assert!(OutdatedView::of(&shop(), &owners(), &cluster(), Some("other")).workloads.is_empty());
}

#[test]
fn a_pod_that_has_ended_or_names_no_profile_is_not_a_user() {
    let pod = |phase: &str, path: &str| {
        let profile = json!({ "type": "Localhost", "localhostProfile": path });
        let pod = json!({
            "metadata": { "name": "web" }, "spec": { "securityContext": { "seccompProfile": profile } },
            "status": { "phase": phase },
        });
        UserPod::of(&serde_json::from_value(pod).unwrap(), "profiles").is_some()
    };
    assert!(pod("Running", "profiles/a.json") && pod("Pending", "profiles/a.json"));
    assert!(!pod("Succeeded", "profiles/a.json") && !pod("Running", "other/a.json"));
}
