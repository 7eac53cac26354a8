//! A profile's rules as JSON, and the calls that they name.

use std::collections::BTreeSet;

use profile::{Profile, Rule};
use serde_json::Value;

/// The calls that some of the rules name.
pub(super) fn names(profile: &Profile, of: impl Fn(&Rule) -> bool) -> BTreeSet<&str> {
    let rules = profile.rules().iter().filter(|rule| of(rule));
    rules.flat_map(|rule| rule.names()).map(|name| name.as_str()).collect()
}

/// The profile as JSON.
#[expect(clippy::expect_used, reason = "no key is anything but text, and writing to memory does not fail")]
pub(super) fn json_of(profile: &Profile) -> Value {
    serde_json::to_value(profile).expect("a profile is always JSON")
}

/// The rules of a profile as JSON, which has none afterwards.
pub(super) fn take_rules(contents: &mut Value) -> Vec<Value> {
    match contents["syscalls"].take() {
        Value::Array(rules) => rules,
        _ => Vec::new(),
    }
}
