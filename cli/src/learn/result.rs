//! The profile that permits what was seen.

use std::collections::BTreeSet;

use profile::{Action, Profile};
use serde_json::{Value, json};
use syscalls::{Architecture, Syscall};

use super::rules::{json_of, names, take_rules};
use super::{LearnError, Seen};

/// The profile that permits what was seen and what the runtime does before, and refuses everything else.
pub(super) fn alone(
    seen: &Seen,
    by_runtime: &BTreeSet<Syscall>,
    native: Architecture,
) -> Result<Profile, LearnError> {
    let names: BTreeSet<_> = seen.calls().chain(by_runtime.iter().copied()).map(Syscall::name).collect();
    let found = seen.architectures();
    let others = Architecture::ALL.into_iter().filter(|it| *it != native && found.contains(it.name()));
    let architectures: Vec<_> = [native].into_iter().chain(others).map(Architecture::oci_name).collect();
    let contents = json!({
        "defaultAction": Action::Errno.name(),
        "architectures": architectures,
        "syscalls": [{ "names": names, "action": Action::Allow.name() }],
    });
    Ok(Profile::from_value(&contents)?)
}

/// The profile `base`, which also permits what was seen. What it only logs and what was not seen is refused, and what one of
/// its rules refuses stays refused.
pub(super) fn beyond(
    base: &Profile,
    seen: &Seen,
    by_runtime: &BTreeSet<Syscall>,
) -> Result<Profile, LearnError> {
    let refused = refused_by_rule(base);
    let learned: BTreeSet<_> = seen.calls().chain(by_runtime.iter().copied()).map(Syscall::name).collect();
    let learned: BTreeSet<_> = learned.into_iter().filter(|name| !refused.contains(name)).collect();
    let permitted: BTreeSet<_> =
        names(base, |rule| rule.action() == Action::Allow && rule.arguments().is_empty());
    let mut contents = json_of(base);
    if base.default_action() == Action::Log {
        contents["defaultAction"] = json!(Action::Errno.name());
    }
    let refuses_others = base.default_action() != Action::Allow;
    let mut rules = take_rules(&mut contents);
    rules.retain_mut(|rule| {
        if rule["action"] != Action::Log.name() {
            return true;
        }
        rule["action"] = json!(Action::Errno.name());
        let Some(names) = rule["names"].as_array_mut() else { return false };
        names.retain(|name| name.as_str().is_some_and(|name| !learned.contains(name)));
        // Beside a default action that refuses, the rule says nothing more.
        !names.is_empty() && !refuses_others
    });
    let new: Vec<_> = learned.iter().filter(|name| !permitted.contains(*name)).collect();
    if refuses_others && !new.is_empty() {
        rules.push(json!({ "names": new, "action": Action::Allow.name() }));
    }
    contents["syscalls"] = Value::Array(rules);
    Ok(Profile::from_value(&contents)?)
}

/// The calls that were seen and that a rule of `base` refuses, as remarks.
pub(super) fn still_refused<'a>(base: &'a Profile, seen: &'a Seen) -> impl Iterator<Item = String> + 'a {
    let refused = refused_by_rule(base);
    let seen = seen.calls().map(Syscall::name).filter(move |name| refused.contains(name));
    seen.map(|name| format!("not learned: {name}, which a rule of --base refuses"))
}

/// The calls that a rule refuses, whatever their arguments are or only with some.
fn refused_by_rule(profile: &Profile) -> BTreeSet<&str> {
    names(profile, |rule| !matches!(rule.action(), Action::Allow | Action::Log))
}
