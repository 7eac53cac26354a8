//! File operations whose errors name the path.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// A file operation that failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {action} {}: {source}", path.display())]
pub struct FileError {
    /// What was tried, as a verb: `write`, `create`, `rename`.
    pub action: &'static str,
    /// The path that it was tried on.
    pub path: PathBuf,
    /// Why the system refused.
    pub source: io::Error,
}

/// Adds the action and the path to an I/O result.
pub trait NamePath<T> {
    /// Turns the I/O error into a [`FileError`].
    ///
    /// # Errors
    /// That one.
    fn name_path(self, action: &'static str, path: &Path) -> Result<T, FileError>;
}

impl<T> NamePath<T> for io::Result<T> {
    fn name_path(self, action: &'static str, path: &Path) -> Result<T, FileError> {
        self.map_err(|source| FileError { action, path: path.to_owned(), source })
    }
}

/// Creates a directory and those above it; one that exists is fine.
///
/// # Errors
/// When the system refuses, with the path.
pub fn create_dir(path: &Path) -> Result<(), FileError> {
    fs::create_dir_all(path).name_path("create the directory", path)
}

/// Writes a file whole, or leaves the old one: a temporary file beside it, then a rename.
///
/// # Errors
/// When the system refuses, with the path.
pub fn write(path: &Path, contents: impl AsRef<[u8]>) -> Result<(), FileError> {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(format!(".new-{}", std::process::id()));
    let temporary = path.with_file_name(name);
    fs::write(&temporary, contents).name_path("write", &temporary)?;
    fs::rename(&temporary, path).name_path("rename to", path)
}

/// Writes to a file that must be written in place, such as those of a cgroup or of `/proc/sys`.
///
/// # Errors
/// When the system refuses, with the path.
pub fn write_in_place(path: &Path, contents: &str) -> Result<(), FileError> {
    fs::write(path, contents).name_path("write", path)
}

/// Reads a text file.
///
/// # Errors
/// When the system refuses, with the path.
pub fn read(path: &Path) -> Result<String, FileError> {
    fs::read_to_string(path).name_path("read", path)
}

/// The directory's entries by name, sorted; none if there is no such directory.
///
/// # Errors
/// When the system refuses, with the path.
pub fn entries(path: &Path) -> Result<Vec<PathBuf>, FileError> {
    let listing = match fs::read_dir(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        listing => listing.name_path("list", path)?,
    };
    let mut paths = Vec::new();
    for entry in listing {
        paths.push(entry.name_path("list", path)?.path());
    }
    paths.sort();
    Ok(paths)
}

/// Whether the path's last part begins with `prefix`.
pub fn name_begins_with(path: &Path, prefix: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix))
}

/// Turns "it was not there" into success, for removals.
///
/// # Errors
/// Every other reason.
pub fn or_absent(result: io::Result<()>) -> io::Result<()> {
    match result {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// The last `lines` lines of a log, or why it cannot be read: for error messages.
pub fn tail(path: &Path, lines: usize) -> String {
    let text = match fs::read(path) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(error) => return format!("(no log: {error})"),
    };
    let all: Vec<&str> = text.lines().collect();
    all[all.len().saturating_sub(lines)..].join("\n")
}
