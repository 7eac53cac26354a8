//! Writes a value in the style of a document.

use std::ops::Range;

use serde_json::Value;

/// The usual order of a rule's fields.
const ORDER: [&str; 4] = ["names", "action", "errnoRet", "args"];

/// How a document is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// YAML with words without quotes.
    Yaml,
    /// JSON with spaces behind colons and commas.
    Json,
    /// JSON without.
    Compact,
}

impl Style {
    /// The style of the document in these bytes of a text.
    pub(super) fn at(text: &str, document: Range<usize>) -> Self {
        let document = text.get(document).unwrap_or_default();
        match serde_json::from_str::<serde::de::IgnoredAny>(document) {
            Err(_) => Self::Yaml,
            Ok(_) if document.contains("\":\"") || document.contains("\":[") => Self::Compact,
            Ok(_) => Self::Json,
        }
    }

    /// A value within brackets, or, if `block`, as the item of a list in lines.
    pub(super) fn value(self, value: &Value, block: bool) -> String {
        let (colon, comma) = if self == Self::Compact { (":", ",") } else { (": ", ", ") };
        match value {
            Value::Array(items) => {
                let items: Vec<_> = items.iter().map(|item| self.value(item, false)).collect();
                format!("[{}]", items.join(comma))
            }
            Value::Object(fields) => {
                let mut fields: Vec<_> = fields.iter().collect();
                fields.sort_by_key(|(key, _)| ORDER.iter().position(|known| known == key));
                let fields: Vec<_> = fields
                    .into_iter()
                    .map(|(key, value)| format!("{}{colon}{}", self.word(key), self.value(value, false)))
                    .collect();
                if block { fields.join("\n") } else { format!("{{{}}}", fields.join(comma)) }
            }
            scalar => self.scalar(scalar),
        }
    }

    /// A value that is neither a list nor an object.
    pub(super) fn scalar(self, value: &Value) -> String {
        match value {
            Value::String(text) => self.word(text),
            other => other.to_string(),
        }
    }

    fn word(self, text: &str) -> String {
        if self == Self::Yaml && is_plain(text) { text.to_owned() } else { Value::from(text).to_string() }
    }
}

/// Whether every reader of YAML takes a word without quotes as text: not a number, and none of the words for truth and
/// for nothing.
fn is_plain(text: &str) -> bool {
    const WORDS: [&str; 10] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null", "nan"];
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && !WORDS.contains(&&*text.to_ascii_lowercase())
}
