//! Counts what clients receive.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use http_body_util::BodyExt;
use kube::client::ClientBuilder;
use kube::{Client, Config};
use tower::util::MapResponseLayer;

/// Bytes that clients have received: the bodies of all answers, those of watches as they come. Without headers and
/// encryption, which add some 0.3 KB to an answer and 22 bytes to 16 KB.
#[derive(Debug, Clone, Default)]
pub struct Traffic(Arc<AtomicU64>);

impl Traffic {
    /// How many so far.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// A client with connections of its own, whose answers count here.
    ///
    /// # Errors
    /// The configuration cannot be used.
    pub fn client(&self, config: Config) -> Result<Client, kube::Error> {
        let count = self.0.clone();
        let counted = MapResponseLayer::new(move |response: http::Response<_>| {
            let count = count.clone();
            response.map(move |body| {
                BodyExt::map_frame(body, move |frame: hyper::body::Frame<bytes::Bytes>| {
                    count.fetch_add(frame.data_ref().map_or(0, |data| data.len() as u64), Ordering::Relaxed);
                    frame
                })
            })
        });
        Ok(ClientBuilder::try_from(config)?.with_layer(&counted).build())
    }
}
