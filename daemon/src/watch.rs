//! One watch, for ever: every event in order, every failure told, and asked again ever more slowly.

use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::{Api, Resource};
use kube_runtime::watcher::{self, Config, Event};
use serde::de::DeserializeOwned;
use tokio::time::sleep;

use crate::backoff::Backoff;

/// The events of one watch.
pub struct Events<K> {
    api: Api<K>,
    config: Config,
    stream: BoxStream<'static, Result<Event<K>, watcher::Error>>,
    /// Of failures.
    backoff: Backoff,
    /// Of versions that turn out to be lost. An API server that was away says so when it is back, and pauses would add up.
    lost: Backoff,
    /// How long to wait before the next question.
    pause: Option<Duration>,
}

impl<K> Events<K>
where
    K: Resource<DynamicType = ()> + Clone + fmt::Debug + DeserializeOwned + Send + 'static,
{
    /// Begins with a list, which is asked for with the first [`Self::next`].
    #[must_use]
    pub fn new(api: Api<K>, config: Config) -> Self {
        let stream = watcher::watcher(api.clone(), config.clone()).boxed();
        Self { api, config, stream, backoff: Backoff::default(), lost: Backoff::default(), pause: None }
    }

    /// The next event. After a failure the next call waits before it asks again, from 0.8 s to
    /// [`LONGEST`](crate::backoff::LONGEST), until the watch works.
    ///
    /// Only news shows that it does, or time without a failure. A watcher says `Init` before it asks for the list; a
    /// list may break off behind its first page, again and again; and one that is complete may be too old for every
    /// watch. Whoever took any of these for success, as the library's own combinator does, would ask for the whole list
    /// every second, on every node.
    ///
    /// # Errors
    /// The list or the watch failed. What was known before stays true as far as anybody knows.
    pub async fn next(&mut self) -> Result<Event<K>, watcher::Error> {
        if let Some(pause) = self.pause.take() {
            sleep(pause).await;
        }
        loop {
            match self.stream.next().await {
                Some(Ok(event)) => {
                    if matches!(event, Event::Apply(_) | Event::Delete(_)) {
                        self.backoff.succeeded();
                        self.lost.succeeded();
                    }
                    return Ok(event);
                }
                Some(Err(error)) => {
                    let lost = is_lost(&error);
                    self.pause = Some(if lost { self.lost.failed() } else { self.backoff.failed() });
                    if lost {
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
