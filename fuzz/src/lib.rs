//! What the targets have in common. Each throws bytes at one reader and holds what comes out against the JSON itself,
//! read a second time and in another way: a reader that only does not panic may still misread.
//!
//! - [`mutate`]: changes JSON as JSON, so that most of what a reader sees gets past its first line.
//! - [`stored`]: bytes as the API server would store and send them.

pub mod mutate;

use serde_json::Value;

/// What the API server could store and send of these bytes: an object whose metadata is one, in which no key stands
/// twice. Nothing else is promised of it: the schema may have been another when it was written.
#[must_use]
pub fn stored(bytes: &[u8]) -> Option<Value> {
    serde_json::from_slice::<Value>(bytes).ok().filter(|object| object["metadata"].is_object())
}
