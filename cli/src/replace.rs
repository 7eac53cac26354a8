//! Replaces the contents of a file in one step: whoever reads it meanwhile finds the old contents or the new ones.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, fchown};
use std::path::{Path, PathBuf};

/// Writes a temporary file beside it and renames it. The mode stays, the owner where the user may give files away; a
/// symbolic link still leads to the file.
///
/// # Errors
/// The file cannot be read or written, or it no longer has the text `before`.
pub(crate) fn replace(path: &Path, before: &str, after: &str) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let (temporary, file) = create(&path)?;
    let result = fill(file, &path, after).and_then(|()| {
        if fs::read(&path)? != before.as_bytes() {
            return Err(io::Error::other("it has changed meanwhile"));
        }
        fs::rename(&temporary, &path)
    });
    if result.is_err() {
        // The first error says more.
        let _ = fs::remove_file(&temporary);
    }
    result
}

/// A new file in the directory of another one.
fn create(beside: &Path) -> io::Result<(PathBuf, File)> {
    let name = beside.file_name().unwrap_or_default().to_string_lossy();
    let mut attempt = 0;
    loop {
        let path = beside.with_file_name(format!(".{name}.{}-{attempt}.tmp", std::process::id()));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            // Left behind by a process of the same number.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && attempt < 100 => attempt += 1,
            result => return Ok((path, result?)),
        }
    }
}

fn fill(mut file: File, like: &Path, text: &str) -> io::Result<()> {
    let like = fs::metadata(like)?;
    // Before the mode, because a change of the owner clears bits of it.
    let own = file.metadata()?;
    if (own.uid(), own.gid()) != (like.uid(), like.gid()) {
        let _ = fchown(&file, Some(like.uid()), Some(like.gid()));
    }
    file.set_permissions(like.permissions())?;
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt, symlink};

    use super::*;

    #[test]
    fn the_mode_and_a_link_stay_and_nothing_else_is_left() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("a.yaml"), directory.path().join("b.yaml"));
        fs::write(&file, "old").unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        symlink("a.yaml", &link).unwrap();
        replace(&link, "old", "new").unwrap();
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
        assert_eq!(fs::metadata(&file).unwrap().mode() & 0o777, 0o640);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
    }

    #[test]
    fn a_file_that_somebody_else_has_changed_stays_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("a.yaml");
        fs::write(&file, "newer").unwrap();
        assert!(replace(&file, "old", "new").is_err());
        assert_eq!(fs::read_to_string(&file).unwrap(), "newer");
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1);
    }
}
