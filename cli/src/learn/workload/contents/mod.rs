//! The two profiles of a learning: the one that logs, and the result. Both permit at most what the present profile permits.

use std::collections::{BTreeMap, BTreeSet};

use filter::{Call, numbers};
use profile::{Action, Comparison, Effect, ParseError, Profile, Rule};
use serde_json::{Value, json};
use syscalls::Libseccomp;

use crate::learn::rules::{json_of, names, take_rules};
use crate::node_settings::NodeOptions;

/// Why there is no profile.
#[derive(Debug, thiserror::Error)]
pub enum ContentsError {
    /// It would not be valid.
    #[error("the learned profile is not valid: {0}")]
    Invalid(#[from] ParseError),
    /// The present profile permits a call by default, and has rules for it that permit it and rules that refuse it. What they
    /// mean together depends on the order in which libseccomp gets them, and on those that runtimes leave out.
    #[error(
        "the present profile permits {0} by default, and has rules that permit it beside rules that refuse it: take out the former, \
         which say nothing"
    )]
    Contradictory(String),
}

impl ContentsError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(error) => error.reason(),
            Self::Contradictory(_) => "Contradictory",
        }
    }
}

/// The present profile, with the calls that it permits and that are not `known` logged. What it refuses it refuses in the
/// same way, and comparisons stay as they are.
///
/// # Errors
/// The result is not valid.
pub(super) fn learning(base: &Profile, known: &BTreeSet<&str>) -> Result<Profile, ContentsError> {
    let mut contents = json_of(base);
    let refused = consistent(base)?;
    let permits_others = permits(base.default_action());
    let mut rules = Vec::new();
    for rule in take_rules(&mut contents) {
        if !is_permitting(&rule) {
            rules.push(rule);
        } else if !permits_others {
            let [named, others] = split(rule, known);
            rules.extend(with_action(named, Action::Allow));
            rules.extend(with_action(others, Action::Log));
        }
    }
    if permits_others {
        contents["defaultAction"] = json!(Action::Log.name());
        // A rule without comparisons would replace those that refuse the call with some arguments: it stays logged.
        rules.extend(allowing(known.iter().filter(|name| !refused.contains(*name))));
    }
    finished(contents, rules)
}

/// The present profile without the calls that it permits and that are not `known`: they are refused with an error. It may
/// also refuse a known call that the present profile refuses with some arguments ([`partly_refused`]).
///
/// # Errors
/// The result is not valid.
pub(super) fn learned(base: &Profile, known: &BTreeSet<&str>) -> Result<Profile, ContentsError> {
    let mut contents = json_of(base);
    let permits_others = permits(base.default_action());
    let mut rules = Vec::new();
    if permits_others {
        contents["defaultAction"] = json!(Action::Errno.name());
        let refused = consistent(base)?;
        let conditional = names(base, |rule| !permits(rule.action()) && !rule.arguments().is_empty());
        let partly = known.iter().filter(|name| conditional.contains(*name));
        let partly: BTreeMap<_, _> =
            partly.filter_map(|name| Some((*name, partly_refused(base, name)?))).collect();
        let partly_names: BTreeSet<_> = partly.keys().copied().collect();
        let default = Effect::of(Action::Errno, None);
        for (rule, effect) in take_rules(&mut contents).into_iter().zip(base.rules().iter().map(Rule::effect))
        {
            // Beside the default action, a rule with the same effect says nothing more.
            if !is_permitting(&rule) && effect != default {
                let [_, others] = split(rule, &partly_names);
                rules.extend(others);
            }
        }
        rules.extend(partly.into_values().flatten());
        rules.extend(allowing(known.iter().filter(|name| !refused.contains(*name))));
        return finished(contents, rules);
    }
    for rule in take_rules(&mut contents) {
        if !is_permitting(&rule) {
            rules.push(rule);
            continue;
        }
        let [named, others] = split(rule, known);
        rules.extend(with_action(named, Action::Allow));
        if base.default_action() != Action::Errno {
            rules.extend(with_action(others, Action::Errno));
        }
    }
    finished(contents, rules)
}

/// The profile without the rules for a call.
///
/// # Errors
/// The result is not valid.
pub(super) fn without(base: &Profile, call: &str) -> Result<Profile, ContentsError> {
    let mut contents = json_of(base);
    let names = BTreeSet::from([call]);
    let rules = take_rules(&mut contents).into_iter().filter_map(|rule| {
        let [_, others] = split(rule, &names);
        others
    });
    let rules = rules.collect();
    finished(contents, rules)
}

/// The names that a rule permits or logs, under whatever conditions.
pub(super) fn permitted_by_rule(profile: &Profile) -> BTreeSet<&str> {
    names(profile, |rule| permits(rule.action()))
}

/// The names that a rule permits and does not log.
pub(super) fn allowed_by_rule(profile: &Profile) -> BTreeSet<&str> {
    names(profile, |rule| rule.action() == Action::Allow)
}

/// The rules that permit a call that `base` permits by default with all arguments but those with which it refuses it; `None`
/// if none are known that every filter has like that.
fn partly_refused(base: &Profile, name: &str) -> Option<Vec<Value>> {
    let mut contents = json_of(base);
    let names = BTreeSet::from([name]);
    let rules = take_rules(&mut contents).into_iter().filter(|rule| !is_permitting(rule));
    let refusing: Vec<_> = rules.filter_map(|rule| split(rule, &names)[0].take()).collect();
    contents["defaultAction"] = json!(Action::Allow.name());
    let before = finished(contents.clone(), refusing.clone()).ok()?;
    contents["defaultAction"] = json!(Action::Errno.name());
    let allowing =
        |argument: Value| json!({ "names": [name], "action": Action::Allow.name(), "args": [argument] });
    let opposite = match &refusing[..] {
        [only] => only["args"].as_array().filter(|args| args.len() == 1).and_then(|args| opposite(&args[0])),
        _ => None,
    };
    // An argument is never negative, so that this is true. It comes after the rules that refuse, and unlike a rule without
    // comparisons does not replace them.
    let otherwise = json!({ "index": refusing.first()?["args"][0]["index"], "value": 0, "op": Comparison::GreaterOrEqual.name() });
    opposite.into_iter().chain([otherwise]).find_map(|argument| {
        let mut rules = refusing.clone();
        rules.push(allowing(argument));
        let after = finished(contents.clone(), rules.clone()).ok()?;
        is_same(&before, &after, name).then_some(rules)
    })
}

/// The comparison that is true exactly if this one is not.
fn opposite(argument: &Value) -> Option<Value> {
    let opposites = [
        (Comparison::Equal, Comparison::NotEqual),
        (Comparison::Less, Comparison::GreaterOrEqual),
        (Comparison::Greater, Comparison::LessOrEqual),
    ];
    let both = opposites.into_iter().flat_map(|(one, other)| [(one, other), (other, one)]);
    let mut found = both.into_iter().filter(|(op, _)| argument["op"] == op.name());
    let (_, other) = found.next()?;
    let mut argument = argument.clone();
    argument["op"] = json!(other.name());
    Some(argument)
}

/// Whether two profiles do the same with a call, whatever its arguments are, on every node on which the first one loads.
fn is_same(one: &Profile, other: &Profile, name: &str) -> bool {
    let settings = NodeOptions::default().settings(&[one], &Libseccomp::ALL);
    settings.into_iter().all(|setting| {
        let number = numbers(setting.libseccomp);
        let is_call = |call: &Call| number(name, call.architecture) == Some(call.number);
        let Ok(one) = setting.filter(one) else { return true };
        let Ok(other) = setting.filter(other) else { return false };
        one.difference(&other).is_ok_and(|found| !found.iter().any(|witness| is_call(&witness.call)))
    })
}

/// A rule that allows these calls; none for no calls.
fn allowing<'n>(names: impl Iterator<Item = &'n &'n str>) -> Option<Value> {
    let names: Vec<_> = names.collect();
    (!names.is_empty()).then(|| json!({ "names": names, "action": Action::Allow.name() }))
}

/// The rule for those of its calls that are among `names`, and the rule for the others; none for no calls.
fn split(rule: Value, names: &BTreeSet<&str>) -> [Option<Value>; 2] {
    let all = rule["names"].as_array().cloned().unwrap_or_default();
    let is_named = |name: &Value| name.as_str().is_some_and(|name| names.contains(name));
    let (named, others): (Vec<_>, Vec<_>) = all.into_iter().partition(is_named);
    [named, others].map(|names| {
        let mut rule = rule.clone();
        rule["names"] = Value::Array(names);
        Some(rule).filter(|rule| rule["names"] != json!([]))
    })
}

fn with_action(rule: Option<Value>, action: Action) -> Option<Value> {
    rule.map(|mut rule| {
        rule["action"] = json!(action.name());
        rule
    })
}

fn is_permitting(rule: &Value) -> bool {
    [Action::Allow, Action::Log].iter().any(|action| rule["action"] == action.name())
}

fn permits(action: Action) -> bool {
    matches!(action, Action::Allow | Action::Log)
}

/// The calls that a rule refuses, whatever their arguments are or only with some, if the rules for them are consistent.
fn consistent(profile: &Profile) -> Result<BTreeSet<&str>, ContentsError> {
    let refused = names(profile, |rule| !permits(rule.action()));
    if permits(profile.default_action()) {
        let permitted = permitted_by_rule(profile);
        if let Some(name) = refused.iter().find(|name| permitted.contains(*name)) {
            return Err(ContentsError::Contradictory((*name).to_owned()));
        }
    }
    Ok(refused)
}

fn finished(mut contents: Value, rules: Vec<Value>) -> Result<Profile, ContentsError> {
    contents["syscalls"] = Value::Array(rules);
    // Without a rule that asks it, a listener is not valid.
    let asks = contents["syscalls"].as_array().into_iter().flatten();
    if !asks.into_iter().any(|rule| rule["action"] == Action::Notify.name()) {
        for key in ["listenerPath", "listenerMetadata"] {
            contents.as_object_mut().map(|fields| fields.remove(key));
        }
    }
    Ok(Profile::from_value(&contents)?)
}

#[cfg(test)]
mod tests;
