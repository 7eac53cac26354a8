//! Passes blobs of any size on from one registry to another, without keeping them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use http::{HeaderValue, Method};
use http_body_util::Either;

use super::Client;
use super::ask::Answer;
use super::outgoing::Passing;
use super::push::{BLOB, Place, Upload, typed};
use crate::RegistryError;
use crate::document::{Descriptor, LARGEST_MANIFEST};

/// How long a transfer may be without progress: a registry may take long to store what it has got.
const STALLED: Duration = Duration::from_mins(2);

impl Client {
    /// Passes a blob on from one repository to another, unless it is there. Returns whether it was not.
    ///
    /// # Errors
    /// It cannot be read, its bytes are not those of the descriptor, or the registry does not take it. The other registry
    /// keeps nothing of it then.
    pub(crate) async fn transfer(
        &self,
        from: Place<'_>,
        to: Place<'_>,
        descriptor: &Descriptor,
    ) -> Result<bool, TransferError> {
        let Descriptor { digest, size, .. } = descriptor;
        if self.in_time(self.has_blob(to, digest)).await.map_err(TransferError::To)? {
            return Ok(false);
        }
        let upload = self.in_time(self.upload(to, digest)).await.map_err(TransferError::To)?;
        let question = self.question(from.repository, &format!("blobs/{digest}"), from.login, any());
        let read = self.in_time(async { self.ask(question?).await }).await.map_err(TransferError::From)?;
        if !read.head.status.is_success() {
            return Err(TransferError::From(read.failure().await));
        }
        let passed = Arc::<AtomicU64>::default();
        let passing = Passing::new(read.body, digest, *size, passed.clone()).map_err(TransferError::From)?;
        let Upload { target, authorization } = upload;
        let headers = typed(BLOB);
        let put = async {
            let body = Either::Right(passing);
            let (head, body) =
                self.send(&Method::PUT, &target, authorization.as_ref(), &headers, body).await?;
            let answer = Answer { head, from: target.clone(), authorization: None, body };
            answer.body(LARGEST_MANIFEST, "answer").await.map(drop)
        };
        while_it_goes_on(put, &passed).await.map(|()| true).map_err(|error| match error {
            RegistryError::Size { .. } | RegistryError::Digest { .. } => TransferError::From(error),
            error => TransferError::To(error),
        })
    }
}

/// Why a blob did not pass.
pub(crate) enum TransferError {
    /// It could not be read.
    From(RegistryError),
    /// It could not be written.
    To(RegistryError),
}

fn any() -> HeaderValue {
    HeaderValue::from_static("*/*")
}

/// The outcome of a transfer, which ends when it makes no progress for some time: how long it may take in all depends on
/// the size of the blob and on both registries.
async fn while_it_goes_on<T>(
    transfer: impl Future<Output = Result<T, RegistryError>>,
    passed: &AtomicU64,
) -> Result<T, RegistryError> {
    let mut transfer = std::pin::pin!(transfer);
    let mut before = 0;
    loop {
        match tokio::time::timeout(STALLED, transfer.as_mut()).await {
            Ok(result) => return result,
            Err(_) => {
                let now = passed.load(Ordering::Relaxed);
                if now == before {
                    return Err(RegistryError::Timeout);
                }
                before = now;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_transfer_ends_when_nothing_passes_any_more_and_not_before() {
        let passed = Arc::<AtomicU64>::default();
        let slow = passed.clone();
        let transfer = async move {
            for _ in 0..10 {
                tokio::time::sleep(STALLED / 2).await;
                slow.fetch_add(1, Ordering::Relaxed);
            }
            Ok(())
        };
        assert_eq!(while_it_goes_on(transfer, &passed).await, Ok(()));
        let stalled = std::future::pending::<Result<(), _>>();
        assert_eq!(while_it_goes_on(stalled, &passed).await, Err(RegistryError::Timeout));
    }
}
