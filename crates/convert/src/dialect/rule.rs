//! A rule of the dialect.

use std::collections::BTreeSet;

use profile::wording::{advice, quote, show};
use serde_json::{Map, Value};

use super::condition::Conditions;
use crate::at::{At, Problems};
use crate::{errno, plain};

/// The fields of a rule, those of the specification first.
const FIELDS: [&str; 9] =
    ["names", "name", "action", "errnoRet", "args", "errno", "comment", "includes", "excludes"];

/// The message about a field that is none of these.
pub(crate) fn unknown_field(key: &str, known: &[&str]) -> String {
    format!("unknown field; {}", advice(key, known))
}

/// A rule.
#[derive(Debug, Clone, Default)]
pub(crate) struct DialectRule {
    /// When it applies.
    pub(crate) conditions: Conditions,
    /// The fields of the specification, not checked yet.
    pub(crate) fields: Map<String, Value>,
    /// What was changed or left out.
    pub(crate) marks: BTreeSet<Mark>,
}

/// Something about a rule that is worth a remark.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Mark {
    /// It has a comment.
    Comment,
    /// It has an `errno`.
    Errno,
    /// Its `errno` replaces another `errnoRet`.
    ErrnosDiffer,
    /// An errno was left out, because the action takes none.
    UnusedErrno,
}

impl DialectRule {
    pub(crate) fn read(problems: &mut Problems, at: &At, value: &Value) -> Option<Self> {
        let map = problems.object(at, value)?;
        let mut rule = Self { conditions: Conditions::read(problems, at, map), ..Self::default() };
        for (key, value) in map.iter().filter(|(_, value)| !value.is_null()) {
            match key.as_str() {
                "includes" | "excludes" => {}
                "comment" => {
                    if problems.text(&at.key(key), value).is_some_and(|text| !text.is_empty()) {
                        rule.marks.insert(Mark::Comment);
                    }
                }
                "errno" => {
                    if let Some(number) = number_of(problems, &at.key(key), value) {
                        rule.marks.insert(Mark::Errno);
                        let other = map.get("errnoRet").filter(|other| !other.is_null());
                        if other.is_some_and(|other| other.as_u64() != Some(number.into())) {
                            rule.marks.insert(Mark::ErrnosDiffer);
                        }
                        rule.fields.insert("errnoRet".to_owned(), number.into());
                    }
                }
                // The word of Podman is read first: `errno` < `errnoRet`.
                "errnoRet" if rule.marks.contains(&Mark::Errno) => {}
                "args" => {
                    rule.fields.insert(key.clone(), without_nulls(value));
                }
                known if FIELDS.contains(&known) => {
                    rule.fields.insert(key.clone(), value.clone());
                }
                unknown => {
                    problems.report::<()>(&at.key(key), unknown_field(unknown, &FIELDS));
                }
            }
        }
        // Docker and Podman write a list beside `name`, too.
        let is_empty = rule.fields.get("names").and_then(Value::as_array).is_some_and(Vec::is_empty);
        if is_empty && rule.fields.contains_key("name") {
            rule.fields.remove("names");
        }
        if plain::drop_unused_errno(&mut rule.fields) {
            rule.marks.insert(Mark::UnusedErrno);
        }
        Some(rule)
    }

    /// The names of its calls, as far as they are names.
    pub(crate) fn calls(&self) -> impl Iterator<Item = &str> {
        let names = self.fields.get("names").and_then(Value::as_array).into_iter().flatten();
        names.chain(self.fields.get("name")).filter_map(Value::as_str).filter(|name| !name.is_empty())
    }

    /// Its fields as rules of the specification.
    pub(crate) fn split(&self) -> Vec<Map<String, Value>> {
        plain::split(&self.fields)
    }
}

/// Comparisons without the fields that are `null`, which count as absent in Go.
fn without_nulls(arguments: &Value) -> Value {
    let mut arguments = arguments.clone();
    for argument in arguments.as_array_mut().into_iter().flatten().filter_map(Value::as_object_mut) {
        argument.retain(|_, value| !value.is_null());
    }
    arguments
}

/// The number of an `errno` or `defaultErrno`: a name or digits; `None` if it is empty or after a problem.
pub(crate) fn number_of(problems: &mut Problems, at: &At, value: &Value) -> Option<u16> {
    let text = match value {
        Value::String(text) => text,
        Value::Null => return None,
        other => {
            return problems.report(at, format_args!("expected a name like EPERM, found {}", show(other)));
        }
    };
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    match text.as_str() {
        "" => None,
        _ if digits && text.parse::<u16>().is_ok() => text.parse().ok(),
        _ => errno::number(text).or_else(|| {
            problems
                .report(at, format_args!("unknown errno {}; {}", quote(text), advice(text, &errno::names())))
        }),
    }
}
