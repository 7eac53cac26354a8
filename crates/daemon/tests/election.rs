//! A candidate's requests to the API server about the lease, and when it may write.

#![expect(clippy::unwrap_used, clippy::expect_used, reason = "helpers of tests may fail")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use daemon::lease::election::Timing;
use daemon::lease::{Candidate, Leadership};
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tokio::time::Instant;
use tower_test::mock::Handle;

const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/ns/leases";

struct Server(Handle<Request<Body>, Response<Body>>);

impl Server {
    /// Takes the next request, checks it, answers, and gives its body.
    async fn expect(
        &mut self,
        method: Method,
        path: &str,
        status: u16,
        answer: impl FnOnce(&Value) -> Value,
    ) -> Value {
        let (request, send) = self.0.next_request().await.expect("no more requests");
        assert_eq!((request.method(), request.uri().path()), (&method, path));
        let body = request.into_body().collect_bytes().await.unwrap();
        let body = if body.is_empty() { Value::Null } else { serde_json::from_slice(&body).unwrap() };
        let answer = answer(&body).to_string().into_bytes();
        send.send_response(Response::builder().status(status).body(Body::from(answer)).unwrap());
        body
    }
}

/// The last value from the candidate: until when it is the leader.
#[derive(Clone, Default)]
struct Lead(Arc<Mutex<Option<Instant>>>);

impl Lead {
    fn holds(&self) -> bool {
        self.0.lock().unwrap().is_some_and(|until| Instant::now() < until)
    }
}

fn start() -> (Leadership, Lead, Server) {
    let (service, handle) = tower_test::mock::pair();
    let client = Client::new(service, "ns");
    let candidate = Candidate {
        namespace: "ns".to_owned(),
        lease: "lease".to_owned(),
        identity: "me".to_owned(),
        field_manager: "tests",
        timing: Timing::default(),
    };
    let lead = Lead::default();
    let said = lead.clone();
    let leadership = Leadership::new(client, candidate, move |until| *said.0.lock().unwrap() = until);
    (leadership, lead, Server(handle))
}

fn failure(code: u16) -> Value {
    let reason = if code == 404 { "NotFound" } else { "Conflict" };
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason })
}

fn lease(version: &str, holder: Option<&str>) -> Value {
    json!({
        "apiVersion": "coordination.k8s.io/v1", "kind": "Lease",
        "metadata": { "name": "lease", "namespace": "ns", "resourceVersion": version },
        "spec": { "holderIdentity": holder, "leaseDurationSeconds": 15, "leaseTransitions": 3 }
    })
}

fn stored(version: &'static str) -> impl FnOnce(&Value) -> Value {
    move |body| {
        let mut body = body.clone();
        body["metadata"]["resourceVersion"] = json!(version);
        body
    }
}

/// Waits until the candidate has processed the last answer.
async fn is_no_longer_the_leader(lead: &Lead) {
    let limit = Duration::from_secs(3);
    let stopped = async {
        while lead.holds() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(limit, stopped).await.expect("it still leads");
}

fn path() -> String {
    format!("{LEASES}/lease")
}

#[tokio::test(start_paused = true)]
async fn a_candidate_creates_the_lease_renews_what_it_wrote_and_releases_it() {
    let (mut leadership, lead, mut server) = start();
    assert!(!lead.holds());
    let conversation = async {
        server.expect(Method::GET, &path(), 404, |_| failure(404)).await;
        let created = server.expect(Method::POST, LEASES, 201, stored("1")).await;
        assert_eq!(
            (&created["spec"]["holderIdentity"], &created["spec"]["leaseTransitions"]),
            (&json!("me"), &json!(0))
        );
        // There is no read in between, because another process's write would cause a conflict.
        let renewed = server.expect(Method::PUT, &path(), 200, stored("2")).await;
        assert_eq!(renewed["metadata"]["resourceVersion"], "1");
        assert!(lead.holds());
    };
    tokio::select! {
        () = leadership.run() => unreachable!(),
        () = conversation => {}
    }
    // The election was stopped in the middle of a round, so its last write may arrive late.
    let back = async {
        server.expect(Method::GET, &path(), 200, |_| lease("2", Some("me"))).await;
        let refused = server.expect(Method::PUT, &path(), 409, |_| failure(409)).await;
        assert_eq!(refused["metadata"]["resourceVersion"], "2");
        server.expect(Method::GET, &path(), 200, |_| lease("3", Some("me"))).await;
        let freed = server.expect(Method::PUT, &path(), 200, stored("4")).await;
        assert_eq!(freed["metadata"]["resourceVersion"], "3");
        assert_eq!(freed["spec"].get("holderIdentity"), None);
    };
    tokio::join!(leadership.release(), back);
    assert!(!lead.holds());
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_another_process_is_not_released() {
    let (mut leadership, _, mut server) = start();
    let path = path();
    let conversation = server.expect(Method::GET, &path, 200, |_| lease("7", Some("other")));
    tokio::join!(leadership.release(), conversation);
    drop(leadership);
    assert!(server.0.next_request().await.is_none(), "nothing is written");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_gets_a_conflict_stops_writing() {
    let (mut leadership, lead, mut server) = start();
    let conversation = async {
        server.expect(Method::GET, &path(), 200, |_| lease("1", None)).await;
        let taken = server.expect(Method::PUT, &path(), 200, stored("2")).await;
        assert_eq!(
            (&taken["metadata"]["resourceVersion"], &taken["spec"]["leaseTransitions"]),
            (&json!("1"), &json!(4))
        );
        server.expect(Method::PUT, &path(), 409, |_| failure(409)).await;
        server.expect(Method::GET, &path(), 200, |_| lease("3", Some("other"))).await;
        is_no_longer_the_leader(&lead).await;
    };
    tokio::select! {
        () = leadership.run() => unreachable!(),
        () = conversation => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_own_renewal_arrives_late_stays_the_leader() {
    let (mut leadership, lead, mut server) = start();
    let conversation = async {
        server.expect(Method::GET, &path(), 200, |_| lease("1", None)).await;
        let mut ours = server.expect(Method::PUT, &path(), 200, stored("2")).await;
        // The write arrives, but is not answered.
        let (late, unanswered) = server.0.next_request().await.unwrap();
        assert_eq!(late.method(), Method::PUT);
        ours["metadata"]["resourceVersion"] = json!("3");
        let read = ours.clone();
        server.expect(Method::GET, &path(), 200, |_| read).await;
        assert!(lead.holds());
        // Another write arrives between the read and the write.
        let refused = server.expect(Method::PUT, &path(), 409, |_| failure(409)).await;
        assert_eq!(refused["metadata"]["resourceVersion"], "3");
        assert!(lead.holds());
        ours["metadata"]["resourceVersion"] = json!("4");
        server.expect(Method::GET, &path(), 200, |_| ours).await;
        let renewed = server.expect(Method::PUT, &path(), 200, stored("5")).await;
        assert_eq!(
            (&renewed["metadata"]["resourceVersion"], &renewed["spec"]["leaseTransitions"]),
            (&json!("4"), &json!(4))
        );
        assert!(lead.holds());
        drop(unanswered);
    };
    tokio::select! {
        () = leadership.run() => unreachable!(),
        () = conversation => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_meets_conflicts_on_a_slow_server_has_time_to_renew_in_the_next_round() {
    let (mut leadership, lead, mut server) = start();
    let begun = tokio::time::Instant::now();
    let conversation = async {
        server.expect(Method::GET, &path(), 200, |_| lease("1", None)).await;
        let mut ours = server.expect(Method::PUT, &path(), 200, stored("2")).await;
        for version in 3.. {
            let (request, send) = server.0.next_request().await.unwrap();
            let slow = begun.elapsed() < Duration::from_millis(7900);
            tokio::time::sleep(Duration::from_millis(if slow { 1900 } else { 500 })).await;
            ours["metadata"]["resourceVersion"] = json!(version.to_string());
            let refused = slow && request.method() == Method::PUT;
            let (status, answer) = if refused { (409, failure(409)) } else { (200, ours.clone()) };
            let answer = Body::from(answer.to_string().into_bytes());
            send.send_response(Response::builder().status(status).body(answer).unwrap());
            if !slow && request.method() == Method::PUT {
                break;
            }
        }
        // After the end of the leadership from the first renewal.
        tokio::time::sleep_until(begun + Duration::from_millis(10_500)).await;
        assert!(lead.holds());
    };
    tokio::select! {
        () = leadership.run() => unreachable!(),
        () = conversation => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_after_whom_another_one_led_begins_anew_although_its_name_is_in_the_lease() {
    let (mut leadership, lead, mut server) = start();
    let conversation = async {
        server.expect(Method::GET, &path(), 200, |_| lease("1", None)).await;
        let mut ours = server.expect(Method::PUT, &path(), 200, stored("2")).await;
        server.expect(Method::PUT, &path(), 409, |_| failure(409)).await;
        ours["metadata"]["resourceVersion"] = json!("9");
        ours["spec"]["leaseTransitions"] = json!(6);
        server.expect(Method::GET, &path(), 200, |_| ours).await;
        let (taken, unanswered) = server.0.next_request().await.unwrap();
        assert_eq!(taken.method(), Method::PUT);
        is_no_longer_the_leader(&lead).await;
        drop(unanswered);
    };
    tokio::select! {
        () = leadership.run() => unreachable!(),
        () = conversation => {}
    }
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_is_cut_off_stops_at_its_deadline_by_itself() {
    let (mut leadership, lead, mut server) = start();
    let begun = tokio::time::Instant::now();
    let conversation = async {
        server.expect(Method::GET, &path(), 404, |_| failure(404)).await;
        server.expect(Method::POST, LEASES, 201, stored("1")).await;
        // From now on there are no answers.
        let mut unanswered = Vec::new();
        while begun.elapsed() < Duration::from_secs(11) {
            let request = tokio::time::timeout(Duration::from_millis(100), server.0.next_request()).await;
            unanswered.extend(request.ok().flatten());
            let leads = begun.elapsed() < Duration::from_secs(10);
            // Within the precision of this loop, it may write for ten seconds.
            let near = begun.elapsed().abs_diff(Duration::from_secs(10)) < Duration::from_millis(200);
            assert!(near || lead.holds() == leads, "{:?}", begun.elapsed());
        }
    };
    tokio::select! {
        () = leadership.run() => unreachable!(),
        () = conversation => {}
    }
}

#[tokio::test(start_paused = true)]
async fn the_lease_of_another_holder_is_left_alone_until_it_has_not_changed_for_its_duration() {
    let (mut leadership, lead, mut server) = start();
    let begun = tokio::time::Instant::now();
    let conversation = async {
        loop {
            let (request, send) = server.0.next_request().await.unwrap();
            if request.method() == Method::PUT {
                break;
            }
            let answer = lease("7", Some("other")).to_string().into_bytes();
            send.send_response(Response::builder().status(200).body(Body::from(answer)).unwrap());
        }
        assert!(begun.elapsed() >= Duration::from_secs(15), "{:?}", begun.elapsed());
        assert!(begun.elapsed() < Duration::from_secs(18), "{:?}", begun.elapsed());
        assert!(!lead.holds());
    };
    tokio::select! {
        () = leadership.run() => unreachable!(),
        () = conversation => {}
    }
}
