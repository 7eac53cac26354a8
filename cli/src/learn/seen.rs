//! The calls that were seen, with where and how often.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use syscalls::{Architecture, Syscall};

use crate::output::json_lines;

/// The maximum number of different calls without a name, and of refused ones, that are kept: a log may have any number.
const OTHERS: usize = 1024;

/// The calls that were seen. It grows with the number of different calls, not with the length of the files.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    calls: BTreeMap<Syscall, Call>,
    /// Calls that no profile can name.
    nameless: BTreeMap<String, Call>,
    /// Calls that a filter has refused, by name and action.
    refused: BTreeMap<(String, String), Call>,
    /// Why calls may be missing.
    gaps: Vec<String>,
    /// Lines that are not understood: how many, and the first.
    unread: BTreeMap<String, (u64, usize)>,
}

/// How a call was seen.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct Call {
    count: u64,
    #[serde(skip_serializing_if = "BTreeSet::is_empty")]
    architectures: BTreeSet<&'static str>,
    /// Where it was seen first: a file and a line, or a container.
    first: String,
}

impl Call {
    fn add(&mut self, count: u64, architecture: Option<Architecture>, place: impl FnOnce() -> String) {
        if self.count == 0 {
            self.first = place();
        }
        self.count = self.count.saturating_add(count.max(1));
        self.architectures.extend(architecture.map(Architecture::name));
    }
}

impl Seen {
    /// Adds a call that was made so often. `place` is where it was first seen.
    pub(super) fn add(
        &mut self,
        call: Syscall,
        architecture: Option<Architecture>,
        count: u64,
        place: impl FnOnce() -> String,
    ) {
        self.calls.entry(call).or_default().add(count, architecture, place);
    }

    /// Adds a call of which only a number is known.
    pub(super) fn add_nameless(&mut self, name: &str, count: u64, place: impl FnOnce() -> String) {
        if self.nameless.len() < OTHERS || self.nameless.contains_key(name) {
            self.nameless.entry(name.to_owned()).or_default().add(count, None, place);
        }
    }

    /// Adds a call that a filter has refused.
    pub(super) fn add_refused(
        &mut self,
        name: &str,
        action: &str,
        count: u64,
        place: impl FnOnce() -> String,
    ) {
        let key = (name.to_owned(), action.to_owned());
        if self.refused.len() < OTHERS || self.refused.contains_key(&key) {
            self.refused.entry(key).or_default().add(count, None, place);
        }
    }

    /// Says that calls may be missing.
    pub(super) fn add_gap(&mut self, why: String) {
        if !self.gaps.contains(&why) {
            self.gaps.push(why);
        }
    }

    /// Counts a line that is not understood.
    pub(super) fn add_unread(&mut self, file: &str, line: usize) {
        match self.unread.get_mut(file) {
            Some((count, _)) => *count += 1,
            None => drop(self.unread.insert(file.to_owned(), (1, line))),
        }
    }

    /// Whether there is no call to learn.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.calls.is_empty()
    }

    /// Whether nothing shows that calls are missing.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.gaps.is_empty() && self.unread.is_empty()
    }

    /// The calls.
    pub fn calls(&self) -> impl Iterator<Item = Syscall> + '_ {
        self.calls.keys().copied()
    }

    /// The names of the tables that calls were made through.
    pub fn architectures(&self) -> BTreeSet<&'static str> {
        self.calls.values().flat_map(|call| call.architectures.iter().copied()).collect()
    }

    /// What is not learned, and why calls may be missing.
    pub(super) fn remarks(&self) -> Vec<String> {
        let refused = self.refused.iter().map(|((name, action), call)| {
            format!("not learned: {name}, {action} {} in {}", times(call.count), call.first)
        });
        let nameless = self.nameless.iter().map(|(name, call)| {
            format!(
                "not learned: {name}, which no profile can name, {} from {}",
                times(call.count),
                call.first
            )
        });
        let unread = self.unread.iter().map(|(file, (count, first))| {
            let lines = if *count == 1 { "line is" } else { "lines are" };
            format!("calls may be missing: {count} {lines} not understood, the first is {file}:{first}")
        });
        let gaps = self.gaps.iter().map(|gap| format!("calls may be missing: {gap}"));
        refused.chain(nameless).chain(unread).chain(gaps).collect()
    }

    /// Where each call was seen, as JSON. The same files give the same text.
    pub(super) fn evidence(&self, by_runtime: &BTreeSet<Syscall>) -> String {
        let evidence = Evidence {
            calls: self.calls.iter().map(|(call, seen)| OfCall { name: call.name(), seen }).collect(),
            by_runtime: by_runtime.iter().map(|call| call.name()).collect(),
            refused: self
                .refused
                .iter()
                .map(|((name, action), seen)| OfRefused { action, call: OfCall { name, seen } })
                .collect(),
            nameless: self.nameless.iter().map(|(name, seen)| OfCall { name, seen }).collect(),
            is_complete: self.is_complete(),
        };
        json_lines(&evidence)
    }
}

fn times(count: u64) -> String {
    if count == 1 { "once".to_owned() } else { format!("{count} times") }
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Evidence<'a> {
    calls: Vec<OfCall<'a>>,
    /// Calls that the runtime makes before the program begins.
    by_runtime: Vec<&'static str>,
    refused: Vec<OfRefused<'a>>,
    nameless: Vec<OfCall<'a>>,
    is_complete: bool,
}

#[derive(Serialize)]
struct OfCall<'a> {
    name: &'a str,
    #[serde(flatten)]
    seen: &'a Call,
}

#[derive(Serialize)]
struct OfRefused<'a> {
    action: &'a str,
    #[serde(flatten)]
    call: OfCall<'a>,
}
