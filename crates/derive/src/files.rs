//! Reads files of the root, with their errors.

pub(crate) use ::files::{Files, directory, resolve};

use crate::error::DeriveError;
use crate::limits;

/// The contents of a file, all links resolved.
pub(crate) fn read(files: &dyn Files, path: &str) -> Result<(String, Vec<u8>), DeriveError> {
    let unreadable = |why: String| DeriveError::Unreadable { object: path.to_owned(), why };
    let resolved = resolve(files, path).ok_or_else(|| unreadable("no such file".to_owned()))?;
    let bytes = files.read(&resolved, limits::OBJECT_BYTES).map_err(unreadable)?;
    Ok((resolved, bytes))
}

/// A small file of text, empty if it is not there.
pub(crate) fn text(files: &dyn Files, path: &str) -> String {
    const MOST: usize = 1 << 20;
    let bytes = resolve(files, path).and_then(|path| files.read(&path, MOST).ok());
    String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned()
}
