//! `convert`: profiles of other tools, as `SeccompProfile`s or in the runtimes' format.
//!
//! - `options`: the command's options; `error`: why it fails.
//! - `bases`: base profiles of the Security Profiles Operator in other files.
//!
//! The crate `convert` decides what a profile becomes; here are the documents before and after.

mod bases;
mod error;
mod options;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use api::ProfileName;
use convert::Converted;
use convert::operator::OperatorProfile;
use profile::Profile;
use serde_json::Value;

pub use error::ConversionError;
pub use options::{BaseFile, ConvertArgs, Form};

use crate::manifest::{Object, objects_in};
use crate::profile_text::{oci_json, seccomp_profile};
use bases::Bases;

/// What comes out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversion {
    /// The profiles.
    pub text: String,
    /// What is not in them, and what was assumed.
    pub remarks: Vec<String>,
}

/// A file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Input {
    /// Its path.
    pub path: PathBuf,
    /// Its text.
    pub text: String,
}

/// A converted profile.
struct Piece {
    /// The file, and the object in it.
    place: String,
    name: Option<ProfileName>,
    profile: Profile,
}

/// A profile before it is converted.
enum Source {
    Plain(Value),
    Ours(Profile),
    OtherOperator(OperatorProfile),
}

/// Converts the profiles in some files. `bases` are the files of `--base`, in the same order.
///
/// # Errors
/// A file contains no profile, or one cannot be converted.
pub fn convert(files: &[Input], bases: &[Input], args: &ConvertArgs) -> Result<Conversion, ConversionError> {
    let target = args.target()?;
    let mut remarks = Vec::new();
    let mut sources = Vec::new();
    for file in files {
        sources.extend(read(file, &mut remarks)?);
    }
    let bases = Bases::of(bases, args)?;
    let own: Vec<_> = sources.iter().filter_map(|(.., source)| source.of_the_other_operator()).collect();
    let base = |of: &OperatorProfile, name: &str| bases.find(&own, of, name);
    if let Some(missing) =
        args.only.iter().find(|only| !sources.iter().any(|(_, name, _)| name.as_ref() == Some(only)))
    {
        return Err(ConversionError::NoSuchProfile(missing.clone()));
    }
    let mut pieces = Vec::new();
    for (place, name, source) in &sources {
        if !(args.only.is_empty() || name.as_ref().is_some_and(|name| args.only.contains(name))) {
            continue;
        }
        let converted = match source {
            Source::Plain(document) => convert::dialect::convert(document, &target),
            Source::OtherOperator(profile) => convert::operator::convert(profile, &base),
            Source::Ours(profile) => Ok(Converted { profile: profile.clone(), remarks: vec![] }),
        };
        let converted =
            converted.map_err(|error| ConversionError::Convert { place: place.clone(), error })?;
        remarks.extend(converted.remarks.iter().map(|remark| format!("{place}: {remark}")));
        let name = name.as_ref().and_then(|name| name.parse().ok());
        pieces.push(Piece { place: place.clone(), name, profile: converted.profile });
    }
    Ok(Conversion { text: written(pieces, args)?, remarks })
}

/// The profiles in a file: the place of each, its name, and itself.
fn read(
    file: &Input,
    remarks: &mut Vec<String>,
) -> Result<Vec<(String, Option<String>, Source)>, ConversionError> {
    let Input { path, text } = file;
    let objects =
        objects_in(text).map_err(|error| ConversionError::Document { path: path.clone(), error })?;
    let file = path.display().to_string();
    let mut sources = Vec::new();
    for object in objects {
        let (name, source) = match object {
            Object::Plain(document) => {
                sources.push((
                    file.clone(),
                    stem(path).map(|name| name.to_string()),
                    Source::Plain(document),
                ));
                continue;
            }
            Object::Ours { name, profile } => (name, Source::Ours(profile)),
            Object::OtherOperator(object) => {
                let name = object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
                let place = place(&file, name.as_deref());
                let profile = OperatorProfile::read(&object);
                let profile = profile.map_err(|error| ConversionError::Convert { place, error })?;
                (name, Source::OtherOperator(profile))
            }
            Object::Other(found) => {
                remarks.push(format!("{file}: left out: {found}"));
                continue;
            }
        };
        sources.push((place(&file, name.as_deref()), name, source));
    }
    Ok(sources)
}

fn place(file: &str, name: Option<&str>) -> String {
    name.map_or_else(|| file.to_owned(), |name| format!("{file}: {name}"))
}

impl Source {
    fn of_the_other_operator(&self) -> Option<&OperatorProfile> {
        match self {
            Self::OtherOperator(profile) => Some(profile),
            Self::Plain(_) | Self::Ours(_) => None,
        }
    }
}

/// The name of a file without its ending, if a `SeccompProfile` may have it.
fn stem(path: &Path) -> Option<ProfileName> {
    path.file_stem()?.to_str().filter(|stem| *stem != "-")?.parse().ok()
}

fn written(pieces: Vec<Piece>, args: &ConvertArgs) -> Result<String, ConversionError> {
    let [piece] = &pieces[..] else {
        if args.to == Form::Oci || args.name.is_some() {
            return Err(ConversionError::Several(pieces.into_iter().map(|piece| piece.place).collect()));
        }
        return many(&pieces);
    };
    match args.to {
        Form::Oci => Ok(oci_json(&piece.profile)),
        Form::Seccompprofile => {
            let name = args.name.as_ref().or(piece.name.as_ref());
            let name = name.ok_or_else(|| ConversionError::Nameless(piece.place.clone()))?;
            Ok(seccomp_profile(name.as_str(), &piece.profile))
        }
    }
}

fn many(pieces: &[Piece]) -> Result<String, ConversionError> {
    let mut names: Vec<&ProfileName> = Vec::new();
    let mut texts = Vec::new();
    for piece in pieces {
        let name = piece.name.as_ref().ok_or_else(|| ConversionError::Nameless(piece.place.clone()))?;
        if names.contains(&name) {
            return Err(ConversionError::SameName(name.to_string()));
        }
        names.push(name);
        texts.push(seccomp_profile(name.as_str(), &piece.profile));
    }
    Ok(texts.join("---\n"))
}
