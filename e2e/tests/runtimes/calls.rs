//! Calls that harm nobody, whatever becomes of them: the probe makes them with these arguments only.

use std::fmt::Write;

use filter::Call;
use profile::Architecture;

use crate::sets::{Random, VALUES};

/// Calls for which every argument out of [`VALUES`] is harmless in a container without capabilities: calls without
/// arguments, paths at addresses where no memory is, descriptors that are closed or pipes, objects that do not exist.
/// The names that only 32-bit programs have are there for the filter of x86.
pub(crate) const NAMES: [&str; 28] = [
    "getppid",
    "getuid",
    "geteuid",
    "getgid",
    "getegid",
    "getpgrp",
    "munlockall",
    "mkdir",
    "rmdir",
    "chdir",
    "access",
    "unlink",
    "fsync",
    "fdatasync",
    "accept",
    "semop",
    "socket",
    "faccessat2",
    "process_madvise",
    "epoll_pwait2",
    "futex_waitv",
    "cachestat",
    "fchmodat2",
    "mseal",
    "listns",
    "waitpid",
    "socketcall",
    "ipc",
];

/// Numbers on x86_64 from below the lowest border of a stub to above the highest, most of which a profile leaves unnamed.
/// With [`INVALID`] arguments each of them fails, whatever it is.
const X86_64: [u32; 28] = [
    102,
    134,
    180,
    340,
    400,
    423,
    435,
    436,
    438,
    440,
    441,
    442,
    444,
    446,
    447,
    448,
    449,
    450,
    451,
    452,
    454,
    456,
    457,
    462,
    471,
    600,
    5000,
    u32::MAX,
];
/// The same on 32-bit x86, and on x32.
const X86: [u32; 12] = [340, 400, 424, 438, 440, 449, 451, 454, 456, 462, 471, 5000];
const X32: [u32; 4] = [110, 440, 451, 5000];

/// No address, no descriptor, no flag that the kernel knows.
const INVALID: [u64; 6] = [u64::MAX; 6];

/// Calls to make under a profile that names these: each of them with some arguments, on both architectures that the
/// machine runs, and numbers around every border that a stub can have.
pub(crate) fn of(
    names: &[&str],
    number: &dyn Fn(&str, Architecture) -> Option<u32>,
    random: &mut Random,
) -> Vec<Call> {
    let call = |architecture, number, arguments| Call { architecture, number, arguments };
    let mut calls = Vec::new();
    for name in names {
        for architecture in [Architecture::X86_64, Architecture::X86] {
            let Some(number) = number(name, architecture) else { continue };
            for _ in 0..5 {
                let arguments = std::array::from_fn(|_| VALUES[random.below(VALUES.len())]);
                calls.push(call(architecture, number, arguments));
            }
        }
    }
    calls.extend(X86_64.map(|number| call(Architecture::X86_64, number, INVALID)));
    calls.extend(X86.map(|number| call(Architecture::X86, number, INVALID)));
    calls.extend(X32.map(|number| call(Architecture::X86_64, number | 1 << 30, INVALID)));
    for call in &mut calls {
        if call.architecture == Architecture::X86 {
            // What a 32-bit program can pass.
            call.arguments = call.arguments.map(|argument| argument & 0xffff_ffff);
        }
    }
    calls
}

/// A call as the probe takes it.
pub(crate) fn word(call: &Call) -> String {
    let mut word = format!("{}:{:x}", u8::from(call.architecture == Architecture::X86), call.number);
    for argument in call.arguments {
        write!(word, ":{argument:x}").unwrap();
    }
    word
}
