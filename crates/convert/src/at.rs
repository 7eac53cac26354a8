//! The place of a field while a document is read, and the problems found there.

use std::fmt;

use profile::{FieldPath, ParseProblem, Segment};
use serde_json::{Map, Value};

use profile::wording::{advice, show};

/// The place of a field.
#[derive(Debug, Clone, Default)]
pub(crate) struct At(Vec<Segment>);

impl At {
    pub(crate) fn key(&self, key: &str) -> Self {
        self.with(key.into())
    }

    pub(crate) fn index(&self, index: usize) -> Self {
        self.with(index.into())
    }

    fn with(&self, segment: Segment) -> Self {
        Self(self.0.iter().cloned().chain([segment]).collect())
    }

    pub(crate) fn path(&self) -> FieldPath {
        self.0.iter().cloned().collect()
    }
}

/// The problems of a document. Each function returns `None` after it has reported one.
#[derive(Debug, Default)]
pub(crate) struct Problems(pub(crate) Vec<ParseProblem>);

impl Problems {
    pub(crate) fn report<T>(&mut self, at: &At, message: impl fmt::Display) -> Option<T> {
        self.0.push(ParseProblem { path: at.path(), message: message.to_string() });
        None
    }

    pub(crate) fn object<'v>(&mut self, at: &At, value: &'v Value) -> Option<&'v Map<String, Value>> {
        match value {
            Value::Object(map) => Some(map),
            other => self.report(at, format_args!("expected an object, found {}", show(other))),
        }
    }

    /// An object that may have only these `keys`.
    pub(crate) fn object_of<'v>(
        &mut self,
        at: &At,
        value: &'v Value,
        keys: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let map = self.object(at, value)?;
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.report::<()>(&at.key(key), format_args!("unknown field; {}", advice(key, keys)));
        }
        Some(map)
    }

    /// The items of an optional list; `null` counts as absent, as in Go.
    pub(crate) fn list<'v>(&mut self, at: &At, value: Option<&'v Value>) -> &'v [Value] {
        match value {
            None | Some(Value::Null) => &[],
            Some(Value::Array(items)) => items,
            Some(other) => {
                self.report::<()>(at, format_args!("expected a list, found {}", show(other)));
                &[]
            }
        }
    }

    pub(crate) fn text<'v>(&mut self, at: &At, value: &'v Value) -> Option<&'v str> {
        match value {
            Value::String(text) => Some(text),
            other => self.report(at, format_args!("expected text, found {}", show(other))),
        }
    }
}
