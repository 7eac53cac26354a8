//! Passes blobs of any size on from one registry to another, or to a file, without keeping them.

use std::io;
use std::time::Duration;

use http::{HeaderValue, Method};
use http_body_util::{BodyExt, Either};
use hyper::body::Incoming;

use super::Client;
use super::ask::Answer;
use super::outgoing::{Passage, Passing};
use super::push::{BLOB, Place, Upload, typed};
use crate::document::{Descriptor, LARGEST_MANIFEST};
use crate::{Digest, PullError, RegistryError};

/// How often it is looked whether more of a blob has passed. A registry may take long to store what it has got.
const STALLED: Duration = Duration::from_mins(2);

impl Client {
    /// Passes a blob on from one repository to another, unless it is there. Returns whether it was not.
    ///
    /// # Errors
    /// It cannot be read, its bytes are not those of the descriptor, or the registry does not take it. The other registry has
    /// no such blob then.
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
        let body = self.opened_blob(from, digest).await.map_err(TransferError::From)?;
        let Upload { target, authorization } =
            self.in_time(self.upload(to, digest)).await.map_err(TransferError::To)?;
        let passage = Passage::default();
        let passing = Passing::new(body, digest, *size, passage.clone()).map_err(TransferError::From)?;
        let headers = typed(BLOB);
        let put = async {
            let body = Either::Right(passing);
            let (head, body) =
                self.send(&Method::PUT, &target, authorization.as_ref(), &headers, body).await?;
            let answer = Answer { head, from: target.clone(), authorization: None, body };
            answer.body(LARGEST_MANIFEST, "answer").await.map(drop)
        };
        match while_it_goes_on(put, &passage).await {
            Ok(()) => Ok(true),
            Err(error) => Err(match passage.failure() {
                Some(unread) => TransferError::From(unread),
                None => TransferError::To(error),
            }),
        }
    }

    /// Reads a blob of any size, and gives its bytes to `write`, part by part. Only at the end is it known whether they are
    /// those of the descriptor.
    pub(crate) async fn download(
        &self,
        from: Place<'_>,
        descriptor: &Descriptor,
        write: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), PullError> {
        let Descriptor { digest, size, .. } = descriptor;
        let body = self.opened_blob(from, digest).await?;
        let passage = Passage::default();
        let mut passing = Passing::new(body, digest, *size, passage.clone())?;
        let read = async {
            while let Some(frame) = passing.frame().await {
                // There are no trailers among them.
                if let Ok(data) = frame?.into_data() {
                    write(&data)?;
                }
            }
            Ok(())
        };
        while_it_goes_on(read, &passage).await
    }

    async fn opened_blob(&self, from: Place<'_>, digest: &Digest) -> Result<Incoming, RegistryError> {
        let question = self.question(from.repository, &format!("blobs/{digest}"), from.login, any());
        let answered = self.in_time(async {
            let answer = self.ask(question?).await?;
            if answer.head.status.is_success() { Ok(answer.body) } else { Err(answer.failure().await) }
        });
        answered.await
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

/// The outcome of a transfer, which ends when nothing has passed between two looks at it: how long it may take in all depends
/// on the size of the blob and on both registries.
async fn while_it_goes_on<T, E: From<RegistryError>>(
    transfer: impl Future<Output = Result<T, E>>,
    passage: &Passage,
) -> Result<T, E> {
    let mut transfer = std::pin::pin!(transfer);
    let mut before = 0;
    loop {
        match tokio::time::timeout(STALLED, transfer.as_mut()).await {
            Ok(result) => return result,
            Err(_) => {
                let now = passage.passed();
                if now == before {
                    return Err(RegistryError::Timeout.into());
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
        let passage = Passage::default();
        let slow = passage.clone();
        let transfer = async move {
            for _ in 0..10 {
                tokio::time::sleep(STALLED / 2).await;
                slow.add(1);
            }
            Ok::<(), RegistryError>(())
        };
        assert_eq!(while_it_goes_on(transfer, &passage).await, Ok(()));
        let stalled = std::future::pending::<Result<(), _>>();
        assert_eq!(while_it_goes_on(stalled, &passage).await, Err(RegistryError::Timeout));
    }
}
