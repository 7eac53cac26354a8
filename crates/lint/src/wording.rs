//! Parts of messages.

/// The maximum number of names that a message lists.
const MOST_NAMES: usize = 8;

/// Names in a sentence: the first few, and how many more there are.
pub(crate) fn names<'n>(names: impl IntoIterator<Item = &'n str>) -> String {
    let names: Vec<_> = names.into_iter().collect();
    let mut text = names.iter().take(MOST_NAMES).copied().collect::<Vec<_>>().join(", ");
    if names.len() > MOST_NAMES {
        text += &format!(" and {} more", names.len() - MOST_NAMES);
    }
    text
}

/// The arguments of a call, as in the source of a program.
pub(crate) fn arguments(arguments: &filter::Arguments) -> String {
    arguments.map(|argument| argument.to_string()).join(", ")
}
