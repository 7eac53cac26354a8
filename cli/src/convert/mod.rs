//! `convert`: profiles of other tools, as `SeccompProfile`s or in the runtimes' format.
//!
//! - `options`: the command's options; `error`: why it fails.
//! - `absent`: names of calls that none of the architectures has.
//! - `bases`: base profiles of the Security Profiles Operator in other files.
//!
//! The crate `convert` decides what a profile becomes; here are the documents before and after.

mod absent;
mod bases;
mod error;
mod options;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use api::ProfileName;
use convert::operator::OperatorProfile;
use convert::{ConvertError, Converted, Remark};
use profile::Profile;
use serde_json::Value;

pub use error::ConversionError;
pub use options::{BaseFile, ConvertArgs, Form};

use crate::manifest::{DocumentError, Marks, Object, Position, objects_in};
use crate::profile_text::{oci_json, seccomp_profile};
use crate::show::count;
use absent::without_absent;
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

/// Whether there is a profile in a text, valid or not. A text that is neither YAML nor JSON counts as one if it mentions
/// what a profile has: a directory also has templates.
pub(crate) fn has_profile(text: &str) -> bool {
    const WORDS: [&str; 2] = ["SeccompProfile", "defaultAction"];
    WORDS.iter().any(|word| text.contains(word))
        && !matches!(objects_in(text), Err(DocumentError::NoProfile(_)))
}

/// A converted profile.
struct Piece {
    /// The file, and the object in it.
    place: String,
    name: Option<ProfileName>,
    profile: Profile,
}

/// A profile before it is converted.
struct Source<'t> {
    /// The file.
    file: String,
    /// The name of the object, or what the file's name gives.
    name: Option<String>,
    kind: Kind,
    marks: Marks<'t>,
}

enum Kind {
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
    let own: Vec<_> = sources.iter().filter_map(Source::of_the_other_operator).collect();
    let base = |of: &OperatorProfile, name: &str| bases.find(&own, of, name);
    if let Some(missing) =
        args.only.iter().find(|only| !sources.iter().any(|source| source.name.as_ref() == Some(only)))
    {
        return Err(ConversionError::NoSuchProfile(missing.clone()));
    }
    let mut pieces = Vec::new();
    for source in &sources {
        if !(args.only.is_empty() || source.name.as_ref().is_some_and(|name| args.only.contains(name))) {
            continue;
        }
        let converted = match &source.kind {
            Kind::Plain(document) => convert::dialect::convert(document, &target),
            Kind::OtherOperator(profile) => convert::operator::convert(profile, &base),
            Kind::Ours(profile) => Ok(Converted { profile: profile.clone(), remarks: vec![] }),
        };
        let Converted { profile, remarks: found } = converted.map_err(|error| source.failed(error))?;
        remarks.extend(found.iter().map(|remark| format!("{}: {remark}", source.place_of(remark))));
        let (profile, absent) = match &source.kind {
            Kind::Ours(_) => (profile, Vec::new()),
            Kind::Plain(_) | Kind::OtherOperator(_) => without_absent(profile),
        };
        if !absent.is_empty() {
            let (place, names) = (source.place(), absent.join(", "));
            let number = count(absent.len(), "name");
            remarks.push(format!(
                "{place}: left out: {number} of calls that no listed architecture has: {names}"
            ));
        }
        let name = source.name.as_ref().and_then(|name| name.parse().ok());
        pieces.push(Piece { place: source.place(), name, profile });
    }
    Ok(Conversion { text: written(pieces, args)?, remarks })
}

/// The profiles in a file.
fn read<'t>(file: &'t Input, remarks: &mut Vec<String>) -> Result<Vec<Source<'t>>, ConversionError> {
    let Input { path, text } = file;
    let objects =
        objects_in(text).map_err(|error| ConversionError::Document { path: path.clone(), error })?;
    let file = path.display().to_string();
    let mut sources = Vec::new();
    for (object, marks) in objects {
        let (name, kind) = match object {
            Object::Plain(document) => (stem(path).map(|name| name.to_string()), Kind::Plain(document)),
            Object::Ours { name, profile } => (name, Kind::Ours(profile)),
            Object::OtherOperator(object) => {
                let name = object.pointer("/metadata/name").and_then(Value::as_str).map(str::to_owned);
                let profile = OperatorProfile::read(&object)
                    .map_err(|error| ConversionError::of((file.clone(), name.clone()), error, &marks))?;
                (name, Kind::OtherOperator(profile))
            }
            Object::Other(found) => {
                remarks.push(format!("{file}: left out: {found}"));
                continue;
            }
        };
        sources.push(Source { file: file.clone(), name, kind, marks });
    }
    Ok(sources)
}

impl Source<'_> {
    fn of_the_other_operator(&self) -> Option<&OperatorProfile> {
        match &self.kind {
            Kind::OtherOperator(profile) => Some(profile),
            Kind::Plain(_) | Kind::Ours(_) => None,
        }
    }

    /// The name of the object.
    fn object(&self) -> Option<&str> {
        match &self.kind {
            // It is no object, and the name is that of the file.
            Kind::Plain(_) => None,
            Kind::Ours(_) | Kind::OtherOperator(_) => self.name.as_deref(),
        }
    }

    /// The file, and the object in it.
    fn place(&self) -> String {
        match self.object() {
            Some(name) => format!("{}: {name}", self.file),
            None => self.file.clone(),
        }
    }

    /// The file, and the line and column of what a remark is about, or the object.
    fn place_of(&self, remark: &Remark) -> String {
        let Some(path) = remark.path() else { return self.place() };
        let path = if self.of_the_other_operator().is_some() { path.under("spec") } else { path };
        let Position { line, column, .. } = self.marks.position(&path);
        format!("{}:{line}:{column}", self.file)
    }

    fn failed(&self, error: ConvertError) -> ConversionError {
        let object = (self.file.clone(), self.object().map(str::to_owned));
        ConversionError::of(object, error, &self.marks)
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
    let mut places: BTreeMap<&str, &str> = BTreeMap::new();
    let mut texts = Vec::new();
    for piece in pieces {
        let name = piece.name.as_ref().ok_or_else(|| ConversionError::Nameless(piece.place.clone()))?;
        if let Some(other) = places.insert(name.as_str(), &piece.place) {
            let places = [other.to_owned(), piece.place.clone()];
            return Err(ConversionError::SameName { name: name.clone(), places });
        }
        texts.push(seccomp_profile(name.as_str(), &piece.profile));
    }
    Ok(texts.join("---\n"))
}
