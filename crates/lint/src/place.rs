//! The paths of a profile's fields.

use profile::{FieldPath, Segment};
use serde::Serializer;
use serde_json::Value;

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

/// The second value of a comparison.
pub(crate) fn value_two(rule: usize, argument: usize) -> FieldPath {
    FieldPath::from_iter([
        Segment::from("syscalls"),
        Segment::from(rule),
        Segment::from("args"),
        Segment::from(argument),
        Segment::from("valueTwo"),
    ])
}

/// A flag.
pub(crate) fn flag(index: usize) -> FieldPath {
    FieldPath::from_iter([Segment::from("flags"), Segment::from(index)])
}

/// The path in the contents that an author wrote, of a path in a profile: there a rule may have the older `name` instead of
/// `names`.
pub(crate) fn written(path: FieldPath, contents: &Value) -> FieldPath {
    let segments = path.segments();
    let [Segment::Key(syscalls), Segment::Index(index), Segment::Key(field), Segment::Index(0)] = segments
    else {
        return path;
    };
    if &**syscalls != "syscalls" || &**field != "names" {
        return path;
    }
    let rule = contents.get("syscalls").and_then(|rules| rules.get(*index));
    match rule.map(|rule| (rule.get("names"), rule.get("name"))) {
        Some((None, Some(_))) => rule_field(*index, "name"),
        _ => path,
    }
}

/// A path as text, for JSON.
pub(crate) fn as_text<S: Serializer>(path: &FieldPath, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(path)
}
