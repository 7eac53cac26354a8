//! Files below a root directory, without leaving it: links are resolved here and not by the system.

use crate::error::DeriveError;
use crate::limits;

/// What a path without links is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// A file.
    File,
    /// A directory.
    Directory,
    /// A symbolic link and its target.
    Link(String),
}

/// The files of an image or of a machine. Paths are absolute, with the root as `/`, without `.`, `..` and empty names; no
/// part of a path that is asked for is a link, except that the last one may be one for [`Files::entry`].
pub trait Files {
    /// What is there; `None` if nothing is, or nothing that can be read.
    fn entry(&self, path: &str) -> Option<Entry>;

    /// The contents of a file.
    ///
    /// # Errors
    /// It cannot be read, or has more than `most` bytes; the message is for people.
    fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, String>;

    /// The names in a directory, sorted.
    fn names(&self, path: &str) -> Vec<String>;
}

/// The path of a file with all links resolved, if there is a file.
pub(crate) fn resolve(files: &dyn Files, path: &str) -> Option<String> {
    walk(files, path).filter(|(_, is_file)| *is_file).map(|(path, _)| path)
}

/// The path of a directory with all links resolved, if there is one.
pub(crate) fn directory(files: &dyn Files, path: &str) -> Option<String> {
    walk(files, path).filter(|(_, is_file)| !is_file).map(|(path, _)| path)
}

/// The path with all links resolved, and whether it is a file.
fn walk(files: &dyn Files, path: &str) -> Option<(String, bool)> {
    if path.len() > limits::PATH_BYTES {
        return None;
    }
    let mut left: Vec<String> = path.split('/').rev().map(str::to_owned).collect();
    let (mut at, mut is_file, mut links) = (String::new(), false, 0);
    while let Some(name) = left.pop() {
        if name.is_empty() || name == "." {
            continue;
        }
        if is_file {
            return None;
        }
        if name == ".." {
            at.truncate(at.rfind('/').unwrap_or(0));
            continue;
        }
        let whole = format!("{at}/{name}");
        match files.entry(&whole)? {
            Entry::Directory => at = whole,
            Entry::File => (at, is_file) = (whole, true),
            Entry::Link(target) => {
                links += 1;
                if links > limits::LINKS || target.len() > limits::PATH_BYTES {
                    return None;
                }
                if target.starts_with('/') {
                    at.clear();
                }
                left.extend(target.split('/').rev().map(str::to_owned));
            }
        }
    }
    Some((at, is_file))
}

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
