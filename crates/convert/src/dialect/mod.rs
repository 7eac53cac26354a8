//! The dialect of Docker, Podman and CRI-O, of which the OCI runtime specification is a part.

mod condition;
mod nodes;
mod remarks;
mod rule;
mod select;

use profile::{ParseProblem, Profile};
use serde_json::{Map, Value, json};

use crate::at::{At, Problems};
use crate::error::invalid;
use crate::plain::at_origin;
use crate::{ConvertError, Converted, Target};

use nodes::Architectures;
use rule::{DialectRule, number_of, unknown_field};
use select::Selection;

/// The fields of a profile, those of the specification first.
const FIELDS: [&str; 9] = [
    "defaultAction",
    "defaultErrnoRet",
    "architectures",
    "flags",
    "listenerPath",
    "listenerMetadata",
    "syscalls",
    "archMap",
    "defaultErrno",
];

/// A profile of the dialect whose fields beside those of the specification are checked.
struct Dialect {
    /// The fields of the specification, without `syscalls`, not checked yet.
    fields: Map<String, Value>,
    architectures: Architectures,
    rules: Vec<DialectRule>,
    has_default_errno: bool,
}

/// Converts a profile.
///
/// # Errors
/// It is not valid, or no single profile means the same on all nodes of the target.
pub fn convert(value: &Value, target: &Target) -> Result<Converted, ConvertError> {
    let dialect = Dialect::read(value)?;
    let selection = select::select(&dialect.architectures, &dialect.rules, target)?;
    let mut profile = dialect.fields.clone();
    let architectures = dialect.architectures.of(&selection.machines);
    if !architectures.is_empty() {
        let names: Vec<_> = architectures.iter().map(|it| it.name()).collect();
        profile.insert("architectures".to_owned(), names.into());
    }
    let (mut rules, mut origins) = (Vec::new(), Vec::new());
    for (i, rule) in dialect.rules.iter().enumerate().filter(|(i, _)| selection.applies(*i)) {
        for fields in rule.split() {
            rules.push(Value::Object(fields));
            origins.push(i);
        }
    }
    profile.insert("syscalls".to_owned(), rules.into());
    let mut problems = dialect.problems_left_out(&selection);
    let profile = Profile::from_value(&profile.into());
    let parsed = match profile {
        Ok(profile) if problems.is_empty() => profile,
        Ok(_) => return Err(invalid(problems)),
        Err(error) => {
            problems.extend(error.problems().iter().map(|problem| at_origin(problem, &origins)));
            return Err(invalid(problems));
        }
    };
    Ok(Converted { profile: parsed, remarks: dialect.remarks(&selection, target) })
}

impl Dialect {
    fn read(value: &Value) -> Result<Self, ConvertError> {
        let mut problems = Problems::default();
        let top = At::default();
        let Some(map) = problems.object(&top, value) else { return Err(invalid(problems.0)) };
        let architectures = Architectures::read(&mut problems, &top, map);
        let rules_at = top.key("syscalls");
        let rules = problems.list(&rules_at, map.get("syscalls")).iter().enumerate();
        let rules: Vec<_> = rules
            .map(|(i, rule)| DialectRule::read(&mut problems, &rules_at.index(i), rule).unwrap_or_default())
            .collect();
        let unknown = map.iter().filter(|(key, value)| !(value.is_null() || FIELDS.contains(&key.as_str())));
        for (key, _) in unknown {
            problems.report::<()>(&top.key(key), unknown_field(key, &FIELDS));
        }
        let mut fields: Map<String, Value> = map
            .iter()
            .filter(|(key, value)| {
                !(value.is_null() || matches!(key.as_str(), "archMap" | "defaultErrno" | "syscalls"))
            })
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let errno = map.get("defaultErrno");
        let errno = errno.and_then(|errno| number_of(&mut problems, &top.key("defaultErrno"), errno));
        if let Some(errno) = errno {
            fields.insert("defaultErrnoRet".to_owned(), errno.into());
        }
        if problems.0.is_empty() {
            Ok(Self { fields, architectures, rules, has_default_errno: errno.is_some() })
        } else {
            Err(invalid(problems.0))
        }
    }

    /// The problems of rules that do not apply: a mistake in them is one, too.
    fn problems_left_out(&self, selection: &Selection) -> Vec<ParseProblem> {
        let rules = self.rules.iter().enumerate().filter(|(i, _)| !selection.applies(*i));
        let problems = rules.flat_map(|(i, rule)| {
            let checked = rule.split().into_iter().map(move |fields| {
                Profile::from_value(&json!({"defaultAction": "SCMP_ACT_ALLOW", "syscalls": [fields]}))
            });
            checked.filter_map(Result::err).flat_map(move |error| {
                let of_the_rule = |problem: &&ParseProblem| problem.path.segments().len() > 1;
                error.problems().iter().filter(of_the_rule).map(|it| at_origin(it, &[i])).collect::<Vec<_>>()
            })
        });
        problems.collect()
    }
}
