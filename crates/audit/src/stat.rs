//! `/proc/PID/stat`: when a process started, and whether it has ended.

/// The clock of process times: `USER_HZ`, which is 100 on every architecture with containers.
const TICKS: u64 = 100;

/// `PF_EXITING` of the kernel: the process ends. It leaves its control groups before its state says so.
const ENDS: u32 = 4;

/// When a process started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Started {
    /// Milliseconds after the machine's start, rounded down to 10 ms.
    pub after_boot: u64,
    /// Whether it ends, or has ended and only its exit code is left.
    pub has_ended: bool,
}

/// When the process with this `/proc/PID/stat` started (proc_pid_stat(5)).
#[must_use]
pub fn started_at(stat: &[u8]) -> Option<Started> {
    // The name in parentheses may contain anything, also parentheses; nothing behind it does.
    let end = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(stat.get(end + 1..)?).ok()?.split_ascii_whitespace();
    let state = fields.next()?;
    // Field 9 and field 22; the state is field 3.
    let flags: u32 = fields.nth(5)?.parse().ok()?;
    let ticks: u64 = fields.nth(12)?.parse().ok()?;
    let after_boot = ticks.checked_mul(1000 / TICKS)?;
    Some(Started { after_boot, has_ended: flags & ENDS != 0 || matches!(state, "Z" | "X" | "x") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_is_found_behind_any_name() {
        let rest = " S 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 7783 2809856 0 18446744073709551615";
        for name in ["sh", "a b", ") Z (", "((", ")"] {
            let found = started_at(format!("12 ({name}){rest}").as_bytes());
            assert_eq!(found, Some(Started { after_boot: 77_830, has_ended: false }), "{name}");
        }
        let ended = started_at(format!("12 (sh){}", rest.replace(" S ", " Z ")).as_bytes());
        assert!(ended.is_some_and(|it| it.has_ended));
        let ends = started_at(format!("12 (sh){}", rest.replace("4194560", "4194564")).as_bytes());
        assert!(ends.is_some_and(|it| it.has_ended), "it still runs, and has left its control groups");
        for wrong in ["", "12", "12 (sh", "12 (sh)", "12 (sh) S 1 2 3"] {
            assert_eq!(started_at(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
