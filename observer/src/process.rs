//! The container of a process, from the node's `/proc`.
//!
//! A record names a process by its number. When it is read, the process may have ended, and its number may be another
//! process's: both files are opened below the same descriptor of `/proc/PID`, which stays that of one process, and a
//! process that has started after the record is not the one.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

use audit::{ContainerId, Place, container_of, started_at};
use rustix::fs::{Mode, OFlags, open, openat};
use rustix::time::{ClockId, Timespec, clock_gettime};

/// How much later than its record a process may seem to have started: the clock of starts has steps of 10 ms, that of
/// records moves on every 4 ms or 10 ms.
pub(crate) const CLOCKS_DIFFER: u64 = 50;

/// The longest file that is read: a process has one line of at most 4,096 bytes for each of some 15 hierarchies.
const MAX_FILE: u64 = 64 * 1024;

/// Who made a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Caller {
    /// A process of this container.
    Container(ContainerId),
    /// A process outside of all pods.
    Outside,
    /// A process that has ended, or that cannot be read.
    Unknown,
}

/// The node's processes.
#[derive(Debug)]
pub struct Processes {
    proc: OwnedFd,
}

impl Processes {
    /// The processes in `proc`, where the proc file system of the node's first PID namespace is mounted.
    ///
    /// # Errors
    /// There is no such directory.
    pub fn new(proc: &Path) -> io::Result<Self> {
        Ok(Self { proc: open(proc, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())? })
    }

    /// Who made the call of a record of `time` (milliseconds since 1970) about the process `pid`.
    #[must_use]
    pub fn caller(&self, pid: u32, time: u64) -> Caller {
        let read = || -> io::Result<_> {
            let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
            let process = openat(&self.proc, pid.to_string(), flags, Mode::empty())?;
            Ok((read(&process, "cgroup")?, read(&process, "stat")?))
        };
        let Ok((cgroup, stat)) = read() else { return Caller::Unknown };
        let Some(started) = started_at(&stat) else { return Caller::Unknown };
        if booted_at() + started.after_boot > time + CLOCKS_DIFFER {
            return Caller::Unknown;
        }
        match container_of(&cgroup) {
            Place::Container(id) => Caller::Container(id),
            // A process that ends leaves the control groups of version 1.
            Place::Outside if started.has_ended => Caller::Unknown,
            Place::Outside => Caller::Outside,
            Place::Unclear => Caller::Unknown,
        }
    }

    /// When the process started that has this number now, in milliseconds of the clock `CLOCK_MONOTONIC`; `None` if there is
    /// none, or it cannot be read.
    #[must_use]
    pub fn started(&self, pid: u32) -> Option<u64> {
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let process = openat(&self.proc, pid.to_string(), flags, Mode::empty()).ok()?;
        let started = started_at(&read(&process, "stat").ok()?)?;
        // In this order: if the thread has to wait in between, the process seems older than it is, not younger.
        let monotonic = millis(clock_gettime(ClockId::Monotonic));
        let slept = millis(clock_gettime(ClockId::Boottime)).saturating_sub(monotonic);
        Some(started.after_boot.saturating_sub(slept))
    }
}

fn read(process: &OwnedFd, name: &str) -> io::Result<Vec<u8>> {
    let file = openat(process, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    let mut text = Vec::new();
    File::from(file).take(MAX_FILE).read_to_end(&mut text)?;
    Ok(text)
}

/// When the node started, in milliseconds since 1970, by its present clock. If the clock is set while a record is on its
/// way, the record is at worst one of an unknown process.
fn booted_at() -> u64 {
    millis(clock_gettime(ClockId::Realtime)).saturating_sub(millis(clock_gettime(ClockId::Boottime)))
}

pub(crate) fn millis(time: Timespec) -> u64 {
    let since = Duration::try_from(time).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// The present time, in milliseconds since 1970.
#[must_use]
pub fn now() -> u64 {
    millis(clock_gettime(ClockId::Realtime))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const UID: &str = "9f3b8a52-0c8d-4b7e-9d4f-5a1f2e3d4c5b";

    /// A `/proc` with the process 7, in the state and since the time that are given.
    fn caller(cgroup: &str, state: &str, after_boot: u64, time: u64) -> Caller {
        let proc = tempfile::tempdir().unwrap();
        let process = proc.path().join("7");
        fs::create_dir(&process).unwrap();
        let cgroup = cgroup.replace("$ID", ID).replace("$UID", UID);
        fs::write(process.join("cgroup"), cgroup).unwrap();
        let ticks = after_boot / 10;
        let stat = format!("7 (sh) {state} 1 2 3 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 {ticks} 0 0");
        fs::write(process.join("stat"), stat).unwrap();
        Processes::new(proc.path()).unwrap().caller(7, time)
    }

    #[test]
    fn a_process_is_found_by_its_control_groups() {
        let container = Caller::Container(ID.parse().unwrap());
        let version_2 = "0::/kubepods.slice/kubepods-pod$UID.slice/cri-containerd-$ID.scope\n";
        for cgroup in ["5:cpu:/kubepods/besteffort/pod$UID/$ID\n0::/\n", version_2] {
            assert_eq!(caller(cgroup, "R", 0, now()), container, "{cgroup}");
        }
        assert_eq!(caller("0::/system.slice/ssh.service\n", "S", 0, now()), Caller::Outside);
    }

    #[test]
    fn a_process_that_has_ended_or_was_not_there_yet_is_not_taken_for_another() {
        // What ends leaves the control groups of version 1, and keeps those of version 2.
        assert_eq!(caller("5:cpu:/\n0::/\n", "Z", 0, now()), Caller::Unknown);
        let inside = "0::/kubepods/pod$UID/$ID\n";
        assert_eq!(caller(inside, "Z", 0, now()), Caller::Container(ID.parse().unwrap()));
        // Its number was another process's when the record was made.
        let since_boot = millis(clock_gettime(ClockId::Boottime));
        // The thread may have to wait between the two clocks of a reading, which is then too low.
        let started = (0..10).map(|_| booted_at()).max().unwrap() + since_boot;
        assert_eq!(caller(inside, "R", since_boot, started - 60_000), Caller::Unknown);
        assert_eq!(caller(inside, "R", since_boot, started), Caller::Container(ID.parse().unwrap()));
        let none = tempfile::tempdir().unwrap();
        assert_eq!(Processes::new(none.path()).unwrap().caller(7, now()), Caller::Unknown);
    }

    #[test]
    fn this_very_process_is_read_from_the_real_proc() {
        let processes = Processes::new(Path::new("/proc")).unwrap();
        assert_ne!(processes.caller(std::process::id(), now()), Caller::Unknown);
    }
}
