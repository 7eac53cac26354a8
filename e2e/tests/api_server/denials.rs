//! The operator's part about refused calls on a real API server: the counts, the Events, and what its account may do with
//! Events.

use bench::api_server::{OperatorOptions, OperatorProcess, Options};
use cluster::NAMESPACE;
use e2e::rights::events::{SPACE, attempts, attempts_without_observers, event, of_node};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::stolen::{of_kubelet, thief, try_events};
use super::support::{Environment, LIMIT, contents, operator, send, until};

const OBSERVATIONS: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/shop/events";

/// An API server with the rights for observations, a namespace, and in it the pod `web` on the node `n1`, under the profile
/// `a`.
async fn environment() -> Environment {
    let values = ["--set", "observer.enabled=true"].map(String::from).into();
    let environment = Environment::with(Options { values, ..Options::default() }).await;
    environment.apply("a", &contents(0)).await;
    let profile = json!({ "type": "Localhost", "localhostProfile": "profiles/a.json" });
    for (path, object) in [
        ("/api/v1/nodes", json!({ "kind": "Node", "metadata": { "name": "n1" } })),
        ("/api/v1/namespaces", json!({ "kind": "Namespace", "metadata": { "name": SPACE } })),
        (
            "/api/v1/namespaces/shop/serviceaccounts",
            json!({ "kind": "ServiceAccount", "metadata": { "name": "default" } }),
        ),
        (
            "/api/v1/namespaces/shop/pods",
            json!({
                "kind": "Pod", "metadata": { "name": "web" },
                "spec": {
                    "nodeName": "n1", "automountServiceAccountToken": false,
                    "securityContext": { "seccompProfile": profile },
                    "containers": [{ "name": "main", "image": "none" }],
                },
            }),
        ),
        (OBSERVATIONS, json!({ "kind": "SeccompObservation", "metadata": { "name": "n1" }, "spec": {} })),
    ] {
        let (code, answer) =
            send(&environment.admin, "POST", path, "application/json", &versioned(object, path)).await;
        assert_eq!(code, 201, "{answer}");
    }
    environment
}

fn versioned(mut object: Value, path: &str) -> Value {
    object["apiVersion"] = if path == OBSERVATIONS { "seccomp.imjasonh.dev/v1alpha1" } else { "v1" }.into();
    object
}

/// Writes the observation of `n1`: so many refused calls of the pod's container, and one of a container of another node.
async fn observe(environment: &Environment, count: i64) {
    let call = |name: &str| {
        json!([{
            "architecture": "x86_64", "number": 101, "name": name, "action": "SCMP_ACT_ERRNO", "count": count,
            "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:00:00Z", "program": "/bin/sh",
        }])
    };
    let container = |pod: &str, call: Value| {
        json!({
            "namespace": SPACE, "pod": pod, "container": "main", "containerId": format!("{pod}-1"), "calls": call,
            "further": 0,
        })
    };
    let report = json!({
        "observerVersion": "0", "state": "Observing", "boot": "b", "outside": 0, "unknown": 0, "forgotten": 0, "lost": 0,
        "containers": [container("web", call("ptrace")), container("elsewhere", call("bpf"))],
    });
    let path = format!("{OBSERVATIONS}/n1/status");
    let status = json!({ "status": { "report": report } });
    let (code, answer) =
        send(&environment.admin, "PATCH", &path, "application/merge-patch+json", &status).await;
    assert_eq!(code, 200, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn refused_calls_of_a_pod_are_counted_for_its_profile_and_an_event_on_the_pod_names_them() {
    let environment = environment().await;
    observe(&environment, 100).await;
    let options = OperatorOptions { number: 0, url: None, lease: None };
    let operator =
        OperatorProcess::start_with(&operator(), &environment.server, &options, &["--observations"]).unwrap();
    let mut config = Config::new(format!("http://{}", operator.endpoint).parse().unwrap());
    config.default_retry = false;
    let metrics = Client::try_from(config).unwrap();
    let counted = async || {
        let request = http::Request::get("/metrics").body(Vec::new()).unwrap();
        let text = metrics.request_text(request).await.ok()?;
        let line = r#"seccomp_profile_denials_total{action="SCMP_ACT_ERRNO",profile="a"} "#;
        text.lines().find_map(|found| found.strip_prefix(line)?.parse::<i64>().ok())
    };
    // When it has begun to count is not visible. What it has found then adds nothing.
    let mut count = 100;
    let total = until("the count", LIMIT, async || {
        count += 1;
        observe(&environment, count).await;
        counted().await.filter(|total| *total > 0)
    })
    .await;
    assert!(total <= count - 100, "{total} of {count}");
    let events = until("the Event", LIMIT, async || {
        let (_, list) = send(&environment.admin, "GET", EVENTS, "application/json", &json!({})).await;
        let events = list["items"].as_array().unwrap().clone();
        let ours = events.into_iter().filter(|it| it["reportingController"] == "seccomp-profile-operator");
        Some(ours.collect::<Vec<_>>()).filter(|ours| !ours.is_empty())
    })
    .await;
    let [event] = &events[..] else { panic!("{events:#?}") };
    let path = "/api/v1/namespaces/shop/pods/web";
    let (_, pod) = send(&environment.admin, "GET", path, "application/json", &json!({})).await;
    assert_eq!(
        event["regarding"],
        json!({
            "apiVersion": "v1", "kind": "Pod", "namespace": SPACE, "name": "web", "uid": pod["metadata"]["uid"],
            "fieldPath": "spec.containers{main}",
        })
    );
    assert_eq!((&event["reason"], &event["type"]), (&json!("SeccompRefused"), &json!("Warning")));
    let note = event["note"].as_str().unwrap();
    assert!(note.contains("the seccomp profile a refuses the system call ptrace"), "{note}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_operator_publishes_events_about_refused_calls_and_no_others() {
    let environment = environment().await;
    let thief = thief(&environment, "operator").await;
    try_events(&environment, &thief, &of_kubelet(), &attempts()).await;
    // What it is for, and what it did before.
    let own = event("own", "seccomp-profile-operator", "SeccompKilled", json!({}));
    let about = json!({
        "metadata": { "name": "about", "namespace": "default" },
        "regarding": { "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile", "name": "a" },
    });
    let of_profile = event("about", "seccomp-profile-operator", "Ready", about);
    for (path, event) in [(EVENTS, own), ("/apis/events.k8s.io/v1/namespaces/default/events", of_profile)] {
        let (code, answer) = send(&thief, "POST", path, "application/json", &event).await;
        assert_eq!(code, 201, "{answer}");
    }
    let series = json!({ "series": { "count": 2, "lastObservedTime": "2026-01-01T00:00:00.000000Z" } });
    let path = format!("{EVENTS}/own");
    let (code, answer) = send(&thief, "PATCH", &path, "application/merge-patch+json", &series).await;
    assert_eq!(code, 200, "{answer}");
    let (code, _) = send(
        &thief,
        "GET",
        &format!("/api/v1/namespaces/{NAMESPACE}/secrets"),
        "application/json",
        &json!({}),
    )
    .await;
    assert_eq!(code, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_operator_without_observers_publishes_events_about_our_objects_and_no_others() {
    let environment = Environment::new().await;
    let thief = thief(&environment, "operator").await;
    let of_kubelet = of_node("kubelet", "NodeNotReady");
    try_events(&environment, &thief, &of_kubelet, &attempts_without_observers()).await;
    let about = json!({
        "metadata": { "name": "own", "namespace": "default" },
        "regarding": { "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "NodeProfileStatus", "name": "n1" },
    });
    let own = event("own", "seccomp-profile-operator", "FileRepaired", about);
    let path = "/apis/events.k8s.io/v1/namespaces/default/events";
    let (code, answer) = send(&thief, "POST", path, "application/json", &own).await;
    assert_eq!(code, 201, "{answer}");
}
