//! Lists and objects in lines, as YAML has them: dashes and indentation.

use std::ops::Range;

use serde_json::{Map, Value};

use super::text::{Change, begins_line, ends_line, line_break, line_end, line_start};
use super::tree::{Field, Kind};
use super::write::Style;

/// Removes an item with its dash and its lines.
pub(super) fn remove_item(text: &str, item: &Range<usize>) -> Option<Vec<Change>> {
    let dash = dash(text, item)?;
    // Of `- - a` only a part of a line would go.
    let lines = begins_line(text, dash) && ends_line(text, item.end);
    lines.then(|| vec![(line_start(text, dash)..line_end(text, item.end), String::new())])
}

/// Removes the only item of the list of a key, which is then empty.
pub(super) fn clear(text: &str, key: Range<usize>, item: &Range<usize>) -> Option<Vec<Change>> {
    let colon = key.end + text.get(key.end..item.start)?.find(':')?;
    let mut changes = remove_item(text, item)?;
    changes.push((colon + 1..colon + 1, " []".to_owned()));
    Some(changes)
}

/// Removes a key with its value.
pub(super) fn remove_field(text: &str, fields: &[Range<usize>], index: usize) -> Option<Vec<Change>> {
    let field = fields.get(index)?;
    if fields.len() == 1 || !ends_line(text, field.end) {
        return None;
    }
    if begins_line(text, field.start) {
        return Some(vec![(line_start(text, field.start)..line_end(text, field.end), String::new())]);
    }
    // The first one stands behind the dash, where the next one moves.
    let next = fields.get(index + 1)?;
    text[field.end..next.start].trim().is_empty().then(|| vec![(field.start..next.start, String::new())])
}

/// Gives the fields of an object other values, none of which is a list or an object. A field that the object lacks gets a
/// line of its own, below the field that is before it in `values`.
pub(super) fn set_fields(
    text: &str,
    fields: &[Field],
    values: &Map<String, Value>,
    style: Style,
) -> Option<Vec<Change>> {
    // Another spelling of a key, or `<<`, would stay beside the new fields.
    if fields.iter().any(|field| !values.contains_key(&field.name)) {
        return None;
    }
    let first = fields.first()?.key.start;
    let indent = " ".repeat(text[line_start(text, first)..first].chars().count());
    let ending = line_break(text);
    let mut above = fields.last()?;
    let mut changes = Vec::new();
    for (name, value) in values {
        if value.is_array() || value.is_object() {
            return None;
        }
        let value = style.scalar(value);
        if let Some(field) = fields.iter().find(|field| field.name == *name) {
            let span = field.value.extent(text);
            if !matches!(field.value.kind, Kind::Scalar) || span.is_empty() {
                return None;
            }
            changes.push((span, value));
            above = field;
        } else {
            let end = above.end(text);
            if !ends_line(text, end) {
                return None;
            }
            let below = line_end(text, end);
            let line = format!("{indent}{name}: {value}");
            let added = if text[..below].ends_with('\n') { line + ending } else { format!("{ending}{line}") };
            changes.push((below..below, added));
        }
    }
    Some(changes)
}

/// Adds items below the last one.
pub(super) fn append(text: &str, last: &Range<usize>, values: &[String]) -> Option<Vec<Change>> {
    let dash = dash(text, last)?;
    if !begins_line(text, dash) || !ends_line(text, last.end) {
        return None;
    }
    let indent = &text[line_start(text, dash)..dash];
    let ending = line_break(text);
    let mut added = String::new();
    for value in values {
        for (at, line) in value.lines().enumerate() {
            let mark = if at == 0 { "- " } else { "  " };
            added += &format!("{indent}{mark}{line}{ending}");
        }
    }
    let end = line_end(text, last.end);
    if text[..end].ends_with('\n') {
        return Some(vec![(end..end, added)]);
    }
    Some(vec![(end..end, format!("{ending}{}", added.trim_end()))])
}

/// The dash of an item.
fn dash(text: &str, item: &Range<usize>) -> Option<usize> {
    let before = text.get(..item.start)?.trim_end();
    before.ends_with('-').then(|| before.len() - 1)
}
