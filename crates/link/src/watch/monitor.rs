//! The client of a watch with an observer: it shows whether the API server serves the watch, and bounds its pages.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use http_body_util::BodyExt;
use kube::Client;
use kube::client::Body;
use tokio::time::sleep;
use tower::service_fn;

use super::pages::Pages;
use super::renewal::Renewal;

/// Receives each sign of whether the API server serves a watch.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// The API server has just shown that it serves this watch, with answers that can be decoded.
    fn answered(&self);

    /// The list or the watch failed.
    fn failed(&self);
}

/// Notifies the observer whether the API server serves a watch, with answers that can be decoded.
///
/// A decoded list or event counts as an answer. A watch of a kind that does not change delivers no event until it ends,
/// and kube's watcher does not report the end. So a watch request that the API server accepts counts, too, if nothing
/// has failed since the one before. Without that condition, answers that never decode would count, because their
/// requests are accepted again and again.
#[derive(Debug, Clone)]
pub(super) struct Monitor {
    pub(super) observer: Arc<dyn Observer>,
    /// Whether nothing has failed since the last accepted watch or the last event.
    pub(super) healthy: Arc<AtomicBool>,
    pub(super) pages: Arc<Pages>,
    pub(super) renewal: Arc<Renewal>,
}

impl Monitor {
    /// A list or an event was decoded.
    pub(super) fn decoded(&self) {
        self.healthy.store(true, Ordering::Relaxed);
        self.observer.answered();
    }

    /// The list or the watch failed.
    pub(super) fn failed(&self) {
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
    pub(super) fn wrap(&self, client: Client) -> Client {
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
