//! The rules of a profile and of its base together.
//!
//! Source: `UnionSyscalls` in internal/pkg/util/union_syscalls.go of the operator, the same in the releases 0.8.4 to 1.0.0:
//! the rules of the base and then those of the profile, ordered by the names of their actions. Its sort may exchange
//! rules with the same action; that would matter only if they had different errnos for one call. (The development
//! branch merges differently: of two rules for one call the more permissive one stays.)

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// The rules of both.
pub(super) fn union(base: &[Map<String, Value>], own: &[Map<String, Value>]) -> Vec<Map<String, Value>> {
    let mut all: Vec<_> = base.iter().chain(own).cloned().collect();
    let action =
        |rule: &Map<String, Value>| rule.get("action").and_then(Value::as_str).unwrap_or_default().to_owned();
    all.sort_by_key(action);
    all
}

/// The rules without names that an earlier rule without comparisons gives the same: they change nothing.
pub(super) fn without_repetitions(rules: Vec<Map<String, Value>>) -> Vec<Map<String, Value>> {
    let mut seen: BTreeSet<(String, String)> = BTreeSet::new();
    let mut kept = Vec::new();
    for mut rule in rules {
        let compares = rule.get("args").and_then(Value::as_array).is_some_and(|args| !args.is_empty());
        if !compares {
            let effect = format!("{:?} {:?}", rule.get("action"), rule.get("errnoRet"));
            if let Some(Value::Array(names)) = rule.get_mut("names") {
                let all = names.len();
                names.retain(|name| seen.insert((effect.clone(), name.to_string())));
                if names.is_empty() && all > 0 {
                    continue;
                }
            }
        }
        kept.push(rule);
    }
    kept
}
