//! Decodes the status of a `NodeProfileStatus` without building a tree of it.
//!
//! With two hundred profiles a report has two hundred entries, and in a rollout on a thousand nodes decoding them is
//! most of what the operator does. Each entry costs one allocation here, for its name. Like
//! [`Untrusted`](api::Untrusted), it accepts every value: what cannot be read counts as absent, and ends no watch.

use std::collections::BTreeMap;
use std::fmt;
use std::marker::PhantomData;

use api::{FileProblem, MAX_FILES, MAX_PROBLEMS, MAX_START_FAILURES, ProfileName, StartFailure};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use k8s_openapi::jiff::Timestamp;
use profile::{ContentHash, ShortHash};
use serde::de::{DeserializeOwned, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, de};
use serde_json::Value;

use super::uid_hash;
use crate::status::bounded;

/// The status, as far as the operator reads it.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchedStatus {
    /// Whether it is an object at all.
    pub(super) is_object: bool,
    /// What the agent has written; `None` if it cannot be read.
    pub(super) report: Option<AgentReport>,
    pub(super) conditions: Vec<Condition>,
    pub(super) start_failures: Vec<StartFailure>,
}

/// The spec, as far as the operator reads it.
#[derive(Debug, Clone, Default)]
pub(super) struct WatchedSpec {
    /// The profiles that the node must not hold, each with the hash of its uid.
    pub(super) excluded: BTreeMap<String, ShortHash>,
}

/// What an agent has reported.
#[derive(Debug, Clone, Default)]
pub(super) struct AgentReport {
    pub(super) files: BTreeMap<String, ShortHash>,
    /// `None` if it states no times.
    pub(super) changed: Option<BTreeMap<String, Timestamp>>,
    pub(super) problems: BTreeMap<String, FileProblem>,
}

/// A value that is made of a JSON object, or of a string. Any other JSON value makes none.
trait Readable: Sized {
    /// The value of a string.
    fn of_text(_: &str) -> Option<Self> {
        None
    }

    /// The value of an object.
    ///
    /// # Errors
    /// The text is not JSON.
    fn of_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        while fields.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
        Ok(None)
    }
}

/// Decodes a value, if it can be read.
struct IfReadable<T>(Option<T>);

impl<'de, T: Readable> Deserialize<'de> for IfReadable<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AnyJson(PhantomData)).map(Self)
    }
}

struct AnyJson<T>(PhantomData<T>);

impl<'de, T: Readable> Visitor<'de> for AnyJson<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_map<A: MapAccess<'de>>(self, fields: A) -> Result<Option<T>, A::Error> {
        T::of_object(fields)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Option<T>, E> {
        Ok(T::of_text(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Option<T>, A::Error> {
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(None)
    }

    fn visit_bool<E: de::Error>(self, _: bool) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_unit<E: de::Error>(self) -> Result<Option<T>, E> {
        Ok(None)
    }
}

impl<'de> Deserialize<'de> for WatchedStatus {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(IfReadable::deserialize(deserializer)?.0.unwrap_or_default())
    }
}

impl Readable for WatchedStatus {
    fn of_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        let mut status = Self { is_object: true, ..Self::default() };
        while let Some(name) = fields.next_key::<String>()? {
            match &*name {
                "report" => status.report = fields.next_value::<IfReadable<_>>()?.0,
                "conditions" => status.conditions = list(fields.next_value()?).collect(),
                "startFailures" => {
                    status.start_failures = list(fields.next_value()?).take(MAX_START_FAILURES).collect();
                }
                _ => _ = fields.next_value::<IgnoredAny>()?,
            }
        }
        Ok(Some(status))
    }
}

impl<'de> Deserialize<'de> for WatchedSpec {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(IfReadable::deserialize(deserializer)?.0.unwrap_or_default())
    }
}

impl Readable for WatchedSpec {
    fn of_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        let mut spec = Self::default();
        while let Some(name) = fields.next_key::<String>()? {
            if name == "excludedProfiles" {
                let excluded = fields.next_value::<IfReadable<ByProfile<ExcludedUid>>>()?.0;
                spec.excluded = excluded.map(|ByProfile(excluded)| excluded).unwrap_or_default();
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        Ok(Some(spec))
    }
}

impl Readable for AgentReport {
    fn of_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        // Without files the agent has none.
        let mut files = Some(ByProfile::<ReportedHash>::default());
        let (mut changed, mut problems) = (None::<ByProfile<ReportedTime>>, BTreeMap::new());
        while let Some(name) = fields.next_key::<String>()? {
            match &*name {
                "files" => files = fields.next_value::<IfReadable<_>>()?.0,
                "changed" => changed = fields.next_value::<IfReadable<_>>()?.0,
                "problems" => problems = by_profile(list(fields.next_value()?)),
                _ => _ = fields.next_value::<IgnoredAny>()?,
            }
        }
        // If its files are something else, it is unknown what is on the disk, and no report is better than one of an
        // empty disk.
        let changed = changed.map(|ByProfile(changed)| changed);
        Ok(files.map(|ByProfile(files)| Self { files, changed, problems }))
    }
}

/// The entries of an object whose keys are profiles' names, no more than a report may have.
struct ByProfile<T: Entry>(BTreeMap<String, T::Value>);

/// What a report has about each profile.
trait Entry: Readable {
    type Value;

    fn value(self) -> Self::Value;
}

impl<T: Entry> Default for ByProfile<T> {
    fn default() -> Self {
        Self(BTreeMap::new())
    }
}

impl<T: Entry> Readable for ByProfile<T> {
    fn of_object<'de, A: MapAccess<'de>>(mut fields: A) -> Result<Option<Self>, A::Error> {
        let mut entries = BTreeMap::new();
        while let Some((name, entry)) = fields.next_entry::<String, IfReadable<T>>()? {
            if let IfReadable(Some(entry)) = entry
                && ProfileName::is_valid(&name)
            {
                entries.insert(name, entry.value());
            }
        }
        while entries.len() > MAX_FILES {
            entries.pop_last();
        }
        Ok(Some(Self(entries)))
    }
}

/// The hash of a file. One in the format of another release counts as a file with the bytes of no profile: no profile is
/// ready by it, and a deletion waits until the file is removed.
struct ReportedHash(ShortHash);

impl Readable for ReportedHash {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self(text.parse().unwrap_or_else(|_| ContentHash::of(text.as_bytes()).short())))
    }
}

impl Entry for ReportedHash {
    type Value = ShortHash;

    fn value(self) -> ShortHash {
        self.0
    }
}

/// The uid of a profile, of which the operator keeps a hash.
struct ExcludedUid(ShortHash);

impl Readable for ExcludedUid {
    fn of_text(text: &str) -> Option<Self> {
        Some(Self(uid_hash(text)))
    }
}

impl Entry for ExcludedUid {
    type Value = ShortHash;

    fn value(self) -> ShortHash {
        self.0
    }
}

/// Since when a file has had its bytes.
struct ReportedTime(Timestamp);

impl Readable for ReportedTime {
    fn of_text(text: &str) -> Option<Self> {
        text.parse().ok().map(Self)
    }
}

impl Entry for ReportedTime {
    type Value = Timestamp;

    fn value(self) -> Timestamp {
        self.0
    }
}

/// The items of a list that can be decoded; none if the value is not a list.
fn list<T: DeserializeOwned>(value: Value) -> impl Iterator<Item = T> {
    let items = match value {
        Value::Array(items) => items,
        _ => Vec::new(),
    };
    items.into_iter().filter_map(|item| serde_json::from_value(item).ok())
}

/// The problems, by profile.
fn by_profile(problems: impl Iterator<Item = FileProblem>) -> BTreeMap<String, FileProblem> {
    problems
        .take(MAX_PROBLEMS)
        .filter(|problem| ProfileName::is_valid(&problem.name))
        .map(|problem| {
            let (reason, message) = (bounded(&problem.reason, 64), bounded(&problem.message, 512));
            (problem.name.clone(), FileProblem { reason, message, ..problem })
        })
        .collect()
}
