//! What a profile does with the calls in a log of strace.

use std::collections::HashMap;
use std::io::{self, BufRead};

use filter::diagram::Partial;
use filter::{Case, Explainer, Explanation, Multiplexed, Runtime, is_exempt};
use strace::{Call, Event, Reader};
use syscalls::{Architecture, Syscall};

use super::Subject;
use super::calls::permits;
use super::trace_view::{CallOutcome, Certainty, FirstLine, TraceView};
use crate::call::oci;
use crate::error::CliError;
use crate::log_lines::each_line;
use crate::setting::SettingOptions;

/// The maximum number of different arguments of one call that are remembered; more are decided anew.
const REMEMBERED: usize = 4096;
/// The maximum number of calls by their number that are remembered: a log may have any number.
const KINDS: usize = 8192;
/// The maximum number of different outcomes; calls beyond are counted with an earlier outcome of the same call.
const OUTCOMES: usize = 4096;
/// The maximum number of bytes of a line that are shown.
const SHOWN: usize = 1024;

/// The verdicts of calls, while logs are read.
pub(crate) struct Trace<'s> {
    subject: &'s Subject,
    options: SettingOptions,
    explainer: Explainer,
    /// The other runtime's, if it starts containers with the profile.
    other: Option<Explainer>,
    decided: HashMap<Key, Decided>,
    unknown: HashMap<Box<str>, usize>,
    outcomes: Vec<CallOutcome>,
    otherwise: Vec<String>,
    logs: Vec<String>,
    calls: u64,
    permitted: u64,
    unread: u64,
    first_unread: Option<FirstLine>,
}

/// A call before its arguments.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Key {
    architecture: Architecture,
    number: u32,
    /// Whether the log has the number. Otherwise the call may have been made through a multiplexer.
    is_numbered: bool,
}

/// What is known of a call: permitted, or one of the outcomes.
type Decision = Option<usize>;

enum Decided {
    /// For all arguments.
    Always(Decision),
    /// It depends on these arguments.
    Depends(Vec<u8>, HashMap<Partial, Decision>),
}

/// What is known of some arguments.
fn known(call: &Call<'_>, indexes: &[u8]) -> Partial {
    let arguments = call.arguments();
    let bits = |index: u8| arguments.get(usize::from(index)).copied().unwrap_or_default();
    indexes.iter().fold(Partial::UNKNOWN, |partial, index| {
        let bits = bits(*index);
        partial.with(*index, bits.value, bits.known)
    })
}

/// Where a call is in the logs.
struct Place<'l> {
    log: usize,
    line: usize,
    text: &'l [u8],
}

impl<'s> Trace<'s> {
    /// # Errors
    /// No container starts with the profile.
    pub(crate) fn new(subject: &'s Subject, options: SettingOptions) -> Result<Self, CliError> {
        let profile = &subject.profile.profile;
        let explainer = options.explainer(profile);
        let explainer =
            explainer.map_err(|error| CliError::Unloadable { file: subject.file.clone(), error })?;
        Ok(Self {
            subject,
            options,
            explainer,
            other: options.other_runtime().explainer(profile).ok(),
            decided: HashMap::new(),
            unknown: HashMap::new(),
            outcomes: Vec::new(),
            otherwise: Vec::new(),
            logs: Vec::new(),
            calls: 0,
            permitted: 0,
            unread: 0,
            first_unread: None,
        })
    }

    /// Whether no call was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.calls == 0
    }

    /// Reads one more log.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn read(&mut self, name: &str, log: impl BufRead) -> io::Result<()> {
        let mut reader = Reader::new(self.options.architecture.into());
        self.logs.push(name.to_owned());
        let log_index = self.logs.len() - 1;
        let mut line = 0;
        each_line(log, |text| {
            line += 1;
            let place = Place { log: log_index, line, text };
            match reader.line(text) {
                Event::Call(call) => self.call(&call, &place),
                Event::Other => {}
                Event::Unread => {
                    self.unread += 1;
                    if self.first_unread.is_none() {
                        self.first_unread = Some(self.first_line(&place, ""));
                    }
                }
            }
        })
    }

    fn call(&mut self, call: &Call<'_>, place: &Place<'_>) {
        self.calls += 1;
        match self.decide(call, place) {
            None => self.permitted += 1,
            Some(outcome) => {
                if let Some(outcome) = self.outcomes.get_mut(outcome) {
                    outcome.count += 1;
                }
            }
        }
    }

    fn decide(&mut self, call: &Call<'_>, place: &Place<'_>) -> Decision {
        let Some(number) = call.number else { return Some(self.unknown(call.name, place)) };
        let key = Key { architecture: call.architecture, number, is_numbered: call.is_numbered };
        match self.decided.get(&key) {
            Some(Decided::Always(decision)) => return *decision,
            Some(Decided::Depends(..)) => {}
            None if self.decided.len() >= KINDS => {
                let arguments = known(call, &[0, 1, 2, 3, 4, 5]);
                return self.outcome(key, call, &arguments, place);
            }
            None => {
                let decided = self.first_of(key, call, place);
                self.decided.insert(key, decided);
            }
        }
        let depends_on = match self.decided.get(&key) {
            Some(Decided::Always(decision)) => return *decision,
            Some(Decided::Depends(depends_on, _)) => depends_on,
            None => return self.outcome(key, call, &Partial::UNKNOWN, place),
        };
        let partial = known(call, depends_on);
        if let Some(Decided::Depends(_, remembered)) = self.decided.get(&key)
            && let Some(decision) = remembered.get(&partial)
        {
            return *decision;
        }
        let decision = self.outcome(key, call, &partial, place);
        if let Some(Decided::Depends(_, remembered)) = self.decided.get_mut(&key)
            && remembered.len() < REMEMBERED
        {
            remembered.insert(partial, decision);
        }
        decision
    }

    /// What is known of a call whatever its arguments are.
    fn first_of(&mut self, key: Key, call: &Call<'_>, place: &Place<'_>) -> Decided {
        let here = self.explained(&self.explainer, key, call.name, &Partial::UNKNOWN);
        if let Some(other) = &self.other {
            let there = self.explained(other, key, call.name, &Partial::UNKNOWN);
            let verdicts = |found: &Option<Explanation>| {
                let cases = found.iter().flat_map(|found| &found.cases);
                cases.map(|case| (case.conditions.clone(), case.verdict)).collect::<Vec<_>>()
            };
            if verdicts(&here) != verdicts(&there) {
                self.otherwise.push(self.name(key, call.name));
            }
        }
        match here {
            Some(found) if found.depends_on.is_empty() => {
                Decided::Always(self.outcome(key, call, &Partial::UNKNOWN, place))
            }
            Some(found) => Decided::Depends(found.depends_on, HashMap::new()),
            None => Decided::Always(self.outcome(key, call, &Partial::UNKNOWN, place)),
        }
    }

    /// What happens to a call; `None` if its conditions are too complex. A call that may have been made in two ways has
    /// the cases of both.
    fn explained(
        &self,
        explainer: &Explainer,
        key: Key,
        name: &str,
        arguments: &Partial,
    ) -> Option<Explanation> {
        let architecture = oci(key.architecture)?;
        let mut found = explainer.explain(architecture, key.number, arguments).ok()?;
        if let Some((number, code)) = self.through(key, name) {
            let multiplexer = Partial::UNKNOWN.with(0, code, u64::MAX);
            let through = explainer.explain(architecture, number, &multiplexer).ok()?;
            let verdicts =
                |it: &Explanation| it.cases.iter().map(|case| permits(case.verdict)).collect::<Vec<_>>();
            if verdicts(&through) != verdicts(&found) {
                found.cases.extend(through.cases);
            }
        }
        Some(found)
    }

    /// The multiplexer through which a call may have been made, and the call's code there.
    fn through(&self, key: Key, name: &str) -> Option<(u32, u64)> {
        if key.is_numbered {
            return None;
        }
        let multiplexed = Multiplexed::of(name, oci(key.architecture)?)?;
        Some((Syscall::from_name(multiplexed.through)?.number(key.architecture)?, multiplexed.code))
    }

    /// The outcome of a call with these arguments, which is made if it is the first of its kind.
    fn outcome(&mut self, key: Key, call: &Call<'_>, arguments: &Partial, place: &Place<'_>) -> Decision {
        let found = self.explained(&self.explainer, key, call.name, arguments);
        let (cases, depends_on) = found.map_or_else(Default::default, |it| (it.cases, it.depends_on));
        let certainty = if cases.is_empty() || cases.iter().any(|case| permits(case.verdict)) {
            Certainty::Possible
        } else {
            Certainty::Refused
        };
        let is_made = |it: &[Case]| !it.is_empty() && it.iter().all(|case| permits(case.verdict));
        if is_exempt(call.name) || is_made(&cases) {
            return None;
        }
        let of = (oci(key.architecture)?, key.number);
        let cases = self.subject.cases(&cases, of, self.options);
        let name = self.name(key, call.name);
        let same = |it: &CallOutcome| it.call == name && it.cases == cases && it.depends_on == depends_on;
        if let Some(known) = self.outcomes.iter().position(same) {
            return Some(known);
        }
        if self.outcomes.len() >= OUTCOMES {
            return Some(self.outcomes.iter().position(|it| it.call == name).unwrap_or_default());
        }
        let note = cases.is_empty().then_some("its conditions are too complex to be listed");
        let first = self.first_line(place, call.name);
        self.outcomes.push(CallOutcome { call: name, certainty, count: 0, depends_on, cases, note, first });
        Some(self.outcomes.len() - 1)
    }

    /// A call whose name no table has.
    fn unknown(&mut self, name: &str, place: &Place<'_>) -> usize {
        if let Some(known) = self.unknown.get(name) {
            return *known;
        }
        if self.outcomes.len() >= OUTCOMES {
            return 0;
        }
        let first = self.first_line(place, name);
        self.outcomes.push(CallOutcome {
            call: name.to_owned(),
            certainty: Certainty::Possible,
            count: 0,
            depends_on: Vec::new(),
            cases: Vec::new(),
            note: Some("no system call has this name; strace -n prints numbers"),
            first,
        });
        self.unknown.insert(name.into(), self.outcomes.len() - 1);
        self.outcomes.len() - 1
    }

    /// The name of a call as `simulate` takes it, with the architecture if it is not the node's own. An older strace prints
    /// the number of a newer call.
    fn name(&self, key: Key, name: &str) -> String {
        let newer = name.starts_with("syscall_").then(|| Syscall::by_number(key.architecture, key.number));
        let name = newer.flatten().map_or(name, |call| call.name());
        match key.architecture {
            it if it == Architecture::from(self.options.architecture) => name.to_owned(),
            other => format!("{other}:{name}"),
        }
    }

    fn first_line(&self, place: &Place<'_>, name: &str) -> FirstLine {
        let text = String::from_utf8_lossy(&place.text[..place.text.len().min(SHOWN)]).into_owned();
        let log = self.logs.get(place.log).cloned().unwrap_or_default();
        let begin = text.find(name).map_or(0, |at| text[..at].chars().count());
        FirstLine { log, line: place.line, text, part: begin..begin + name.chars().count() }
    }

    /// The result.
    pub(crate) fn view(self) -> TraceView {
        let (refused, possible): (Vec<_>, Vec<_>) =
            self.outcomes.into_iter().partition(|it| it.certainty == Certainty::Refused);
        TraceView {
            file: self.subject.file.clone(),
            profile: self.subject.profile.name.clone(),
            runtime: Runtime::from(self.options.runtime).name,
            logs: self.logs,
            calls: self.calls,
            permitted: self.permitted,
            kinds: self.decided.len() + self.unknown.len(),
            refused,
            possibly_refused: possible,
            unread_lines: self.unread,
            first_unread: self.first_unread,
            other_runtime: Runtime::from(self.options.other_runtime().runtime).name,
            decides_otherwise: self.otherwise,
            notes: self.subject.notes(self.options),
        }
    }
}
