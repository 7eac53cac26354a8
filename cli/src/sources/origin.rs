//! What one argument names.

use std::path::{Path, PathBuf};
use std::{fs, io};

use api::ProfileName;
use glob::{MatchOptions, glob_with};

use crate::error::CliError;

/// The endings of the names of manifests.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// What stands before the name of a profile that is certainly in the cluster, as in `kubectl get`.
const KIND: &str = "seccompprofile/";

/// Where a text is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Standard input.
    Stdin,
    /// A file that is named.
    Named(PathBuf),
    /// A file that was found in a directory or by a pattern.
    Found(PathBuf),
    /// A profile in the cluster.
    Stored(String),
}

/// What an argument names, files in the order of their names.
///
/// # Errors
/// There is no such file, or a directory cannot be read.
pub(super) fn origins(argument: &Path) -> Result<Vec<Origin>, CliError> {
    if argument == Path::new("-") {
        return Ok(vec![Origin::Stdin]);
    }
    let missing = match fs::metadata(argument) {
        Ok(metadata) if metadata.is_dir() => {
            let files = in_directory(argument)?;
            return if files.is_empty() {
                Err(CliError::NothingIn(argument.to_owned()))
            } else {
                Ok(files.into_iter().map(Origin::Found).collect())
            };
        }
        Ok(_) => return Ok(vec![Origin::Named(argument.to_owned())]),
        Err(error) => error,
    };
    if missing.kind() != io::ErrorKind::NotFound {
        return Err(CliError::File { path: argument.to_owned(), error: missing });
    }
    let text = argument.to_string_lossy();
    if text.contains(['*', '?', '[']) {
        return matching(&text);
    }
    let name = text.strip_prefix(KIND).or((!is_manifest(argument)).then_some(&*text));
    match name.filter(|name| name.parse::<ProfileName>().is_ok()) {
        Some(name) => Ok(vec![Origin::Stored(name.to_owned())]),
        None => Err(CliError::File { path: argument.to_owned(), error: missing }),
    }
}

fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// The manifests in a directory at any depth. Hidden names are left out, and so are links to directories, which may lead
/// in a circle; a volume of a ConfigMap has both.
fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let failed = |error| CliError::File { path: directory.to_owned(), error };
    let entries =
        fs::read_dir(directory).and_then(Iterator::collect::<io::Result<Vec<_>>>).map_err(failed)?;
    let mut entries: Vec<_> = entries
        .into_iter()
        .filter(|entry| !entry.file_name().as_encoded_bytes().starts_with(b"."))
        .map(|entry| (entry.path(), entry.file_type()))
        .collect();
    entries.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut files = Vec::new();
    for (path, kind) in entries {
        if kind.map_err(failed)?.is_dir() {
            files.extend(in_directory(&path)?);
        } else if is_manifest(&path) && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// What matches a pattern.
fn matching(pattern: &str) -> Result<Vec<Origin>, CliError> {
    let options = MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let refused = |error: glob::PatternError| CliError::Pattern {
        pattern: pattern.to_owned(),
        why: error.msg.to_owned(),
    };
    let mut found = Vec::new();
    for path in glob_with(pattern, options).map_err(refused)? {
        let path =
            path.map_err(|error| CliError::File { path: error.path().to_owned(), error: error.into() })?;
        if path.is_dir() {
            found.extend(in_directory(&path)?);
        } else {
            found.push(path);
        }
    }
    if found.is_empty() {
        return Err(CliError::Pattern { pattern: pattern.to_owned(), why: "no file matches".to_owned() });
    }
    Ok(found.into_iter().map(Origin::Found).collect())
}
