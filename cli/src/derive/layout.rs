//! A directory with an OCI layout.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use image::{Opened, Source};

/// A directory with an OCI layout.
pub(super) struct Layout(PathBuf);

impl Layout {
    pub(super) fn new(path: PathBuf) -> Self {
        Self(path)
    }
}

impl Source for Layout {
    fn open(&self, path: &str) -> io::Result<Option<Opened<'_>>> {
        let file = match File::open(self.0.join(path)) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let size = file.metadata()?.len();
        Ok(Some(Opened { size, bytes: Box::new(file) }))
    }
}
