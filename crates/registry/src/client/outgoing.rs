//! The bodies of requests.

use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};

use crate::digest::Parts;
use crate::{Digest, RegistryError};

/// What is sent: bytes, or a blob that passes.
pub(super) type Outgoing = Either<Full<Bytes>, Passing>;

/// How far a blob is, and why it could not be read to its end.
#[derive(Clone, Default)]
pub(super) struct Passage(Arc<(AtomicU64, OnceLock<RegistryError>)>);

impl Passage {
    /// How many bytes have passed.
    pub(super) fn passed(&self) -> u64 {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Adds bytes that have passed.
    pub(super) fn add(&self, bytes: u64) {
        self.0.0.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Why the blob could not be read.
    pub(super) fn failure(&self) -> Option<RegistryError> {
        self.0.1.get().cloned()
    }
}

/// A blob on its way. Its last bytes pass only if all are those of its digest, so that the registry that gets it never has
/// another blob.
pub(super) struct Passing {
    body: Incoming,
    left: u64,
    parts: Parts,
    digest: Digest,
    passage: Passage,
}

impl Passing {
    /// A blob of this digest and size, which `body` brings.
    ///
    /// # Errors
    /// It has no bytes, and the digest is that of some.
    pub(super) fn new(
        body: Incoming,
        digest: &Digest,
        size: u64,
        passage: Passage,
    ) -> Result<Self, RegistryError> {
        let parts = digest.parts();
        if size == 0 && parts.digest() != *digest {
            return Err(RegistryError::Digest { what: "blob" });
        }
        Ok(Self { body, left: size, parts, digest: digest.clone(), passage })
    }

    /// The next bytes, if they are those of the blob.
    fn poll_data(&mut self, context: &mut Context<'_>) -> Poll<Option<Result<Bytes, RegistryError>>> {
        const WHAT: &str = "blob";
        let frame = loop {
            match ready!(Pin::new(&mut self.body).poll_frame(context)) {
                // Trailers say nothing about a blob.
                Some(Ok(frame)) if frame.is_trailers() => {}
                other => break other,
            }
        };
        let data = match frame {
            Some(Ok(frame)) => frame.into_data().unwrap_or_default(),
            Some(Err(error)) => {
                let host = "the registry".to_owned();
                return Poll::Ready(Some(Err(RegistryError::Connection { host, cause: error.to_string() })));
            }
            None if self.left > 0 => return Poll::Ready(Some(Err(RegistryError::Size { what: WHAT }))),
            None => return Poll::Ready(None),
        };
        let length = data.len() as u64;
        let Some(left) = self.left.checked_sub(length) else {
            return Poll::Ready(Some(Err(RegistryError::Size { what: WHAT })));
        };
        self.left = left;
        self.parts.update(&data);
        self.passage.add(length);
        if left == 0 && self.parts.digest() != self.digest {
            return Poll::Ready(Some(Err(RegistryError::Digest { what: WHAT })));
        }
        Poll::Ready(Some(Ok(data)))
    }
}

impl Body for Passing {
    type Data = Bytes;
    type Error = RegistryError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RegistryError>>> {
        let data = ready!(self.poll_data(context));
        if let Some(Err(error)) = &data {
            // hyper wraps it, and whoever sends cannot tell it from a failure of the other side.
            let _ = self.passage.0.1.set(error.clone());
        }
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}
