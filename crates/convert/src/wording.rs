//! Parts of messages.

/// The maximum number of words that a message lists.
const MOST: usize = 6;

/// Words in a sentence: the first few, and how many more there are.
pub(crate) fn listed<'w>(words: impl IntoIterator<Item = &'w str>) -> String {
    let words: Vec<_> = words.into_iter().collect();
    let mut text = words.iter().take(MOST).copied().collect::<Vec<_>>().join(", ");
    if words.len() > MOST {
        text += &format!(" and {} more", words.len() - MOST);
    }
    text
}

/// A number of things.
pub(crate) fn count(number: usize, thing: &str) -> String {
    if number == 1 { format!("1 {thing}") } else { format!("{number} {thing}s") }
}
