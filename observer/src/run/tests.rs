//! When the observer writes, with an API server that is none and a clock that stands still while something is done.

use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use prometheus::Registry;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::time::sleep;
use tower_test::mock::{Handle, SendResponse};

use super::*;

const OBSERVATIONS: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations";
const STATUS: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompobservations/n1/status";
const OWNER: &str = "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/n1";

const SECOND: Duration = Duration::from_secs(1);

/// How long nothing has to come for nothing to come: 20 times the pace.
const LONG: Duration = Duration::from_mins(10);

struct Server(Handle<Request<Body>, Response<Body>>);

impl Server {
    /// The next request with its path and body, and where its answer goes.
    async fn next(&mut self) -> (Method, String, Value, SendResponse<Response<Body>>) {
        let (request, answer) = self.0.next_request().await.unwrap();
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.unwrap();
        let body = serde_json::from_slice(&body).unwrap_or_default();
        (parts.method, parts.uri.path().to_owned(), body, answer)
    }

    /// The next request, which must be this one, is answered in this way. Returns its body, and when it came.
    async fn expect(&mut self, method: Method, path: &str, code: u16, body: Value) -> (Value, Instant) {
        let (sent_method, sent_path, sent, answer) = self.next().await;
        assert_eq!((sent_method, sent_path.as_str()), (method, path));
        answer.send_response(response(code, &body));
        (sent, Instant::now())
    }

    /// Takes a report. Returns how many calls of it are unknown, and when it came.
    async fn take(&mut self) -> (i64, Instant) {
        let (sent, at) = self.expect(Method::PATCH, STATUS, 200, written()).await;
        (sent["status"]["report"]["unknown"].as_i64().unwrap(), at)
    }

    /// Refuses a report, and says when it came.
    async fn refuse(&mut self, code: u16) -> Instant {
        self.expect(Method::PATCH, STATUS, code, failure(code)).await.1
    }

    async fn is_quiet(&mut self) -> bool {
        timeout(LONG, self.0.next_request()).await.is_err()
    }
}

fn response(code: u16, body: &Value) -> Response<Body> {
    Response::builder().status(code).body(Body::from(body.to_string().into_bytes())).unwrap()
}

fn failure(code: u16) -> Value {
    let reason = if code == 404 { "NotFound" } else { "InternalError" };
    json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": "m" })
}

fn metadata(owners: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
        "metadata": { "name": "n1", "ownerReferences": owners },
    })
}

fn written() -> Value {
    metadata(&json!([]))
}

/// An observer without records, its API server, and the empty directory of the kubelet's links.
fn start(sent: Option<ObservationReport>) -> (Observer, Server, TempDir) {
    let (service, handle) = tower_test::mock::pair();
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let node: NodeName = "n1".parse().unwrap();
    let reporter = Reporter::new(Client::new(service, "default"), node.clone(), metrics.clone());
    let observer = Observer {
        node,
        namespace: "seccomp-profile".to_owned(),
        boot: "boot".to_owned(),
        blind: None,
        shared: Shared::default(),
        metrics,
        reporter,
        sent,
        lost: 0,
    };
    (observer, Server(handle), tempfile::tempdir().unwrap())
}

/// Lets the observer report until the conversation has ended.
async fn during<T>(observer: &mut Observer, links: &TempDir, conversation: impl Future<Output = T>) -> T {
    tokio::select! {
        () = observer.keep_reporting(links.path()) => panic!("it reports for ever"),
        result = conversation => result,
    }
}

#[tokio::test(start_paused = true)]
async fn news_are_written_at_the_start_and_then_every_30_seconds_however_many_there_are() {
    let (mut observer, mut server, links) = start(None);
    let (begun, shared) = (Instant::now(), observer.shared.clone());
    let conversation = async {
        let news = async {
            for _ in 0..200 {
                shared.lock().tally.unknown();
                sleep(SECOND).await;
            }
        };
        let writes = async {
            let mut writes = Vec::new();
            while writes.last().is_none_or(|(unknown, _)| *unknown < 200) {
                writes.push(server.take().await);
            }
            writes
        };
        let ((), writes) = tokio::join!(news, writes);
        // What was not new any more is not written again.
        assert!(server.is_quiet().await);
        writes
    };
    let writes = during(&mut observer, &links, conversation).await;
    assert!(writes[0].1 < begun + SECOND, "the first does not wait");
    assert_eq!(writes.len(), 8, "at 0, 30, …, 180 and 210 s");
    for pair in writes.windows(2) {
        let pause = pair[1].1 - pair[0].1;
        assert!(pause >= PACE && pause <= PACE + 2 * TICK, "{pause:?}");
        assert!(pair[0].0 < pair[1].0, "{writes:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn without_news_nothing_is_written_until_the_end() {
    let (observer, ..) = start(None);
    let known = observer.report();
    let (mut observer, mut server, links) = start(Some(known.clone()));
    let shared = observer.shared.clone();
    let conversation = async {
        assert!(server.is_quiet().await, "the API server has that already");
        shared.lock().tally.outside();
        shared.lock().serials.saw(7);
        assert!(server.is_quiet().await, "these are no news");
    };
    during(&mut observer, &links, conversation).await;
    let (sent, ()) =
        tokio::join!(server.expect(Method::PATCH, STATUS, 200, written()), observer.report_last());
    assert_eq!(sent.0["status"]["report"]["lastSerial"], 7);

    let (observer, mut server, _links) = start(Some(known));
    let (quiet, ()) = tokio::join!(server.is_quiet(), observer.report_last());
    assert!(quiet, "there is nothing that has not been reported");
}

#[tokio::test(start_paused = true)]
async fn a_report_that_does_not_arrive_is_sent_again_after_longer_and_longer_pauses_with_the_counts_of_then()
{
    let (mut observer, mut server, links) = start(None);
    let shared = observer.shared.clone();
    let conversation = async {
        let mut attempts = Vec::new();
        for _ in 0..8 {
            attempts.push(server.refuse(500).await);
            shared.lock().tally.unknown();
        }
        let (unknown, at) = server.take().await;
        assert_eq!(unknown, 8);
        attempts.push(at);
        // The pace is the usual one then, and after the next failure the pauses begin anew.
        shared.lock().tally.unknown();
        let failed = server.refuse(500).await;
        assert!(failed - at >= PACE);
        let (unknown, again) = server.take().await;
        assert!(unknown == 9 && again - failed <= 3 * SECOND, "{:?}", again - failed);
        attempts
    };
    let attempts = during(&mut observer, &links, conversation).await;
    let pauses: Vec<_> = attempts.windows(2).map(|pair| pair[1] - pair[0]).collect();
    assert!(pauses.iter().all(|pause| *pause <= link::backoff::MAX_PAUSE + TICK), "{pauses:?}");
    // Each is at least half of the longest possible one, which doubles.
    let shortest = pauses[5..].iter().min().unwrap();
    assert!(*shortest >= link::backoff::MAX_PAUSE / 2 && pauses[0] <= 2 * TICK, "{pauses:?}");
}

#[tokio::test(start_paused = true)]
async fn a_node_without_an_observation_gets_one_that_the_node_owns_and_no_report_before_its_owner_is_known() {
    let (mut observer, mut server, links) = start(None);
    let owner = json!({ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "u1" });
    let conversation = async {
        server.refuse(404).await;
        server.expect(Method::GET, OWNER, 404, failure(404)).await;
        server.refuse(404).await;
        server.expect(Method::GET, OWNER, 200, metadata(&json!([owner]))).await;
        let object = json!({
            "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompObservation",
            "metadata": { "name": "n1" }, "spec": {},
        });
        let (created, _) = server.expect(Method::POST, OBSERVATIONS, 201, object).await;
        assert_eq!(created["metadata"]["ownerReferences"], json!([owner]));
        server.take().await;
        assert!(server.is_quiet().await);
    };
    during(&mut observer, &links, conversation).await;
}

#[tokio::test(start_paused = true)]
async fn the_last_report_is_tried_once_and_does_not_keep_the_program_for_long() {
    let (observer, mut server, _links) = start(None);
    let (_, ()) = tokio::join!(server.refuse(500), observer.report_last());
    assert!(server.is_quiet().await);

    let begun = Instant::now();
    // The answer does not come.
    let ((.., unanswered), ()) = tokio::join!(server.next(), observer.report_last());
    assert!(begun.elapsed() <= LAST_REPORT + SECOND, "{:?}", begun.elapsed());
    drop(unanswered);
}
