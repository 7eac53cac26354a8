//! Reads a file as kubectl does, and finds the profile that the API server would store after `kubectl apply`.
//!
//! - [`profile_in`]: the profile in a file; [`profiles_in`]: all profiles, with the positions of their fields.
//! - [`DocumentError`]: why there is no valid profile, with the line or the field.
//! - `stream` separates the documents, `yaml` and `scalar` convert one to JSON (`tabs` finds what kubectl refuses), `stored` does the API server's part;
//!   `position` finds the line and column of a field, `marks` with its line for a message (`place`).
//!
//! The profile that is compared here must be the one that the API server would store. If kubectl would silently drop
//! something (the first of two equal keys), or if YAML readers disagree, the file is refused with advice.

mod error;
mod marks;
mod place;
mod position;
mod scalar;
mod stored;
mod stream;
mod tabs;
#[cfg(test)]
mod tests;
mod yaml;

use std::ops::Range;
use std::rc::Rc;

use profile::{FieldPath, ParseError, Profile, Segment};
use serde_json::Value;

pub(crate) use error::API_VERSION;
pub use error::{DocumentError, Fault, Found, SyntaxError};
pub(crate) use marks::Marks;
pub(crate) use place::line_of;
pub use place::{Place, Position};
use position::Positions;
pub use scalar::ScalarError;
use stream::Document;

/// The API group of the Security Profiles Operator, whose kind has the same name.
const OTHER_OPERATOR: &str = "security-profiles-operator.x-k8s.io/";

/// A profile in a file.
#[derive(Debug)]
pub struct FileProfile {
    /// The name of the object, if it is one and has one.
    pub name: Option<String>,
    /// The profile.
    pub profile: Profile,
    /// Its contents as the file has them.
    pub(crate) value: Value,
    /// Whether the object asks for records, so that the profile has a flag for them beside those of the contents.
    reports: bool,
    /// The path of the contents in the document.
    contents: FieldPath,
    /// The bytes of the document in the file.
    document: Range<usize>,
    positions: Rc<Positions>,
}

impl FileProfile {
    /// Where a field of the profile stands in the file; for a field that is not there, the one that would contain it.
    #[must_use]
    pub fn position(&self, path: &FieldPath) -> Position {
        self.positions.of(self.contents.segments().iter().chain(path.segments()))
    }

    /// The path in the document of a field of the profile.
    pub(crate) fn path(&self, path: &FieldPath) -> Vec<Segment> {
        self.contents.segments().iter().chain(path.segments()).cloned().collect()
    }

    /// The profile with these contents in place of its own.
    ///
    /// # Errors
    /// The contents are not a valid profile.
    pub(crate) fn with_contents(&self, contents: &Value) -> Result<Profile, ParseError> {
        let profile = Profile::from_value(contents)?;
        Ok(if self.reports { profile.reporting() } else { profile })
    }

    /// Whether it is in the runtimes' format, so that a runtime may read the file as it is.
    pub(crate) fn is_plain(&self) -> bool {
        self.contents.segments().is_empty()
    }

    /// The bytes of the document in the file.
    pub(crate) fn bytes(&self) -> Range<usize> {
        self.document.clone()
    }
}

/// Every profile in a file, in its order: the `SeccompProfile`s, or one profile in the runtimes' format.
///
/// # Errors
/// There is no profile, one is invalid, or kubectl would refuse the text.
pub fn profiles_in(text: &str) -> Result<Vec<FileProfile>, DocumentError> {
    let mut documents = stream::documents(text)?;
    if let [document] = &mut documents[..]
        && is_plain(&document.value)
    {
        let value = document.value.take();
        return Ok(vec![file_profile(plain_profile(value, &Marks::of(document, text))?, document)]);
    }
    expect_none_plain(&documents)?;
    let mut profiles = Vec::new();
    let mut others = Vec::new();
    for mut document in documents {
        for (object, marks) in objects_of(&mut document, text) {
            if is_ours(&object) {
                profiles.push(file_profile(stored_profile(object, &marks)?, &document));
            } else if is_misspelt(&object) {
                return Err(DocumentError::UnknownKind(found(&object)));
            } else {
                others.push(object);
            }
        }
    }
    if profiles.is_empty() { Err(none_in(&others)) } else { Ok(profiles) }
}

/// A profile that was read, as one of a file.
fn file_profile(read: ReadProfile<'_>, document: &Document<'_>) -> FileProfile {
    let ReadProfile { name, profile, value, reports, contents, marks } = read;
    let text = document.text.trim_start_matches('\u{feff}');
    let end = document.offset + document.text.len();
    let contents = marks.path(&contents);
    FileProfile {
        name,
        profile,
        value,
        reports,
        contents,
        document: end - text.len()..end,
        positions: marks.positions,
    }
}

/// The profile in a file: a `SeccompProfile` (if there are several, the one named `wanted`), or a profile in the
/// runtimes' format.
///
/// # Errors
/// There is no profile, it is invalid, or kubectl would refuse the file.
pub fn profile_in(text: &str, wanted: &str) -> Result<Profile, DocumentError> {
    let mut documents = stream::documents(text)?;
    if let [document] = &mut documents[..]
        && is_plain(&document.value)
    {
        let value = document.value.take();
        return Ok(plain_profile(value, &Marks::of(document, text))?.profile);
    }
    expect_none_plain(&documents)?;
    let objects: Vec<_> = documents.iter_mut().flat_map(|document| objects_of(document, text)).collect();
    let (mut ours, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(|(object, _)| is_ours(object));
    let (object, marks) = match ours.len() {
        0 => return Err(none_in(&others.into_iter().map(|(object, _)| object).collect::<Vec<_>>())),
        1 => ours.swap_remove(0),
        _ => match ours.iter().position(|(object, _)| name(object) == Some(wanted)) {
            Some(index) => ours.swap_remove(index),
            None => {
                let names = ours.iter().map(|(object, _)| name(object).unwrap_or_default().to_owned());
                return Err(DocumentError::Several { found: names.collect(), wanted: wanted.to_owned() });
            }
        },
    };
    Ok(stored_profile(object, &marks)?.profile)
}

/// The objects in a document, whose value is taken; lists, including lists of lists, are expanded.
fn objects_of<'t>(document: &mut Document<'t>, text: &'t str) -> Vec<(Value, Marks<'t>)> {
    let marks = Marks::of(document, text);
    let mut objects = Vec::new();
    flatten(document.value.take(), Vec::new(), &mut objects);
    objects.into_iter().map(|(object, path)| (object, marks.below(path))).collect()
}

/// A document of a file, or an object in it.
#[derive(Debug)]
pub(crate) enum Object {
    /// A profile in the runtimes' format, or in another tool's extension of it, not checked yet.
    Plain(Value),
    /// A `SeccompProfile`.
    Ours {
        /// Its name.
        name: Option<String>,
        /// The profile.
        profile: Profile,
    },
    /// A profile of the Security Profiles Operator, not checked yet.
    OtherOperator(Value),
    /// Something else.
    Other(Found),
}

/// Everything in a file, in its order.
///
/// # Errors
/// There is no profile, a `SeccompProfile` is invalid, or kubectl would refuse the file.
pub(crate) fn objects_in(text: &str) -> Result<Vec<(Object, Marks<'_>)>, DocumentError> {
    const FIELDS: [&str; 3] = ["defaultAction", "syscalls", "archMap"];
    let (mut objects, mut others) = (Vec::new(), Vec::new());
    for mut document in stream::documents(text)? {
        let is_plain = document.value.get("kind").is_none();
        if is_plain && FIELDS.iter().any(|field| document.value.get(field).is_some()) {
            let mut value = document.value.take();
            stored::normalize_whole_numbers(&mut value);
            objects.push((Object::Plain(value), Marks::of(&document, text)));
            continue;
        }
        for (mut object, marks) in objects_of(&mut document, text) {
            if is_ours(&object) {
                let name = name(&object).map(str::to_owned);
                let profile = stored_profile(object, &marks)?.profile;
                objects.push((Object::Ours { name, profile }, marks));
            } else if is_of_the_other_operator(&object) {
                stored::normalize_whole_numbers(&mut object);
                objects.push((Object::OtherOperator(object), marks));
            } else {
                objects.push((Object::Other(found(&object)), marks));
                others.push(object);
            }
        }
    }
    if objects.len() > others.len() { Ok(objects) } else { Err(none_in(&others)) }
}

/// Whether a document is a profile in the runtimes' format, or meant to be one.
fn is_plain(document: &Value) -> bool {
    let has = |field| document.get(field).is_some();
    !has("kind") && (has("defaultAction") || has("syscalls"))
}

/// Refuses profiles in the runtimes' format that are not alone in their file: otherwise the file would count as one
/// without a profile, which is skipped in a directory.
fn expect_none_plain(documents: &[Document<'_>]) -> Result<(), DocumentError> {
    match documents.iter().any(|document| is_plain(&document.value)) {
        true => Err(DocumentError::NotAlone(documents.len())),
        false => Ok(()),
    }
}

/// A profile that was read.
struct ReadProfile<'t> {
    /// The name of the object, if it is one and has one.
    name: Option<String>,
    profile: Profile,
    /// Its contents as the file has them.
    value: Value,
    /// Whether the object asks for records.
    reports: bool,
    /// The path of the contents in the object.
    contents: FieldPath,
    marks: Marks<'t>,
}

/// The profile of a document in the runtimes' format.
fn plain_profile<'t>(mut value: Value, marks: &Marks<'t>) -> Result<ReadProfile<'t>, DocumentError> {
    stored::normalize_whole_numbers(&mut value);
    stored::prune_contents_nulls(&mut value);
    let profile = Profile::from_value(&value).map_err(|error| match dialect_field(&value) {
        Some(field) => DocumentError::Dialect { place: Box::new(marks.place(&field)), field },
        None => invalid(error, marks),
    })?;
    let contents = FieldPath::default();
    Ok(ReadProfile { name: None, profile, value, reports: false, contents, marks: marks.clone() })
}

/// The error of an object that is not valid.
fn invalid(error: ParseError, marks: &Marks<'_>) -> DocumentError {
    let places = error.problems().iter().map(|problem| marks.place(&problem.path)).collect();
    DocumentError::Invalid { error, places }
}

/// The first field of a profile that only Docker, Podman and CRI-O read, with which they choose architectures and rules.
fn dialect_field(value: &Value) -> Option<FieldPath> {
    let has = |value: &Value, key: &str| value.get(key).is_some_and(|value| !value.is_null());
    if has(value, "archMap") {
        return Some([Segment::from("archMap")].into_iter().collect());
    }
    let mut rules = value.get("syscalls")?.as_array()?.iter().enumerate();
    let conditional = |rule: &Value| ["includes", "excludes"].into_iter().find(|key| has(rule, key));
    let (index, key) = rules.find_map(|(index, rule)| Some((index, conditional(rule)?)))?;
    Some([Segment::from("syscalls"), Segment::from(index), Segment::from(key)].into_iter().collect())
}

/// The profile that the API server would store of an object.
fn stored_profile<'t>(mut object: Value, marks: &Marks<'t>) -> Result<ReadProfile<'t>, DocumentError> {
    const CONTENTS: &str = "spec.contents";
    let name = name(&object).map(str::to_owned);
    let Some(Value::Object(mut spec)) = object.get_mut("spec").map(Value::take) else {
        return Err(DocumentError::NoContents);
    };
    stored::prune_nulls(&mut spec);
    if let Some(field) = stored::unknown_field(&spec) {
        let field: FieldPath = ["spec", field].map(Segment::from).into_iter().collect();
        return Err(DocumentError::UnknownField { place: Box::new(marks.place(&field)), field });
    }
    let mut value = spec.remove("contents").ok_or(DocumentError::NoContents)?;
    stored::normalize_numbers(&mut value);
    if let Some((field, number, sent)) = stored::first_rounded_number(&value) {
        let field = field.into_iter().collect::<FieldPath>().under(CONTENTS);
        return Err(DocumentError::Rounded { place: Box::new(marks.place(&field)), field, number, sent });
    }
    let profile = Profile::from_value(&value).map_err(|error| invalid(error.under(CONTENTS), marks))?;
    let reports = spec.get("report") == Some(&Value::Bool(true));
    let profile = if reports { profile.reporting() } else { profile };
    let contents = FieldPath::default().under(CONTENTS);
    Ok(ReadProfile { name, profile, value, reports, contents, marks: marks.clone() })
}

/// The objects in a document, each with its path; lists, including lists of lists, are expanded.
fn flatten(mut document: Value, path: Vec<Segment>, objects: &mut Vec<(Value, Vec<Segment>)>) {
    let Some(Value::Array(items)) = document.get_mut("items").map(Value::take) else {
        objects.push((document, path));
        return;
    };
    let (version, kind) = (text(&document, "apiVersion"), text(&document, "kind"));
    let kind = kind.map(|kind| kind.strip_suffix("List").unwrap_or(kind));
    for (index, mut item) in items.into_iter().enumerate() {
        // An item without these has those of the list (`decodeToList` of k8s.io/apimachinery, unstructured).
        if text(&item, "kind").is_none()
            && text(&item, "apiVersion").is_none()
            && let Some(object) = item.as_object_mut()
        {
            let of_the_list = [("kind", kind), ("apiVersion", version)].into_iter();
            object.extend(of_the_list.filter_map(|(key, value)| Some((key.to_owned(), value?.into()))));
        }
        let path = path.iter().cloned().chain([Segment::from("items"), Segment::from(index)]).collect();
        flatten(item, path, objects);
    }
}

fn text<'v>(object: &'v Value, key: &str) -> Option<&'v str> {
    object.get(key)?.as_str()
}

fn name(object: &Value) -> Option<&str> {
    text(object.get("metadata")?, "name")
}

fn is_ours(object: &Value) -> bool {
    text(object, "kind") == Some("SeccompProfile") && text(object, "apiVersion") == Some(API_VERSION)
}

/// Whether an object is of our group, and of no kind that it has: it may well be meant to be a profile.
fn is_misspelt(object: &Value) -> bool {
    const KINDS: [&str; 3] = ["SeccompProfile", "NodeProfileStatus", "SeccompObservation"];
    let group = |version: &str| version.split_once('/').map(|(group, _)| group.to_owned());
    let version = text(object, "apiVersion").unwrap_or_default();
    let is_known = version == API_VERSION && text(object, "kind").is_some_and(|kind| KINDS.contains(&kind));
    group(version) == group(API_VERSION) && !is_known
}

fn found(object: &Value) -> Found {
    Found {
        api_version: text(object, "apiVersion").map(str::to_owned),
        kind: text(object, "kind").map(str::to_owned),
        name: name(object).map(str::to_owned),
    }
}

fn is_of_the_other_operator(object: &Value) -> bool {
    text(object, "kind") == Some("SeccompProfile")
        && text(object, "apiVersion").is_some_and(|version| version.starts_with(OTHER_OPERATOR))
}

/// The error for a file without a matching profile, which lists the objects in it.
fn none_in(others: &[Value]) -> DocumentError {
    match others.iter().find(|object| is_of_the_other_operator(object)) {
        Some(object) => DocumentError::OtherOperator(found(object)),
        None => DocumentError::NoProfile(others.iter().map(found).collect()),
    }
}
