//! What one argument names.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::{fs, io};

use api::ProfileName;
use glob::{MatchOptions, Pattern, PatternError, glob_with};

use crate::error::CliError;

/// The endings of the names of manifests.
const ENDINGS: [&str; 3] = ["yaml", "yml", "json"];
/// What stands before the name of a profile that is certainly in the cluster, as in `kubectl get`.
pub(super) const KIND: &str = "seccompprofile/";

/// How patterns match: as in a shell.
const OPTIONS: MatchOptions =
    MatchOptions { case_sensitive: true, require_literal_separator: true, require_literal_leading_dot: true };

/// Where a text is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// What two origins have in common if they are the same.
#[derive(Debug, PartialEq, Eq, Hash)]
pub(super) enum Identity {
    /// Something that is not a file.
    Other(Origin),
    /// A file, without links.
    File(PathBuf),
}

impl Origin {
    pub(super) fn identity(&self) -> Identity {
        match self {
            Self::Stdin | Self::Stored(_) => Identity::Other(self.clone()),
            Self::Named(path) | Self::Found(path) => {
                Identity::File(fs::canonicalize(path).unwrap_or_else(|_| path.clone()))
            }
        }
    }
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

pub(super) fn is_manifest(path: &Path) -> bool {
    path.extension().is_some_and(|ending| ENDINGS.iter().any(|known| ending == *known))
}

/// The manifests in a directory at any depth. Hidden names are left out, and so are links to directories, which may lead
/// in a circle; a volume of a ConfigMap has both.
fn in_directory(directory: &Path) -> Result<Vec<PathBuf>, CliError> {
    let mut files = Vec::new();
    for (name, is_directory) in entries(directory)?.into_iter().filter(|(name, _)| !is_hidden(name)) {
        let path = directory.join(name);
        if is_directory {
            files.extend(in_directory(&path)?);
        } else if is_manifest(&path) && path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// The names in a directory, in their order, and whether each is a directory itself and no link to one.
fn entries(directory: &Path) -> Result<Vec<(OsString, bool)>, CliError> {
    let read = if directory.as_os_str().is_empty() { Path::new(".") } else { directory };
    let entry = |entry: fs::DirEntry| Ok((entry.file_name(), entry.file_type()?.is_dir()));
    let entries =
        fs::read_dir(read).and_then(|all| all.map(|it| it.and_then(entry)).collect::<io::Result<_>>());
    let mut entries: Vec<_> = entries.map_err(|error| CliError::File { path: read.to_owned(), error })?;
    entries.sort();
    Ok(entries)
}

fn is_hidden(name: &OsStr) -> bool {
    name.as_encoded_bytes().starts_with(b".")
}

/// What matches a pattern.
fn matching(pattern: &str) -> Result<Vec<Origin>, CliError> {
    let refused = |why: &str| CliError::Pattern { pattern: pattern.to_owned(), why: why.to_owned() };
    let invalid = |error: PatternError| refused(error.msg);
    let mut found = Vec::new();
    match recursive(pattern) {
        None => {
            for path in glob_with(pattern, OPTIONS).map_err(invalid)? {
                let path = path
                    .map_err(|error| CliError::File { path: error.path().to_owned(), error: error.into() })?;
                add(path, &mut found)?;
            }
        }
        Some((before, rest)) => {
            let below = Pattern::new(rest).map_err(invalid)?;
            let hidden = rest.split('/').any(|component| component.starts_with('.'));
            let roots: Vec<_> = match before {
                "" => vec![PathBuf::new()],
                before => glob_with(before, OPTIONS).map_err(invalid)?.filter_map(Result::ok).collect(),
            };
            for root in roots.into_iter().filter(|root| root.as_os_str().is_empty() || root.is_dir()) {
                Walk { root: &root, below: &below, hidden }.directory(Path::new(""), &mut found)?;
            }
        }
    }
    if found.is_empty() {
        Err(refused("no file matches"))
    } else {
        Ok(found.into_iter().map(Origin::Found).collect())
    }
}

/// A file that matches, or the manifests in a directory that does. What is neither, as a named pipe, is left out.
fn add(path: PathBuf, found: &mut Vec<PathBuf>) -> Result<(), CliError> {
    if path.is_dir() {
        found.extend(in_directory(&path)?);
    } else if path.is_file() {
        found.push(path);
    }
    Ok(())
}

/// The parts of a pattern before its first `**` and from there on.
fn recursive(pattern: &str) -> Option<(&str, &str)> {
    let mut at = 0;
    for component in pattern.split('/') {
        if component == "**" {
            return pattern.split_at_checked(at);
        }
        at += component.len() + 1;
    }
    None
}

/// What `**` walks through: not links to directories, which may lead in a circle. The crate `glob` would follow them, and
/// of two that lead back it would take all sequences.
struct Walk<'p> {
    root: &'p Path,
    /// The pattern of what is below the root.
    below: &'p Pattern,
    /// Whether the pattern names something hidden.
    hidden: bool,
}

impl Walk<'_> {
    fn directory(&self, relative: &Path, found: &mut Vec<PathBuf>) -> Result<(), CliError> {
        let directory = self.root.join(relative);
        if self.below.as_str() == "**" {
            found.extend(in_directory(if directory.as_os_str().is_empty() {
                Path::new(".")
            } else {
                &directory
            })?);
            return Ok(());
        }
        for (name, is_directory) in entries(&directory)? {
            let relative = relative.join(&name);
            let matches = relative.to_str().is_some_and(|text| self.below.matches_with(text, OPTIONS));
            if matches {
                add(self.root.join(&relative), found)?;
            }
            if is_directory && (self.hidden || !is_hidden(&name)) {
                self.directory(&relative, found)?;
            }
        }
        Ok(())
    }
}
