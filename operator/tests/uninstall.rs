//! The requests that the uninstallation sends to the API server.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail")]

use std::time::Duration;

use clap::Parser;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use operator::options::LiftOptions;
use operator::uninstall::{LiftError, Outcome, Uninstall};
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_test::mock::Handle;

const PROFILES: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles";
const PODS: &str = "/api/v1/namespaces/ns/pods";
const LEASE: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases/operator";
const DEPLOYMENT: &str = "/apis/apps/v1/namespaces/ns/deployments/the-operator";
const DAEMON_SET: &str = "/apis/apps/v1/namespaces/ns/daemonsets/the-agents";
/// The two workloads that the chart's Job checks for.
const WORKLOADS: [&str; 2] = ["--deployment=the-operator", "--daemon-set=the-agents"];
const FINALIZER: &str = "seccomp.imjasonh.dev/node-files";

#[derive(Parser)]
struct Program {
    #[command(flatten)]
    options: LiftOptions,
}

struct Server(Handle<Request<Body>, Response<Body>>);

impl Server {
    /// Takes the next request, checks its method and path, answers, and returns its query and its body.
    async fn expect(&mut self, method: Method, path: &str, answer: (u16, Value)) -> (String, Value) {
        let (request, send) = self.0.next_request().await.expect("no more requests");
        assert_eq!((request.method(), request.uri().path()), (&method, path));
        let query = request.uri().query().unwrap_or_default().to_owned();
        if method == Method::GET {
            let accepted = request.headers()["accept"].to_str().unwrap();
            assert!(accepted.contains("as=PartialObjectMetadata"), "{accepted}");
        }
        let body = request.into_body().collect_bytes().await.unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let (status, answer) = answer;
        let answer = Body::from(answer.to_string().into_bytes());
        send.send_response(Response::builder().status(status).body(answer).unwrap());
        (query, body)
    }

    async fn no_pods(&mut self) {
        self.expect(Method::GET, PODS, list(&[], "")).await;
    }

    /// Both workloads are gone.
    async fn no_workloads(&mut self) {
        for path in [DEPLOYMENT, DAEMON_SET] {
            self.expect(Method::GET, path, failure(404)).await;
        }
    }
}

fn start(arguments: &[&str]) -> (Uninstall, Server) {
    let (service, handle) = tower_test::mock::pair();
    let arguments = ["lift", "--namespace=ns", "--pods=app in (a,b)"].iter().chain(arguments);
    let options = Program::parse_from(arguments).options;
    (Uninstall::new(Client::new(service, "ns"), options).unwrap(), Server(handle))
}

fn failure(code: u16) -> (u16, Value) {
    let reason = match code {
        403 => "Forbidden",
        404 => "NotFound",
        409 => "Conflict",
        _ => "InternalError",
    };
    let status = json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason });
    (code, status)
}

fn list(items: &[Value], more: &str) -> (u16, Value) {
    let metadata = json!({ "resourceVersion": "99", "continue": more });
    (
        200,
        json!({ "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "items": items }),
    )
}

fn named(name: &str, version: &str, finalizers: &[&str]) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": {
            "name": name, "uid": format!("uid-{name}"), "resourceVersion": version, "finalizers": finalizers,
            // Anybody may have written a time that the client library cannot represent.
            "managedFields": [{ "manager": "m", "operation": "Update", "time": "9999-12-31T23:59:59Z" }],
        },
    })
}

/// Like [`named`], but deleted and not gone yet.
fn being_deleted(name: &str) -> Value {
    let mut object = named(name, "1", &["foregroundDeletion"]);
    object["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
    object
}

fn profile(name: &str) -> String {
    format!("{PROFILES}/{name}")
}

#[tokio::test(start_paused = true)]
async fn once_no_pod_is_left_every_listed_profile_loses_only_the_operators_finalizer() {
    let (uninstall, mut server) = start(&["--lease=operator"]);
    let conversation = async {
        let (query, _) = server.expect(Method::GET, PODS, list(&[named("operator-1", "1", &[])], "")).await;
        assert!(query.contains("labelSelector=app+in+%28a%2Cb%29"), "{query}");
        server.expect(Method::GET, PODS, failure(403)).await;
        server.no_pods().await;

        let first =
            [named("a", "7", &["example.com/other", FINALIZER]), named("b", "8", &["example.com/other"])];
        let (query, _) = server.expect(Method::GET, PROFILES, list(&first, "more")).await;
        assert!(query.contains("limit="), "{query}");
        let (_, patch) = server.expect(Method::PATCH, &profile("a"), (200, named("a", "9", &[]))).await;
        let path = "/metadata/finalizers/1";
        assert_eq!(
            patch,
            json!([
                { "op": "replace", "path": "/metadata/resourceVersion", "value": "7" },
                { "op": "test", "path": "/metadata/uid", "value": "uid-a" },
                { "op": "test", "path": path, "value": FINALIZER },
                { "op": "remove", "path": path },
            ])
        );
        let (query, _) =
            server.expect(Method::GET, PROFILES, list(&[named("c", "3", &[FINALIZER])], "")).await;
        assert!(query.contains("continue=more"), "{query}");
        server.expect(Method::PATCH, &profile("c"), (200, named("c", "4", &[]))).await;
        // The work ends only after a complete list without the finalizer.
        server.expect(Method::GET, PROFILES, list(&[named("b", "8", &["example.com/other"])], "")).await;
        server.expect(Method::DELETE, LEASE, (200, json!({ "kind": "Status", "status": "Success" }))).await;
    };
    let (done, ()) = tokio::join!(uninstall.carry_out(), conversation);
    assert_eq!(done.unwrap(), Outcome::Lifted(2));
}

#[tokio::test(start_paused = true)]
async fn after_a_conflict_or_a_failure_the_profiles_are_listed_again() {
    let (uninstall, mut server) = start(&[]);
    let conversation = async {
        server.no_pods().await;
        let both = [named("a", "7", &[FINALIZER]), named("b", "8", &[FINALIZER])];
        server.expect(Method::GET, PROFILES, list(&both, "")).await;
        server.expect(Method::PATCH, &profile("a"), failure(409)).await;
        server.expect(Method::PATCH, &profile("b"), failure(404)).await;
        server
            .expect(Method::GET, PROFILES, list(&[named("a", "10", &["example.com/x", FINALIZER])], ""))
            .await;
        server.expect(Method::PATCH, &profile("a"), failure(500)).await;
        server.expect(Method::GET, PROFILES, failure(500)).await;
        server.expect(Method::GET, PROFILES, list(&[named("a", "11", &[FINALIZER])], "")).await;
        let (_, patch) = server.expect(Method::PATCH, &profile("a"), (200, named("a", "12", &[]))).await;
        assert_eq!(patch[0]["value"], "11");
        server.expect(Method::GET, PROFILES, list(&[], "")).await;
    };
    let (done, ()) = tokio::join!(uninstall.carry_out(), conversation);
    assert_eq!(done.unwrap(), Outcome::Lifted(1));
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_never_ends_is_waited_for_no_longer_than_the_option_allows() {
    let (uninstall, mut server) = start(&["--patience=20s"]);
    let begun = Instant::now();
    let conversation = async {
        let path = loop {
            let (request, send) = server.0.next_request().await.unwrap();
            let path = request.uri().path().to_owned();
            let items = if path == PODS { vec![named("cut-off", "1", &[])] } else { Vec::new() };
            send.send_response(Response::new(Body::from(list(&items, "").1.to_string().into_bytes())));
            if path != PODS {
                break path;
            }
        };
        assert_eq!(path, PROFILES);
        assert!(begun.elapsed().abs_diff(Duration::from_secs(20)) < Duration::from_secs(1));
    };
    let (done, ()) = tokio::join!(uninstall.carry_out(), conversation);
    assert_eq!(done.unwrap(), Outcome::Lifted(0));
}

#[tokio::test(start_paused = true)]
async fn without_the_crd_there_is_nothing_to_lift() {
    let (uninstall, mut server) = start(&["--lease=operator"]);
    let conversation = async {
        server.no_pods().await;
        server.expect(Method::GET, PROFILES, failure(404)).await;
        server.expect(Method::DELETE, LEASE, failure(404)).await;
    };
    let (done, ()) = tokio::join!(uninstall.carry_out(), conversation);
    assert_eq!(done.unwrap(), Outcome::Lifted(0));
}

#[tokio::test(start_paused = true)]
async fn a_finalizer_that_cannot_be_removed_is_named_when_the_time_is_up() {
    let (uninstall, mut server) = start(&["--limit=30s"]);
    let conversation = async {
        server.no_pods().await;
        loop {
            server.expect(Method::GET, PROFILES, list(&[named("a", "7", &[FINALIZER])], "")).await;
            server.expect(Method::PATCH, &profile("a"), failure(403)).await;
        }
    };
    let error = tokio::select! {
        result = uninstall.carry_out() => result.unwrap_err(),
        () = conversation => unreachable!(),
    };
    assert!(matches!(&error, LiftError::TooLate { .. }), "{error}");
    assert!(error.to_string().contains("finalizer of a: refused"), "{error}");
}

/// `helm template | kubectl apply` and other tools that render the chart do not support hooks, and run the Job at the
/// installation.
#[tokio::test(start_paused = true)]
async fn while_the_release_is_installed_nothing_is_waited_for_lifted_or_deleted() {
    let there = |name: &str| (200, named(name, "1", &[]));
    for answers in [
        vec![(DEPLOYMENT, there("the-operator"))],
        vec![(DEPLOYMENT, failure(404)), (DAEMON_SET, there("the-agents"))],
        vec![(DEPLOYMENT, (200, being_deleted("the-operator"))), (DAEMON_SET, there("the-agents"))],
    ] {
        let (uninstall, mut server) = start(&[&["--lease=operator"][..], &WORKLOADS].concat());
        let begun = Instant::now();
        let conversation = async {
            for (path, answer) in answers {
                server.expect(Method::GET, path, answer).await;
            }
        };
        let (done, ()) = tokio::join!(uninstall.carry_out(), conversation);
        let Outcome::StillInstalled(workload) = done.unwrap() else { panic!("it was not noticed") };
        assert!(workload.to_string().contains("the-"), "{workload}");
        assert!(begun.elapsed() < Duration::from_secs(1), "{:?}", begun.elapsed());
        drop(uninstall);
        assert!(server.0.next_request().await.is_none(), "nothing else was asked for");
    }
}

#[tokio::test(start_paused = true)]
async fn a_workload_that_is_being_deleted_counts_as_gone() {
    let (uninstall, mut server) = start(&WORKLOADS);
    let conversation = async {
        server.expect(Method::GET, DEPLOYMENT, (200, being_deleted("the-operator"))).await;
        server.expect(Method::GET, DAEMON_SET, failure(404)).await;
        server.no_pods().await;
        server.no_workloads().await;
        server.expect(Method::GET, PROFILES, list(&[named("a", "7", &[FINALIZER])], "")).await;
        server.expect(Method::PATCH, &profile("a"), (200, named("a", "8", &[]))).await;
        server.expect(Method::GET, PROFILES, list(&[], "")).await;
    };
    let (done, ()) = tokio::join!(uninstall.carry_out(), conversation);
    assert_eq!(done.unwrap(), Outcome::Lifted(1));
}

/// The Job's roles may take effect after it has started, and an answer may be lost. Without an answer, the operator may
/// still be running.
#[tokio::test(start_paused = true)]
async fn where_the_workloads_cannot_be_read_nothing_is_lifted() {
    let (uninstall, mut server) = start(&[&["--limit=30s"][..], &WORKLOADS].concat());
    let conversation = async {
        for code in [403, 500].into_iter().cycle() {
            server.expect(Method::GET, DEPLOYMENT, failure(code)).await;
        }
    };
    let error = tokio::select! {
        result = uninstall.carry_out() => result.unwrap_err(),
        () = conversation => unreachable!(),
    };
    assert!(matches!(&error, LiftError::TooLate { .. }), "{error}");
    assert!(error.to_string().contains("Deployment the-operator"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn a_release_that_is_installed_again_meanwhile_keeps_the_finalizers_and_the_lease() {
    let (uninstall, mut server) = start(&[&["--lease=operator"][..], &WORKLOADS].concat());
    let conversation = async {
        server.no_workloads().await;
        server.no_pods().await;
        server.no_workloads().await;
        server.expect(Method::GET, PROFILES, failure(500)).await;
        server.expect(Method::GET, DEPLOYMENT, (200, named("the-operator", "2", &[]))).await;
    };
    let (done, ()) = tokio::join!(uninstall.carry_out(), conversation);
    assert!(matches!(done, Ok(Outcome::StillInstalled(_))), "{done:?}");
}
