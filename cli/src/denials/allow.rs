//! What would allow a call in a profile, and what `lint` says of that.

use lint::{Finding, Nodes};
use profile::Profile;
use serde::Serialize;
use serde_json::{Value, json};

/// A change of a profile that allows a call.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Allowing {
    /// The profile.
    pub profile: String,
    /// The call.
    pub call: String,
    /// The change, as text.
    pub change: String,
    /// What `lint` finds then and does not find now.
    pub findings: Vec<String>,
}

impl Allowing {
    /// The change of the profile with these contents; `None` if no profile can name the call.
    #[must_use]
    pub fn of(profile: &str, contents: &Value, call: &str) -> Option<Self> {
        if call.starts_with("syscall_0x") {
            return None;
        }
        let places = places(contents, call);
        let taken_out = places
            .iter()
            .map(|place| format!("spec.contents.syscalls[{place}]"))
            .collect::<Vec<_>>()
            .join(" and ");
        let is_permitted = contents["defaultAction"] == "SCMP_ACT_ALLOW";
        let rule = format!("- {{names: [{call}], action: SCMP_ACT_ALLOW}}");
        let change = match (places.is_empty(), is_permitted) {
            (true, _) => rule,
            (false, true) => format!("take {call} out of {taken_out}"),
            (false, false) => format!("{rule}, and take {call} out of {taken_out}"),
        };
        let before = findings(contents);
        let after = findings(&allowed(contents, call, !is_permitted));
        let new = after.into_iter().filter(|found| !before.iter().any(|it| is_same(it, found)));
        let findings =
            new.map(|it| format!("{}: {} ({})", it.severity.name(), it.message, it.rule)).collect();
        Some(Self { profile: profile.to_owned(), call: call.to_owned(), change, findings })
    }
}

/// The same finding, whatever its place is.
fn is_same(one: &Finding, other: &Finding) -> bool {
    (one.rule, &one.message) == (other.rule, &other.message)
}

fn findings(contents: &Value) -> Vec<Finding> {
    let Ok(profile) = Profile::from_value(contents) else { return Vec::new() };
    lint::check_with(&profile, &Nodes::default(), &["weaker-than-runtime-default"])
}

/// Whether a rule names the call.
fn names(rule: &Value, call: &str) -> bool {
    rule["name"] == call || rule["names"].as_array().into_iter().flatten().any(|name| name == call)
}

/// The rules that name the call and do something else than allow it.
fn places(contents: &Value, call: &str) -> Vec<usize> {
    let rules = contents["syscalls"].as_array().into_iter().flatten().enumerate();
    let other = rules.filter(|(_, rule)| names(rule, call) && rule["action"] != "SCMP_ACT_ALLOW");
    other.map(|(place, _)| place).collect()
}

/// The contents after the change.
fn allowed(contents: &Value, call: &str, adds: bool) -> Value {
    let mut contents = contents.clone();
    let mut rules = contents["syscalls"].as_array().cloned().unwrap_or_default();
    for place in places(&contents, call) {
        let rule = &mut rules[place];
        if rule["name"] == call {
            rule["name"] = json!("");
        }
        if let Some(names) = rule["names"].as_array_mut() {
            names.retain(|name| name != call);
        }
    }
    let is_empty = |rule: &Value| {
        rule["name"].as_str().unwrap_or_default().is_empty()
            && rule["names"].as_array().is_none_or(Vec::is_empty)
    };
    rules.retain(|rule| !is_empty(rule));
    if adds {
        rules.push(json!({ "names": [call], "action": "SCMP_ACT_ALLOW" }));
    }
    contents["syscalls"] = Value::Array(rules);
    contents
}
