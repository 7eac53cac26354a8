//! The files and the configuration of a container image, without unpacking it to a directory.
//!
//! Terms. A *layer* is a tar archive, mostly compressed, with the files that an image adds to the layers below it; a
//! *whiteout* in it removes one of theirs. A *layout* is a directory with blobs that are named by their digests (OCI image
//! specification). An *archive* is a tar file with a layout, with what `docker save` writes, or with both.
//!
//! - [`Image::open`] reads an image out of a [`Source`]: a layout or an archive, which is a directory of the machine or an
//!   [`Archive`]. [`Image::of`] takes a configuration and layers that come from elsewhere, such as a registry.
//! - [`Image`] has the files, as [`files::Files`]. Contents are in a [`Store`], which is a file without a name, and only
//!   those of programs, libraries, scripts and small files are kept: for what an image runs the others do not count.
//! - [`Start`] is what a container of the image runs, as its configuration says.
//!
//! Nothing in an image is trusted: no path leaves the root, whatever is in the layers, and [`limits`] has every bound. The
//! crate opens no file itself.

#![forbid(unsafe_code)]

mod archive;
mod choice;
mod config;
mod error;
mod image;
mod layer;
pub mod limits;
mod source;
mod store;
mod tape;
mod tree;
mod unpacked;

pub use archive::Archive;
pub use config::{ARCHITECTURE, Start};
pub use error::{ImageError, LayerError};
pub use image::{Image, Layer};
pub use source::{Opened, Source};
pub use store::{ReadAt, Store};
