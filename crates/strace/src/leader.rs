//! What options of strace put before a call.

/// What a line begins with.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Leader {
    /// The process, or thread (`-f`).
    pub(crate) pid: Option<u32>,
    /// The number of the call (`-n`).
    pub(crate) number: Option<u32>,
}

/// The leader of a line, and what follows it.
pub(crate) fn leader(line: &[u8]) -> (Leader, &[u8]) {
    let mut found = Leader::default();
    let mut rest = line.trim_ascii_start();
    loop {
        let next = match rest.first() {
            Some(b'[') => bracketed(rest, &mut found),
            Some(b'0'..=b'9') => numeric(rest, &mut found),
            // The time since the last line, beside an absolute one (`-r -t`).
            Some(b'(') if rest.starts_with(b"(+") => behind(rest, b')'),
            _ => None,
        };
        match next {
            Some(next) => rest = next.trim_ascii_start(),
            None => return (found, rest),
        }
    }
}

/// `[pid 12]`, `[pid 12<sh>]`, `[ 257]`, `[00007f28922adc47]` or, with `--secontext`, `[user_u:user_r:user_t:s0]`.
fn bracketed<'l>(rest: &'l [u8], found: &mut Leader) -> Option<&'l [u8]> {
    let text = &rest[1..];
    if let Some(pid) = text.strip_prefix(b"pid") {
        let (pid, after) = digits(pid.trim_ascii_start())?;
        found.pid = Some(pid);
        // The name of a program may contain any character but ends the bracket with this.
        return if after.starts_with(b"<") { behind_text(after, b">] ") } else { after.strip_prefix(b"]") };
    }
    let end = text.iter().take(CONTEXT).position(|byte| *byte == b']')?;
    let (inside, after) = (&text[..end], &text[end + 1..]);
    let is_pointer =
        matches!(inside.len(), 8 | 16) && inside.iter().all(|byte| byte.is_ascii_hexdigit() || *byte == b'?');
    let is_context = is_context(inside) && after.starts_with(b" ");
    if !is_pointer && !is_context {
        let (number, []) = digits(inside.trim_ascii_start())? else { return None };
        found.number = Some(number);
    }
    Some(after)
}

/// The maximum length of a context, with some room for many categories.
const CONTEXT: usize = 1 << 10;

/// Whether this is a context of SELinux: its type, or all of it (`--secontext=full`), and after `!!` the expected one.
fn is_context(text: &[u8]) -> bool {
    let is_of_context = |byte: &u8| byte.is_ascii_alphanumeric() || b"_:.,-!".contains(byte);
    text.first().is_some_and(u8::is_ascii_alphabetic) && text.iter().all(is_of_context)
}

/// A process, with or without the name of its program (`12<sh>`), or a time.
fn numeric<'l>(rest: &'l [u8], found: &mut Leader) -> Option<&'l [u8]> {
    let end = rest.iter().position(|byte| !matches!(byte, b'0'..=b'9' | b':' | b'.'))?;
    let (token, after) = rest.split_at(end);
    match after.first() {
        Some(b' ') => {
            if token.iter().all(u8::is_ascii_digit) {
                found.pid = found.pid.or(digits(token).map(|(pid, _)| pid));
            }
            Some(after)
        }
        Some(b'<') => {
            found.pid = Some(digits(token).filter(|(_, after)| after.is_empty())?.0);
            behind_text(after, b"> ")
        }
        _ => None,
    }
}

/// The number at the beginning, and what follows it.
pub(crate) fn digits(text: &[u8]) -> Option<(u32, &[u8])> {
    let end = text.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(text.len());
    let number = std::str::from_utf8(&text[..end]).ok()?.parse().ok()?;
    Some((number, &text[end..]))
}

fn behind(text: &[u8], end: u8) -> Option<&[u8]> {
    text.iter().position(|byte| *byte == end).map(|at| &text[at + 1..])
}

fn behind_text<'t>(text: &'t [u8], end: &[u8]) -> Option<&'t [u8]> {
    let at = text.windows(end.len()).take(64).position(|window| window == end)?;
    Some(&text[at + end.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_options_add_is_found() {
        for (line, pid, number) in [
            ("read(", None, None),
            ("32326 read(", Some(32326), None),
            ("[pid 32326] read(", Some(32326), None),
            ("[pid  7<tmux: server>] read(", Some(7), None),
            ("32393<sh> read(", Some(32393), None),
            ("32337 1795921769.730062 [  59] [00007fec0efedad7] read(", Some(32337), Some(59)),
            ("32337 1795921769.761520 [ 231] [????????????????] read(", Some(32337), Some(231)),
            ("[1073741863] read(", None, Some(0x4000_0027)),
            ("[   3] [b7f5c549] read(", None, Some(3)),
            ("[pid 3] [unconfined_u:unconfined_r:unconfined_t:s0-s0:c0.c1023] read(", Some(3), None),
            ("3 [user_t] 03:09:29 [   0] read(", Some(3), Some(0)),
            ("[user_t!!other_t] read(", None, None),
            ("03:09:29 read(", None, None),
            ("[pid 5] 03:09:31.103995 read(", Some(5), None),
            ("32343 03:09:29 (+     0.000386) read(", Some(32343), None),
            ("     0.000386 read(", None, None),
        ] {
            assert_eq!(leader(line.as_bytes()), (Leader { pid, number }, &b"read("[..]), "{line}");
        }
    }

    #[test]
    fn what_is_no_leader_stays() {
        for line in [
            "[ Process PID=1 runs in 32 bit mode. ]",
            "12:",
            "[pid x] read(",
            "[",
            "[user_t]read(",
            "1<a",
            "(+",
        ] {
            assert_eq!(leader(line.as_bytes()).1, line.as_bytes());
        }
    }
}
