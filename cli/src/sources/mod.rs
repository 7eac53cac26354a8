//! What the FILE arguments of a command mean: the texts with profiles that it works on.
//!
//! - [`Origins::of`]: from the arguments to files, standard input and names in the cluster.
//! - [`Origins::read`]: one [`Source`] after the other: a name to show, its text, and the profiles in it with the
//!   positions of their fields.
//!
//! A file that is named must contain a profile. In a directory, and among the files that match a pattern, those without
//! one are skipped: a repository also has Deployments.

mod origin;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use kube::Client;
use serde_json::Value;

use crate::error::CliError;
use crate::manifest::{API_VERSION, DocumentError, Fault, FileProfile, SyntaxError, profiles_in};
use crate::profile_text::seccomp_profile;
use crate::read;
use origin::{Identity, Origin};

/// A text with profiles.
#[derive(Debug)]
pub struct Source {
    /// The path, `-` for standard input, or `seccompprofile/NAME` for a profile in the cluster.
    pub name: String,
    /// The file, unless it is standard input or in the cluster.
    pub path: Option<PathBuf>,
    /// The text. That of a profile in the cluster is its contents as YAML.
    pub text: String,
    /// The profiles in it, at least one.
    pub profiles: Vec<FileProfile>,
}

/// Where the texts are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origins {
    origins: Vec<Origin>,
}

/// What to do about a file that is named and contains no profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// It is an error.
    Refuse,
    /// It is skipped, as in a directory.
    Skip,
}

/// The name of the profile in the cluster that an argument names; `None` if it names files.
///
/// # Errors
/// There is no such file, or a directory cannot be read.
pub fn name_in_cluster(argument: &Path) -> Result<Option<String>, CliError> {
    Ok(match &origin::origins(argument)?[..] {
        [Origin::Stored(name)] => Some(name.clone()),
        _ => None,
    })
}

/// What an argument names that is meant for a profile in the cluster: its name, or `None` for `-` and for what ends like a
/// file with a manifest.
pub(crate) fn meant_for_cluster(argument: &Path) -> Option<String> {
    let is_file = argument == Path::new("-") || origin::is_manifest(argument);
    let name = argument.to_string_lossy();
    (!is_file).then(|| name.strip_prefix(origin::KIND).unwrap_or(&name).to_owned())
}

/// The arguments that count as names of profiles in the cluster because there is no such file.
pub(crate) fn assumed_names(arguments: &[PathBuf]) -> Vec<String> {
    let is_assumed = |argument: &PathBuf| {
        let [Origin::Stored(name)] = &origin::origins(argument).ok()?[..] else { return None };
        (argument.as_os_str() == name.as_str()).then(|| name.clone())
    };
    arguments.iter().filter_map(is_assumed).collect()
}

impl Source {
    /// The profiles in a text.
    ///
    /// # Errors
    /// There is no profile, one is invalid, kubectl would refuse the text, or a runtime would refuse the file.
    pub fn of(name: &str, path: Option<PathBuf>, text: String) -> Result<Self, DocumentError> {
        let profiles = profiles_in(&text)?;
        let is_named_json = path.as_deref().and_then(Path::extension).is_some_and(|ending| ending == "json");
        if is_named_json && profiles.iter().any(FileProfile::is_plain) {
            expect_json(&text)?;
        }
        Ok(Self { name: name.to_owned(), path, text, profiles })
    }
}

impl Origins {
    /// What the arguments name. Each is
    ///
    /// - `-`: standard input;
    /// - an existing file;
    /// - an existing directory: every file in it, at any depth, that ends in `.yaml`, `.yml` or `.json`, without hidden
    ///   ones;
    /// - a pattern with `*`, `**`, `?` or `[…]`: the files and directories that match;
    /// - `seccompprofile/NAME`, or a name that no file has and that has no such ending: a profile in the cluster.
    ///
    /// Each file counts once, whatever paths lead to it.
    ///
    /// # Errors
    /// There is no such file, or a directory cannot be read.
    pub fn of(arguments: &[PathBuf]) -> Result<Self, CliError> {
        let mut origins: Vec<Origin> = Vec::new();
        let mut places: HashMap<Identity, usize> = HashMap::new();
        for origin in arguments
            .iter()
            .map(|argument| origin::origins(argument))
            .collect::<Result<Vec<_>, _>>()?
            .concat()
        {
            match places.entry(origin.identity()) {
                Entry::Vacant(place) => {
                    place.insert(origins.len());
                    origins.push(origin);
                }
                // A file that is named must contain a profile, also if it was found before.
                Entry::Occupied(place) => {
                    if let (Some(known @ Origin::Found(_)), Origin::Named(_)) =
                        (origins.get_mut(*place.get()), &origin)
                    {
                        *known = origin;
                    }
                }
            }
        }
        Ok(Self { origins })
    }

    /// Whether one of them is in the cluster.
    #[must_use]
    pub fn need_cluster(&self) -> bool {
        self.origins.iter().any(|origin| matches!(origin, Origin::Stored(_)))
    }

    /// The files, also of other tools' profiles, and what to do about each that has no profile; `-` for standard input.
    pub(crate) fn files(&self) -> impl Iterator<Item = (PathBuf, Others)> {
        self.origins.iter().filter_map(|origin| match origin {
            Origin::Stdin => Some((PathBuf::from("-"), Others::Refuse)),
            Origin::Named(path) => Some((path.clone(), Others::Refuse)),
            Origin::Found(path) => Some((path.clone(), Others::Skip)),
            Origin::Stored(_) => None,
        })
    }

    /// Reads those that are not in the cluster, one after the other; a caller with names in the cluster uses
    /// [`Self::read_all`].
    ///
    /// An item is an error if a file cannot be read, contains no profile although it is named, or one that is not valid.
    pub fn read(&self, others: Others) -> impl Iterator<Item = Result<Source, CliError>> {
        self.origins.iter().filter_map(move |origin| match origin {
            Origin::Stdin => Some(stdin()),
            Origin::Named(path) => file(path, others),
            Origin::Found(path) => file(path, Others::Skip),
            Origin::Stored(_) => None,
        })
    }

    /// Reads all, those in the cluster last.
    ///
    /// # Errors
    /// Like [`Self::read`], or the profile does not exist or cannot be read.
    pub async fn read_all(&self, others: Others, client: &Client) -> Result<Vec<Source>, CliError> {
        let mut sources: Vec<Source> = self.read(others).collect::<Result<_, _>>()?;
        sources.extend(self.read_stored(client).await?);
        Ok(sources)
    }

    /// Reads those in the cluster.
    ///
    /// # Errors
    /// The profile does not exist or cannot be read.
    pub async fn read_stored(&self, client: &Client) -> Result<Vec<Source>, CliError> {
        let mut sources = Vec::new();
        for origin in &self.origins {
            if let Origin::Stored(name) = origin {
                sources.push(stored(client, name).await?);
            }
        }
        Ok(sources)
    }
}

/// Refuses what kubectl's reader of YAML accepts and a runtime's reader of JSON (Go's `encoding/json`) does not, as a comma
/// behind the last item.
fn expect_json(text: &str) -> Result<(), SyntaxError> {
    serde_json::from_str::<Value>(text).map(drop).map_err(|error| {
        let place = format!(" at line {} column {}", error.line(), error.column());
        let message = error.to_string().replace(&place, "");
        SyntaxError::at(text, (error.line(), error.column()), Fault::NotJson(message))
    })
}

fn stdin() -> Result<Source, CliError> {
    let path = Path::new("-");
    let mut text = String::new();
    io::stdin().read_to_string(&mut text).map_err(|error| CliError::File { path: path.to_owned(), error })?;
    Source::of("-", None, text).map_err(|error| CliError::Document { path: path.to_owned(), error })
}

/// The profiles in a file; `None` if it has none and is skipped.
fn file(path: &Path, others: Others) -> Option<Result<Source, CliError>> {
    const WORDS: [&str; 4] = ["SeccompProfile", "defaultAction", "SCMP_ACT_", API_VERSION];
    let of_file = |error| CliError::File { path: path.to_owned(), error };
    let bytes = match std::fs::read(path) {
        Ok(bytes) => bytes,
        Err(error) => return Some(Err(of_file(error))),
    };
    // What mentions none of these is not read: a directory also has templates, and files that are no text.
    if others == Others::Skip {
        let text = String::from_utf8_lossy(&bytes);
        if !WORDS.iter().any(|word| text.contains(word)) {
            return None;
        }
    }
    let text = match String::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => return Some(Err(of_file(io::Error::new(io::ErrorKind::InvalidData, error)))),
    };
    match Source::of(&path.display().to_string(), Some(path.to_owned()), text) {
        Err(DocumentError::NoProfile(_)) if others == Others::Skip => None,
        result => Some(result.map_err(|error| CliError::Document { path: path.to_owned(), error })),
    }
}

async fn stored(client: &Client, name: &str) -> Result<Source, CliError> {
    let object = read::profile(client, name).await?;
    let profile = object.profile().map_err(|error| CliError::Stored { name: name.to_owned(), error })?;
    let shown = format!("seccompprofile/{name}");
    let text = seccomp_profile(name, &profile);
    Source::of(&shown, None, text).map_err(|error| CliError::Document { path: PathBuf::from(shown), error })
}
