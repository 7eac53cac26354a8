//! JSON that is decoded as text, without building a tree.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// The initial capacity in bytes: more than the `spec` of an ordinary profile, to avoid reallocations.
const USUAL: usize = 16 * 1024;

/// The name by which `serde_json`, with its feature `raw_value`, knows that a visitor wants a value's text. It is that of
/// `serde_json::value::RawValue`, which cannot be used itself, because it fails where serde has buffered the value: in a
/// watch event whose `object` comes before its `type`, as something between client and API server may write it. Where
/// this name meant nothing, as to serde's buffer, the value would be decoded and written again, so the worst that a
/// release of `serde_json` with another name could bring is the time that this takes; a test notices it.
const AS_IT_STANDS: &str = "$serde_json::private::RawValue";

/// Any JSON value as text, with the order of keys and duplicate keys preserved.
///
/// It is for values that rarely change: during a rollout every event of a profile has the same `spec`, and text is much
/// cheaper to create and compare than a tree of values. Two texts of one value may differ in spaces and escapes, which
/// those of one API server do not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Text(Box<str>);

impl Text {
    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The bytes of the text.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The value as `serde_json` decodes it: of duplicate keys the last wins. What it cannot hold, such as a number
    /// beyond an `f64` or lists 200 deep, is null; no API server stores such a number.
    #[must_use]
    pub fn value(&self) -> Value {
        serde_json::from_str(&self.0).unwrap_or_default()
    }
}

impl Default for Text {
    fn default() -> Self {
        Self("null".into())
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(AS_IT_STANDS, Take)
    }
}

/// Takes the text as it stands, or writes it.
struct Take;

impl<'de> Visitor<'de> for Take {
    type Value = Text;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    /// From `serde_json`: the text is the value of the only entry.
    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Text, A::Error> {
        entries.next_key::<IgnoredAny>()?;
        entries.next_value::<Box<str>>().map(Text)
    }

    /// From serde's buffer.
    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Text, D::Error> {
        let mut text = Vec::with_capacity(USUAL);
        Write(&mut text).deserialize(deserializer)?;
        // Valid, because only strings and what `serde_json` writes were appended.
        Ok(Text(String::from_utf8(text).map_err(D::Error::custom)?.into()))
    }
}

/// Appends one value.
struct Write<'a>(&'a mut Vec<u8>);

impl Write<'_> {
    fn scalar<E: Error>(self, value: impl Serialize) -> Result<(), E> {
        serde_json::to_writer(self.0, &value).map_err(E::custom)
    }
}

impl<'de> DeserializeSeed<'de> for Write<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Write<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<(), E> {
        self.scalar(value)
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<(), E> {
        // Most strings of a profile are names, which need no escapes.
        if value.bytes().any(|byte| byte < b' ' || byte == b'"' || byte == b'\\') {
            return self.scalar(value);
        }
        let Self(text) = self;
        text.reserve(value.len() + 2);
        text.push(b'"');
        text.extend_from_slice(value.as_bytes());
        text.push(b'"');
        Ok(())
    }

    fn visit_unit<E: Error>(self) -> Result<(), E> {
        self.scalar(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let Self(text) = self;
        let mut before = b'[';
        text.push(before);
        loop {
            let start = text.len();
            if before == b',' {
                text.push(before);
            }
            if items.next_element_seed(Write(text))?.is_none() {
                text.truncate(start);
                break;
            }
            before = b',';
        }
        text.push(b']');
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<(), A::Error> {
        let Self(text) = self;
        let mut before = b'{';
        text.push(before);
        loop {
            let start = text.len();
            if before == b',' {
                text.push(before);
            }
            if entries.next_key_seed(Write(text))?.is_none() {
                text.truncate(start);
                break;
            }
            text.push(b':');
            entries.next_value_seed(Write(text))?;
            before = b',';
        }
        text.push(b'}');
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use kube::core::WatchEvent;

    use super::*;

    const JSON: &str =
        r#" { "b" : [ ], "a":[1,-2,3.5,18446744073709551615, {},"\"\\\u0041\n",null,true], "a" : {"c":{}}} "#;
    const COMPACT: &str =
        r#"{"b":[],"a":[1,-2,3.5,18446744073709551615,{},"\"\\A\n",null,true],"a":{"c":{}}}"#;

    #[test]
    fn text_is_taken_as_it_stands() {
        let text: Text = serde_json::from_str(JSON).unwrap();
        assert_eq!(text.as_str(), JSON.trim());
        assert_eq!(text.value(), serde_json::from_str::<Value>(JSON).unwrap());
        let text: Text = serde_json::from_slice(JSON.as_bytes()).unwrap();
        assert_eq!(text.as_str(), JSON.trim());
        let tree = serde_json::from_str::<Value>(JSON).unwrap();
        assert_eq!(serde_json::from_value::<Text>(tree.clone()).unwrap().value(), tree);
    }

    #[test]
    fn what_no_tree_holds_is_text_and_null() {
        let deep = "[".repeat(200) + &"]".repeat(200);
        for json in ["1e999", &deep] {
            let text: Text = serde_json::from_str(json).unwrap();
            assert_eq!((text.as_str(), text.value()), (json, Value::Null));
        }
    }

    #[test]
    fn what_is_no_json_is_no_text() {
        for wrong in ["", "{", "[1,]", r#"{"a"}"#, "nul", "[1] 2"] {
            assert!(serde_json::from_str::<Text>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn an_event_may_name_its_type_behind_its_object() {
        for (event, expected) in [
            (format!(r#"{{"type":"ADDED","object":{JSON}}}"#), JSON.trim()),
            (format!(r#"{{"object":{JSON},"type":"ADDED"}}"#), COMPACT),
        ] {
            let Ok(WatchEvent::Added(text)) = serde_json::from_str::<WatchEvent<Text>>(&event) else {
                panic!("{event}");
            };
            assert_eq!(text.as_str(), expected);
        }
    }

    #[test]
    fn nothing_is_null() {
        assert_eq!(Text::default().value(), Value::Null);
    }
}
