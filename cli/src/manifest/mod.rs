//! Reads a file as kubectl does, and finds the profile that the API server would store after `kubectl apply`.
//!
//! - [`profile_in`]: the profile in a file; [`profiles_in`]: all profiles, with the positions of their fields.
//! - [`DocumentError`]: why there is no valid profile, with the line or the field.
//! - `stream` separates the documents, `yaml` and `scalar` convert one to JSON, `stored` does the API server's part;
//!   `position` finds the line and column of a field.
//!
//! The profile that is compared here must be the one that the API server would store. If kubectl would silently drop
//! something (the first of two equal keys), or if YAML readers disagree, the file is refused with advice.

mod error;
mod position;
mod scalar;
mod stored;
mod stream;
#[cfg(test)]
mod tests;
mod yaml;

use std::ops::Range;
use std::rc::Rc;

use profile::{FieldPath, Profile, Segment};
use serde_json::Value;

pub(crate) use error::API_VERSION;
pub use error::{DocumentError, Fault, Found, SyntaxError};
pub use position::Position;
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

    /// The bytes of the document in the file.
    pub(crate) fn bytes(&self) -> Range<usize> {
        self.document.clone()
    }
}

/// Every profile in a file, in its order: the `SeccompProfile`s, or one profile in the runtimes' format.
///
/// # Errors
/// There is no profile, one is invalid, or kubectl would refuse the file.
pub fn profiles_in(text: &str) -> Result<Vec<FileProfile>, DocumentError> {
    let documents = stream::documents(text)?;
    let positions = |document: &Document<'_>| Rc::new(Positions::read(document));
    let bytes = |document: &Document<'_>| {
        let text = document.text.trim_start_matches('\u{feff}');
        let end = document.offset + document.text.len();
        end - text.len()..end
    };
    if let [document] = &documents[..]
        && is_plain(&document.value)
    {
        let (profile, value) = plain_profile(document.value.clone())?;
        let (contents, positions) = (FieldPath::default(), positions(document));
        return Ok(vec![FileProfile {
            name: None,
            profile,
            value,
            contents,
            document: bytes(document),
            positions,
        }]);
    }
    let mut profiles = Vec::new();
    let mut others = Vec::new();
    for document in documents {
        let (positions, bytes) = (positions(&document), bytes(&document));
        let mut objects = Vec::new();
        flatten(document.value, Vec::new(), &mut objects);
        for (object, mut path) in objects {
            if !is_ours(&object) {
                others.push(object);
                continue;
            }
            path.extend(["spec", "contents"].map(Segment::from));
            let name = name(&object).map(str::to_owned);
            let (profile, value) = stored_profile(object)?;
            profiles.push(FileProfile {
                name,
                profile,
                value,
                contents: path.into_iter().collect(),
                document: bytes.clone(),
                positions: Rc::clone(&positions),
            });
        }
    }
    if profiles.is_empty() { Err(none_in(&others)) } else { Ok(profiles) }
}

/// The profile in a file: a `SeccompProfile` (if there are several, the one named `wanted`), or a profile in the
/// runtimes' format.
///
/// # Errors
/// There is no profile, it is invalid, or kubectl would refuse the file.
pub fn profile_in(text: &str, wanted: &str) -> Result<Profile, DocumentError> {
    let mut documents: Vec<_> = stream::documents(text)?.into_iter().map(|document| document.value).collect();
    if let [document] = &mut documents[..]
        && is_plain(document)
    {
        return Ok(plain_profile(document.take())?.0);
    }
    let mut objects = Vec::new();
    documents.into_iter().for_each(|document| flatten(document, Vec::new(), &mut objects));
    let objects = objects.into_iter().map(|(object, _)| object);
    let (mut ours, others): (Vec<_>, Vec<_>) = objects.partition(is_ours);
    let object = match ours.len() {
        0 => return Err(none_in(&others)),
        1 => ours.swap_remove(0),
        _ => match ours.iter().position(|object| name(object) == Some(wanted)) {
            Some(index) => ours.swap_remove(index),
            None => {
                let found = ours.iter().map(|object| name(object).unwrap_or_default().to_owned()).collect();
                return Err(DocumentError::Several { found, wanted: wanted.to_owned() });
            }
        },
    };
    Ok(stored_profile(object)?.0)
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
pub(crate) fn objects_in(text: &str) -> Result<Vec<Object>, DocumentError> {
    const FIELDS: [&str; 3] = ["defaultAction", "syscalls", "archMap"];
    let (mut objects, mut others) = (Vec::new(), Vec::new());
    for Document { mut value, .. } in stream::documents(text)? {
        if value.get("kind").is_none() && FIELDS.iter().any(|field| value.get(field).is_some()) {
            stored::normalize_whole_numbers(&mut value);
            objects.push(Object::Plain(value));
            continue;
        }
        let mut flat = Vec::new();
        flatten(value, Vec::new(), &mut flat);
        for (mut object, _) in flat {
            if is_ours(&object) {
                let name = name(&object).map(str::to_owned);
                objects.push(Object::Ours { name, profile: stored_profile(object)?.0 });
            } else if is_of_the_other_operator(&object) {
                stored::normalize_whole_numbers(&mut object);
                objects.push(Object::OtherOperator(object));
            } else {
                objects.push(Object::Other(found(&object)));
                others.push(object);
            }
        }
    }
    if objects.len() > others.len() { Ok(objects) } else { Err(none_in(&others)) }
}

/// Whether a document is a profile in the runtimes' format.
fn is_plain(document: &Value) -> bool {
    document.get("kind").is_none() && document.get("defaultAction").is_some()
}

/// The profile of a document in the runtimes' format, and its contents.
fn plain_profile(mut contents: Value) -> Result<(Profile, Value), DocumentError> {
    stored::normalize_whole_numbers(&mut contents);
    stored::prune_contents_nulls(&mut contents);
    Ok((Profile::from_value(&contents)?, contents))
}

/// The profile that the API server would store of an object, and its contents.
fn stored_profile(mut object: Value) -> Result<(Profile, Value), DocumentError> {
    let Some(Value::Object(mut spec)) = object.get_mut("spec").map(Value::take) else {
        return Err(DocumentError::NoContents);
    };
    stored::prune_nulls(&mut spec);
    if let Some(field) = stored::unknown_field(&spec) {
        return Err(DocumentError::UnknownField(format!("spec.{field}")));
    }
    let mut contents = spec.remove("contents").ok_or(DocumentError::NoContents)?;
    stored::normalize_numbers(&mut contents);
    if let Some((field, number, sent)) = stored::first_rounded_number(&contents, "spec.contents") {
        return Err(DocumentError::Rounded { field, number, sent });
    }
    let profile = Profile::from_value(&contents).map_err(|error| error.under("spec.contents"))?;
    Ok((profile, contents))
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
