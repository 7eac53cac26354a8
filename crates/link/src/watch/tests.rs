//! The watch against a server that answers as each test states.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use k8s_openapi::api::core::v1::Namespace;
use kube::client::Body;
use tokio::time::sleep;
use tower_test::mock::Handle;

use super::*;

/// How often the observer was notified of an answer, and how often of a failure.
#[derive(Debug, Clone, Default)]
struct Counts(Arc<[AtomicUsize; 2]>);

impl Counts {
    fn answers(&self) -> usize {
        self.0[0].load(Ordering::Relaxed)
    }

    fn failures(&self) -> usize {
        self.0[1].load(Ordering::Relaxed)
    }
}

impl Observer for Counts {
    fn answered(&self) {
        self.0[0].fetch_add(1, Ordering::Relaxed);
    }

    fn failed(&self) {
        self.0[1].fetch_add(1, Ordering::Relaxed);
    }
}

#[test]
fn a_list_or_a_watch_that_is_refused_with_429_counts_as_too_many_requests() {
    let refused = || {
        kube::Error::Api(kube::core::Status { code: 429, ..kube::core::Status::failure("no", "No") }.boxed())
    };
    assert_eq!(failure(&watcher::Error::InitialListFailed(refused())), Failure::TooManyRequests);
    assert_eq!(failure(&watcher::Error::WatchStartFailed(refused())), Failure::TooManyRequests);
    assert_eq!(failure(&watcher::Error::NoResourceVersion), Failure::Other);
}

const LIST: &str =
    r#"{"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;

/// The body of a successful answer that cannot be decoded.
const NONSENSE: &str = r#"{"type":"ADDED","object":7,"items":7}"#;

type Server = Handle<http::Request<Body>, http::Response<Body>>;

/// A watch that is followed whatever fails: the counts of its observer, and its server.
fn followed() -> (Counts, Server) {
    let (service, server) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    let counts = Counts::default();
    let client = Client::new(service, "default");
    let mut events = WatchStream::<Namespace>::observed(client, Config::default(), counts.clone());
    tokio::spawn(async move {
        loop {
            let _ = events.next().await;
        }
    });
    (counts, server)
}

/// Answers the next request; returns whether it was for a watch.
async fn answer(server: &mut Server, status: u16, body: &str) -> bool {
    let (request, reply) = server.next_request().await.unwrap();
    let answer = http::Response::builder().status(status).body(Body::from(body.as_bytes().to_vec()));
    reply.send_response(answer.unwrap());
    request.uri().query().is_some_and(|query| query.contains("watch=true"))
}

/// Waits for the next request, which shows that the answer to the one before was read, and refuses it.
async fn refuse(server: &mut Server) {
    answer(server, 500, "").await;
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_renewed_without_events_counts_as_an_answer_and_a_failure_does_not() {
    let (counts, mut server) = followed();
    let begun = counts.answers();
    assert!(!answer(&mut server, 200, LIST).await);
    // This watch ends at once, as if its time were up.
    assert!(answer(&mut server, 200, "").await);
    let listed = counts.answers();
    assert!(listed > begun, "{listed} after {begun}");
    assert!(answer(&mut server, 200, "").await);
    refuse(&mut server).await;
    let answered = counts.answers();
    assert!(answered > listed, "{answered} after {listed}");
    assert_eq!(counts.failures(), 0);
    refuse(&mut server).await;
    assert_eq!((counts.answers(), counts.failures()), (answered, 1));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_ended_before_its_time_begins_again_within_the_spread_and_any_other_at_once() {
    let (service, mut server) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    let spread = Spread::default();
    spread.set(Duration::from_secs(10));
    let config = Config::default().timeout(60);
    let client = Client::new(service, "default");
    let mut events =
        WatchStream::<Namespace>::observed(client, config, Counts::default()).coming_back_within(&spread);
    tokio::spawn(async move {
        loop {
            let _ = events.next().await;
        }
    });
    assert!(!answer(&mut server, 200, LIST).await);
    let mut pauses = Vec::new();
    for _ in 0..40 {
        let start = Instant::now();
        assert!(answer(&mut server, 200, "").await);
        pauses.push(start.elapsed().as_secs());
    }
    assert_eq!(pauses[0], 0, "the first follows the list");
    assert!(pauses.iter().all(|pause| *pause <= 10), "{pauses:?}");
    assert!(pauses[1..].iter().any(|pause| *pause > 5) && pauses[1..].iter().any(|pause| *pause < 5));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_lasted_as_long_as_it_may_or_failed_begins_again_without_a_further_pause() {
    let spread = Spread::default();
    spread.set(Duration::from_secs(10));
    let renewal = Renewal { limit: Duration::from_mins(1), spread: Mutex::new(spread), ..Renewal::default() };
    let pauses = |renewal: &Renewal| {
        (0..20).any(|_| {
            let began = *lock(&renewal.began);
            let pause = renewal.pause();
            *lock(&renewal.began) = began;
            !pause.is_zero()
        })
    };
    assert!(!pauses(&renewal), "the first watch");
    renewal.begun();
    sleep(Duration::from_secs(30)).await;
    assert!(pauses(&renewal));
    sleep(Duration::from_secs(29)).await;
    assert!(!pauses(&renewal));
    renewal.begun();
    renewal.failed();
    assert!(!pauses(&renewal), "the back-off decides");
}

#[tokio::test(start_paused = true)]
async fn a_list_that_arrives_and_never_decodes_does_not_count_as_an_answer() {
    let (counts, mut server) = followed();
    let begun = counts.answers();
    for _ in 0..5 {
        assert!(!answer(&mut server, 200, NONSENSE).await);
    }
    refuse(&mut server).await;
    assert_eq!((counts.answers(), counts.failures()), (begun, 5));
    answer(&mut server, 200, LIST).await;
    refuse(&mut server).await;
    assert!(counts.answers() > begun);
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_too_long_is_not_read_and_only_that_list_begins_again_with_shorter_pages() {
    let (service, mut server) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    let counts = Counts::default();
    let config = Config::default().page_size(5);
    let mut events =
        WatchStream::<Namespace>::observed(Client::new(service, "default"), config, counts.clone())
            .with_pages_of(1000);
    let start = Instant::now();
    // An object that is longer than the bound is read if it is alone in its page. The next list begins with the
    // usual pages and the bound again, because that object may be gone.
    let long = format!(r"{}{LIST}", " ".repeat(2000));
    for _ in 0..2 {
        let listed = tokio::spawn(async move {
            while !matches!(events.next().await.unwrap(), Event::InitDone) {}
            events
        });
        for limit in [5, 2, 1] {
            let (request, reply) = server.next_request().await.unwrap();
            let query = request.uri().query().unwrap();
            assert!(query.ends_with(&format!("limit={limit}")), "{query}");
            reply.send_response(http::Response::new(Body::from(long.clone().into_bytes())));
        }
        events = listed.await.unwrap();
        events.list_again();
    }
    assert_eq!((counts.failures(), start.elapsed()), (0, std::time::Duration::ZERO));
}

/// A watch that streams its lists, followed until each event; its events and its server.
fn streamed() -> (tokio::sync::mpsc::UnboundedReceiver<String>, Server) {
    let (service, server) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
    let client = Client::new(service, "default");
    let mut events =
        WatchStream::<Namespace>::observed(client, Config::default(), Counts::default()).streaming_lists();
    let (sender, receiver) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        loop {
            let event = match events.next().await {
                Ok(Event::Init) => "begins".to_owned(),
                Ok(Event::InitApply(object)) => format!("lists {}", object.metadata.name.unwrap()),
                Ok(Event::InitDone) => "complete".to_owned(),
                Ok(Event::Apply(object)) => format!("changes {}", object.metadata.name.unwrap()),
                Ok(Event::Delete(_)) => "deletes".to_owned(),
                Err(_) => "fails".to_owned(),
            };
            let _ = sender.send(event);
        }
    });
    (receiver, server)
}

/// Answers the next request, and returns it.
async fn answered(server: &mut Server, status: u16, body: &str) -> String {
    let (request, reply) = server.next_request().await.unwrap();
    let answer = http::Response::builder().status(status).body(Body::from(body.as_bytes().to_vec()));
    reply.send_response(answer.unwrap());
    request.uri().to_string()
}

const ADDED: &str = r#"{"type":"ADDED","object":{"metadata":{"name":"a","resourceVersion":"5"}}}
"#;
const END: &str = r#"{"type":"BOOKMARK","object":{"kind":"Namespace","apiVersion":"v1","metadata":{"resourceVersion":"6","annotations":{"k8s.io/initial-events-end":"true"}}}}
"#;
const CHANGED: &str = r#"{"type":"MODIFIED","object":{"metadata":{"name":"a","resourceVersion":"7"}}}
"#;

#[tokio::test(start_paused = true)]
async fn a_list_is_streamed_as_a_consistent_read_and_its_watch_goes_on() {
    let (mut events, mut server) = streamed();
    let asked = answered(&mut server, 200, &[ADDED, END, CHANGED].concat()).await;
    assert!(
        asked.contains("watch=true")
            && asked.contains("sendInitialEvents=true&resourceVersionMatch=NotOlderThan")
            && asked.contains("allowWatchBookmarks=true")
            && !asked.contains("resourceVersion="),
        "{asked}"
    );
    for event in ["begins", "lists a", "complete", "changes a"] {
        assert_eq!(events.recv().await.unwrap(), event);
    }
    let asked = answered(&mut server, 410, r#"{"kind":"Status","code":410,"reason":"Expired"}"#).await;
    assert!(asked.contains("resourceVersion=7") && !asked.contains("sendInitialEvents"), "{asked}");
    assert_eq!(events.recv().await.unwrap(), "fails");
    let asked = answered(&mut server, 200, &[ADDED, END].concat()).await;
    assert!(asked.contains("sendInitialEvents=true"), "{asked}");
}

#[tokio::test(start_paused = true)]
async fn an_api_server_that_streams_no_lists_is_asked_for_pages_at_once() {
    let (mut events, mut server) = streamed();
    let start = Instant::now();
    let refusal =
        r#"{"kind":"Status","code":422,"reason":"Invalid","message":"sendInitialEvents is forbidden"}"#;
    assert!(answered(&mut server, 422, refusal).await.contains("sendInitialEvents=true"));
    assert!(!answered(&mut server, 200, LIST).await.contains("watch=true"));
    for event in ["begins", "complete"] {
        assert_eq!(events.recv().await.unwrap(), event);
    }
    assert_eq!(start.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn a_streamed_list_that_ends_early_is_repeated_in_pages_and_the_next_one_is_streamed_again() {
    let expired = r#"{"type":"ERROR","object":{"kind":"Status","code":410,"reason":"Expired"}}
"#;
    for (end, failures) in [("", 0), (expired, 1), ("nonsense\n", 1)] {
        let (mut events, mut server) = streamed();
        let asked = answered(&mut server, 200, &[ADDED, end].concat()).await;
        assert!(asked.contains("sendInitialEvents=true"), "{asked}");
        let mut asked = answered(&mut server, 200, LIST).await;
        if asked.contains("sendInitialEvents=true") {
            // Kube's own next attempt, which is given up.
            asked = answered(&mut server, 200, LIST).await;
        }
        assert!(asked.contains("limit="), "{asked}");
        let mut seen = Vec::new();
        while seen.last().is_none_or(|event| event != "complete") {
            seen.push(events.recv().await.unwrap());
        }
        assert_eq!(seen.iter().filter(|event| *event == "fails").count(), failures, "{seen:?}");
        let lost = r#"{"kind":"Status","code":410,"reason":"Expired"}"#;
        assert!(answered(&mut server, 410, lost).await.contains("resourceVersion=1"));
        assert!(answered(&mut server, 200, END).await.contains("sendInitialEvents=true"));
    }
}

#[tokio::test(start_paused = true)]
async fn a_busy_api_server_is_asked_for_a_stream_again() {
    let (mut events, mut server) = streamed();
    assert!(answered(&mut server, 429, "").await.contains("sendInitialEvents=true"));
    assert_eq!(events.recv().await.unwrap(), "fails");
    assert!(answered(&mut server, 200, END).await.contains("sendInitialEvents=true"));
}

#[tokio::test(start_paused = true)]
async fn a_watch_that_is_accepted_and_never_decodes_does_not_count_as_an_answer() {
    let (counts, mut server) = followed();
    answer(&mut server, 200, LIST).await;
    // The watch that follows the list counts, because nothing has failed.
    assert!(answer(&mut server, 200, NONSENSE).await);
    let (request, reply) = server.next_request().await.unwrap();
    let answered = counts.answers();
    assert!(request.uri().query().unwrap().contains("watch=true") && counts.failures() > 0);
    reply.send_response(http::Response::new(Body::from(NONSENSE.as_bytes().to_vec())));
    for _ in 0..5 {
        assert!(answer(&mut server, 200, NONSENSE).await);
    }
    assert_eq!(counts.answers(), answered);
    // A watch that ends without a failure and is renewed counts again.
    assert!(answer(&mut server, 200, "").await);
    assert!(answer(&mut server, 200, "").await);
    refuse(&mut server).await;
    assert!(counts.answers() > answered);
}
