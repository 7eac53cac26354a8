//! Enum values whose set grows from release to release.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The maximum number of characters in a value.
const MAX_LENGTH: usize = 64;

/// The values of one field that this release knows.
pub trait Vocabulary: Copy + Eq + fmt::Debug + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The text of the value.
    fn as_str(self) -> &'static str;
}

/// A stored value: one that this release knows, or one that another release has written.
///
/// Programs of two releases read each other's objects during every upgrade. A value that is new to the reader must not
/// make the rest of the object unreadable, so it is kept unchanged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenEnum<T> {
    /// A value that this release knows.
    Known(T),
    /// A value that this release does not know.
    Unknown(Box<str>),
}

impl<T: Vocabulary> OpenEnum<T> {
    /// The value with this text.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match T::ALL.iter().find(|known| known.as_str() == word) {
            Some(known) => Self::Known(*known),
            None => Self::Unknown(word.chars().take(MAX_LENGTH).collect()),
        }
    }

    /// The text of the value, cut to the length that the schema permits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(known) => known.as_str(),
            Self::Unknown(word) => word,
        }
    }

    /// The value, if this release knows it.
    #[must_use]
    pub fn known(&self) -> Option<T> {
        match self {
            Self::Known(known) => Some(*known),
            Self::Unknown(_) => None,
        }
    }
}

impl<T: Vocabulary> From<T> for OpenEnum<T> {
    fn from(known: T) -> Self {
        Self::Known(known)
    }
}

impl<T: Vocabulary> PartialEq<T> for OpenEnum<T> {
    fn eq(&self, known: &T) -> bool {
        self.known().as_ref() == Some(known)
    }
}

impl<T: Vocabulary> Serialize for OpenEnum<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de, T: Vocabulary> Deserialize<'de> for OpenEnum<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Cow::<str>::deserialize(deserializer).map(|word| Self::of(&word))
    }
}

/// A bounded string instead of an `enum`: a definition is often older than the program that writes, and the API server
/// would reject the whole object because of a value that only the program knows.
impl<T: Vocabulary> JsonSchema for OpenEnum<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OpenEnum".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": MAX_LENGTH, "pattern": "^[A-Za-z][A-Za-z0-9]*$" })
    }
}
