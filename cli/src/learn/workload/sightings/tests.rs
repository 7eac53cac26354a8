use api::WatchedPod;
use serde_json::{Value, json};

use super::*;
use crate::facts::AgentPod;
use crate::learn::workload::session::{Limits, Next, Session};
use crate::outdated::Workload;
use crate::owner::{GroupKind, Owner};
use crate::testing::at;

fn pod(name: &str, uid: &str, node: &str, profile: &str) -> WatchedPod {
    let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "u", "controller": true });
    let profile = json!({ "type": "Localhost", "localhostProfile": format!("profiles/{profile}.json") });
    let pod = json!({
        "metadata": { "name": name, "namespace": "shop", "uid": uid, "ownerReferences": [owner] },
        "spec": { "nodeName": node, "securityContext": { "seccompProfile": profile }, "containers": [{ "name": "main" }] },
        "status": { "phase": "Running" },
    });
    serde_json::from_value(pod).unwrap()
}

fn call(name: &str, action: &str, count: i64, last: i64) -> Value {
    json!({
        "architecture": "x86_64", "number": 1, "name": name, "action": action, "count": count,
        "first": at(last - 10).0.to_string(), "last": at(last).0.to_string(), "program": "/bin/web",
    })
}

fn container(pod: &str, uid: &str, container: &str, id: &str, calls: Vec<Value>) -> Value {
    json!({
        "namespace": "shop", "pod": pod, "podUid": uid, "container": container, "containerId": id, "calls": calls,
        "further": 0,
    })
}

fn observed(node: &str, state: &str, lost: i64, containers: Vec<Value>) -> Observed {
    let report = json!({
        "observerVersion": "0.1.0", "state": state, "reason": "NoAudit", "message": "no audit",
        "containers": containers, "outside": 0, "unknown": lost * 2, "forgotten": 0, "lost": lost, "boot": "b",
    });
    let object = json!({ "metadata": { "name": node }, "status": { "report": report } });
    Observed::of(serde_json::from_value(object).unwrap())
}

fn learners() -> Learners {
    Learners {
        workload: Workload {
            namespace: "shop".into(),
            kind: GroupKind::of("apps/v1", "Deployment"),
            name: "web".into(),
        },
        profile: "web-learning".into(),
        directory: "profiles".into(),
    }
}

fn cluster(pods: Vec<WatchedPod>, observed: Vec<Observed>) -> Cluster {
    let deployment = Owner { kind: GroupKind::of("apps/v1", "Deployment"), name: "web".to_owned() };
    let owners = [(("shop".to_owned(), "web-5d".to_owned()), deployment)].into();
    Cluster { observed, pods, owners, observers: observers(true) }
}

fn observers(ready: bool) -> Agents {
    let pod = |node: &str| {
        let namespaced_name = format!("seccomp-profile/observer-{node}");
        (node.to_owned(), vec![AgentPod { namespaced_name, ready, since: None }])
    };
    Agents::Known(["n1", "n2"].map(pod).into())
}

fn names(sighting: &Sighting) -> Vec<&'static str> {
    sighting.calls.iter().map(|call| call.name()).collect()
}

#[test]
fn calls_of_all_pods_and_rounds_are_merged_and_stay_when_a_pod_and_its_report_are_gone() {
    let mut sightings = Sightings::default();
    let log = |name, count, last| call(name, "SCMP_ACT_LOG", count, last);
    let first = cluster(
        vec![pod("web-1", "u1", "n1", "web-learning"), pod("web-2", "u2", "n2", "web-learning")],
        vec![
            observed(
                "n1",
                "Observing",
                0,
                vec![container("web-1", "u1", "main", "c1", vec![log("read", 3, 100)])],
            ),
            observed(
                "n2",
                "Observing",
                0,
                vec![container("web-2", "u2", "main", "c2", vec![log("read", 4, 200)])],
            ),
        ],
    );
    assert_eq!(names(&sightings.take(Duration::ZERO, &learners(), &first)), ["read"]);
    let second = cluster(
        vec![pod("web-3", "u3", "n1", "web-learning")],
        vec![observed(
            "n1",
            "Observing",
            0,
            vec![container("web-3", "u3", "main", "c3", vec![log("write", 1, 300), log("read", 1, 50)])],
        )],
    );
    let now = sightings.take(Duration::ZERO, &learners(), &second);
    assert_eq!(now.calls.len(), 2);
    assert_eq!((now.not_listed, now.missed.len(), sightings.pods()), (0, 1, 3));
    let calls = sightings.calls();
    assert_eq!((calls[0].call.as_str(), calls[0].count, calls[0].pods.len()), ("read", 8, 3));
    assert_eq!((&calls[0].first, &calls[0].last), (&Some(at(40)), &Some(at(200))));
}

#[test]
fn only_logged_calls_of_the_workloads_learning_containers_count() {
    let log = || vec![call("bpf", "SCMP_ACT_LOG", 1, 100)];
    let observed = observed(
        "n1",
        "Observing",
        0,
        vec![
            container("web-1", "u1", "main", "c1", vec![call("mount", "SCMP_ACT_ERRNO", 1, 100)]),
            container("web-1", "u1", "proxy", "c2", log()),
            container("web-1", "earlier", "main", "c3", log()),
            container("web-1", "", "main", "c6", log()),
            container("web-2", "u2", "main", "c4", log()),
            container("other", "u9", "main", "c5", log()),
        ],
    );
    // The observer of another node.
    let other = self::observed("n2", "Observing", 0, vec![container("web-1", "u1", "main", "c1", log())]);
    let pods = vec![pod("web-1", "u1", "n1", "web-learning"), pod("web-2", "u2", "n1", "audit")];
    let sighting =
        Sightings::default().take(Duration::ZERO, &learners(), &cluster(pods, vec![observed, other]));
    assert_eq!(names(&sighting), [""; 0]);
}

#[test]
fn what_was_missed_is_said() {
    let mut sightings = Sightings::default();
    let pods = || vec![pod("web-1", "u1", "n1", "web-learning")];
    let log = vec![call("syscall_0x1388", "SCMP_ACT_LOG", 1, 100)];
    let first = vec![observed("n1", "Observing", 5, vec![container("web-1", "u1", "main", "c1", log)])];
    assert!(sightings.take(Duration::ZERO, &learners(), &cluster(pods(), first)).blind.is_empty());
    assert!(!sightings.has_unknown());
    assert_eq!(sightings.remarks(), ["not learned: syscall_0x1388, which no profile can name"]);
    let second = vec![observed("n1", "Blind", 7, vec![])];
    let now = sightings.take(Duration::ZERO, &learners(), &cluster(pods(), second));
    assert_eq!((now.blind.len(), now.missed["n1"].lost), (1, 7));
    assert!(sightings.has_unknown());
    assert_eq!(
        sightings.remarks()[..3],
        [
            "calls may be missing: n1: 2 audit records lost since it began",
            "calls may be missing: n1: 4 calls of unknown containers since it began",
            "calls may be missing: for some time no record came from n1 (NoAudit: no audit)",
        ]
    );
    let gone = sightings.take(Duration::ZERO, &learners(), &cluster(pods(), vec![]));
    assert_eq!(gone.blind.len(), 1);
}

#[test]
fn without_a_running_pod_of_it_nothing_is_seen() {
    let mut pending = pod("web-1", "u1", "n1", "web-learning");
    let set_phase = |pod: &mut WatchedPod, phase: &str| {
        let mut value = json!({ "metadata": pod.metadata, "status": { "phase": phase } });
        value["spec"] = json!({
            "nodeName": "n1", "containers": [{ "name": "main" }],
            "securityContext": { "seccompProfile": { "localhostProfile": "profiles/web-learning.json" } },
        });
        *pod = serde_json::from_value(value).unwrap();
    };
    let blind = |pods| {
        let mut sightings = Sightings::default();
        let now = sightings.take(
            Duration::ZERO,
            &learners(),
            &cluster(pods, vec![observed("n1", "Observing", 0, vec![])]),
        );
        assert_eq!(
            !now.blind.is_empty(),
            sightings.remarks().iter().any(|it| it.contains("none of its pods"))
        );
        now.blind
    };
    assert_eq!(blind(vec![pod("web-1", "u1", "n1", "web-learning")]).len(), 0);
    assert_eq!(blind(vec![]).len(), 1);
    assert_eq!(blind(vec![pod("web-1", "u1", "n1", "another")]).len(), 1);
    for phase in ["Pending", "Failed"] {
        set_phase(&mut pending, phase);
        assert_eq!(blind(vec![pending.clone()]).len(), 1, "{phase}");
    }
}

#[test]
fn a_node_whose_observer_is_not_ready_is_blind_whatever_it_reported_last() {
    let mut sightings = Sightings::default();
    let pods = || vec![pod("web-1", "u1", "n1", "web-learning")];
    let mut state = cluster(pods(), vec![observed("n1", "Observing", 0, vec![])]);
    assert_eq!(sightings.take(Duration::ZERO, &learners(), &state).blind.len(), 0);
    for observers in [observers(false), Agents::Known([].into())] {
        state.observers = observers;
        assert!(sightings.take(Duration::ZERO, &learners(), &state).blind.contains("n1"));
    }
    assert!(sightings.remarks()[0].contains("n1 (its observer's pod is not ready)"));
    // Whether it is cannot be known without the right to list its pods.
    state.observers = Agents::Unknown;
    assert_eq!(sightings.take(Duration::ZERO, &learners(), &state).blind.len(), 0);
    assert!(sightings.remarks()[0].contains("you may not list pods of all namespaces"));
}

#[test]
fn a_pod_that_looks_like_an_observer_in_another_namespace_is_none() {
    let with_namespace = |namespace: &str| {
        let report = json!({ "state": "Observing", "boot": "b", "namespace": namespace });
        Observed::of(
            serde_json::from_value(json!({ "metadata": { "name": "n1" }, "status": { "report": report } }))
                .unwrap(),
        )
    };
    // Its own is gone.
    for (namespace, is_blind) in [("seccomp-profile", false), ("elsewhere", true), ("", false)] {
        let mut sightings = Sightings::default();
        let pods = vec![pod("web-1", "u1", "n1", "web-learning")];
        let now =
            sightings.take(Duration::ZERO, &learners(), &cluster(pods, vec![with_namespace(namespace)]));
        assert_eq!(now.blind.contains("n1"), is_blind, "{namespace}");
    }
}

#[test]
fn calls_of_containers_that_may_still_be_named_hide_no_others_and_are_none_of_unknown_ones() {
    let report = |unknown: i64, unnamed: i64| {
        let report = json!({ "state": "Observing", "boot": "b", "unknown": unknown, "unnamed": unnamed });
        let object = json!({ "metadata": { "name": "n1" }, "status": { "report": report } });
        let pods = vec![pod("web-1", "u1", "n1", "web-learning")];
        cluster(pods, vec![Observed::of(serde_json::from_value(object).unwrap())])
    };
    let mut sightings = Sightings::since(&report(12, 2));
    assert_eq!(sightings.take(Duration::ZERO, &learners(), &report(10, 0)).unnamed, 0);
    assert!(!sightings.has_unknown() && sightings.remarks().is_empty(), "{:?}", sightings.remarks());
    assert_eq!(sightings.take(Duration::ZERO, &learners(), &report(13, 3)).unnamed, 3);
    assert!(!sightings.has_unknown());
    assert_eq!(sightings.remarks(), ["calls may be missing: n1: 3 calls of containers without a name yet"]);
    assert_eq!(sightings.take(Duration::ZERO, &learners(), &report(12, 0)).unnamed, 0);
    assert!(sightings.has_unknown());
    assert_eq!(
        sightings.remarks(),
        ["calls may be missing: n1: 2 calls of unknown containers since it began"]
    );
}

/// A pod on each of `nodes`, and the observers' reports: that of n1 says how many calls are unknown, how many of these may
/// still be named, and how many records were lost; without these it is gone.
fn on_two_nodes(nodes: &[&str], n1: Option<(i64, i64, i64)>) -> Cluster {
    let report = |node: &str, (unknown, unnamed, lost): (i64, i64, i64)| {
        let report = json!({ "state": "Observing", "boot": "b", "unknown": unknown, "unnamed": unnamed, "lost": lost });
        let object = json!({ "metadata": { "name": node }, "status": { "report": report } });
        Observed::of(serde_json::from_value(object).unwrap())
    };
    let pods = nodes.iter().map(|node| pod(&format!("web-{node}"), node, node, "web-learning"));
    let n1 = n1.map(|counts| report("n1", counts));
    cluster(pods.collect(), n1.into_iter().chain([report("n2", (0, 0, 0))]).collect())
}

fn seconds(number: u64) -> Duration {
    Duration::from_secs(number)
}

#[test]
fn what_a_pod_did_in_its_last_seconds_on_a_node_counts_after_it_has_left_it() {
    let limits = Limits { quiet: seconds(60), settle: seconds(10), at_most: seconds(7200) };
    let mut session = Session::new(limits, BTreeSet::new());
    session.begin_round();
    session.rolled_out(seconds(0));
    let mut sightings = Sightings::since(&on_two_nodes(&[], Some((0, 0, 0))));
    let mut look = |at, nodes: &[&str], n1| {
        let sighting = sightings.take(seconds(at), &learners(), &on_two_nodes(nodes, Some(n1)));
        (session.saw(seconds(at), sighting), sightings.has_unknown(), sightings.remarks())
    };
    let unnamed = vec!["calls may be missing: n1: 3 calls of containers without a name yet".to_owned()];
    assert_eq!(look(10, &["n1"], (3, 3, 0)), (Next::Watch, false, unnamed.clone()));
    assert_eq!(look(20, &["n2"], (3, 3, 0)), (Next::Watch, false, unnamed.clone()));
    assert_eq!(look(70, &["n2"], (3, 3, 0)), (Next::Watch, false, unnamed), "it would be quiet");
    let unknown = "calls may be missing: n1: 3 calls of unknown containers since it began".to_owned();
    assert_eq!(look(80, &["n2"], (3, 0, 0)), (Next::Quiet, true, vec![unknown.clone()]));
    // What is lost there may have been its own as well.
    let lost = "calls may be missing: n1: 7 audit records lost since it began".to_owned();
    let both = vec![lost, unknown];
    assert_eq!(look(90, &["n2"], (3, 0, 7)), (Next::Watch, true, both.clone()));
    // Much later, containers that start there are others'.
    assert_eq!(look(300, &["n2"], (5, 2, 7)), (Next::Quiet, true, both));
}

#[test]
fn calls_that_are_named_after_the_pod_has_left_its_node_are_not_said_to_be_missing() {
    let mut sightings = Sightings::since(&on_two_nodes(&[], Some((0, 0, 0))));
    sightings.take(seconds(10), &learners(), &on_two_nodes(&["n1"], Some((3, 3, 0))));
    let now = sightings.take(seconds(20), &learners(), &on_two_nodes(&["n2"], Some((0, 0, 0))));
    assert_eq!((now.unnamed, sightings.has_unknown(), sightings.remarks()), (0, false, vec![]));
}

#[test]
fn calls_without_a_name_on_a_node_that_has_gone_are_of_unknown_containers() {
    let mut sightings = Sightings::since(&on_two_nodes(&[], Some((0, 0, 0))));
    sightings.take(seconds(10), &learners(), &on_two_nodes(&["n1"], Some((3, 3, 0))));
    let gone = on_two_nodes(&["n2"], None);
    assert!(sightings.take(seconds(20), &learners(), &gone).blind.contains("n1"));
    assert!(!sightings.has_unknown());
    // Nobody waits for it for ever.
    let later = sightings.take(seconds(150), &learners(), &gone);
    assert_eq!((later.blind.len(), later.unnamed), (0, 0));
    assert!(sightings.has_unknown());
    let remarks = sightings.remarks();
    assert_eq!(remarks[0], "calls may be missing: n1: 3 calls of unknown containers since it began");
    assert!(remarks[1].contains("no record came from n1 (no SeccompObservation)"), "{remarks:?}");
}

#[test]
fn what_was_missed_counts_since_the_beginning_and_a_full_list_is_said() {
    let first = cluster(vec![], vec![observed("n1", "Observing", 5, vec![])]);
    let mut sightings = Sightings::since(&first);
    let mut full = container("web-1", "u1", "main", "c1", vec![]);
    full["further"] = json!(3);
    let pods = vec![pod("web-1", "u1", "n1", "web-learning")];
    let now = sightings.take(
        Duration::ZERO,
        &learners(),
        &cluster(pods, vec![observed("n1", "Observing", 6, vec![full])]),
    );
    assert_eq!(now.not_listed, 3);
    let remarks = sightings.remarks();
    assert_eq!(remarks[0], "calls may be missing: n1: 1 audit records lost since it began");
    assert!(remarks.iter().any(|it| it.contains("had no room for 3")), "{remarks:?}");
}
