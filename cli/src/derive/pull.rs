//! Reads an image out of a registry.

use std::fs::File;
use std::io::{Seek, Write};
use std::path::PathBuf;

use image::{ARCHITECTURE, Image, Layer, limits};
use registry::{Finder, Pull, Reference};

use super::DeriveOptions;
use super::target::{Opened, temporary};
use crate::derive_error::DeriveCommandError;
use crate::error::CliError;
use crate::image::{DockerConfig, RegistryOptions};
use crate::image_error::ImageError;
use crate::show::bytes;

/// An image that was read.
pub(super) struct Pulled {
    pub(super) opened: Opened,
    /// With the digest of what was read, which the tag may no longer name.
    pub(super) read: Reference,
    /// About logins.
    pub(super) remarks: Vec<String>,
}

impl DeriveOptions {
    /// Reads an image.
    ///
    /// # Errors
    /// The registry gives no usable answer, or the image cannot be used.
    pub(super) async fn pull(
        &self,
        registry: &RegistryOptions,
        image: &Reference,
        tell: &mut (dyn FnMut(&str) + Send),
    ) -> Result<Pulled, CliError> {
        let client = registry.client(&[image])?;
        let target = PathBuf::from(image.to_string());
        let unusable = |error| DeriveCommandError::Image { target: target.clone(), error };
        let logins = DockerConfig::read()?;
        let finder = Finder::new(&client, &logins);
        let unread = |error| logins.explained(ImageError::Image { image: image.to_string(), error });
        tell(&format!("reads {image} for linux/{ARCHITECTURE}"));
        let pull: Pull = finder.pull(image, ARCHITECTURE).await.map_err(unread)?;
        let config = finder.image_config(&pull).await.map_err(|error| unread(error.into()))?;
        let all: u64 = pull.layers().iter().map(|layer| layer.size).fold(0, u64::saturating_add);
        if all > limits::ARCHIVE_BYTES {
            let (what, limit) = ("bytes of layers", limits::ARCHIVE_BYTES);
            return Err(unusable(image::ImageError::TooLarge { what, limit }).into());
        }
        let mut layers: Vec<File> = Vec::new();
        for (index, layer) in pull.layers().iter().enumerate() {
            tell(&format!("layer {} of {}, {}", index + 1, pull.layers().len(), bytes(layer.size)));
            let mut file = temporary()?;
            let read = finder.layer(&pull, layer, &mut |part| file.write_all(part)).await;
            read.map_err(|error| logins.explained(ImageError::Pull { image: image.to_string(), error }))?;
            file.rewind().map_err(DeriveCommandError::Temporary)?;
            layers.push(file);
        }
        // The digests were verified already.
        let layers = layers.into_iter().map(|file| Ok(Layer { digest: None, bytes: Box::new(file) }));
        let files = Image::of(&config, layers, temporary()?).map_err(unusable)?;
        let opened = self.opened(files, &target)?;
        Ok(Pulled { opened, read: image.pinned(pull.digest().clone()), remarks: logins.remarks() })
    }
}
