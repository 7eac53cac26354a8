//! From where the parts of an image come.

use std::io::{self, Read};

use crate::error::ImageError;

/// A part of an image.
pub struct Opened<'a> {
    /// Its size in bytes.
    pub size: u64,
    /// Its bytes.
    pub bytes: Box<dyn Read + 'a>,
}

/// A layout or an archive.
pub trait Source {
    /// Opens a part by its relative path, such as `index.json`; `None` if it is not there.
    ///
    /// # Errors
    /// It cannot be opened.
    fn open(&self, path: &str) -> io::Result<Option<Opened<'_>>>;
}

/// Opens a part.
pub(crate) fn part<'a>(source: &'a dyn Source, path: &str) -> Result<Option<Opened<'a>>, ImageError> {
    source.open(path).map_err(|error| ImageError::Unreadable { path: path.to_owned(), error })
}

/// A whole part of at most `limit` bytes; `None` if it is not there.
pub(crate) fn whole(source: &dyn Source, path: &str, limit: u64) -> Result<Option<Vec<u8>>, ImageError> {
    let Some(opened) = part(source, path)? else { return Ok(None) };
    let mut bytes = Vec::new();
    let read = opened.bytes.take(limit + 1).read_to_end(&mut bytes);
    read.map_err(|error| ImageError::Unreadable { path: path.to_owned(), error })?;
    if bytes.len() as u64 > limit {
        let why = format!("it has more than {limit} bytes");
        return Err(ImageError::Malformed { path: path.to_owned(), why });
    }
    Ok(Some(bytes))
}
