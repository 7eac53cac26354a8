//! Formats values and advice for messages.

use serde_json::Value;

use crate::limits;

/// `did you mean …?` if one of `words` is similar, otherwise a list of all of them.
#[must_use]
pub fn advice(text: &str, words: &[&str]) -> String {
    // The length is untrusted, and the cost of the distance grows with it.
    let near = (text.len() <= limits::NAME_LENGTH)
        .then(|| {
            words
                .iter()
                .map(|word| (strsim::damerau_levenshtein(&text.to_lowercase(), &word.to_lowercase()), word))
        })
        .and_then(|distances| distances.min_by_key(|(distance, _)| *distance))
        .filter(|(distance, word)| *distance <= word.len() / 4);
    match near {
        Some((_, word)) => format!("did you mean {word}?"),
        None => format!("expected one of {}", words.join(", ")),
    }
}

/// Text from a profile, quoted and shortened so that a message stays readable.
#[must_use]
pub fn quote(text: &str) -> String {
    const MOST: usize = 60;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{:?}…", &text[..end]),
        None => format!("{text:?}"),
    }
}

/// A key for a path, without quotes if it is a plain name.
pub(crate) fn quote_key(key: &str) -> String {
    let plain = !key.is_empty()
        && key.len() <= limits::NAME_LENGTH
        && key.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    if plain { key.to_owned() } else { quote(key) }
}

/// A value for a message: scalars as they are, other values by their kind.
#[must_use]
pub fn show(value: &Value) -> String {
    match value {
        Value::Null => "null".to_owned(),
        Value::Bool(b) => b.to_string(),
        Value::Number(n) => n.to_string(),
        Value::String(text) => quote(text),
        Value::Array(_) => "a list".to_owned(),
        Value::Object(_) => "an object".to_owned(),
    }
}
