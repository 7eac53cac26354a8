//! Reads the logs of strace, and those that gVisor's runsc writes with `--strace`.

use std::io::{self, BufRead};

use strace::{Event, Reader};
use syscalls::{Architecture, Syscall};

use super::Seen;
use crate::log_lines::each_line;

/// Reads a log that was written on a machine of this architecture.
///
/// # Errors
/// It cannot be read.
pub(super) fn read(seen: &mut Seen, name: &str, native: Architecture, log: impl BufRead) -> io::Result<()> {
    let mut reader = Reader::new(native);
    let mut line = 0;
    each_line(log, |text| {
        line += 1;
        let place = || format!("{name}:{line}");
        if let Some(task) = of_runsc(text) {
            if let Some(call) = begun(task) {
                match Syscall::from_name(call) {
                    Some(call) => seen.add(call, Some(native), 1, place),
                    None => seen.add_nameless(call, 1, place),
                }
            }
            return;
        }
        match reader.line(text) {
            Event::Call(call) => {
                let known = call.number.and_then(|number| Syscall::by_number(call.architecture, number));
                match known {
                    Some(known) => seen.add(known, Some(call.architecture), 1, place),
                    None => seen.add_nameless(call.name, 1, place),
                }
            }
            Event::Other => {}
            Event::Unread => seen.add_unread(name, line),
        }
    })
}

/// What a line of runsc's log says of a task: `I0807 19:49:37.861294       1 strace.go:561] [   1:   1] sh E brk(0x0)`.
/// Empty for a line of runsc that is about something else.
fn of_runsc(line: &[u8]) -> Option<&[u8]> {
    let (level, rest) = line.split_first()?;
    let is_date = rest.get(..5).is_some_and(|date| {
        date.iter().enumerate().all(|(at, byte)| if at == 4 { *byte == b' ' } else { byte.is_ascii_digit() })
    });
    if !b"DIWEF".contains(level) || !is_date {
        return None;
    }
    let source = find(rest, b".go:")?;
    let Some(begin) = rest[..source].ends_with(b"strace").then(|| find(&rest[source..], b"] [")) else {
        return Some(b"");
    };
    let task = &rest[source + begin?..];
    Some(task.get(find(&task[2..], b"] ")? + 4..).unwrap_or_default())
}

/// The call that a task begins: `sh E brk(0x0)`. The name of the task may have any character.
fn begun(mut task: &[u8]) -> Option<&str> {
    loop {
        task = &task[find(task, b" E ")? + 3..];
        let end = task
            .iter()
            .position(|byte| !(byte.is_ascii_lowercase() || byte.is_ascii_digit() || *byte == b'_'));
        if let Some(end) = end.filter(|end| *end > 0 && task[*end] == b'(') {
            return std::str::from_utf8(&task[..end]).ok();
        }
    }
}

fn find(text: &[u8], part: &[u8]) -> Option<usize> {
    text.windows(part.len()).position(|window| window == part)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_a_task_of_runsc_begins_are_read_whatever_its_name_is() {
        let call = |line: &str| of_runsc(line.as_bytes()).map(|task| begun(task).map(str::to_owned));
        let found = |name: &str| Some(Some(name.to_owned()));
        let at = "I0807 19:49:37.861294       1 strace.go:561] ";
        assert_eq!(call(&format!("{at}[   1:   1] python3 E brk(0x0)")), found("brk"));
        assert_eq!(
            call(&format!("{at}[   2] my E tool E openat(AT_FDCWD /, 0x7 /a, O_RDONLY)")),
            found("openat")
        );
        assert_eq!(call(&format!("{at}[   1:   1] python3 X brk(0x0) = 0 (0x0) (3.95µs)")), Some(None));
        assert_eq!(
            call("I0807 19:49:37.861294       1 loader.go:61] Process should have started..."),
            Some(None)
        );
        assert_eq!(call("brk(NULL) = 0x5581"), None);
        assert_eq!(call("12 read(0, \"strace.go:1] [ 1: 1] a E brk(\", 9) = 9"), None);
    }
}
