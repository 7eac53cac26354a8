//! Reads a file as kubectl does, and finds the profile that the API server would store after `kubectl apply`.
//!
//! - [`profile_in`]: the profile in a file.
//! - [`DocumentError`]: why there is no valid profile, with the line or the field.
//! - `stream` separates the documents, `yaml` and `scalar` convert one to JSON, `stored` does the API server's part.
//!
//! The profile that is compared here must be the one that the API server would store. If kubectl would silently drop
//! something (the first of two equal keys), or if YAML readers disagree, the file is refused with advice.

mod error;
mod scalar;
mod stored;
mod stream;
#[cfg(test)]
mod tests;
mod yaml;

use profile::Profile;
use serde_json::Value;

use error::API_VERSION;
pub use error::{DocumentError, Fault, Found, SyntaxError};
pub use scalar::ScalarError;

/// The API group of the Security Profiles Operator, whose kind has the same name.
const OTHER_OPERATOR: &str = "security-profiles-operator.x-k8s.io/";

/// The profile in a file: a `SeccompProfile` (if there are several, the one named `wanted`), or a profile in the
/// runtimes' format.
///
/// # Errors
/// There is no profile, it is invalid, or kubectl would refuse the file.
pub fn profile_in(text: &str, wanted: &str) -> Result<Profile, DocumentError> {
    let documents = stream::documents(text)?;
    if let [document] = &documents[..]
        && document.get("kind").is_none()
        && document.get("defaultAction").is_some()
    {
        let mut contents = document.clone();
        stored::normalize_whole_numbers(&mut contents);
        stored::prune_contents_nulls(&mut contents);
        return Ok(Profile::from_value(&contents)?);
    }
    let mut objects = Vec::new();
    documents.into_iter().for_each(|document| flatten(document, &mut objects));
    let (mut ours, others): (Vec<_>, Vec<_>) = objects.into_iter().partition(is_ours);
    let object = match ours.len() {
        0 => return Err(none_in(&others)),
        1 => ours.pop(),
        _ => match ours.iter().position(|object| name(object) == Some(wanted)) {
            Some(index) => Some(ours.swap_remove(index)),
            None => {
                let found = ours.iter().map(|object| name(object).unwrap_or_default().to_owned()).collect();
                return Err(DocumentError::Several { found, wanted: wanted.to_owned() });
            }
        },
    };
    let spec = object.and_then(|mut object| object.get_mut("spec").map(Value::take));
    let Some(Value::Object(mut spec)) = spec else { return Err(DocumentError::NoContents) };
    stored::prune_nulls(&mut spec);
    if let Some(field) = stored::unknown_field(&spec) {
        return Err(DocumentError::UnknownField(format!("spec.{field}")));
    }
    let mut contents = spec.remove("contents").ok_or(DocumentError::NoContents)?;
    stored::normalize_numbers(&mut contents);
    if let Some((field, number, sent)) = stored::first_rounded_number(&contents, "spec.contents") {
        return Err(DocumentError::Rounded { field, number, sent });
    }
    Ok(Profile::from_value(&contents).map_err(|error| error.under("spec.contents"))?)
}

/// The objects in a document; lists, including lists of lists, are expanded.
fn flatten(mut document: Value, objects: &mut Vec<Value>) {
    let Some(Value::Array(items)) = document.get_mut("items").map(Value::take) else {
        objects.push(document);
        return;
    };
    let (version, kind) = (text(&document, "apiVersion"), text(&document, "kind"));
    let kind = kind.map(|kind| kind.strip_suffix("List").unwrap_or(kind));
    for mut item in items {
        // An item without these has those of the list (`decodeToList` of k8s.io/apimachinery, unstructured).
        if text(&item, "kind").is_none()
            && text(&item, "apiVersion").is_none()
            && let Some(object) = item.as_object_mut()
        {
            let of_the_list = [("kind", kind), ("apiVersion", version)].into_iter();
            object.extend(of_the_list.filter_map(|(key, value)| Some((key.to_owned(), value?.into()))));
        }
        flatten(item, objects);
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

/// The error for a file without a matching profile, which lists the objects in it.
fn none_in(others: &[Value]) -> DocumentError {
    let found = |object: &Value| Found {
        api_version: text(object, "apiVersion").map(str::to_owned),
        kind: text(object, "kind").map(str::to_owned),
        name: name(object).map(str::to_owned),
    };
    let is_theirs = |object: &&Value| {
        text(object, "kind") == Some("SeccompProfile")
            && text(object, "apiVersion").is_some_and(|version| version.starts_with(OTHER_OPERATOR))
    };
    match others.iter().find(is_theirs) {
        Some(object) => DocumentError::OtherOperator(found(object)),
        None => DocumentError::NoProfile(others.iter().map(found).collect()),
    }
}
