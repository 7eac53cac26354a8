//! The text of a seccomp record.

use crate::call::{Action, Arch, Call};

/// The longest text of a record: `MAX_AUDIT_MESSAGE_LENGTH` of the kernel.
pub const MAX_RECORD: usize = 8970;

/// The longest path of a program that is kept; the end of a longer one is cut.
pub const MAX_PROGRAM: usize = 128;

/// A system call that a filter did not simply permit.
///
/// The kernel writes `audit(SECONDS.MILLISECONDS:SERIAL): auid=… uid=… gid=… ses=… [subj=…] pid=… comm=… exe=… sig=…
/// arch=… syscall=… compat=… ip=… code=…` (`kernel/auditsc.c`, `audit_seccomp`; measured on Linux 6.18).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The number of the event.
    pub serial: u32,
    /// When, in milliseconds since 1970, by a clock that the kernel moves on some hundred times a second.
    pub time: u64,
    /// The process, as a number of the machine's first PID namespace.
    pub pid: u32,
    /// The path of its program or, where the kernel knows none, its name; at most [`MAX_PROGRAM`] bytes.
    pub program: String,
    /// The call, and what the filter did with it.
    pub call: Call,
}

/// Why a text is not a seccomp record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It is longer than the kernel writes.
    #[error("longer than {MAX_RECORD} bytes")]
    Length,
    /// It does not begin with `audit(SECONDS.MILLISECONDS:SERIAL): `.
    #[error("no time and serial at the beginning")]
    Stamp,
    /// A field is missing.
    #[error("no field {0}")]
    Missing(&'static str),
    /// A field has a value that the kernel does not write, or is there twice.
    #[error("the field {0} has no valid value")]
    Field(&'static str),
}

impl Record {
    /// The record with this text.
    ///
    /// # Errors
    /// It is not the text of a seccomp record.
    pub fn parse(text: &[u8]) -> Result<Self, RecordError> {
        if text.len() > MAX_RECORD {
            return Err(RecordError::Length);
        }
        let (time, serial, fields) = stamp(text).ok_or(RecordError::Stamp)?;
        let mut of = Fields::default();
        // No value that a program chooses contains a space: the kernel writes such a value in hexadecimal digits. What is
        // no field is a part of a security label, such as `docker-default (enforce)`.
        for field in fields.split(|byte| *byte == b' ') {
            let Some(at) = field.iter().position(|byte| *byte == b'=') else { continue };
            let (name, value) = (&field[..at], &field[at + 1..]);
            if let Some((name, place)) = of.place(name)
                && place.replace(value).is_some()
            {
                return Err(RecordError::Field(name));
            }
        }
        let arch = required("arch", of.arch, |value| number(value, 16))?;
        let syscall = required("syscall", of.syscall, syscall)?;
        let code = required("code", of.code, |value| number(value.strip_prefix(b"0x")?, 16))?;
        let pid = required("pid", of.pid, |value| number(value, 10))?;
        let comm = required("comm", of.comm, Some)?;
        let program = match of.exe {
            // A process that is ending, or a thread of the kernel.
            None | Some(b"(null)") => string(comm).ok_or(RecordError::Field("comm"))?,
            Some(exe) => string(exe).ok_or(RecordError::Field("exe"))?,
        };
        let call = Call { arch: Arch(arch), number: syscall, action: Action::from_code(code) };
        Ok(Self { serial, time, pid, program: shown(&program), call })
    }

    /// The serial of any audit record, whatever its type.
    #[must_use]
    pub fn serial_of(text: &[u8]) -> Option<u32> {
        stamp(text).map(|(_, serial, _)| serial)
    }
}

/// The values of the fields that matter.
#[derive(Default)]
struct Fields<'a> {
    pid: Option<&'a [u8]>,
    comm: Option<&'a [u8]>,
    exe: Option<&'a [u8]>,
    arch: Option<&'a [u8]>,
    syscall: Option<&'a [u8]>,
    code: Option<&'a [u8]>,
}

impl<'a> Fields<'a> {
    fn place(&mut self, name: &[u8]) -> Option<(&'static str, &mut Option<&'a [u8]>)> {
        Some(match name {
            b"pid" => ("pid", &mut self.pid),
            b"comm" => ("comm", &mut self.comm),
            b"exe" => ("exe", &mut self.exe),
            b"arch" => ("arch", &mut self.arch),
            b"syscall" => ("syscall", &mut self.syscall),
            b"code" => ("code", &mut self.code),
            _ => return None,
        })
    }
}

/// The value of a field, read.
fn required<'a, T>(
    name: &'static str,
    value: Option<&'a [u8]>,
    read: impl FnOnce(&'a [u8]) -> Option<T>,
) -> Result<T, RecordError> {
    read(value.ok_or(RecordError::Missing(name))?).ok_or(RecordError::Field(name))
}

/// The time, the serial, and what is behind them.
fn stamp(text: &[u8]) -> Option<(u64, u32, &[u8])> {
    let rest = text.strip_prefix(b"audit(")?;
    let end = rest.iter().position(|byte| *byte == b')')?;
    let (stamp, rest) = (&rest[..end], rest[end..].strip_prefix(b"): ")?);
    let stamp = std::str::from_utf8(stamp).ok()?;
    let (time, serial) = stamp.split_once(':')?;
    let (seconds, millis) = time.split_once('.')?;
    if millis.len() != 3 {
        return None;
    }
    let seconds: u64 = digits(seconds, 10)?;
    let time = seconds.checked_mul(1000)?.checked_add(digits(millis, 10)?)?;
    Some((time, u32::try_from(digits(serial, 10)?).ok()?, rest))
}

/// The number of a call: the kernel writes a signed one.
fn syscall(value: &[u8]) -> Option<u32> {
    match value.strip_prefix(b"-") {
        Some(value) => number(value, 10).map(|value| 0_u32.wrapping_sub(value)),
        None => number(value, 10),
    }
}

fn number(value: &[u8], radix: u32) -> Option<u32> {
    u32::try_from(digits(std::str::from_utf8(value).ok()?, radix)?).ok()
}

/// Digits alone: no sign.
fn digits(text: &str, radix: u32) -> Option<u64> {
    let valid = !text.is_empty() && text.chars().all(|character| character.is_digit(radix));
    if valid { u64::from_str_radix(text, radix).ok() } else { None }
}

/// A value that a program may have chosen: in quotation marks, or in hexadecimal digits if it contains a space, a
/// quotation mark or anything but printable ASCII (`audit_log_n_untrustedstring`).
fn string(value: &[u8]) -> Option<Vec<u8>> {
    if let Some(value) = value.strip_prefix(b"\"") {
        let value = value.strip_suffix(b"\"")?;
        let plain = value.iter().all(|byte| byte.is_ascii_graphic() && *byte != b'"');
        return plain.then(|| value.to_vec());
    }
    if value.is_empty() || !value.len().is_multiple_of(2) {
        return None;
    }
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    value.chunks_exact(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// Text of bounded length, without control characters, which JSON writes with six characters each.
fn shown(bytes: &[u8]) -> String {
    let mut text = String::from_utf8_lossy(bytes).replace(char::is_control, "\u{fffd}");
    if text.len() > MAX_PROGRAM {
        text.truncate(text.floor_char_boundary(MAX_PROGRAM));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "audit(1795945277.086:93158): auid=4294967295 uid=0 gid=0 ses=4294967295 pid=30341 comm=\"filt\" \
                        exe=\"/tmp/filt\" sig=0 arch=c000003e syscall=110 compat=0 ip=0x7f8d7e025829 code=0x50000";

    fn parse(text: &str) -> Result<Record, RecordError> {
        Record::parse(text.as_bytes())
    }

    #[test]
    fn a_record_of_the_kernel_is_read() {
        let record = parse(TEXT).unwrap();
        let call = Call { arch: Arch(0xc000_003e), number: 110, action: Action::Errno };
        let expected =
            Record { serial: 93158, time: 1_795_945_277_086, pid: 30341, program: "/tmp/filt".into(), call };
        assert_eq!(record, expected);
        assert_eq!(Record::serial_of(TEXT.as_bytes()), Some(93158));
    }

    #[test]
    fn a_security_label_may_have_spaces_and_programs_may_have_any_name() {
        let labelled = TEXT.replace("pid=", "subj=docker-default (enforce) pid=");
        assert_eq!(parse(&labelled), parse(TEXT));
        let labelled = TEXT.replace("pid=", "subj==unconfined pid=");
        assert_eq!(parse(&labelled), parse(TEXT));
        // `a pid=1`, in hexadecimal digits because of the space.
        let odd = TEXT.replace("\"/tmp/filt\"", "61207069643D31");
        assert_eq!(parse(&odd).unwrap().program, "a pid=1");
        let odd = TEXT.replace("\"/tmp/filt\"", "(null)");
        assert_eq!(parse(&odd).unwrap().program, "filt");
        let odd = TEXT.replace("\"/tmp/filt\"", "FF00");
        assert_eq!(parse(&odd).unwrap().program, "\u{fffd}\u{fffd}");
    }

    #[test]
    fn a_long_path_is_cut_between_characters() {
        let long = TEXT.replace("\"/tmp/filt\"", &"C3A4".repeat(100));
        assert_eq!(parse(&long).unwrap().program, "ä".repeat(64));
    }

    #[test]
    fn what_is_not_a_record_is_refused_with_the_field() {
        for (from, to, error) in [
            ("audit(", "udit(", RecordError::Stamp),
            (".086", "", RecordError::Stamp),
            (".086", ".86", RecordError::Stamp),
            (":93158", ":4294967296", RecordError::Stamp),
            ("1795945277", "99999999999999999999", RecordError::Stamp),
            (" pid=30341", "", RecordError::Missing("pid")),
            ("pid=30341", "pid=-1", RecordError::Field("pid")),
            ("pid=30341", "pid=1 pid=2", RecordError::Field("pid")),
            ("\"filt\"", "\"filt", RecordError::Field("comm")),
            ("arch=c000003e", "arch=", RecordError::Field("arch")),
            ("syscall=110", "syscall=+110", RecordError::Field("syscall")),
            ("syscall=110", "syscall=4294967296", RecordError::Field("syscall")),
            ("code=0x50000", "code=50000", RecordError::Field("code")),
            ("\"/tmp/filt\"", "ABC", RecordError::Field("exe")),
        ] {
            let text = TEXT.replace(from, to);
            let found =
                parse(&if from == "\"filt\"" { text.replace("\"/tmp/filt\"", "(null)") } else { text });
            assert_eq!(found, Err(error), "{from} {to}");
        }
        assert_eq!(parse(&"x".repeat(MAX_RECORD + 1)), Err(RecordError::Length));
    }

    #[test]
    fn a_negative_number_is_the_one_that_the_filter_saw() {
        assert_eq!(parse(&TEXT.replace("=110", "=-1")).unwrap().call.number, u32::MAX);
    }
}
