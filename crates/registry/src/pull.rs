//! Reads a whole image for one platform.

use std::io;

use bytes::Bytes;

use crate::document::Descriptor;
use crate::find::{OfPlatform, Opened};
use crate::{Digest, FindError, Finder, Logins, Reference, RegistryError};

/// The manifest of an image for one platform, and the login that has opened it.
#[derive(Debug, Clone)]
pub struct Pull(OfPlatform);

/// Why a layer is not there.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry gave no usable answer.
    #[error("{0}")]
    Registry(#[from] RegistryError),
    /// It cannot be kept.
    #[error("cannot write to the temporary file: {0}")]
    Write(#[from] io::Error),
}

impl PullError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Registry(error) => error.reason(),
            Self::Write(_) => "TemporaryFile",
        }
    }
}

impl Pull {
    /// The digest of the platform's manifest.
    #[must_use]
    pub const fn digest(&self) -> &Digest {
        &self.0.opened.fetched.digest
    }

    /// The layers, from the lowest.
    #[must_use]
    pub fn layers(&self) -> &[Descriptor] {
        &self.0.manifest.layers
    }
}

impl<L: Logins> Finder<'_, L> {
    /// The manifest of an image for Linux on an architecture. If the image is for one platform alone, it is that one's.
    ///
    /// # Errors
    /// It cannot be read, or is no image's.
    pub async fn pull(&self, image: &Reference, architecture: &str) -> Result<Pull, FindError> {
        let mut platforms = self.platforms(image, &[architecture.to_owned()]).await?;
        // There is always one: an index without any is an error.
        let Some(of) = self.next(&mut platforms).await? else {
            return Err(crate::NoPlatform { architectures: vec![architecture.to_owned()] }.into());
        };
        match of.manifest.is_of_image() {
            true => Ok(Pull(of)),
            false => Err(RegistryError::Document(crate::DocumentError::Kind).into()),
        }
    }

    /// The configuration of an image.
    ///
    /// # Errors
    /// It cannot be read.
    pub async fn image_config(&self, pull: &Pull) -> Result<Bytes, RegistryError> {
        self.config_bytes(&pull.0).await
    }

    /// Reads a layer and gives its bytes to `write`, part by part. What was written counts only if this succeeds: whether
    /// the bytes are those of the digest is known at the end.
    ///
    /// # Errors
    /// It cannot be read or written, or has other bytes.
    pub async fn layer(
        &self,
        pull: &Pull,
        layer: &Descriptor,
        write: &mut (dyn FnMut(&[u8]) -> io::Result<()> + Send),
    ) -> Result<(), PullError> {
        let Opened { repository, login, .. } = &pull.0.opened;
        self.client.download(crate::client::Place { repository, login }, layer, write).await
    }
}
