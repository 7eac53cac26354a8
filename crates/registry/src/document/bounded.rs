//! Lists and maps with a bound on their length, so that no document takes more memory than its bytes suggest. Of those that
//! stand in each item of a list, only what is used is kept: their bounds multiply.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};

/// The most items of a list or a map in a document.
pub const MOST_ITEMS: usize = 1_000;

/// A list of at most [`MOST_ITEMS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Many<T>(pub Vec<T>);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Many<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List(PhantomData))
    }
}

struct List<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
    type Value = Many<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Many<T>, A::Error> {
        let mut found = Vec::new();
        while let Some(item) = list.next_element()? {
            if found.len() == MOST_ITEMS {
                return Err(A::Error::custom(format_args!("a list has more than {MOST_ITEMS} items")));
            }
            found.push(item);
        }
        Ok(Many(found))
    }
}

/// Texts by unique keys, at most [`MOST_ITEMS`].
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Texts(BTreeMap<String, String>);

impl Texts {
    /// All of them.
    pub(crate) const fn all(&self) -> &BTreeMap<String, String> {
        &self.0
    }

    /// The text of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }
}

impl<'de> Deserialize<'de> for Texts {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Entries)
    }
}

/// The annotations of descriptors that somebody uses.
const USED: [&str; 4] = [
    // cosign: what a bundle with a signature is about.
    PREDICATE,
    // BuildKit: an entry of an index that is no image.
    "vnd.docker.reference.type",
    // The names of images in a layout.
    "org.opencontainers.image.ref.name",
    "io.containerd.image.name",
];
/// The annotation with which cosign says what a bundle is about.
pub(crate) const PREDICATE: &str = "dev.sigstore.bundle.predicateType";

/// Of the annotations of a descriptor those that are used. All are read, so that a key that appears twice is refused.
pub(super) fn used<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Texts>, D::Error> {
    let mut all = Option::<Texts>::deserialize(deserializer)?;
    if let Some(Texts(all)) = &mut all {
        all.retain(|key, _| USED.contains(&&**key));
    }
    Ok(all)
}

/// Whether a list of texts has any.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct IsAny(pub bool);

impl<'de> Deserialize<'de> for IsAny {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Option::<Many<String>>::deserialize(deserializer)?;
        Ok(Self(all.is_some_and(|Many(all)| !all.is_empty())))
    }
}

struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Texts;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Texts, A::Error> {
        let mut found = BTreeMap::new();
        while let Some((key, value)) = map.next_entry::<String, String>()? {
            if found.len() == MOST_ITEMS {
                return Err(A::Error::custom(format_args!("an object has more than {MOST_ITEMS} members")));
            }
            if found.insert(key, value).is_some() {
                return Err(A::Error::custom("a key appears twice in one object"));
            }
        }
        Ok(Texts(found))
    }
}
