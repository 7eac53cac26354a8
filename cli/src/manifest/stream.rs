//! Splits a file into documents as kubectl does.
//!
//! kubectl reads a text that begins with `{` as a series of JSON objects; if that fails after at most one object, it
//! reads the rest as YAML, so `{"value": 04000}` is YAML in braces. Lines that begin with `---` separate YAML
//! documents, in whatever context. (`YAMLOrJSONDecoder` of k8s.io/apimachinery 0.37, pkg/util/yaml.)

use serde::de::IgnoredAny;
use serde_json::{Deserializer, Value};

use super::error::{Fault, SyntaxError};
use super::place::line_ends;
use super::yaml::{self, Syntax};

/// What may begin a file.
const BYTE_ORDER_MARK: char = '\u{feff}';

/// A document, and its place in the file.
#[derive(Debug)]
pub(crate) struct Document<'t> {
    pub(crate) value: Value,
    /// Its text, from which on it is read.
    pub(crate) text: &'t str,
    /// The number of bytes before it.
    pub(crate) offset: usize,
    /// The number of lines above its first one.
    pub(crate) above: usize,
    /// The number of characters before it on its first line.
    pub(crate) before: usize,
}

/// The documents of a file that are not empty.
///
/// # Errors
/// kubectl would refuse it or drop a part of it.
pub(crate) fn documents(text: &str) -> Result<Vec<Document<'_>>, SyntaxError> {
    let mut documents = Vec::new();
    let mut begin = 0;
    if text.trim_start().starts_with('{') {
        let mut objects = Deserializer::from_str(text).into_iter::<IgnoredAny>();
        let (mut above, mut before) = (0, 0);
        loop {
            match objects.next() {
                None => return Ok(documents),
                Some(Ok(_)) => {
                    let end = objects.byte_offset();
                    let object = &text[begin..end];
                    // The YAML 1.2 parser accepts all of JSON.
                    let parsed = yaml::parse_document(object, Syntax::Json);
                    if let Some(value) = parsed.map_err(|error| error.below(above, before))? {
                        documents.push(Document { value, text: object, offset: begin, above, before });
                    }
                    // A file may have many objects, so that neither is counted from its beginning each time.
                    above += line_ends(object);
                    before = match object.rfind(['\n', '\r']) {
                        Some(newline) => object[newline + 1..].chars().count(),
                        None => before + object.chars().count(),
                    };
                    begin = end;
                }
                Some(Err(error)) if documents.len() > 1 => {
                    let (place, fault) = ((error.line(), error.column()), Fault::Syntax(error.to_string()));
                    return Err(SyntaxError::at(text, place, fault));
                }
                // YAML from here on; the rest of the line after an object must be empty.
                Some(Err(_)) => break,
            }
        }
        begin += blank(&text[begin..]);
    }
    yaml_documents(text, begin, &mut documents)?;
    Ok(documents)
}

/// White space up to the end of the line.
fn blank(rest: &str) -> usize {
    let space = rest.len() - rest.trim_start().len();
    rest[..space].find('\n').map_or(space, |newline| newline + 1)
}

fn yaml_documents<'t>(
    text: &'t str,
    begin: usize,
    documents: &mut Vec<Document<'t>>,
) -> Result<(), SyntaxError> {
    let mut above = line_ends(&text[..begin]);
    let (mut first, mut from, mut at) = (above, begin, begin);
    let mut behind_separator = false;
    for line in text[begin..].split_inclusive('\n') {
        if let Some(beside) = line.strip_prefix("---") {
            let beside = beside.trim();
            if !(beside.is_empty() || beside.starts_with('#')) {
                let fault = Fault::Separator(beside.to_owned());
                return Err(SyntaxError::at(text, (above + 1, 1), fault));
            }
            documents.extend(yaml_document(&text[from..at], from, first, behind_separator)?);
            behind_separator = from == at;
            (first, from) = (above + line_ends(line), at + line.len());
        }
        above += line_ends(line);
        at += line.len();
    }
    documents.extend(yaml_document(&text[from..], from, first, behind_separator)?);
    Ok(())
}

/// A document, unless it is empty.
///
/// `behind_separator`: kubectl keeps a `---` before which there is nothing as a part of the document, so that a byte order
/// mark behind it becomes a part of the first key.
fn yaml_document(
    text: &str,
    offset: usize,
    above: usize,
    behind_separator: bool,
) -> Result<Option<Document<'_>>, SyntaxError> {
    if behind_separator && text.starts_with(BYTE_ORDER_MARK) {
        let fault = Fault::Character(BYTE_ORDER_MARK);
        return Err(SyntaxError::at(text, (1, 1), fault).below(above, 0));
    }
    match yaml::parse_document(text, Syntax::Yaml).map_err(|error| error.below(above, 0))? {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Object(map)) => Ok(Some(Document { value: map.into(), text, offset, above, before: 0 })),
        Some(other) => {
            let fault = Fault::NoObject(other.to_string());
            Err(SyntaxError::at(text, (1, 1), fault).below(above, 0))
        }
    }
}
