//! Changes one value in the text of a manifest, and leaves everything else as it is: comments, order, quotes, line ends.
//!
//! - [`edited`]: the text after an [`Edit`] of a profile in it.
//! - `tree` finds the bytes of each value; `flow` and `block` change lists and objects in brackets and in lines; `write`
//!   writes a value in the style of its surroundings.
//!
//! A comment on a line that is removed goes with it; every other comment stays, also one on the line above. Whether the
//! text then means what it should, is for the caller to check: it reads the text again.

mod block;
mod flow;
#[cfg(test)]
mod tests;
mod text;
mod tree;
mod write;

use std::ops::Range;

use lint::Edit;
use profile::Segment;
use serde_json::Value;

use crate::manifest::FileProfile;
use text::Change;
use tree::{Items, Kind, Node};

/// The text after a change of a profile in it; `None` if the place cannot be changed, as behind an alias or in a field
/// with another spelling.
pub(crate) fn edited(text: &str, profile: &FileProfile, edit: &Edit) -> Option<String> {
    let (Edit::Remove { path } | Edit::Set { path, .. } | Edit::Append { path, .. }) = edit;
    let path: Vec<Segment> = profile.path(path);
    let top = Node::read(text, profile.bytes())?;
    let changes = match edit {
        Edit::Remove { .. } => remove(text, &top, &path)?,
        Edit::Set { value, .. } => set(text, top.at(&path)?, value, write::Style::at(text, profile.bytes()))?,
        Edit::Append { values, .. } => {
            let style = write::Style::at(text, profile.bytes());
            append(text, &top, &path, |block| values.iter().map(|value| style.value(value, block)).collect())?
        }
    };
    Some(text::apply(text, changes))
}

fn set(text: &str, node: &Node, value: &Value, style: write::Style) -> Option<Vec<Change>> {
    let replaceable = match &node.kind {
        Kind::Object { flow: false, fields } => {
            return block::set_fields(text, fields, value.as_object()?, style);
        }
        Kind::Object { flow: true, .. } => value.is_object(),
        Kind::Scalar => !value.is_object() && !value.is_array(),
        Kind::Alias | Kind::List { .. } => false,
    };
    replaceable.then(|| vec![(node.span.clone(), style.value(value, false))])
}

fn remove(text: &str, top: &Node, path: &[Segment]) -> Option<Vec<Change>> {
    let (last, parents) = path.split_last()?;
    let parent = top.at(parents)?;
    let (items, index) = parent.items(text, last)?;
    match items {
        Items { flow: true, spans } => flow::remove(text, &spans, index),
        Items { flow: false, spans } => match &parent.kind {
            Kind::List { .. } if spans.len() == 1 => block::clear(text, top.key_of(parents)?, &spans[0]),
            Kind::List { .. } => block::remove_item(text, &spans[index]),
            _ => block::remove_field(text, &spans, index),
        },
    }
}

fn append(
    text: &str,
    top: &Node,
    path: &[Segment],
    values: impl Fn(bool) -> Vec<String>,
) -> Option<Vec<Change>> {
    let node = top.at(path)?;
    let Kind::List { flow, items } = &node.kind else { return None };
    let spans: Vec<Range<usize>> = items.iter().map(|item| item.extent(text)).collect();
    if *flow {
        Some(flow::append(text, &node.span, &spans, &values(false)))
    } else {
        block::append(text, spans.last()?, &values(true))
    }
}
