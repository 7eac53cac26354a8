//! One watch that never ends: it returns every event in order and every failure, and backs off after failures.

mod failure;
mod monitor;
mod pages;
mod renewal;

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::{Api, Client, Resource};
use kube_runtime::watcher::{self, Config, Event, InitialListStrategy};
use serde::de::DeserializeOwned;
use tokio::time::{Instant, sleep_until};

use self::failure::{failure, is_lost, is_refused};
use self::monitor::Monitor;
pub use self::monitor::Observer;
use self::renewal::{DEFAULT_LIMIT, Renewal, lock};
use crate::backoff::{Backoff, Failure, Spread};

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
