//! Conversations of the reporter with the API server.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use api::{Report, pace};
use http::{Request, Response};
use kube::Client;
use kube::client::Body;
use prometheus::Registry;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep, timeout};
use tower_test::mock::{Handle, SendResponse};

use crate::metrics::Metrics;
use crate::reporter::Reporter;
use crate::status_object::{ReportHash, StatusObject, StatusObjectState};
use crate::watches::ClusterLoad;
use crate::worker::{Command, ReportRequests, Revision};

/// Longer than any pause of the reporter.
const AGES: Duration = Duration::from_mins(10);

/// The API server and the disk, as the reporter sees them.
struct ReporterFixture {
    server: Handle<Request<Body>, Response<Body>>,
    view: watch::Sender<StatusObjectState>,
    load: watch::Sender<ClusterLoad>,
    revision: watch::Sender<Revision>,
    report: Arc<Mutex<Report>>,
}

impl ReporterFixture {
    /// On one of two nodes.
    fn new() -> (Self, Reporter) {
        let (service, server) = tower_test::mock::pair();
        let client = Client::new(service, "default");
        let (view, view_seen) = watch::channel(StatusObjectState::Unknown);
        let (load, load_seen) = watch::channel(ClusterLoad { nodes: Some(2), ..ClusterLoad::default() });
        let (revision, revision_seen) = watch::channel(0);
        let (commands, mut queue) = mpsc::channel(8);
        let report = Arc::new(Mutex::new(Report::default()));
        let disk = Arc::clone(&report);
        tokio::spawn(async move {
            while let Some(Command::Report(reply)) = queue.recv().await {
                reply.send(disk.lock().unwrap().clone()).unwrap();
            }
        });
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let node = "node-1".parse().unwrap();
        let worker = ReportRequests { commands, thread: std::thread::current() };
        let reporter = Reporter::new(client, node, view_seen, load_seen, revision_seen, worker, metrics);
        (Self { server, view, load, revision, report }, reporter)
    }

    fn started() -> Self {
        let (fixture, mut reporter) = Self::new();
        tokio::spawn(async move { reporter.run().await });
        fixture
    }

    /// The disk changes.
    fn disk(&self, name: &str) {
        self.report.lock().unwrap().files.insert(name.to_owned(), "0".repeat(32));
        self.revision.send_modify(|revision| *revision += 1);
    }

    /// What the disk says.
    fn truth(&self) -> Value {
        serde_json::to_value(&*self.report.lock().unwrap()).unwrap()
    }

    fn object(uid: &str, version: u64, report: Option<&Value>) -> StatusObject {
        StatusObject { uid: uid.into(), version: Some(version), report: report.map(ReportHash::of) }
    }

    /// The next request; what was asked, and the way to answer.
    async fn request(&mut self) -> (Value, SendResponse<Response<Body>>) {
        let (request, answer) = timeout(AGES, self.server.next_request()).await.unwrap().unwrap();
        let (parts, body) = request.into_parts();
        let body: Value = serde_json::from_slice(&body.collect_bytes().await.unwrap()).unwrap();
        let header = |name: &str| parts.headers[name].to_str().unwrap().to_owned();
        let asked = json!({
            "request": format!("{} {}", parts.method, parts.uri),
            "type": header("content-type"),
            "accept": header("accept"),
            "body": body,
        });
        (asked, answer)
    }

    /// Takes a report, as an object of this uid and version.
    async fn take(&mut self, uid: &str, version: u64) -> Value {
        let (asked, answer) = self.request().await;
        Self::acknowledge(answer, uid, version);
        asked["body"]["status"]["report"].clone()
    }

    fn acknowledge(answer: SendResponse<Response<Body>>, uid: &str, version: u64) {
        answer.send_response(
            Response::new(
                json!({
                    "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadata",
                    "metadata": { "name": "node-1", "uid": uid, "resourceVersion": version.to_string() }
                })
                .to_string()
                .into_bytes(),
            )
            .map(Body::from),
        );
    }

    async fn refuse(&mut self, code: u16) {
        let (_, answer) = self.request().await;
        let status =
            json!({ "kind": "Status", "status": "Failure", "reason": "No", "message": "no", "code": code });
        let response = Response::builder().status(code).body(Body::from(status.to_string().into_bytes()));
        answer.send_response(response.unwrap());
    }

    /// Refuses a report as an API server does whose definition of the object has no times of change.
    async fn refuse_times(&mut self) -> Value {
        let (asked, answer) = self.request().await;
        let message = "failed to create typed patch object (/node-1; seccomp.imjasonh.dev/v1alpha1, \
                       Kind=NodeProfileStatus): .status.report.changed: field not declared in schema";
        let status = json!({ "kind": "Status", "status": "Failure", "message": message, "code": 500 });
        let response = Response::builder().status(500).body(Body::from(status.to_string().into_bytes()));
        answer.send_response(response.unwrap());
        asked["body"]["status"]["report"].clone()
    }

    async fn is_silent(&mut self) {
        assert!(timeout(AGES, self.server.next_request()).await.is_err(), "a request that nobody needs");
    }
}

#[tokio::test(start_paused = true)]
async fn a_report_is_one_forced_apply_of_status_report_and_nothing_else() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    let (asked, _answer) = fixture.request().await;
    assert_eq!(
        asked,
        json!({
            "request": "PATCH /apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/node-1/status?&force=true&fieldManager=seccomp-profile-agent",
            "type": "application/apply-patch+yaml",
            "accept": "application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1",
            "body": {
                "apiVersion": "seccomp.imjasonh.dev/v1alpha1",
                "kind": "NodeProfileStatus",
                "metadata": { "name": "node-1" },
                "status": { "report": fixture.truth() },
            },
        })
    );
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_before_the_first_complete_list_or_without_an_object() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.is_silent().await;
    fixture.view.send_replace(StatusObjectState::Absent);
    fixture.disk("a");
    fixture.is_silent().await;
    fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object("1", 2, None)));
    assert_eq!(fixture.take("1", 3).await, fixture.truth());
    fixture.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_sent_when_the_object_holds_the_same() {
    let mut fixture = ReporterFixture::started();
    fixture.report.lock().unwrap().files.insert("a".into(), "0".repeat(32));
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object(
        "1",
        1,
        Some(&fixture.truth()),
    )));
    fixture.disk("a");
    fixture.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn changes_are_gathered_until_the_disk_is_quiet() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    let start = Instant::now();
    for name in ["a", "b", "c"] {
        fixture.disk(name);
        sleep(Duration::from_millis(40)).await;
    }
    assert_eq!(fixture.take("1", 2).await["files"].as_object().unwrap().len(), 3);
    assert!(start.elapsed() < Duration::from_millis(150), "{:?}", start.elapsed());
    fixture.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn a_change_that_comes_alone_is_reported_at_once() {
    let mut fixture = ReporterFixture::started();
    let empty = fixture.truth();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, Some(&empty))));
    fixture.is_silent().await;
    let start = Instant::now();
    fixture.disk("a");
    fixture.take("1", 2).await;
    assert_eq!(start.elapsed(), Duration::ZERO);
    fixture.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn while_a_rollout_is_under_way_more_is_gathered() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    let start = Instant::now();
    fixture.disk("a");
    for _ in 0..5 {
        sleep(Duration::from_millis(40)).await;
        fixture.load.send_modify(|load| load.rollout_events += 1);
    }
    fixture.disk("b");
    assert_eq!(fixture.take("1", 2).await["files"].as_object().unwrap().len(), 2);
    assert!(start.elapsed() < Duration::from_millis(300), "{:?}", start.elapsed());
    // A rollout elsewhere alone is nothing to report.
    fixture.load.send_modify(|load| load.rollout_events += 1);
    fixture.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn changes_without_end_are_reported_all_the_same() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    let (start, revision) = (Instant::now(), fixture.revision.clone());
    tokio::spawn(async move {
        loop {
            revision.send_modify(|revision| *revision += 1);
            sleep(Duration::from_millis(20)).await;
        }
    });
    fixture.take("1", 2).await;
    assert!(start.elapsed() <= Duration::from_millis(510), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn while_the_api_server_is_slow_more_is_gathered_and_no_longer() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    let (_, answer) = fixture.request().await;
    sleep(Duration::from_millis(800)).await;
    ReporterFixture::acknowledge(answer, "1", 2);
    // News comes further apart than a prompt server's would be waited for.
    let start = Instant::now();
    for name in ["b", "c", "d"] {
        fixture.disk(name);
        sleep(Duration::from_millis(700)).await;
    }
    assert_eq!(fixture.take("1", 3).await["files"].as_object().unwrap().len(), 4);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // What was slow then says nothing of now.
    sleep(Duration::from_secs(11)).await;
    let start = Instant::now();
    fixture.disk("e");
    fixture.take("1", 4).await;
    assert!(start.elapsed() < Duration::from_millis(100), "{:?}", start.elapsed());
}

/// An object that holds some report.
fn reported() -> StatusObjectState {
    StatusObjectState::Listed(ReporterFixture::object("1", 1, Some(&json!({}))))
}

#[tokio::test(start_paused = true)]
async fn the_more_nodes_there_are_the_more_is_gathered_and_no_longer() {
    for (nodes, apart, most) in
        [(11, 40, 150), (300, 250, 1700), (1000, 900, 5800), (1_000_000, 4000, 27_000)]
    {
        let mut fixture = ReporterFixture::started();
        fixture.view.send_replace(reported());
        fixture.load.send_modify(|load| load.nodes = Some(nodes));
        let start = Instant::now();
        for name in ["a", "b", "c"] {
            fixture.disk(name);
            sleep(Duration::from_millis(apart)).await;
        }
        assert_eq!(fixture.take("1", 2).await["files"].as_object().unwrap().len(), 3, "{nodes} nodes");
        assert!(start.elapsed() < Duration::from_millis(most), "{nodes} nodes: {:?}", start.elapsed());
        fixture.is_silent().await;
    }
}

#[tokio::test(start_paused = true)]
async fn in_the_largest_cluster_changes_without_end_are_reported_before_the_operator_counts_on_it() {
    for nodes in [1000, 1_000_000] {
        let mut fixture = ReporterFixture::started();
        fixture.view.send_replace(reported());
        fixture.load.send_modify(|load| (load.nodes, load.profiles) = (Some(nodes), 200));
        let (start, load) = (Instant::now(), fixture.load.clone());
        fixture.disk("a");
        tokio::spawn(async move {
            loop {
                sleep(Duration::from_millis(100)).await;
                load.send_modify(|load| load.rollout_events += 1);
            }
        });
        fixture.take("1", 2).await;
        let (after, latest) = (start.elapsed(), pace::longest_gather(nodes));
        assert!(after <= latest && latest / 2 <= after, "{nodes} nodes: {after:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_cluster_is_noticed_while_the_first_rollout_is_gathered() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(reported());
    fixture.load.send_modify(|load| load.nodes = None);
    let start = Instant::now();
    fixture.disk("a");
    sleep(Duration::from_millis(400)).await;
    fixture.load.send_modify(|load| load.nodes = Some(1000));
    sleep(Duration::from_millis(900)).await;
    fixture.disk("b");
    assert_eq!(fixture.take("1", 2).await["files"].as_object().unwrap().len(), 2);
    assert!(start.elapsed() < Duration::from_millis(4400), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn where_nobody_says_how_many_nodes_there_are_half_a_second_is_enough() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.load.send_modify(|load| load.nodes = None);
    let start = Instant::now();
    fixture.disk("a");
    fixture.take("1", 2).await;
    assert!(start.elapsed() < Duration::from_millis(510), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn the_first_report_of_a_node_comes_within_half_a_second_in_any_cluster() {
    for nodes in [2, 1000, 1_000_000] {
        let mut fixture = ReporterFixture::started();
        fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
        fixture.load.send_modify(|load| load.nodes = Some(nodes));
        let start = Instant::now();
        fixture.disk("a");
        fixture.take("1", 2).await;
        assert!(start.elapsed() <= Duration::from_millis(510), "{nodes} nodes: {:?}", start.elapsed());
    }
}

#[tokio::test(start_paused = true)]
async fn however_slow_the_api_server_is_changes_without_end_are_reported_within_4_s() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    let revision = fixture.revision.clone();
    tokio::spawn(async move {
        loop {
            revision.send_modify(|revision| *revision += 1);
            sleep(Duration::from_millis(20)).await;
        }
    });
    let (_, answer) = fixture.request().await;
    sleep(Duration::from_secs(10)).await;
    ReporterFixture::acknowledge(answer, "1", 2);
    fixture.disk("a");
    let start = Instant::now();
    fixture.take("1", 3).await;
    assert!(start.elapsed() <= Duration::from_millis(4100), "{:?}", start.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_object_that_loses_the_report_gets_it_again() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    fixture.take("1", 5).await;
    // Recreated under the same name.
    fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object("2", 6, None)));
    assert_eq!(fixture.take("2", 7).await, fixture.truth());
    // Written by somebody else.
    fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object(
        "2",
        8,
        Some(&json!({ "files": {} })),
    )));
    assert_eq!(fixture.take("2", 9).await, fixture.truth());
    // Restored from a backup, which also sets the versions back.
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("2", 3, None)));
    assert_eq!(fixture.take("2", 4).await, fixture.truth());
}

#[tokio::test(start_paused = true)]
async fn events_older_than_our_write_and_the_operators_writes_cause_nothing() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    let sent = fixture.take("1", 5).await;
    fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object("1", 4, None)));
    fixture.is_silent().await;
    for version in [5, 6] {
        fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object(
            "1",
            version,
            Some(&sent),
        )));
        fixture.is_silent().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_refused_report_is_sent_again_with_what_is_true_then() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    for code in [409, 500, 403] {
        fixture.refuse(code).await;
    }
    fixture.disk("b");
    assert_eq!(fixture.take("1", 2).await, fixture.truth());
    fixture.is_silent().await;
}

/// The disk's report without the times of change.
fn without_times(mut report: Value) -> Value {
    report.as_object_mut().unwrap().remove("changed");
    report
}

#[tokio::test(start_paused = true)]
async fn where_the_definition_has_no_times_of_change_reports_arrive_without_them() {
    let mut fixture = ReporterFixture::started();
    fixture.report.lock().unwrap().changed = Some(BTreeMap::new());
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    let start = Instant::now();
    fixture.disk("a");
    assert_eq!(fixture.refuse_times().await, fixture.truth());
    // At once, and without a back-off.
    assert_eq!(fixture.take("1", 2).await, without_times(fixture.truth()));
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    fixture.disk("b");
    assert_eq!(fixture.take("1", 3).await, without_times(fixture.truth()));
    let stored = without_times(fixture.truth());
    fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object("1", 3, Some(&stored))));
    // Once more by itself, and then never at rest.
    assert_eq!(fixture.refuse_times().await, fixture.truth());
    assert!((60..62).contains(&start.elapsed().as_secs()), "{:?}", start.elapsed());
    fixture.is_silent().await;
    fixture.is_silent().await;
    // The definition is of this release now: the next report has the times.
    fixture.disk("c");
    assert_eq!(fixture.take("1", 4).await, fixture.truth());
    fixture.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn where_a_new_definition_is_late_the_times_of_change_follow_within_a_minute() {
    let mut fixture = ReporterFixture::started();
    fixture.report.lock().unwrap().changed = Some(BTreeMap::new());
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    fixture.refuse_times().await;
    let stored = fixture.take("1", 2).await;
    fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object("1", 2, Some(&stored))));
    assert_eq!(fixture.take("1", 3).await, fixture.truth());
    fixture.is_silent().await;
}

#[tokio::test(start_paused = true)]
async fn without_an_object_the_reporter_waits_for_the_watch() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    fixture.refuse(404).await;
    fixture.view.send_replace(StatusObjectState::Absent);
    fixture.is_silent().await;
    fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object("2", 2, None)));
    assert_eq!(fixture.take("2", 3).await, fixture.truth());
}

#[tokio::test(start_paused = true)]
async fn a_server_that_answers_404_while_it_starts_is_asked_again_at_leisure() {
    let mut fixture = ReporterFixture::started();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    let start = Instant::now();
    for _ in 0..6 {
        fixture.refuse(404).await;
    }
    assert!(start.elapsed() > Duration::from_secs(20), "{:?}", start.elapsed());
    assert_eq!(fixture.take("1", 2).await, fixture.truth());
}

#[tokio::test(start_paused = true)]
async fn what_has_not_been_reported_is_reported_at_the_end() {
    let (mut fixture, mut reporter) = ReporterFixture::new();
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.disk("a");
    let ending = tokio::spawn(async move {
        reporter.report_last().await;
        reporter.report_last().await;
    });
    assert_eq!(fixture.take("1", 2).await, fixture.truth());
    ending.await.unwrap();
}

/// The directory is lost; the report of it arrives.
async fn reports_the_loss(fixture: &mut ReporterFixture, mut reporter: Reporter, lost: api::Report) {
    let expected = serde_json::to_value(&lost).unwrap();
    let ending = tokio::spawn(async move { reporter.report_loss(&lost).await });
    assert_eq!(fixture.take("1", 2).await, expected);
    ending.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn that_the_directory_is_lost_is_reported_although_the_disk_answers_no_more() {
    let (mut fixture, mut reporter) = ReporterFixture::new();
    let lost = api::Report { directory: "/lost".into(), ..api::Report::default() };
    fixture.view.send_replace(StatusObjectState::Absent);
    reporter.report_loss(&lost).await; // There is no object: nothing is sent.
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    reporter.report_loss(&lost).await; // Nobody believes in any file of this node.
    let held = fixture.truth();
    fixture.view.send_replace(StatusObjectState::Watched(ReporterFixture::object("1", 1, Some(&held))));
    reports_the_loss(&mut fixture, reporter, lost).await;
}

#[tokio::test(start_paused = true)]
async fn that_the_directory_is_lost_is_reported_before_anybody_has_looked_at_the_object() {
    let (mut fixture, reporter) = ReporterFixture::new();
    let lost = api::Report { directory: "/lost".into(), ..api::Report::default() };
    reports_the_loss(&mut fixture, reporter, lost).await;
}

#[tokio::test(start_paused = true)]
async fn a_first_report_is_no_later_because_the_object_is_known_later_than_the_disk() {
    let mut fixture = ReporterFixture::started();
    fixture.load.send_modify(|load| load.nodes = Some(1000));
    let start = Instant::now();
    fixture.disk("a");
    sleep(Duration::from_millis(40)).await;
    fixture.view.send_replace(StatusObjectState::Listed(ReporterFixture::object("1", 1, None)));
    fixture.take("1", 2).await;
    assert!(start.elapsed() <= Duration::from_millis(510), "{:?}", start.elapsed());
}

#[test]
fn a_report_hashes_alike_whatever_the_order_of_its_keys() {
    let hash = |text: &str| ReportHash::of(&serde_json::from_str(text).unwrap());
    assert_eq!(hash(r#"{"a":1,"b":{"c":2,"d":3}}"#), hash(r#"{"b":{"d":3,"c":2},"a":1}"#));
}
