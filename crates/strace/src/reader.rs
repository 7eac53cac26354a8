//! The lines of a log, one after the other.

use std::collections::HashMap;

use syscalls::{Architecture, Syscall};

use crate::call::{Call, unnamed};
use crate::leader::{Leader, digits, leader};

/// The maximum number of processes of which something is kept. Those beyond it have the node's own architecture, and a call
/// of theirs may be returned twice.
const PROCESSES: usize = 1 << 16;
/// The maximum number of names of which the number is kept; there are fewer calls than this.
const NAMES: usize = 1 << 12;
/// The maximum length of a name.
const NAME_LENGTH: usize = 64;

/// A number and the table that it is of; `None` if no table has the name.
type Number = (Architecture, Option<u32>);

/// Reads the lines of a log.
#[derive(Debug)]
pub struct Reader {
    native: Architecture,
    processes: HashMap<Option<u32>, Process>,
    /// The table of the last call: a new process begins with it, as in strace.
    current: Architecture,
    /// Whether a message has split the last call, so that its rest follows on a line of its own.
    is_split: bool,
    /// By the expected table and the name.
    numbers: HashMap<Architecture, HashMap<Box<str>, Number>>,
}

/// What later lines about a process depend on.
#[derive(Debug, Clone, Copy)]
struct Process {
    architecture: Architecture,
    /// Whether a call was begun and not resumed.
    unfinished: bool,
}

/// What a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event<'l> {
    /// A call begins, or ends that began before the log.
    Call(Call<'l>),
    /// A signal, an exit, a message, the end of a call that began earlier, an empty line.
    Other,
    /// None of these.
    Unread,
}

impl Reader {
    /// A reader for the log of a program on a machine of this architecture.
    #[must_use]
    pub fn new(native: Architecture) -> Self {
        Self { native, processes: HashMap::new(), current: native, is_split: false, numbers: HashMap::new() }
    }

    /// Reads the next line, with or without its end. Of a longer line than some kilobytes, the beginning is sufficient.
    pub fn line<'l>(&mut self, line: &'l [u8]) -> Event<'l> {
        let was_split = self.is_split;
        match self.any(line) {
            // ` => {parent_tid=[12]}, 88) = 12`, ` "", 4096) = 0`
            Event::Unread if was_split => {
                self.is_split = false;
                Event::Other
            }
            event => event,
        }
    }

    fn any<'l>(&mut self, line: &'l [u8]) -> Event<'l> {
        let (leader, rest) = leader(line);
        match rest {
            [] | [b'+', b'+', b'+', ..] => {
                // The number of a process may be used again.
                if !rest.is_empty() {
                    self.processes.remove(&leader.pid);
                }
                Event::Other
            }
            [b'-', b'-', b'-', ..] => Event::Other,
            // A message of strace between the beginning of a call and its end splits the line.
            [b')' | b',', ..] => Event::Other,
            // The process was ended before strace could read which call it made: `???( <unfinished ...>` (seen with 6.1).
            [b'?', b'?', b'?', b'(', ..] => Event::Other,
            // A frame of the stack (`-k`).
            [b'>', b' ', ..] => Event::Other,
            [b'<', ..] => self.resumed(leader, rest),
            [b'[', ..] => self.message(leader, rest),
            _ if rest.starts_with(b"strace: ") => rest
                .get(8..)
                .filter(|rest| rest.starts_with(b"[ "))
                .map_or(Event::Other, |rest| self.message(leader, rest)),
            _ => self.call(leader, rest),
        }
    }

    /// `read(3, "abc", 5) = 3`
    fn call<'l>(&mut self, leader: Leader, rest: &'l [u8]) -> Event<'l> {
        let end = rest.iter().take(NAME_LENGTH).position(|byte| !is_of_name(*byte));
        let Some((name, [b'(', text @ ..])) = end.and_then(|end| rest.split_at_checked(end)) else {
            return Event::Unread;
        };
        let Some(name) = std::str::from_utf8(name).ok().filter(|name| !name.is_empty()) else {
            return Event::Unread;
        };
        let mut text = text;
        self.is_split = false;
        let end = text.trim_ascii_end();
        if end.ends_with(b"<unfinished ...>") {
            self.process(leader.pid, |process| process.unfinished = true);
        } else if end.ends_with(b" attached") {
            text = before_message(text);
            self.is_split = true;
        }
        Event::Call(self.found(leader, name, text))
    }

    /// `<... read resumed>"abc", 5) = 3`, or the rest of a line that a message has split.
    fn resumed<'l>(&mut self, leader: Leader, rest: &'l [u8]) -> Event<'l> {
        let Some(rest) = rest.strip_prefix(b"<... ") else {
            let is_end = rest.starts_with(b"<unfinished") || rest.starts_with(b"<detached");
            return if is_end { Event::Other } else { Event::Unread };
        };
        if rest.starts_with(b"??? resumed") {
            return Event::Other;
        }
        let end = rest.iter().take(NAME_LENGTH).position(|byte| !is_of_name(*byte)).unwrap_or_default();
        let (name, after) = rest.split_at(end);
        let name = std::str::from_utf8(name).unwrap_or_default();
        if name.is_empty() || !after.starts_with(b" resumed") {
            return Event::Unread;
        }
        let was_unfinished = self.processes.get(&leader.pid).is_some_and(|process| process.unfinished);
        if was_unfinished {
            self.process(leader.pid, |process| process.unfinished = false);
            return Event::Other;
        }
        Event::Call(self.found(leader, name, b""))
    }

    /// `[ Process PID=12 runs in 32 bit mode. ]`: strace prints it before the first call of another table, unless it
    /// writes to a file (`-o`) or is quiet.
    fn message(&mut self, leader: Leader, rest: &[u8]) -> Event<'static> {
        let Some(rest) = rest.strip_prefix(b"[ Process PID=") else { return Event::Unread };
        let Some((pid, rest)) = digits(rest) else { return Event::Unread };
        let Some(mode) = rest.strip_prefix(b" runs in ") else { return Event::Unread };
        let architecture = if mode.starts_with(b"64 bit") {
            self.native
        } else if mode.starts_with(b"x32") {
            Architecture::X32
        } else {
            others(self.native).first().copied().unwrap_or(self.native)
        };
        // While there is one process, its lines do not begin with its number.
        for pid in [leader.pid, Some(pid)] {
            self.process(pid, |process| process.architecture = architecture);
        }
        self.current = architecture;
        Event::Other
    }

    fn found<'l>(&mut self, leader: Leader, name: &'l str, text: &'l [u8]) -> Call<'l> {
        let of_process = self.processes.get(&leader.pid).map(|process| process.architecture);
        let expected = of_process.unwrap_or(self.current);
        if of_process.is_none() && expected != self.native {
            self.process(leader.pid, |_| {});
        }
        self.current = expected;
        let (architecture, number) = match leader.number {
            Some(number) => (self.table_of(expected, name, number), Some(number)),
            None => self.number_of(expected, name),
        };
        Call { name, architecture, number, is_numbered: leader.number.is_some(), text }
    }

    /// The table in which the name has the number, because a log without messages does not say which it is.
    fn table_of(&self, expected: Architecture, name: &str, number: u32) -> Architecture {
        let named =
            |table: &Architecture| Syscall::by_number(*table, number).is_some_and(|call| call.name() == name);
        // strace prints a call through a multiplexer as the call itself.
        let multiplexes = |table: &Architecture| {
            Syscall::from_name(name).is_some()
                && Syscall::by_number(*table, number)
                    .is_some_and(|it| matches!(it.name(), "socketcall" | "ipc"))
        };
        let mut tables = vec![expected, self.native];
        tables.extend(others(self.native));
        let found =
            tables.iter().find(|table| named(table)).or(tables.iter().find(|table| multiplexes(table)));
        found.copied().unwrap_or(expected)
    }

    /// The number of a name, and its table: that of the process or, if it has no such call, the one that has it.
    fn number_of(&mut self, expected: Architecture, name: &str) -> Number {
        if let Some(known) = self.numbers.get(&expected).and_then(|known| known.get(name)) {
            return *known;
        }
        let mut tables = vec![expected, self.native];
        tables.extend(others(self.native));
        let call = Syscall::from_name(name);
        let found = tables.iter().find_map(|table| Some((*table, Some(call?.number(*table)?))));
        let found = found.unwrap_or((expected, unnamed(name)));
        let known = self.numbers.entry(expected).or_default();
        if known.len() < NAMES {
            known.insert(name.into(), found);
        }
        found
    }

    fn process(&mut self, pid: Option<u32>, change: impl FnOnce(&mut Process)) {
        if self.processes.len() >= PROCESSES && !self.processes.contains_key(&pid) {
            return;
        }
        let begin = Process { architecture: self.current, unfinished: false };
        change(self.processes.entry(pid).or_insert(begin));
    }
}

/// The tables that a machine runs beside its own.
fn others(native: Architecture) -> &'static [Architecture] {
    match native {
        Architecture::X86_64 => &[Architecture::I386, Architecture::X32],
        Architecture::Aarch64 => &[Architecture::Arm],
        _ => &[],
    }
}

/// Without the message about a new process, which strace may write to its standard error in the middle of a call.
fn before_message(text: &[u8]) -> &[u8] {
    const MESSAGE: &[u8] = b"strace: Process ";
    let at = text.windows(MESSAGE.len()).rposition(|window| window == MESSAGE);
    at.map_or(text, |at| &text[..at])
}

fn is_of_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}
