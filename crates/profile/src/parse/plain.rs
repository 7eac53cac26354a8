//! Decodes the usual spellings of a profile directly from text.
//!
//! A tree of values takes several times as long as everything else that is needed for the canonical bytes of a profile,
//! and almost every profile that agents receive is valid. So this decoder has only two results: the profile, borrowed
//! from the text, or no profile. It does not explain what is wrong, and refuses rare spellings that are valid: the tree
//! parser decides about everything that is refused here. A profile that is decoded here is the one that the tree parser
//! would return (`tests/properties.rs`).

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error, MapAccess, Visitor};

use super::is_syscall_name;
use crate::{Action, Architecture, Argument, Canonical, Comparison, Flag, Profile, Rule, clash, limits};

/// A valid profile in one of the usual spellings, which borrows the names from its text.
///
/// To decode it from JSON fails for everything else, also for some valid profiles, such as those with a listener. The error
/// says nothing: [`Profile::from_value`] finds out whether the profile is valid.
#[derive(Debug)]
pub struct PlainProfile<'a>(Profile<&'a str>);

impl PlainProfile<'_> {
    /// The same profile with the flag for records, like [`Profile::reporting`].
    #[must_use]
    pub fn reporting(self) -> Self {
        Self(self.0.reporting())
    }

    /// Its canonical bytes.
    #[must_use]
    pub fn canonical(&self) -> Canonical {
        self.0.canonical()
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for PlainProfile<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ProfileVisitor).map(Self)
    }
}

struct ProfileVisitor;

impl<'de> Visitor<'de> for ProfileVisitor {
    type Value = Profile<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a profile")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut action, mut errno, mut architectures, mut flags, mut rules) = (None, None, None, None, None);
        while let Some(key) = entries.next_key::<&str>()? {
            match key {
                "defaultAction" => set(&mut action, word(entries.next_value()?, Action::from_name)?)?,
                "defaultErrnoRet" => set(&mut errno, entries.next_value()?)?,
                "architectures" => {
                    set(&mut architectures, words(entries.next_value()?, Architecture::from_name)?)?;
                }
                "flags" => set(&mut flags, words(entries.next_value()?, Flag::from_name)?)?,
                "syscalls" => set(&mut rules, entries.next_value::<Vec<PlainRule<'_>>>()?)?,
                _ => return Err(refused()),
            }
        }
        let rules = rules.unwrap_or_default();
        let profile = Profile {
            default_action: action.ok_or_else(refused)?,
            default_errno_ret: errno,
            architectures: architectures.unwrap_or_default(),
            flags: flags.unwrap_or_default(),
            listener: None,
            syscalls: rules.into_iter().map(|PlainRule(rule)| rule).collect(),
        };
        if is_valid(&profile) { Ok(profile) } else { Err(refused()) }
    }
}

/// Whether a profile is valid whose rules are.
fn is_valid(profile: &Profile<&str>) -> bool {
    let Profile { default_action, default_errno_ret, architectures, flags, listener: _, syscalls } = profile;
    let are_big_endian = |big| architectures.iter().any(|architecture| architecture.is_big_endian() == big);
    *default_action != Action::Notify
        && takes(*default_action, *default_errno_ret)
        && architectures.len() <= limits::ARCHITECTURES
        && !(are_big_endian(true) && are_big_endian(false))
        && flags.len() <= limits::FLAGS
        && !flags.contains(&Flag::WaitKillableRecv)
        && syscalls.len() <= limits::RULES
        && syscalls.iter().map(|rule| rule.names.len()).sum::<usize>() <= limits::NAMES
        && syscalls.iter().map(|rule| rule.args.len()).sum::<usize>() <= limits::ARGUMENTS
        && clash::clashes(profile).is_empty()
}

/// Whether an action can have this errno.
fn takes(action: Action, errno: Option<u16>) -> bool {
    errno.is_none_or(|errno| action.highest_errno().is_some_and(|highest| errno <= highest))
}

struct PlainRule<'a>(Rule<&'a str>);

impl<'de> Deserialize<'de> for PlainRule<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(RuleVisitor).map(Self)
    }
}

struct RuleVisitor;

impl<'de> Visitor<'de> for RuleVisitor {
    type Value = Rule<&'de str>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a rule")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Self::Value, A::Error> {
        let (mut names, mut name, mut action, mut errno, mut args) = (None, None, None, None, None);
        while let Some(key) = entries.next_key::<&str>()? {
            match key {
                "names" => set(&mut names, entries.next_value::<Vec<&str>>()?)?,
                "name" => set(&mut name, entries.next_value::<&str>()?)?,
                "action" => set(&mut action, word(entries.next_value()?, Action::from_name)?)?,
                "errnoRet" => set(&mut errno, entries.next_value()?)?,
                "args" => set(&mut args, entries.next_value::<Vec<PlainArgument>>()?)?,
                _ => return Err(refused()),
            }
        }
        let names = match (names, name) {
            (names, None | Some("")) => names.unwrap_or_default(),
            (None, Some(name)) => vec![name],
            (Some(_), Some(_)) => return Err(refused()),
        };
        let rule = Rule {
            names,
            action: action.ok_or_else(refused)?,
            errno_ret: errno,
            args: args.unwrap_or_default().into_iter().map(|PlainArgument(argument)| argument).collect(),
        };
        let is_valid =
            (1..=limits::NAMES_PER_RULE).contains(&rule.names.len())
                && rule.names.iter().all(|name| is_syscall_name(name))
                && rule.action != Action::Notify
                && takes(rule.action, rule.errno_ret)
                && rule.args.len() <= limits::ARGUMENTS_PER_RULE
                && rule.args.iter().enumerate().all(|(at, argument)| {
                    rule.args[..at].iter().all(|earlier| earlier.index != argument.index)
                });
        if is_valid { Ok(rule) } else { Err(refused()) }
    }
}

struct PlainArgument(Argument);

impl<'de> Deserialize<'de> for PlainArgument {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(ArgumentVisitor).map(Self)
    }
}

struct ArgumentVisitor;

impl<'de> Visitor<'de> for ArgumentVisitor {
    type Value = Argument;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an argument")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Argument, A::Error> {
        let (mut index, mut value, mut value_two, mut op) = (None, None, None, None);
        while let Some(key) = entries.next_key::<&str>()? {
            match key {
                "index" => set(&mut index, entries.next_value::<u8>()?)?,
                // Text, which large numbers are, is left to the tree parser.
                "value" => set(&mut value, entries.next_value()?)?,
                "valueTwo" => set(&mut value_two, entries.next_value()?)?,
                "op" => set(&mut op, word(entries.next_value()?, Comparison::from_name)?)?,
                _ => return Err(refused()),
            }
        }
        Ok(Argument {
            index: index.filter(|index| *index <= limits::ARGUMENT_INDEX).ok_or_else(refused)?,
            value: value.ok_or_else(refused)?,
            value_two: value_two.unwrap_or_default(),
            op: op.ok_or_else(refused)?,
        })
    }
}

fn refused<E: Error>() -> E {
    E::custom("not a valid profile, or not in a usual spelling")
}

/// Sets the value of a key, which an object has once.
fn set<T, E: Error>(slot: &mut Option<T>, value: T) -> Result<(), E> {
    if slot.replace(value).is_some() { Err(refused()) } else { Ok(()) }
}

fn word<T, E: Error>(text: &str, from_name: impl Fn(&str) -> Option<T>) -> Result<T, E> {
    from_name(text).ok_or_else(refused)
}

fn words<T, E: Error>(texts: Vec<&str>, from_name: impl Fn(&str) -> Option<T>) -> Result<Vec<T>, E> {
    texts.into_iter().map(|text| word(text, &from_name)).collect()
}
