//! Which register a printed argument is of. strace leaves out registers that a call does not use.
//!
//! Found by comparing, for every call of 64-bit x86, what strace 6.1 prints with the registers (`-e raw=all` prints all of
//! them), while each register had a number of its own.

use syscalls::Architecture;

use crate::value::value;

/// The register of the argument that is printed at a place; `None` if that is not certain.
pub(crate) fn register(
    call: &str,
    architecture: Architecture,
    printed: &[&str],
    place: usize,
) -> Option<usize> {
    match call {
        // The upper half of the position is in register 4, and not printed; x32 passes the position in one register.
        "preadv2" | "pwritev2" if printed.len() == 5 && place == 4 => {
            (architecture != Architecture::X32).then_some(5)
        }
        "futex" => of_futex(printed, place),
        // These requests use the data in register 3 and no address; others print both.
        "ptrace" if printed.len() == 3 && place == 2 => is_of_registers(printed.first()?).then_some(3),
        // Without the identifier in register 2, the third one is the address.
        "quotactl" | "quotactl_fd" if printed.len() == 3 && place == 2 => None,
        // Of what the register counts in pages, bytes are printed.
        "mmap2" if place == 5 => (printed.get(5).map(|offset| value(offset).value) == Some(0)).then_some(5),
        _ => Some(place),
    }
}

/// The registers of `futex` by its operation (`sys_futex` in src/futex.c of strace 6.1).
fn of_futex(printed: &[&str], place: usize) -> Option<usize> {
    // All of them are printed, or only those before the first one that an operation may leave out.
    if place < 2 || printed.len() == 6 {
        return Some(place);
    }
    of_operation(printed.get(1)?)?.get(place - 2).copied()
}

/// The registers that an operation uses beside the first two, by its name or its number in the kernel's `linux/futex.h`.
fn of_operation(printed: &str) -> Option<&'static [usize]> {
    let name = printed.split(['|', ' ']).next()?.trim_end_matches("_PRIVATE");
    let number = value(printed);
    let number = (number.known == u64::MAX).then_some(number.value & !FLAGS);
    match (name, number) {
        ("FUTEX_WAIT" | "FUTEX_WAKE" | "FUTEX_REQUEUE" | "FUTEX_WAIT_REQUEUE_PI", _)
        | (_, Some(0 | 1 | 3 | 11)) => Some(&[2, 3, 4]),
        ("FUTEX_LOCK_PI" | "FUTEX_LOCK_PI2", _) | (_, Some(6 | 13)) => Some(&[3]),
        ("FUTEX_WAIT_BITSET", _) | (_, Some(9)) => Some(&[2, 3, 5]),
        ("FUTEX_WAKE_BITSET", _) | (_, Some(10)) => Some(&[2, 5]),
        _ => None,
    }
}

/// `FUTEX_PRIVATE_FLAG` and `FUTEX_CLOCK_REALTIME`.
const FLAGS: u64 = 128 | 256;

/// Whether a request of `ptrace` reads or writes all registers (`PTRACE_GETREGS` and others in `asm/ptrace-abi.h`).
fn is_of_registers(request: &str) -> bool {
    let name = request.split(' ').next().unwrap_or_default();
    let number = value(request);
    matches!(name, "PTRACE_GETREGS" | "PTRACE_SETREGS" | "PTRACE_GETFPREGS" | "PTRACE_SETFPREGS")
        || number.known == u64::MAX && (12..=15).contains(&number.value)
}
