//! Words of a vocabulary that grows from release to release.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Characters of the longest word.
const LONGEST: usize = 64;

/// The words of one field, as far as this release knows them.
pub trait Vocabulary: Copy + Eq + fmt::Debug + 'static {
    /// All of them.
    const ALL: &'static [Self];

    /// The word.
    fn as_str(self) -> &'static str;
}

/// A word as it is stored: one that this release knows, or one that another release has written.
///
/// Programs of two releases read each other's objects during every upgrade. A word that is new to the reader must not
/// cost it the rest of the object, so it is kept as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OpenEnum<T> {
    /// A word that this release knows.
    Known(T),
    /// A word that it does not know.
    Unknown(Box<str>),
}

impl<T: Vocabulary> OpenEnum<T> {
    /// The word that is written so.
    #[must_use]
    pub fn of(word: &str) -> Self {
        match T::ALL.iter().find(|known| known.as_str() == word) {
            Some(known) => Self::Known(*known),
            None => Self::Unknown(word.chars().take(LONGEST).collect()),
        }
    }

    /// The word as it is written; of one that is longer than the schema admits, the beginning.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Known(known) => known.as_str(),
            Self::Unknown(word) => word,
        }
    }

    /// The word, if this release knows it.
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

/// A bounded text and no `enum`: a definition is often older than the program that writes, and the API server would
/// refuse a word that only the program knows, with all that stands beside it.
impl<T: Vocabulary> JsonSchema for OpenEnum<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OpenEnum".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "maxLength": LONGEST, "pattern": "^[A-Za-z][A-Za-z0-9]*$" })
    }
}
