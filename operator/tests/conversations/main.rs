//! The requests that the operator sends to the API server, and how it handles the answers.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail")]

mod checks;
mod nodes;
mod pod_lists;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use daemon::Readiness;
use futures::{FutureExt, StreamExt};
use http::{Method, Request, Response};
use k8s_openapi::jiff::{Timestamp, ToSpan};
use kube::Client;
use kube::client::Body;
use operator::facts::{
    AgentPods, NodeFacts, PodFacts, PodKind, ProfileFacts, ReportFacts, UpdateSource, WatchedProfile,
};
use operator::index::{Index, WorkKey};
use operator::metrics::Metrics;
use operator::pod_list::PodLists;
use operator::reconcile::{Context, reconcile, try_reconcile};
use operator::shared::SharedState;
use operator::watch::{PodWatch, ProfileWatch, WatchedKind, follow};
use operator::writer::{WriteError, Writer};
use serde_json::{Value, json};
use tower_test::mock::Handle;

const PROFILE: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/audit";
const EVENTS: &str = "/apis/events.k8s.io/v1/namespaces/default/events";
const HASH: &str = "sha256:ada4d9a50895dd58cd1fd2a2deb4d6c96fd3a0126a4dd1da48ab9cb4fbc7b9f1";

/// The API server's side of the conversation.
struct Server(Handle<Request<Body>, Response<Body>>);

impl Server {
    /// Takes the next request, checks its method and path, hands its body to `check` and answers.
    async fn expect(&mut self, method: Method, path: &str, answer: (u16, Value), check: impl FnOnce(Value)) {
        let (request, send) = self.0.next_request().await.expect("the operator sends nothing more");
        assert_eq!((request.method(), request.uri().path()), (&method, path));
        let body = request.into_body().collect_bytes().await.unwrap();
        check(if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() });
        let (status, body) = answer;
        let body = Body::from(serde_json::to_vec(&body).unwrap());
        send.send_response(Response::builder().status(status).body(body).unwrap());
    }
}

/// A failure in the format of the API server.
fn failure(code: u16, reason: &str) -> (u16, Value) {
    (
        code,
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason }),
    )
}

fn object(version: &str, changes: Value) -> Value {
    let mut object = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1",
        "kind": "SeccompProfile",
        "metadata": { "name": "audit", "uid": "u1", "resourceVersion": version, "generation": 1 },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } }
    });
    for (key, value) in changes.as_object().unwrap() {
        match value {
            Value::Object(entries) => object[key].as_object_mut().unwrap().extend(entries.clone()),
            other => object[key] = other.clone(),
        }
    }
    object
}

fn with_finalizer(version: &str) -> Value {
    object(version, json!({ "metadata": { "finalizers": ["seccomp.imjasonh.dev/node-files"] } }))
}

fn facts(object: &Value) -> ProfileFacts {
    ProfileFacts::of(&serde_json::from_value::<WatchedProfile>(object.clone()).unwrap())
}

/// The report of the agent on `n1`, in an object that the Node with uid `owner` owns.
fn report(version: &str, owner: &str, files: &Value) -> ReportFacts {
    let report = json!({
        "metadata": {
            "name": "n1", "uid": "ru1", "resourceVersion": version,
            "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": owner }]
        },
        "status": { "report": { "agentVersion": "1", "directory": "/d", "files": files, "fileCount": 1 } }
    });
    ReportFacts::of(serde_json::from_value(report).unwrap())
}

/// A cluster with one old, reachable node; `files` is what it reports, if it has an object to report in.
fn cluster(profile: &Value, files: Option<Value>) -> Arc<SharedState> {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let cluster = SharedState::new(Index::new("profiles"), [], metrics);
    let now = Timestamp::now();
    let node = NodeFacts {
        name: "n1".into(),
        uid: "nu1".into(),
        created: now - 1.hour(),
        selected: true,
        reachable: true,
        answers: true,
        architecture: None,
        labels: std::collections::BTreeMap::new(),
    };
    cluster.change(|index| {
        index.apply_node(node, now);
        if let Some(files) = files {
            index.apply_report(report("5", "nu1", &files), UpdateSource::List, now);
        }
        index.apply_profile(facts(profile), UpdateSource::List, now);
    });
    Arc::new(cluster)
}

fn start(cluster: Arc<SharedState>) -> (Arc<Context>, Server) {
    let (service, handle) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let writer = Writer::new(client.clone(), cluster.metrics.writes.clone());
    let agents = AgentPods { namespace: "seccomp-profile".into(), labels: BTreeMap::new() };
    let pod_lists = PodLists::new(client, PodWatch { directory: "profiles".into(), agents });
    (Arc::new(Context::new(cluster, writer, pod_lists)), Server(handle))
}

fn profile(name: &str) -> WorkKey {
    WorkKey::Profile(name.to_owned())
}

async fn reconcile_profile(context: &Context) -> Result<(), WriteError> {
    try_reconcile(&profile("audit"), context).await.map(|_| ())
}

fn precondition(patch: &Value, version: &str) {
    assert_eq!(patch[0], json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": version }));
}

#[tokio::test]
async fn a_new_profile_gets_the_finalizer_first_and_then_its_status() {
    let (context, mut server) = start(cluster(&object("10", json!({})), Some(json!({}))));
    let conversation = async {
        server
            .expect(Method::PATCH, PROFILE, (200, with_finalizer("11")), |patch| {
                precondition(&patch, "10");
                let add = json!({ "op": "add", "path": "/metadata/finalizers", "value": ["seccomp.imjasonh.dev/node-files"] });
                assert_eq!(patch[1], add);
            })
            .await;
        server
            .expect(Method::PATCH, &format!("{PROFILE}/status"), (200, with_finalizer("12")), |patch| {
                // The version of the first answer, not the earlier one that the watch has delivered.
                precondition(&patch, "11");
                let status = &patch[1]["value"];
                assert_eq!(patch[1]["path"], "/status");
                assert_eq!((&status["state"], &status["ready"]), (&json!("Progressing"), &json!("0/1")));
                assert_eq!(status["contentHash"], HASH);
                assert_eq!(status["localhostProfile"], "profiles/audit.json");
                assert_eq!(status["observedGeneration"], 1);
            })
            .await;
    };
    let reconciliations = async {
        reconcile_profile(&context).await.unwrap();
        reconcile_profile(&context).await.unwrap();
    };
    tokio::join!(reconciliations, conversation);
}

#[tokio::test]
async fn a_new_profile_with_the_finalizer_gets_one_status_which_calls_it_ready() {
    let mut earlier = with_finalizer("3");
    (earlier["metadata"]["name"], earlier["metadata"]["uid"]) = (json!("earlier"), json!("u0"));
    earlier["status"] = json!({
        "observedGeneration": 1,
        "nodes": { "desired": 1, "ready": 1, "pending": 0, "failed": 0, "joining": 0, "unreachable": 0 }
    });
    let cluster = cluster(&earlier, Some(json!({})));
    let now = Timestamp::now();
    cluster.change(|index| index.apply_profile(facts(&with_finalizer("10")), UpdateSource::Watch, now));
    let (context, mut server) = start(cluster);
    // No answer is prepared: a request would fail.
    let due = try_reconcile(&profile("audit"), &context).await.unwrap();
    assert!(due.is_some_and(|due| due < Duration::from_secs(3)), "{due:?}");
    context.shared.change(|index| {
        let held = report("6", "nu1", &json!({ "audit": &HASH[7..39] }));
        index.apply_report(held, UpdateSource::Watch, Timestamp::now());
    });
    let conversation = async {
        server
            .expect(Method::PATCH, &format!("{PROFILE}/status"), (200, with_finalizer("11")), |patch| {
                precondition(&patch, "10");
                assert_eq!(patch[1]["value"]["state"], "Ready");
            })
            .await;
        server
            .expect(Method::POST, EVENTS, (201, json!({ "metadata": { "name": "e" } })), |event| {
                assert_eq!(event["reason"], "Ready");
            })
            .await;
    };
    let (result, ()) = tokio::join!(reconcile_profile(&context), conversation);
    result.unwrap();
}

#[tokio::test]
async fn a_profile_on_every_node_is_called_ready_with_an_event() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({ "audit": &HASH[7..39] }))));
    let conversation = async {
        server
            .expect(Method::PATCH, &format!("{PROFILE}/status"), (200, with_finalizer("11")), |patch| {
                let ready = &patch[1]["value"]["conditions"][1];
                assert_eq!((&ready["type"], &ready["status"]), (&json!("Ready"), &json!("True")));
            })
            .await;
        server
            .expect(Method::POST, EVENTS, (201, json!({ "metadata": { "name": "e" } })), |event| {
                assert_eq!((&event["reason"], &event["type"]), (&json!("Ready"), &json!("Normal")));
                assert_eq!(event["regarding"]["name"], "audit");
            })
            .await;
    };
    let (result, ()) = tokio::join!(reconcile_profile(&context), conversation);
    result.unwrap();
}

#[tokio::test]
async fn a_write_that_comes_too_late_is_a_conflict_and_changes_nothing() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({}))));
    let path = format!("{PROFILE}/status");
    let conversation = server.expect(Method::PATCH, &path, failure(409, "Conflict"), |_| {});
    let (result, ()) = tokio::join!(reconcile_profile(&context), conversation);
    assert!(matches!(result, Err(WriteError::Conflict)), "{result:?}");
    context.shared.change(|index| assert_eq!(index.profile_version("audit").unwrap().resource_version, "10"));
}

#[tokio::test]
async fn after_a_conflict_a_profile_is_not_written_again_before_it_is_updated() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({}))));
    let path = format!("{PROFILE}/status");
    let conversation = async {
        server.expect(Method::PATCH, &path, failure(409, "Conflict"), |_| {}).await;
        server
            .expect(Method::PATCH, &path, (200, with_finalizer("12")), |patch| {
                assert_eq!(patch[0]["value"], "11");
            })
            .await;
    };
    let reconciliations = async {
        for _ in 0..10 {
            let result = reconcile_profile(&context).await;
            assert!(matches!(result, Err(WriteError::Conflict)), "{result:?}");
        }
        let update = serde_json::from_value::<WatchedProfile>(with_finalizer("11")).unwrap();
        let now = Timestamp::now();
        context
            .shared
            .change(|index| index.apply_profile(ProfileFacts::of(&update), UpdateSource::Watch, now));
        reconcile_profile(&context).await.unwrap();
    };
    tokio::join!(reconciliations, conversation);
}

#[tokio::test]
async fn the_watch_queues_a_profile_only_for_versions_that_no_answer_to_a_write_has_brought() {
    let cluster = cluster(&with_finalizer("10"), None);
    let due_after = |version: &str, source| {
        let object = serde_json::from_value(with_finalizer(version)).unwrap();
        cluster.change(|index| ProfileWatch.apply(index, object, source, Timestamp::now()));
        let mut keys = Vec::new();
        let reconciliations = cluster.controller.run(1, |key| {
            keys.push(key);
            std::future::ready(None)
        });
        assert!(reconciliations.now_or_never().is_none());
        keys.contains(&profile("audit"))
    };
    assert!(due_after("10", UpdateSource::Watch), "it is due from the start");
    assert!(!due_after("10", UpdateSource::Watch));
    assert!(due_after("11", UpdateSource::Answer));
    assert!(!due_after("11", UpdateSource::Watch));
    assert!(due_after("12", UpdateSource::Watch));
    // A list is always applied, because a restored API server may have gone back to earlier versions.
    assert!(due_after("12", UpdateSource::List));
}

#[tokio::test]
async fn a_write_that_fails_is_an_error_and_an_event_that_fails_is_not() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({ "audit": &HASH[7..39] }))));
    let path = format!("{PROFILE}/status");
    let conversation = async {
        server.expect(Method::PATCH, &path, failure(500, "InternalError"), |_| {}).await;
        server.expect(Method::PATCH, &path, (200, with_finalizer("11")), |_| {}).await;
        server.expect(Method::POST, EVENTS, failure(403, "Forbidden"), |_| {}).await;
    };
    let reconciliations = async {
        let first = reconcile_profile(&context).await;
        assert!(matches!(first, Err(WriteError::Unavailable(_))), "{first:?}");
        reconcile_profile(&context).await.unwrap();
    };
    tokio::join!(reconciliations, conversation);
}

#[tokio::test]
async fn a_profile_whose_write_was_refused_waits_until_somebody_changes_it_and_no_longer() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({ "audit": &HASH[7..39] }))));
    let path = format!("{PROFILE}/status");
    let conversation = async {
        server.expect(Method::PATCH, &path, failure(422, "Invalid"), |_| {}).await;
        server
            .expect(Method::PATCH, &path, (200, with_finalizer("12")), |patch| {
                assert_eq!(patch[0]["value"], "11");
            })
            .await;
        server.expect(Method::POST, EVENTS, failure(403, "Forbidden"), |_| {}).await;
    };
    let reconciliations = async {
        let key = profile("audit");
        assert!(reconcile(&key, &context).await.is_some(), "it is tried again later");
        let waits = reconcile(&key, &context).now_or_never().expect("nothing is sent meanwhile");
        assert!(waits.is_some());
        let changed = facts(&with_finalizer("11"));
        context.shared.change(|index| index.apply_profile(changed, UpdateSource::Watch, Timestamp::now()));
        reconcile(&key, &context).await;
    };
    let both = async { tokio::join!(reconciliations, conversation) };
    tokio::time::timeout(Duration::from_mins(1), both).await.expect("it was not tried again");
}

#[tokio::test]
async fn a_profile_that_changes_is_not_tried_sooner_while_the_api_server_does_not_answer() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({ "audit": &HASH[7..39] }))));
    let path = format!("{PROFILE}/status");
    let key = profile("audit");
    let conversation = server.expect(Method::PATCH, &path, failure(504, "Timeout"), |_| {});
    let (waits, ()) = tokio::join!(reconcile(&key, &context), conversation);
    assert!(waits.is_some(), "it is tried again later");
    // The write may have been made all the same, and the watch delivers it.
    let changed = facts(&with_finalizer("11"));
    context.shared.change(|index| index.apply_profile(changed, UpdateSource::Watch, Timestamp::now()));
    assert!(reconcile(&key, &context).now_or_never().expect("nothing is sent meanwhile").is_some());
}

#[tokio::test]
async fn an_approved_profile_that_no_node_holds_loses_only_the_operators_finalizer() {
    let going = json!({
        "metadata": {
            "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["example.com/other", "seccomp.imjasonh.dev/node-files"]
        }
    });
    let mut profile = object("10", going);
    profile["status"] = json!({ "removal": "Approved" });
    let (context, mut server) = start(cluster(&profile, Some(json!({}))));
    let answer = object("11", json!({ "metadata": { "finalizers": ["example.com/other"] } }));
    let conversation = server.expect(Method::PATCH, PROFILE, (200, answer), |patch| {
        precondition(&patch, "10");
        assert_eq!(patch[1], json!({ "op": "test", "path": "/metadata/uid", "value": "u1" }));
        let path = "/metadata/finalizers/1";
        assert_eq!(
            patch[2],
            json!({ "op": "test", "path": path, "value": "seccomp.imjasonh.dev/node-files" })
        );
        assert_eq!(patch[3], json!({ "op": "remove", "path": path }));
    });
    let (result, ()) = tokio::join!(reconcile_profile(&context), conversation);
    result.unwrap();
}

#[tokio::test]
async fn nothing_is_decided_before_every_kind_has_been_listed() {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let cluster = SharedState::new(Index::new("profiles"), ["Pod"], metrics);
    cluster.change(|index| {
        index.apply_profile(facts(&object("10", json!({}))), UpdateSource::List, Timestamp::now());
    });
    let (context, server) = start(Arc::new(cluster));
    // No answer is prepared: a request would fail.
    drop(server);
    reconcile_profile(&context).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_list_queues_the_objects_that_it_has_and_removes_those_that_it_lacks() {
    let metrics = Metrics::new(&prometheus::Registry::new()).unwrap();
    let cluster = Arc::new(SharedState::new(Index::new("profiles"), [], metrics));
    let (service, handle) = tower_test::mock::pair();
    let mut server = Server(handle);
    let ready = Readiness::default();
    let watch =
        follow(ProfileWatch, Client::new(service, "default"), cluster.clone(), Some(ready.part("profiles")));
    let (keys, mut due) = tokio::sync::mpsc::unbounded_channel();
    let controller = cluster.controller.run(1, async |key| {
        keys.send(key).unwrap();
        None
    });
    let page = |next: &str, name: &str| {
        let mut item = with_finalizer("11");
        item["metadata"]["name"] = json!(name);
        item["metadata"]["uid"] = json!(name);
        json!({
            "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfileList",
            "metadata": { "resourceVersion": "12", "continue": next }, "items": [item]
        })
    };
    let conversation = async {
        let profile = |name| Some(profile(name));
        let mut answer = async |query: &str, (status, body): (u16, Value)| {
            let (request, send) = server.0.next_request().await.unwrap();
            assert!(request.uri().query().unwrap().contains(query), "{}", request.uri());
            let body = Body::from(body.to_string().into_bytes());
            send.send_response(Response::builder().status(status).body(body).unwrap());
        };
        answer("limit=10", (200, page("", "a"))).await;
        assert_eq!(due.recv().await, profile("a"));
        answer("watch=true", failure(410, "Expired")).await;
        answer("limit=10", (200, page("more", "b"))).await;
        assert_eq!(due.recv().await, profile("b"));
        cluster.change(|index| assert!(index.profile_version("a").is_some(), "the list is not complete"));
        answer("continue=more", (200, page("", "c"))).await;
        assert_eq!(due.recv().await, profile("c"));
        assert_eq!(due.recv().await, profile("a"));
        cluster.change(|index| assert_eq!(index.profile_version("a"), None));
    };
    tokio::select! {
        () = watch => panic!("a watch never ends"),
        () = controller => panic!("a controller never ends"),
        end = tokio::time::timeout(Duration::from_mins(1), conversation) => end.expect("a profile was never due"),
    }
}
