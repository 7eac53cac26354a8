//! JSON that every reader understands alike.

use std::collections::BTreeSet;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// Whether `bytes` are UTF-8 and one JSON document in which no object has a key twice, or twice but for its case: Go takes
/// such keys for the same, and the last one wins. In `annotations`, whose keys nobody folds, case counts.
#[must_use]
pub fn is_strict(bytes: &[u8]) -> bool {
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Walk { folds: true }.deserialize(&mut deserializer).is_ok() && deserializer.end().is_ok()
}

/// Walks through a value and keeps nothing but the keys of the objects on the way.
#[derive(Clone, Copy)]
struct Walk {
    folds: bool,
}

impl<'de> DeserializeSeed<'de> for Walk {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Walk {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E>(self, _: f64) -> Result<(), E> {
        Ok(())
    }

    fn visit_str<E>(self, _: &str) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<(), A::Error> {
        while list.next_element_seed(Self { folds: true })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut keys = BTreeSet::new();
        while let Some(key) = map.next_key::<String>()? {
            let folds = !key.eq_ignore_ascii_case("annotations");
            if !keys.insert(if self.folds { key.to_lowercase().replace('\u{17f}', "s") } else { key }) {
                return Err(A::Error::custom("a key appears twice in one object"));
            }
            map.next_value_seed(Self { folds })?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_twice_is_not_strict_whatever_its_case() {
        for text in [
            r#"{"a":1,"a":2}"#,
            r#"{"a":1,"A":2}"#,
            r#"{"x":[{"b":{},"B":{}}]}"#,
            "{} {}",
            "",
            "{\"a\":\"\u{1}\"}",
            r#"{"annotations":{"a":"1","a":"2"}}"#,
        ] {
            assert!(!is_strict(text.as_bytes()), "{text}");
        }
        assert!(!is_strict(b"{\"a\":\"\xff\"}"));
        for text in [r#"{"a":1,"b":{"a":2}}"#, "[1,2.5,null,true]", r#"{"annotations":{"a":"1","A":"2"}}"#] {
            assert!(is_strict(text.as_bytes()), "{text}");
        }
    }
}
