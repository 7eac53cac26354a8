//! One watch that never ends: it returns every event in order and every failure, and backs off after failures.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::{Api, Client, Resource};
use kube_runtime::watcher::{self, Config, Event, InitialListStrategy};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep, sleep_until};
use tower::{BoxError, service_fn};

use crate::backoff::{Backoff, Failure, Spread};

/// Receives each sign of whether the API server serves a watch.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// The API server has just shown that it serves this watch, with answers that can be decoded.
    fn answered(&self);

    /// The list or the watch failed.
    fn failed(&self);
}

/// The events of one watch.
pub struct WatchStream<K> {
    api: Api<K>,
    config: Config,
    stream: BoxStream<'static, Result<Event<K>, watcher::Error>>,
    /// The usual number of objects in a page. After a page was too long, `config` temporarily has a smaller number,
    /// until the list is complete.
    page_size: Option<u32>,
    /// The back-off of failures.
    backoff: Backoff,
    /// The back-off of versions that the API server does not have any more. It is separate, because an API server that
    /// comes back after an outage answers so, and the pauses would add up.
    lost_versions: Backoff,
    /// When the next request may be sent.
    pause: Option<Instant>,
    monitor: Option<Monitor>,
    /// Whether every failure, and not only a version that is lost, is followed by a list.
    lists_after_failures: bool,
    streaming: Streaming,
}

/// How the next list is requested.
///
/// A streamed list is one request where pages are many, the API server serves it from its cache, and the client decodes
/// one object after the other. But the API server ends it if more events of other changes come meanwhile than it buffers
/// for a watch, and then it has to begin again, while a page once served is done. So a list that was ended is repeated
/// in pages. An API server without the feature `WatchList` refuses a streamed one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Streaming {
    /// In pages, always.
    #[default]
    Never,
    /// In pages, this time.
    NotNow,
    /// As a stream.
    Next,
    /// It is being streamed.
    UnderWay,
}

impl<K> WatchStream<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    /// A watch that begins with a list, which the first [`Self::next`] requests.
    #[must_use]
    pub fn new(api: Api<K>, config: Config) -> Self {
        let stream = watcher::watcher(api.clone(), config.clone()).boxed();
        let (backoff, lost_versions) = (Backoff::default(), Backoff::default());
        let page_size = config.page_size;
        Self {
            api,
            config,
            stream,
            page_size,
            backoff,
            lost_versions,
            pause: None,
            monitor: None,
            lists_after_failures: false,
            streaming: Streaming::Never,
        }
    }

    /// Like [`Self::new`], but for all objects of the kind that `config` selects, with an `observer`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn observed(client: Client, config: Config, observer: impl Observer) -> Self {
        let limit = config.timeout.map_or(DEFAULT_LIMIT, |seconds| Duration::from_secs(seconds.into()));
        let monitor = Monitor {
            observer: Arc::new(observer),
            healthy: Arc::default(),
            pages: Arc::default(),
            renewal: Arc::new(Renewal { limit, ..Renewal::default() }),
        };
        let api = Api::all(monitor.wrap(client));
        Self { monitor: Some(monitor), ..Self::new(api, config) }
    }

    /// Begins with a list again after every failure, for callers that must know when they have every object again: a
    /// watch that continues delivers the missed events without marking the last one.
    #[must_use]
    pub fn listing_after_failures(mut self) -> Self {
        self.lists_after_failures = true;
        self
    }

    /// Comes back within `spread` after a failure, where that is longer than the back-off, and after a watch that the
    /// API server ended before its time, as it does with those of all clients that cannot keep up: they would otherwise
    /// all send their next requests at once.
    #[must_use]
    pub fn coming_back_within(mut self, spread: &Spread) -> Self {
        self.backoff = Backoff::over(spread.clone());
        self.lost_versions = Backoff::over(spread.clone());
        if let Some(Monitor { renewal, .. }) = &self.monitor {
            *lock(&renewal.spread) = spread.clone();
        }
        self
    }

    /// Requests lists as streams, where the API server can do that, and otherwise in pages. A streamed list, too, is a
    /// consistent read. It has no effect without an observer.
    #[must_use]
    pub fn streaming_lists(mut self) -> Self {
        if self.monitor.is_some() {
            self.streaming = Streaming::Next;
            self.restart();
        }
        self
    }

    /// Bounds the length of a page: one of more than `longest` bytes is not read to its end, and the list begins again
    /// with half as many objects in a page. A page of one object is read whatever its length. Pages have a few KB as a
    /// rule, but a page of the largest possible objects would exceed the memory limit of a small program. After a
    /// complete list, pages have their usual size again.
    #[must_use]
    pub fn with_pages_of(self, longest: usize) -> Self {
        if let Some(Monitor { pages, .. }) = &self.monitor {
            pages.longest.store(longest, Ordering::Relaxed);
        }
        self
    }

    /// Begins with a list again, with the next [`Self::next`].
    pub fn list_again(&mut self) {
        self.restart();
    }

    /// Halves the number of objects in a page if the failure was a page that was too long; returns whether it was.
    fn shorten_pages(&mut self) -> bool {
        let Some(Monitor { pages, .. }) = &self.monitor else { return false };
        let was_too_long = pages.was_too_long.swap(false, Ordering::Relaxed);
        let shorter = self.config.page_size.unwrap_or(1) / 2;
        if was_too_long {
            self.config.page_size = Some(shorter.max(1));
            if shorter <= 1 {
                pages.have_one_object.store(true, Ordering::Relaxed);
            }
        }
        was_too_long
    }

    /// Restores the usual number of objects in a page, from the next list on: the object that was too large may be gone
    /// by then, and a list with one object in a page takes hundreds of requests.
    fn restore_pages(&mut self) {
        self.config.page_size = self.page_size;
        if let Some(Monitor { pages, .. }) = &self.monitor {
            pages.have_one_object.store(false, Ordering::Relaxed);
        }
    }

    /// The next event. After a failure, the next call waits before it sends the next request, from 0.8 s (1 to 8 s
    /// after a 429) to [`MAX_PAUSE`](crate::backoff::MAX_PAUSE), until the watch works.
    ///
    /// Only an event of the watch, or time without a failure, resets the back-off. Kube's watcher returns `Init` before
    /// it requests the list; a list may fail after its first page, again and again; and a complete list may be too old
    /// for every watch. If any of these counted as success, as for the library's own combinator, every node would
    /// request the whole list every second.
    ///
    /// No event is lost if the future is dropped before it is done.
    ///
    /// # Errors
    /// The list or the watch failed. Objects that it returned before still count as existing.
    pub async fn next(&mut self) -> Result<Event<K>, watcher::Error> {
        if let Some(until) = self.pause {
            sleep_until(until).await;
            self.pause = None;
        }
        loop {
            match self.stream.next().await {
                // The stream has ended before the list was complete, and another one has begun.
                Some(Ok(Event::Init)) if self.streaming == Streaming::UnderWay => self.list_in_pages(),
                Some(Ok(event)) => {
                    match event {
                        Event::Init if self.streaming == Streaming::Next => {
                            self.streaming = Streaming::UnderWay;
                        }
                        Event::InitDone if self.streaming != Streaming::Never => {
                            self.streaming = Streaming::Next;
                        }
                        _ => {}
                    }
                    if matches!(event, Event::Apply(_) | Event::Delete(_)) {
                        self.backoff.succeeded();
                        self.lost_versions.succeeded();
                    }
                    if matches!(event, Event::InitDone) {
                        self.restore_pages();
                    }
                    if !matches!(event, Event::Init) {
                        self.monitor.iter().for_each(Monitor::decoded);
                    }
                    return Ok(event);
                }
                Some(Err(_)) if self.shorten_pages() => self.restart(),
                Some(Err(error)) if self.streaming == Streaming::Next && is_refused(&error) => {
                    self.list_in_pages();
                }
                Some(Err(error)) => {
                    self.monitor.iter().for_each(Monitor::failed);
                    let lost = is_lost(&error);
                    let pause = match lost {
                        true => self.lost_versions.failed(Failure::Other),
                        false => self.backoff.failed(failure(&error)),
                    };
                    self.pause = Some(Instant::now() + pause);
                    if self.streaming == Streaming::UnderWay {
                        self.list_in_pages();
                    } else if lost || self.lists_after_failures {
                        self.restart();
                    }
                    return Err(error);
                }
                // A watcher never ends; if it does, a new one replaces it.
                None => self.restart(),
            }
        }
    }

    fn list_in_pages(&mut self) {
        self.streaming = Streaming::NotNow;
        self.restart();
    }

    fn restart(&mut self) {
        let mut config = self.config.clone();
        if self.streaming == Streaming::UnderWay {
            self.streaming = Streaming::Next;
        }
        if self.streaming == Streaming::Next {
            config.initial_list_strategy = InitialListStrategy::StreamingList;
        }
        self.stream = watcher::watcher(self.api.clone(), config).boxed();
    }
}

/// Notifies the observer whether the API server serves a watch, with answers that can be decoded.
///
/// A decoded list or event counts as an answer. A watch of a kind that does not change delivers no event until it ends,
/// and kube's watcher does not report the end. So a watch request that the API server accepts counts, too, if nothing
/// has failed since the one before. Without that condition, answers that never decode would count, because their
/// requests are accepted again and again.
#[derive(Debug, Clone)]
struct Monitor {
    observer: Arc<dyn Observer>,
    /// Whether nothing has failed since the last accepted watch or the last event.
    healthy: Arc<AtomicBool>,
    pages: Arc<Pages>,
    renewal: Arc<Renewal>,
}

/// How long a watch lasts whose configuration does not limit it: the default of kube.
const DEFAULT_LIMIT: Duration = Duration::from_secs(290);
/// A watch that ends this much before its time was ended by the API server for another reason, or by the network.
const EARLY: Duration = Duration::from_secs(2);

/// When a watch that has ended begins again.
#[derive(Debug, Default)]
struct Renewal {
    /// How long a watch lasts that nothing ends.
    limit: Duration,
    spread: Mutex<Spread>,
    /// When the API server accepted the latest watch.
    began: Mutex<Option<Instant>>,
}

impl Renewal {
    /// A watch has begun.
    fn begun(&self) {
        *lock(&self.began) = Some(Instant::now());
    }

    /// The list or the watch has failed, and the back-off decides about the next request.
    fn failed(&self) {
        *lock(&self.began) = None;
    }

    /// How long the next watch waits.
    fn pause(&self) -> Duration {
        let began = lock(&self.began).take();
        match began {
            Some(began) if began.elapsed() + EARLY < self.limit => lock(&self.spread).pause(),
            _ => Duration::ZERO,
        }
    }
}

/// Locks a value that is consistent even after a panic.
fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The body of an answer.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// The bound on the length of a page of a list.
#[derive(Debug, Default)]
struct Pages {
    /// In bytes; 0 for no bound.
    longest: AtomicUsize,
    /// Whether each page has one object and so cannot be shorter.
    have_one_object: AtomicBool,
    /// Whether a page was longer than the bound.
    was_too_long: AtomicBool,
}

impl Pages {
    /// `page`, which fails if it is too long.
    fn bound(self: &Arc<Self>, page: Body) -> Answer {
        let pages = Arc::clone(self);
        match pages.longest.load(Ordering::Relaxed) {
            longest if longest == 0 || pages.have_one_object.load(Ordering::Relaxed) => {
                page.map_err(Into::into).boxed_unsync()
            }
            longest => Limited::new(page, longest)
                .map_err(move |error| {
                    if error.is::<LengthLimitError>() {
                        pages.was_too_long.store(true, Ordering::Relaxed);
                    }
                    error
                })
                .boxed_unsync(),
        }
    }
}

impl Monitor {
    /// A list or an event was decoded.
    fn decoded(&self) {
        self.healthy.store(true, Ordering::Relaxed);
        self.observer.answered();
    }

    /// The list or the watch failed.
    fn failed(&self) {
        self.healthy.store(false, Ordering::Relaxed);
        self.renewal.failed();
        self.observer.failed();
    }

    /// The API server has accepted a watch request.
    fn watch_started(&self) {
        self.renewal.begun();
        if self.healthy.swap(true, Ordering::Relaxed) {
            self.observer.answered();
        }
    }

    /// `client` with this monitor around it.
    fn wrap(&self, client: Client) -> Client {
        let (namespace, monitor) = (client.default_namespace().to_owned(), self.clone());
        let service = service_fn(move |mut request: http::Request<Body>| {
            let (client, monitor) = (client.clone(), monitor.clone());
            read_consistently(&mut request);
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            async move {
                if is_watch {
                    sleep(monitor.renewal.pause()).await;
                }
                let answer = client.send(request).await?;
                if is_watch && answer.status().is_success() {
                    monitor.watch_started();
                }
                Ok::<_, kube::Error>(answer.map(|body| match is_watch {
                    true => body.map_err(Into::into).boxed_unsync(),
                    false => monitor.pages.bound(body),
                }))
            }
        });
        Client::new(service, namespace)
    }
}

/// Whether the API server does not have the version from which to continue: it is too old (410), or in the future (504)
/// because the cluster was restored from a backup. Where that is the answer to the request, and not an event, kube's
/// watcher requests the same version again, so that a new watcher, which begins with a list, must replace it.
fn is_lost(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 410 | 504),
        watcher::Error::WatchError(status) => status.code == 410,
        _ => false,
    }
}

/// Whether the API server does not stream lists: it refuses the parameters as invalid.
fn is_refused(error: &watcher::Error) -> bool {
    matches!(error, watcher::Error::WatchStartFailed(kube::Error::Api(status)) if matches!(status.code, 400 | 422))
}

/// Makes a streamed list a consistent read. Kube requests it from version 0, for which an API server may answer from a
/// cache that lacks the latest objects; without a version, the list is as new as the request
/// (`getWatchCacheResourceVersion` in k8s.io/apiserver 0.37, `pkg/storage/cacher/cacher.go`).
fn read_consistently(request: &mut http::Request<Body>) {
    const ANY_VERSION: &str = "&resourceVersion=0";
    let uri = request.uri().to_string();
    if uri.contains("sendInitialEvents=true")
        && let Some(start) = uri.strip_suffix(ANY_VERSION)
        && let Ok(uri) = start.parse()
    {
        *request.uri_mut() = uri;
    }
}

fn failure(error: &watcher::Error) -> Failure {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => error.into(),
        _ => Failure::Other,
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
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
            kube::Error::Api(
                kube::core::Status { code: 429, ..kube::core::Status::failure("no", "No") }.boxed(),
            )
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
        let renewal =
            Renewal { limit: Duration::from_mins(1), spread: Mutex::new(spread), ..Renewal::default() };
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
        let mut events = WatchStream::<Namespace>::observed(client, Config::default(), Counts::default())
            .streaming_lists();
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
}
