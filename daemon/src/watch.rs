//! One watch, for ever: every event in order, every failure told, and asked again ever more slowly.

use std::fmt;
use std::time::Duration;

use futures::StreamExt;
use futures::stream::BoxStream;
use kube::client::Body;
use kube::{Api, Client, Resource};
use kube_runtime::watcher::{self, Config, Event};
use serde::de::DeserializeOwned;
use tokio::time::sleep;
use tower::service_fn;

use crate::backoff::{Backoff, Failure};
use crate::metrics;

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
    measured: Option<metrics::Watch>,
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
        Self { api, config, stream, backoff, lost, pause: None, measured: None, lists_after_failures: false }
    }

    /// As [`Self::new`], for all objects of the kind that `config` selects. What there is to measure goes into `measured`.
    ///
    /// # Panics
    /// Outside of a tokio runtime.
    #[must_use]
    pub fn measured(client: Client, config: Config, measured: metrics::Watch) -> Self {
        let api = Api::all(heard(client, measured.clone()));
        Self { measured: Some(measured), ..Self::new(api, config) }
    }

    /// Begins with a list again after every failure, for whoever has to know when everything is known again: a watch that
    /// goes on brings what was missed without a word about its end.
    #[must_use]
    pub fn listing_after_failures(mut self) -> Self {
        self.lists_after_failures = true;
        self
    }

    /// The next event. After a failure the next call waits before it asks again, from 0.8 s (1 to 8 s after a 429) to
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
                        self.measured.iter().for_each(metrics::Watch::answered);
                    }
                    return Ok(event);
                }
                Some(Err(error)) => {
                    self.measured.iter().for_each(metrics::Watch::failed);
                    let lost = is_lost(&error);
                    self.pause = Some(if lost {
                        self.lost.failed(Failure::Other)
                    } else {
                        self.backoff.failed(failure(&error))
                    });
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

/// `client`, which tells `measured` of every request that the API server grants: a watcher says nothing of a watch that
/// ended in time and was taken up again, and on a quiet kind that is all there is to hear.
fn heard(client: Client, measured: metrics::Watch) -> Client {
    let namespace = client.default_namespace().to_owned();
    let service = service_fn(move |request: http::Request<Body>| {
        let (client, measured) = (client.clone(), measured.clone());
        async move {
            let answer = client.send(request).await?;
            if answer.status().is_success() {
                measured.answered();
            }
            Ok::<_, kube::Error>(answer)
        }
    });
    Client::new(service, namespace)
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
    use prometheus::Registry;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;
    use crate::metrics::Watches;

    #[test]
    fn a_list_and_a_watch_that_are_refused_for_being_too_many_are_a_crowd() {
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

    async fn answer(connection: &mut TcpStream, status: &str, body: &str) {
        let mut request = [0; 4096];
        assert!(connection.read(&mut request).await.unwrap() > 0);
        let head = format!(
            "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        connection.write_all((head + body).as_bytes()).await.unwrap();
    }

    #[tokio::test]
    async fn a_watch_that_is_taken_up_again_without_news_counts_as_an_answer_and_a_failure_does_not() {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let client = crate::client::client(kube::Config::new(url)).unwrap();
        let measured = Watches::new(&Registry::new(), &["Namespace"]).unwrap().of("Namespace");
        let begun = measured.last_answer();
        let mut events = Events::<Namespace>::measured(client, Config::default(), measured.clone());
        let follows = tokio::spawn(async move { while events.next().await.is_ok() {} });

        let (mut connection, _) = listener.accept().await.unwrap();
        answer(&mut connection, "200 OK", LIST).await;
        // This watch ends at once, as one does whose time is up. The next request shows that its answer was read.
        answer(&mut connection, "200 OK", "").await;
        let mut request = [0; 4096];
        assert!(connection.read(&mut request).await.unwrap() > 0);
        let answered = measured.last_answer();
        assert!(answered > begun, "{answered} after {begun}");
        assert_eq!(measured.failures(), 0);

        connection.write_all(b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n").await.unwrap();
        follows.await.unwrap();
        assert_eq!((measured.last_answer(), measured.failures()), (answered, 1));
    }
}
