//! The paths of a profile's fields.

use profile::{FieldPath, Segment};
use serde::Serializer;

/// A field at the top of the profile.
pub(crate) fn field(key: &str) -> FieldPath {
    FieldPath::from_iter([Segment::from(key)])
}

/// The rule with this index.
pub(crate) fn rule(index: usize) -> FieldPath {
    FieldPath::from_iter([Segment::from("syscalls"), Segment::from(index)])
}

/// A field of a rule.
pub(crate) fn rule_field(index: usize, key: &str) -> FieldPath {
    FieldPath::from_iter([Segment::from("syscalls"), Segment::from(index), Segment::from(key)])
}

/// A name in a rule.
pub(crate) fn name(rule: usize, name: usize) -> FieldPath {
    FieldPath::from_iter([
        Segment::from("syscalls"),
        Segment::from(rule),
        Segment::from("names"),
        Segment::from(name),
    ])
}

/// A comparison in a rule.
pub(crate) fn argument(rule: usize, argument: usize) -> FieldPath {
    FieldPath::from_iter([
        Segment::from("syscalls"),
        Segment::from(rule),
        Segment::from("args"),
        Segment::from(argument),
    ])
}

/// A path as text, for JSON.
pub(crate) fn as_text<S: Serializer>(path: &FieldPath, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}
