//! Decodes values one by one: an unreadable value counts as absent and does not affect the others.

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value;

/// The value as a `T`, if it can be decoded.
pub(crate) fn read<T: DeserializeOwned>(value: Value) -> Option<T> {
    serde_json::from_value(value).ok()
}

/// The items of a list that can be decoded as `T`; `None` if the value is not a list.
pub(crate) fn list<T: DeserializeOwned>(value: Value) -> Option<Vec<T>> {
    let Value::Array(items) = value else { return None };
    Some(items.into_iter().filter_map(read).collect())
}

/// The entries of an object whose values are strings; `None` if the value is not an object.
pub(crate) fn texts(value: Value) -> Option<BTreeMap<String, String>> {
    let Value::Object(entries) = value else { return None };
    let text = |(key, value)| if let Value::String(text) = value { Some((key, text)) } else { None };
    Some(entries.into_iter().filter_map(text).collect())
}

/// The entries of an object whose values can be decoded as `T`; `None` if the value is not an object.
pub(crate) fn entries<T: DeserializeOwned>(value: Value) -> Option<BTreeMap<String, T>> {
    let Value::Object(entries) = value else { return None };
    Some(entries.into_iter().filter_map(|(key, value)| Some((key, read(value)?))).collect())
}

/// Decodes one field of a struct; an unreadable value becomes the default.
pub(crate) fn field<'de, D: Deserializer<'de>, T: DeserializeOwned + Default>(
    deserializer: D,
) -> Result<T, D::Error> {
    Ok(read(Value::deserialize(deserializer)?).unwrap_or_default())
}

/// Decodes a list in a field of a struct; a value that is not a list becomes empty.
pub(crate) fn items<'de, D: Deserializer<'de>, T: DeserializeOwned>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    Ok(list(Value::deserialize(deserializer)?).unwrap_or_default())
}
