//! Lists in brackets and objects in braces, as in JSON: commas separate the parts.

use std::ops::Range;

use super::text::{Change, begins_line, comma, ends_line, line_break, line_end, line_start};

/// Removes a part and one comma.
pub(super) fn remove(text: &str, parts: &[Range<usize>], index: usize) -> Option<Vec<Change>> {
    let part = parts.get(index)?.clone();
    // A tag or an anchor before it would stay.
    let is_bare = begins_line(text, part.start) || text[..part.start].trim_end().ends_with(['[', '{', ',']);
    if !is_bare {
        return None;
    }
    let after = comma(text, part.end);
    let end = after.map_or(part.end, |comma| comma + 1);
    let before = index.checked_sub(1).and_then(|before| parts.get(before));
    let whole_line = begins_line(text, part.start) && ends_line(text, end);
    let mut changes = Vec::new();
    match (after, before) {
        (None, Some(before)) => {
            let comma = comma(text, before.end)?;
            if !whole_line && text[comma + 1..part.start].trim().is_empty() {
                return Some(vec![(comma..part.end, String::new())]);
            }
            changes.push((comma..comma + 1, String::new()));
        }
        // Nothing but white space stays behind the part before.
        (Some(_), Some(before)) if !whole_line && ends_line(text, end) => {
            let between = &text[before.end..part.start];
            let from = before.end + between.find(',').map_or(0, |comma| comma + 1);
            if text[from..part.start].trim().is_empty() {
                return Some(vec![(from..end, String::new())]);
            }
        }
        _ => {}
    }
    let range = if whole_line {
        line_start(text, part.start)..line_end(text, end)
    } else {
        let rest = text[end..].trim_start_matches([' ', '\t']);
        // A comment needs its space.
        let spaces = if rest.starts_with('#') { 0 } else { text.len() - end - rest.len() };
        part.start..if after.is_some() { end + spaces } else { end }
    };
    changes.push((range, String::new()));
    Some(changes)
}

/// Adds items behind the last one, on lines of their own if that has one.
pub(super) fn append(
    text: &str,
    list: &Range<usize>,
    items: &[Range<usize>],
    values: &[String],
) -> Vec<Change> {
    let Some(last) = items.last() else {
        return vec![(list.start + 1..list.start + 1, values.join(", "))];
    };
    let own_line = begins_line(text, last.start);
    let indent = &text[line_start(text, last.start)..last.start];
    // As close as the others: `[a,b]`.
    let space = match items {
        [.., one, other] => {
            &text[(comma(text, one.end).unwrap_or(one.end) + 1).min(other.start)..other.start]
        }
        _ if text[list.clone()].contains(' ') || !text[list.clone()].contains('"') => " ",
        _ => "",
    };
    let space = if own_line {
        format!("{}{indent}", line_break(text))
    } else if space.trim().is_empty() && !space.contains('\n') {
        space.to_owned()
    } else {
        " ".to_owned()
    };
    let added: String = values.iter().map(|value| format!(",{space}{value}")).collect();
    vec![(last.end..last.end, added)]
}
