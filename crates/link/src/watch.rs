//! One watch, for ever: every event in order, every failure told, and asked again ever more slowly.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use futures::StreamExt;
use futures::stream::BoxStream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use kube::client::Body;
use kube::{Api, Client, Resource};
use kube_runtime::watcher::{self, Config, Event};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, service_fn};

use crate::backoff::{Backoff, Failure};

/// What learns whenever a watch shows whether the API server is there for it.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// The API server has just shown that it is there for this watch, and that what it says can be read.
    fn answered(&self);

    /// The list or the watch failed.
    fn failed(&self);
}

/// The events of one watch.
pub struct Events<K> {
    api: Api<K>,
    config: Config,
    stream: BoxStream<'static, Result<Event<K>, watcher::Error>>,
    /// Objects of a page as long as none is too long; `config` has fewer while such a list is read.
    page_size: Option<u32>,
    /// Of failures.
    backoff: Backoff,
    /// Of versions that turn out to be lost. An API server that was away says so when it is back, and pauses would add up.
    lost: Backoff,
    /// When the next question may be asked.
    pause: Option<Instant>,
    heard: Option<Heard>,
    /// Whether every failure, and not only a version that is lost, is followed by a list.
    lists_after_failures: bool,
}

impl<K> Events<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    /// Begins with a list, which is asked for with the first [`Self::next`].
    #[must_use]
    pub fn new(api: Api<K>, config: Config) -> Self {
        let stream = watcher::watcher(api.clone(), config.clone()).boxed();
        let (backoff, lost) = (Backoff::default(), Backoff::default());
        let page_size = config.page_size;
        Self {
            api,
            config,
            stream,
            page_size,
            backoff,
            lost,
            pause: None,
            heard: None,
            lists_after_failures: false,
        }
    }

    /// As [`Self::new`], for all objects of the kind that `config` selects. `observer` learns how the watch fares.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn observed(client: Client, config: Config, observer: impl Observer) -> Self {
        let heard = Heard { observer: Arc::new(observer), whole: Arc::default(), pages: Arc::default() };
        let api = Api::all(heard.of(client));
        Self { heard: Some(heard), ..Self::new(api, config) }
    }

    /// Begins with a list again after every failure, for whoever has to know when everything is known again: a watch that
    /// goes on brings what was missed without a word about its end.
    #[must_use]
    pub fn listing_after_failures(mut self) -> Self {
        self.lists_after_failures = true;
        self
    }

    /// Where a page of a list has more than `longest` bytes, it is not read to its end, and the list begins again with pages
    /// of half as many objects; the page of one object is read whatever its length. Pages have some KB as a rule, and a
    /// program that has little memory would be ended by one of objects as large as they may be. The list after one that is
    /// complete has pages of the usual size again.
    #[must_use]
    pub fn with_pages_of(self, longest: usize) -> Self {
        if let Some(Heard { pages, .. }) = &self.heard {
            pages.longest.store(longest, Ordering::Relaxed);
        }
        self
    }

    /// Begins with a list again.
    pub fn list_again(&mut self) {
        self.start_anew();
    }

    /// Whether the failure was a page of more than one object that was too long. Pages are shorter then.
    fn shortens_pages(&mut self) -> bool {
        let Some(Heard { pages, .. }) = &self.heard else { return false };
        let was_too_long = pages.was_too_long.swap(false, Ordering::Relaxed);
        let shorter = self.config.page_size.unwrap_or(1) / 2;
        if was_too_long {
            self.config.page_size = Some(shorter.max(1));
            if shorter <= 1 {
                pages.are_of_one.store(true, Ordering::Relaxed);
            }
        }
        was_too_long
    }

    /// Pages have their usual size again, from the next list on: the object that was too large may be gone by then, and
    /// one list in pages of one object is hundreds of requests.
    fn restores_pages(&mut self) {
        self.config.page_size = self.page_size;
        if let Some(Heard { pages, .. }) = &self.heard {
            pages.are_of_one.store(false, Ordering::Relaxed);
        }
    }

    /// The next event. After a failure the next call waits before it asks again, from 0.8 s (1 to 8 s after a 429) to
    /// [`LONGEST`](crate::backoff::LONGEST), until the watch works.
    ///
    /// Only news shows that it does, or time without a failure. A watcher says `Init` before it asks for the list; a
    /// list may break off behind its first page, again and again; and one that is complete may be too old for every
    /// watch. Whoever took any of these for success, as the library's own combinator does, would ask for the whole list
    /// every second, on every node.
    ///
    /// Nothing is lost if the future is dropped before it is done.
    ///
    /// # Errors
    /// The list or the watch failed. What was known before stays true as far as anybody knows.
    pub async fn next(&mut self) -> Result<Event<K>, watcher::Error> {
        if let Some(until) = self.pause {
            sleep_until(until).await;
            self.pause = None;
        }
        loop {
            match self.stream.next().await {
                Some(Ok(event)) => {
                    if matches!(event, Event::Apply(_) | Event::Delete(_)) {
                        self.backoff.succeeded();
                        self.lost.succeeded();
                    }
                    if matches!(event, Event::InitDone) {
                        self.restores_pages();
                    }
                    if !matches!(event, Event::Init) {
                        self.heard.iter().for_each(Heard::decoded);
                    }
                    return Ok(event);
                }
                Some(Err(_)) if self.shortens_pages() => self.start_anew(),
                Some(Err(error)) => {
                    self.heard.iter().for_each(Heard::failed);
                    let lost = is_lost(&error);
                    let pause = match lost {
                        true => self.lost.failed(Failure::Other),
                        false => self.backoff.failed(failure(&error)),
                    };
                    self.pause = Some(Instant::now() + pause);
                    if lost || self.lists_after_failures {
                        self.start_anew();
                    }
                    return Err(error);
                }
                // A watcher never ends; should it, a new one goes on.
                None => self.start_anew(),
            }
        }
    }

    fn start_anew(&mut self) {
        self.stream = watcher::watcher(self.api.clone(), self.config.clone()).boxed();
    }
}

/// What shows that the API server is there for a watch, and that what it says can be read.
///
/// A list counts once it is decoded, an event likewise. A watch of a quiet kind brings nothing to decode for as long as it
/// lasts, and the watcher says nothing of its end: there the request for the next one counts, if the one before did not
/// fail. The grant alone would not do: an answer that never decodes is granted again and again.
#[derive(Debug, Clone)]
struct Heard {
    observer: Arc<dyn Observer>,
    /// Nothing has failed since the last grant or the last news.
    whole: Arc<AtomicBool>,
    pages: Arc<Pages>,
}

/// The body of an answer.
type Answer = UnsyncBoxBody<Bytes, BoxError>;

/// How long a page of a list may be.
#[derive(Debug, Default)]
struct Pages {
    /// Bytes; 0 where that does not matter.
    longest: AtomicUsize,
    /// They hold one object each, whose length nothing can shorten.
    are_of_one: AtomicBool,
    /// One was longer.
    was_too_long: AtomicBool,
}

impl Pages {
    /// `page`, which fails where it is too long.
    fn bound(self: &Arc<Self>, page: Body) -> Answer {
        let pages = Arc::clone(self);
        match pages.longest.load(Ordering::Relaxed) {
            longest if longest == 0 || pages.are_of_one.load(Ordering::Relaxed) => {
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

impl Heard {
    /// A list or an event was decoded.
    fn decoded(&self) {
        self.whole.store(true, Ordering::Relaxed);
        self.observer.answered();
    }

    /// The list or the watch failed.
    fn failed(&self) {
        self.whole.store(false, Ordering::Relaxed);
        self.observer.failed();
    }

    /// A watch is granted.
    fn granted(&self) {
        if self.whole.swap(true, Ordering::Relaxed) {
            self.observer.answered();
        }
    }

    /// `client`, which tells of every watch that is granted.
    fn of(&self, client: Client) -> Client {
        let (namespace, heard) = (client.default_namespace().to_owned(), self.clone());
        let service = service_fn(move |request: http::Request<Body>| {
            let (client, heard) = (client.clone(), heard.clone());
            let is_watch = request.uri().query().is_some_and(|query| query.contains("watch=true"));
            async move {
                let answer = client.send(request).await?;
                if is_watch && answer.status().is_success() {
                    heard.granted();
                }
                Ok::<_, kube::Error>(answer.map(|body| match is_watch {
                    true => body.map_err(Into::into).boxed_unsync(),
                    false => heard.pages.bound(body),
                }))
            }
        });
        Client::new(service, namespace)
    }
}

/// Whether the API server does not know the version to go on from: it is too old (410), or lies in the future (504)
/// because the cluster was restored from a backup. Where that is the answer to the request, and no event, the watcher
/// asks for the same version again, so that a new one, which begins with a list, has to take its place.
fn is_lost(error: &watcher::Error) -> bool {
    match error {
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => matches!(status.code, 410 | 504),
        watcher::Error::WatchError(status) => status.code == 410,
        _ => false,
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

    /// How often a watch has shown that all is well, and how often that it is not.
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
        assert_eq!(failure(&watcher::Error::InitialListFailed(refused())), Failure::Crowded);
        assert_eq!(failure(&watcher::Error::WatchStartFailed(refused())), Failure::Crowded);
        assert_eq!(failure(&watcher::Error::NoResourceVersion), Failure::Other);
    }

    const LIST: &str =
        r#"{"kind":"NamespaceList","apiVersion":"v1","metadata":{"resourceVersion":"1"},"items":[]}"#;

    /// What is granted, and is no answer to what was asked.
    const NONSENSE: &str = r#"{"type":"ADDED","object":7,"items":7}"#;

    type Server = Handle<http::Request<Body>, http::Response<Body>>;

    /// A watch that is followed whatever fails, what it shows, and the server that it asks.
    fn followed() -> (Counts, Server) {
        let (service, server) = tower_test::mock::pair::<http::Request<Body>, http::Response<Body>>();
        let counts = Counts::default();
        let client = Client::new(service, "default");
        let mut events = Events::<Namespace>::observed(client, Config::default(), counts.clone());
        tokio::spawn(async move {
            loop {
                let _ = events.next().await;
            }
        });
        (counts, server)
    }

    /// Answers the next request; whether it asked for a watch.
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
        // This watch ends at once, as one does whose time is up.
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
            Events::<Namespace>::observed(Client::new(service, "default"), config, counts.clone())
                .with_pages_of(1000);
        let start = Instant::now();
        // Even an object that is too long by itself is read where it is alone. The next list begins with long pages again,
        // and with the bound: what was too long may be gone.
        let long = format!(r#"{}{LIST}"#, " ".repeat(2000));
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

    #[tokio::test(start_paused = true)]
    async fn a_watch_that_is_granted_and_never_decodes_does_not_count_as_an_answer() {
        let (counts, mut server) = followed();
        answer(&mut server, 200, LIST).await;
        // The grant behind the list counts: nothing has failed.
        assert!(answer(&mut server, 200, NONSENSE).await);
        let (request, reply) = server.next_request().await.unwrap();
        let answered = counts.answers();
        assert!(request.uri().query().unwrap().contains("watch=true") && counts.failures() > 0);
        reply.send_response(http::Response::new(Body::from(NONSENSE.as_bytes().to_vec())));
        for _ in 0..5 {
            assert!(answer(&mut server, 200, NONSENSE).await);
        }
        assert_eq!(counts.answers(), answered);
        // One that ends well, and is taken up again, shows that all is well.
        assert!(answer(&mut server, 200, "").await);
        assert!(answer(&mut server, 200, "").await);
        refuse(&mut server).await;
        assert!(counts.answers() > answered);
    }
}
