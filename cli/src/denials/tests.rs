//! Which calls are shown for whom, and what would allow them.

use serde_json::json;

use super::*;
use crate::owner::GroupKind;
use crate::show::Paint;
use crate::testing::at;

fn call(name: &str, action: &str, count: i64, last: i64) -> Value {
    json!({
        "architecture": "x86_64", "number": 1, "name": name, "action": action, "count": count,
        "first": at(last - 10).0.to_string(), "last": at(last).0.to_string(), "program": "/bin/web",
    })
}

fn container(pod: &str, calls: Vec<Value>) -> Value {
    json!({
        "namespace": "shop", "pod": pod, "podUid": format!("uid-{pod}"), "container": "main", "containerId": "0",
        "calls": calls,
    })
}

fn observed(node: &str, state: &str, containers: Vec<Value>) -> Observed {
    let report = json!({
        "observerVersion": "0.1.0", "state": state, "reason": "NoAudit", "message": "the kernel has no audit",
        "containers": containers, "outside": 3, "unknown": 0, "forgotten": 0, "lost": 0, "boot": "b",
    });
    let object = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompObservation", "metadata": { "name": node },
        "spec": {}, "status": { "report": report },
    });
    Observed::of(serde_json::from_value(object).unwrap())
}

fn pod(name: &str, profile: Option<&str>) -> PodFacts {
    let owner = json!({ "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-5d", "uid": "u", "controller": true });
    let profile =
        profile.map(|it| json!({ "type": "Localhost", "localhostProfile": format!("profiles/{it}.json") }));
    let pod = json!({
        "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "ownerReferences": [owner] },
        "spec": { "securityContext": { "seccompProfile": profile }, "containers": [{ "name": "main" }] },
    });
    PodFacts::of(serde_json::from_value(pod).unwrap())
}

fn view(wanted: &Wanted) -> DenialsView {
    let observed = [
        observed(
            "n1",
            "Observing",
            vec![
                container(
                    "web-1",
                    vec![call("mount", "SCMP_ACT_ERRNO", 3, 100), call("bpf", "SCMP_ACT_LOG", 1, 900)],
                ),
                container("other", vec![call("keyctl", "SCMP_ACT_LOG", 7, 950)]),
                container("gone", vec![call("ptrace", "SCMP_ACT_KILL_PROCESS", 1, 50)]),
            ],
        ),
        observed("n2", "Blind", vec![container("web-2", vec![call("mount", "SCMP_ACT_ERRNO", 4, 500)])]),
    ];
    let pods = [pod("web-1", Some("web")), pod("web-2", Some("web")), pod("other", None)];
    let deployment = Owner { kind: GroupKind::of("apps/v1", "Deployment"), name: "web".to_owned() };
    let owners = BTreeMap::from([(("shop".to_owned(), "web-5d".to_owned()), deployment)]);
    DenialsView::of(Known {
        observed: &observed,
        pods: &pods,
        owners: &owners,
        directory: "profiles",
        namespace: None,
        wanted,
    })
}

fn contents() -> Contents {
    let contents = json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "syscalls": [
            { "names": ["read", "write", "exit_group"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["bpf", "keyctl"], "action": "SCMP_ACT_LOG" },
        ],
    });
    Contents::from([("web".to_owned(), contents)])
}

#[test]
fn calls_of_all_pods_of_a_workload_are_one_row_and_the_newest_comes_first() {
    let mut view = view(&Wanted::All);
    view.explain(&contents());
    insta::assert_snapshot!(view.render(Paint::Plain, at(1000).0));
    insta::assert_snapshot!(view.remarks().join("\n"));
}

#[test]
fn a_pod_without_our_profile_is_shown_only_if_it_is_named() {
    let calls = |argument: Option<&str>| -> Vec<String> {
        view(&Wanted::of(argument)).denials.into_iter().map(|it| it.call).collect()
    };
    assert_eq!(calls(None), ["bpf", "mount", "ptrace"]);
    assert_eq!(calls(Some("web")), ["bpf", "mount"]);
    assert_eq!(calls(Some("seccompprofile/web")), ["bpf", "mount"]);
    assert_eq!(calls(Some("pod/web-2")), ["mount"]);
    assert_eq!(calls(Some("other")), ["keyctl"]);
    assert_eq!(calls(Some("pod/web")), [""; 0]);
}

#[test]
fn what_would_allow_a_call_depends_on_what_refuses_it() {
    let by_default = json!({ "defaultAction": "SCMP_ACT_ERRNO" });
    let change = |contents: &Value, call: &str| Allowing::of("p", contents, call).map(|it| it.change);
    assert_eq!(change(&by_default, "mount").as_deref(), Some("- {names: [mount], action: SCMP_ACT_ALLOW}"));
    let by_rule = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": ["bpf"], "action": "SCMP_ACT_ERRNO" }, { "name": "mount", "action": "SCMP_ACT_LOG" }],
    });
    assert_eq!(change(&by_rule, "mount").as_deref(), Some("take mount out of spec.contents.syscalls[1]"));
    // No profile can name a number.
    assert_eq!(change(&by_default, "syscall_0x1388"), None);
}

#[test]
fn calls_of_containers_that_are_about_to_be_named_are_none_of_unknown_ones() {
    let gap = |unknown: i64, unnamed: i64| {
        let report = json!({ "state": "Observing", "boot": "b", "unknown": unknown, "unnamed": unnamed });
        let object = json!({ "metadata": { "name": "n1" }, "status": { "report": report } });
        Observed::of(serde_json::from_value(object).unwrap()).gap()
    };
    let text = |unknown, unnamed| gap(unknown, unnamed).map(|gap| gap.to_string());
    assert_eq!(text(0, 0), None);
    assert_eq!(text(2, 0).as_deref(), Some("n1: 2 calls of unknown containers"));
    assert_eq!(text(3, 3).as_deref(), Some("n1: 3 calls of containers whose name is not known yet"));
    let both = "n1: 2 calls of unknown containers, 3 calls of containers whose name is not known yet";
    assert_eq!(text(5, 3).as_deref(), Some(both));
    let json = |unknown, unnamed| serde_json::to_value(gap(unknown, unnamed)).unwrap();
    assert_eq!(json(2, 0), json!({ "node": "n1", "lost": 0, "unknown": 2, "notListed": 0 }));
    assert_eq!(json(5, 3), json!({ "node": "n1", "lost": 0, "unknown": 2, "unnamed": 3, "notListed": 0 }));
}

#[test]
fn a_cluster_without_observers_says_so() {
    let owners = ReplicaSetOwners::new();
    let view = DenialsView::of(Known {
        observed: &[],
        pods: &[],
        owners: &owners,
        directory: "profiles",
        namespace: None,
        wanted: &Wanted::All,
    });
    assert!(view.render(Paint::Plain, at(0).0).contains("observer.enabled"));
}
