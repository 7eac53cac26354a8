//! Parses JSON into a [`Profile`], strictly.
//!
//! The parser reads the whole document and collects at most ten problems, so that an author can correct them all at
//! once. Each function returns `None` after it has reported a problem.

mod listener;
mod plain;

use std::fmt;

use serde_json::{Map, Value};

use crate::clash::{self, Clash};
use crate::error::MAX_PROBLEMS;
use crate::path::{FieldPath, Segment};
use crate::wording::{advice, quote, show};
use crate::{
    Action, Architecture, Argument, Comparison, Flag, ParseError, ParseProblem, Profile, Rule, SyscallName,
    dialect, json, limits,
};

pub use plain::PlainProfile;

impl Profile {
    /// Parses the bytes of a JSON document.
    ///
    /// # Errors
    /// The bytes are not JSON, a key is duplicated, or the document is not a valid profile.
    pub fn from_slice(bytes: &[u8]) -> Result<Self, ParseError> {
        let value = json::from_slice(bytes).map_err(|error| ParseError::whole(error.to_string()))?;
        Self::from_value(&value)
    }

    /// Parses a JSON value, such as `spec.contents` of the custom resource.
    ///
    /// # Errors
    /// The value is not a valid profile; the error has the path of each wrong field, from the top of the profile.
    pub fn from_value(value: &Value) -> Result<Self, ParseError> {
        let mut parser = Parser { problems: Vec::new() };
        match parser.profile(value) {
            Some(profile) if parser.problems.is_empty() => Ok(profile),
            _ => Err(ParseError::new(parser.problems)),
        }
    }
}

/// The parser's position; it becomes a [`FieldPath`] only for a problem.
#[derive(Clone, Copy)]
enum Path<'a> {
    Top,
    Key(&'a Path<'a>, &'a str),
    Index(&'a Path<'a>, usize),
}

impl From<Path<'_>> for FieldPath {
    fn from(path: Path<'_>) -> Self {
        let (parent, segment) = match path {
            Path::Top => return Self::default(),
            Path::Key(parent, key) => (parent, Segment::Key(key.into())),
            Path::Index(parent, index) => (parent, Segment::Index(index)),
        };
        let mut path = Self::from(*parent);
        path.push(segment);
        path
    }
}

struct Parser {
    problems: Vec<ParseProblem>,
}

impl Parser {
    fn report<T>(&mut self, path: Path<'_>, message: impl fmt::Display) -> Option<T> {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(ParseProblem { path: path.into(), message: message.to_string() });
        }
        None
    }

    fn profile(&mut self, value: &Value) -> Option<Profile> {
        const KEYS: &[&str] = &[
            "defaultAction",
            "defaultErrnoRet",
            "architectures",
            "flags",
            "listenerPath",
            "listenerMetadata",
            "syscalls",
        ];
        let top = &Path::Top;
        let map = self.object(*top, value, KEYS)?;
        let default_action = self.required(*top, map, "defaultAction", Self::default_action);
        let default_errno_ret = self.errno(*top, map, "defaultErrnoRet", "defaultAction", default_action);
        let architectures = self.architectures(*top, map);
        let flags = self.list(*top, map, "flags", limits::FLAGS, Self::flag);
        let syscalls = self.list(*top, map, "syscalls", limits::RULES, Self::rule);
        let listener = self.listener(*top, map);
        let (architectures, flags, syscalls) = (architectures?, flags?, syscalls?);
        self.listener_is_whole(*top, map, &flags, &syscalls);
        self.at_most(*top, "names in all", syscalls.iter().map(|rule| rule.names.len()).sum(), limits::NAMES);
        self.at_most(
            *top,
            "arguments in all",
            syscalls.iter().map(|rule| rule.args.len()).sum(),
            limits::ARGUMENTS,
        );
        let profile = Profile {
            default_action: default_action?,
            default_errno_ret: default_errno_ret?,
            architectures,
            flags,
            listener: listener?,
            syscalls,
        };
        // Only for a profile within its limits, where this search is cheap.
        if self.problems.is_empty() {
            self.clashes(&profile);
        }
        Some(profile)
    }

    fn clashes(&mut self, profile: &Profile) {
        let syscalls = Path::Key(&Path::Top, "syscalls");
        for Clash { rule, earlier, longer, name } in clash::clashes(profile) {
            let what = if longer { "these comparisons and more" } else { "the same comparisons" };
            self.report::<()>(
                Path::Index(&syscalls, rule),
                format_args!(
                    "{name} with {what} has another action in syscalls[{earlier}], and no container starts \
                     under both; leave one out"
                ),
            );
        }
    }

    fn architectures(&mut self, top: Path<'_>, map: &Map<String, Value>) -> Option<Vec<Architecture>> {
        let read = |parser: &mut Self, path: Path<'_>, value: &Value| {
            if value.as_str() == Some(dialect::NATIVE) {
                return parser.report(path, dialect::NATIVE_REFUSED);
            }
            parser.keyword(path, value, "architecture", Architecture::NAMES, Architecture::from_name)
        };
        let list = self.list(top, map, "architectures", limits::ARCHITECTURES, read)?;
        let one_of = |big: bool| list.iter().find(|architecture| architecture.is_big_endian() == big);
        match (one_of(true), one_of(false)) {
            (Some(big), Some(little)) => self.report(
                Path::Key(&top, "architectures"),
                format_args!(
                    "no node is both big-endian ({}) and little-endian ({}); leave one kind out",
                    big.name(),
                    little.name()
                ),
            ),
            _ => Some(list),
        }
    }

    fn rule(&mut self, path: Path<'_>, value: &Value) -> Option<Rule> {
        let map = self.object(path, value, &["names", "name", "action", "errnoRet", "args"])?;
        let names = self.names(path, map);
        let action = self.required(path, map, "action", Self::action);
        let errno_ret = self.errno(path, map, "errnoRet", "action", action);
        let args = self.arguments(path, map);
        if let (Some(Action::Notify), Some(names)) = (action, &names) {
            self.can_be_notified_of(path, names);
        }
        Some(Rule { names: names?, action: action?, errno_ret: errno_ret?, args: args? })
    }

    /// `names`, or the older `name`. An empty `name` beside `names` counts as absent: the first controller of this
    /// API group stored objects so.
    fn names(&mut self, path: Path<'_>, map: &Map<String, Value>) -> Option<Vec<SyscallName>> {
        let name = match map.get("name") {
            None => None,
            Some(Value::String(name)) if name.is_empty() => None,
            Some(value) => Some(self.syscall_name(Path::Key(&path, "name"), value)?),
        };
        let names = self.list(path, map, "names", limits::NAMES_PER_RULE, Self::syscall_name)?;
        match name {
            Some(_) if map.contains_key("names") => self.report(path, "give either names or name, not both"),
            Some(name) => Some(vec![name]),
            None if names.is_empty() => {
                self.report(Path::Key(&path, "names"), "a rule needs the name of at least one syscall")
            }
            None => Some(names),
        }
    }

    fn syscall_name(&mut self, path: Path<'_>, value: &Value) -> Option<SyscallName> {
        let text = self.text(path, value)?;
        if !is_syscall_name(text) {
            return self.report(
                path,
                format_args!(
                    "not the name of a syscall: {}; expected 1 to {} of a-z, 0-9 and _",
                    quote(text),
                    limits::NAME_LENGTH
                ),
            );
        }
        Some(SyscallName(text.into()))
    }

    fn arguments(&mut self, path: Path<'_>, map: &Map<String, Value>) -> Option<Vec<Argument>> {
        let arguments = self.list(path, map, "args", limits::ARGUMENTS_PER_RULE, Self::argument)?;
        let mut seen = [false; limits::ARGUMENT_INDEX as usize + 1];
        for (i, argument) in arguments.iter().enumerate() {
            // Both runc (`matchCall` in libcontainer/seccomp/seccomp_linux.go) and crun (src/libcrun/seccomp.c) then
            // make a separate rule of each comparison, so that any one of them is enough; libseccomp itself returns
            // EINVAL.
            if std::mem::replace(&mut seen[usize::from(argument.index)], true) {
                return self.report(
                    Path::Index(&Path::Key(&path, "args"), i),
                    format_args!(
                        "two comparisons of argument {}: runtimes take these as alternatives; write two rules",
                        argument.index
                    ),
                );
            }
        }
        Some(arguments)
    }

    fn argument(&mut self, path: Path<'_>, value: &Value) -> Option<Argument> {
        let map = self.object(path, value, &["index", "value", "valueTwo", "op"])?;
        let index = self.required(path, map, "index", |parser, path, value| {
            match value.as_u64().and_then(|index| u8::try_from(index).ok()) {
                Some(index) if index <= limits::ARGUMENT_INDEX => Some(index),
                _ => parser.report(
                    path,
                    format_args!(
                        "expected an argument from 0 to {}, found {}",
                        limits::ARGUMENT_INDEX,
                        show(value)
                    ),
                ),
            }
        });
        let first = self.required(path, map, "value", Self::number);
        let second = match map.get("valueTwo") {
            None => Some(0),
            Some(value) => self.number(Path::Key(&path, "valueTwo"), value),
        };
        let op = self.required(path, map, "op", |parser, path, value| {
            parser.keyword(path, value, "operator", Comparison::NAMES, Comparison::from_name)
        });
        Some(Argument { index: index?, value: first?, value_two: second?, op: op? })
    }

    /// A u64: a number, or text for values that could lose digits in other programs (the API server's JSON numbers end
    /// at 2^63-1).
    fn number(&mut self, path: Path<'_>, value: &Value) -> Option<u64> {
        let number = match value {
            Value::String(text) => match text.strip_prefix("0x") {
                Some(digits) => plain(digits, 16, 16).then(|| u64::from_str_radix(digits, 16).ok()).flatten(),
                // In C a leading zero means octal, so it is rejected.
                None if text.len() > 1 && text.starts_with('0') => None,
                None => plain(text, 10, 20).then(|| text.parse().ok()).flatten(),
            },
            other => other.as_u64(),
        };
        number.or_else(|| {
            let found = show(value);
            self.report(
                path,
                format_args!(
                    "expected a whole number from 0 to 2^64-1 (above 2^63-1 as text), found {found}"
                ),
            )
        })
    }

    fn action(&mut self, path: Path<'_>, value: &Value) -> Option<Action> {
        self.keyword(path, value, "action", Action::NAMES, Action::from_name)
    }

    fn flag(&mut self, path: Path<'_>, value: &Value) -> Option<Flag> {
        self.keyword(path, value, "flag", Flag::NAMES, Flag::from_name)
    }

    /// An optional errno. `Some(None)` if there is none; rejected for an action that takes none.
    fn errno(
        &mut self,
        path: Path<'_>,
        map: &Map<String, Value>,
        key: &str,
        action_key: &str,
        action: Option<Action>,
    ) -> Option<Option<u16>> {
        let Some(value) = map.get(key) else { return Some(None) };
        let path = Path::Key(&path, key);
        let highest = action.and_then(Action::highest_errno).unwrap_or(limits::TRACE);
        let errno = value.as_u64().and_then(|n| u16::try_from(n).ok()).filter(|n| *n <= highest);
        let Some(errno) = errno else {
            return self
                .report(path, format_args!("expected a number from 0 to {highest}, found {}", show(value)));
        };
        match action {
            Some(action) if !action.takes_errno() => self.report(
                path,
                format_args!(
                    "{action_key} {} takes none; use SCMP_ACT_ERRNO or SCMP_ACT_TRACE",
                    action.name()
                ),
            ),
            _ => Some(Some(errno)),
        }
    }

    fn keyword<T>(
        &mut self,
        path: Path<'_>,
        value: &Value,
        kind: &str,
        words: &[&str],
        from_name: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let text = self.text(path, value)?;
        from_name(text).or_else(|| {
            let advice = advice(text, words);
            self.report(path, format_args!("unknown {kind} {}; {advice}", quote(text)))
        })
    }

    fn text<'v>(&mut self, path: Path<'_>, value: &'v Value) -> Option<&'v str> {
        match value {
            Value::String(text) => Some(text),
            other => self.report(path, format_args!("expected text, found {}", show(other))),
        }
    }

    /// An object that may have only these `keys`.
    fn object<'v>(
        &mut self,
        path: Path<'_>,
        value: &'v Value,
        keys: &[&str],
    ) -> Option<&'v Map<String, Value>> {
        let Value::Object(map) = value else {
            return self.report(path, format_args!("expected an object, found {}", show(value)));
        };
        for (key, value) in map.iter().filter(|(key, _)| !keys.contains(&key.as_str())) {
            let message = dialect::refusal(key, value)
                .map_or_else(|| format!("unknown field; {}", advice(key, keys)), str::to_owned);
            self.report::<()>(Path::Key(&path, key), message);
        }
        Some(map)
    }

    fn required<T>(
        &mut self,
        path: Path<'_>,
        map: &Map<String, Value>,
        key: &str,
        read: impl FnOnce(&mut Self, Path<'_>, &Value) -> Option<T>,
    ) -> Option<T> {
        match map.get(key) {
            Some(value) => read(self, Path::Key(&path, key), value),
            None => self.report(Path::Key(&path, key), "is required"),
        }
    }

    /// An optional list of at most `most` items; an absent one is empty.
    fn list<T>(
        &mut self,
        path: Path<'_>,
        map: &Map<String, Value>,
        key: &str,
        most: usize,
        mut read: impl FnMut(&mut Self, Path<'_>, &Value) -> Option<T>,
    ) -> Option<Vec<T>> {
        let path = Path::Key(&path, key);
        let items = match map.get(key) {
            None => return Some(Vec::new()),
            Some(Value::Array(items)) => items,
            Some(other) => return self.report(path, format_args!("expected a list, found {}", show(other))),
        };
        if items.len() > most {
            return self.report(path, format_args!("{} items, at most {most} are allowed", items.len()));
        }
        let read: Vec<_> =
            items.iter().enumerate().map(|(i, item)| read(self, Path::Index(&path, i), item)).collect();
        read.into_iter().collect()
    }

    fn at_most(&mut self, top: Path<'_>, what: &str, found: usize, most: usize) {
        if found > most {
            self.report::<()>(
                Path::Key(&top, "syscalls"),
                format_args!("{found} {what}, at most {most} are allowed"),
            );
        }
    }
}

/// Whether `text` can be the name of a syscall.
fn is_syscall_name(text: &str) -> bool {
    let valid = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
    (1..=limits::NAME_LENGTH).contains(&text.len()) && text.bytes().all(valid)
}

/// Whether `text` consists of 1 to `most` digits of `radix`, without a sign.
fn plain(text: &str, radix: u32, most: usize) -> bool {
    (1..=most).contains(&text.len()) && text.chars().all(|c| c.is_digit(radix))
}
