//! Formats values and advice for messages.

use serde_json::Value;

use crate::limits;

/// `did you mean …?` if one of `words` is similar, otherwise a list of all of them. What all words begin with, such as
/// `SCMP_ARCH_`, makes none similar to another, and may be missing.
#[must_use]
pub fn advice(text: &str, words: &[&str]) -> String {
    let shared = shared_beginning(words);
    // The length is untrusted, and the cost of the distance grows with it.
    let near = (text.len() <= limits::NAME_LENGTH)
        .then(|| {
            let text = text.to_lowercase();
            let text = text.strip_prefix(&shared.to_lowercase()).unwrap_or(&text);
            let distance =
                |word: &str| strsim::damerau_levenshtein(text, &word[shared.len()..].to_lowercase());
            words.iter().map(|word| (distance(word), word)).min_by_key(|(distance, _)| *distance)
        })
        .flatten()
        .filter(|(distance, word)| {
            let own = word.len() - shared.len();
            // A word of two or three letters may still have one wrong.
            *distance <= if shared.is_empty() { own / 4 } else { (own / 4).max(1) }
        });
    match near {
        Some((_, word)) => format!("did you mean {word}?"),
        None => format!("expected one of {}", words.join(", ")),
    }
}

/// What all `words` begin with, up to and with an underscore.
fn shared_beginning<'w>(words: &[&'w str]) -> &'w str {
    let Some((first, others)) = words.split_first() else { return "" };
    let mut beginnings = first.rmatch_indices('_').map(|(at, _)| &first[..=at]);
    let is_shared = |beginning: &&str| others.iter().all(|word| word.starts_with(beginning));
    beginnings.find(is_shared).unwrap_or("")
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

#[cfg(test)]
mod tests {
    use super::advice;

    const WORDS: [&str; 4] = ["SCMP_ARCH_X86", "SCMP_ARCH_X86_64", "SCMP_ARCH_ARM", "SCMP_ARCH_S390X"];

    #[test]
    fn a_word_is_suggested_for_a_slip_in_its_own_part_only() {
        let meant = |word: &str| format!("did you mean {word}?");
        for (text, word) in [
            ("SCMP_ARCH_S390", "SCMP_ARCH_S390X"),
            ("scmp_arch_x86_46", "SCMP_ARCH_X86_64"),
            ("x86_64", "SCMP_ARCH_X86_64"),
            ("SCMP_ARCH_AMR", "SCMP_ARCH_ARM"),
        ] {
            assert_eq!(advice(text, &WORDS), meant(word));
        }
        for text in ["SCMP_ARCH_SH", "SCMP_ARCH_M68K", "SCMP_ARCH_", "SCMP_ACT_ALLOW"] {
            assert!(advice(text, &WORDS).starts_with("expected one of SCMP_ARCH_X86, "), "{text}");
        }
        assert_eq!(advice("sycalls", &["syscalls", "flags"]), meant("syscalls"));
    }
}
