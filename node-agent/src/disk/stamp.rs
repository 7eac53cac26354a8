//! Since when a file has its present bytes, kept as the file's time of modification.
//!
//! The operator compares this time with the start of containers. It must outlive the agent, and a release that does not
//! know it must still read the directory, so it is neither in memory nor in the ledger. A file under a name that held
//! other bytes before gets a *whole second* as its time of modification: the second in which the replacement was
//! complete, rounded up. Any other file keeps the time that the kernel gave it, which has a fraction, and no report
//! states it: no container can be older than the first file under a name.
//!
//! Where a file system stores whole seconds only, the report states the time of every file: longer, and as true. A file
//! that somebody else made, or whose time somebody has set, has the time that its metadata has.

use std::time::{SystemTime, UNIX_EPOCH};

use rustix::fs::{Stat, Timespec, Timestamps, UTIME_OMIT};

/// A time of the node's clock, in whole seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileTime(pub i64);

/// Which time of modification a new file gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stamp {
    /// The kernel's: no other bytes were under the name.
    First,
    /// The present second: other bytes were under the name, or may have been.
    Replaced,
    /// What the file had that held the same bytes; `None` if that was the first one under the name.
    Same(Option<FileTime>),
}

/// `time`, rounded up to a whole second: a pod that began in that second or later began after `time`. A clock before 1970
/// counts as 1970.
pub(crate) fn rounded_up(time: SystemTime) -> FileTime {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let second = since.as_secs().saturating_add(u64::from(since.subsec_nanos() > 0));
    FileTime(i64::try_from(second).unwrap_or(i64::MAX))
}

/// Since when a file has replaced other bytes, by its metadata. A time in the future is taken for `now`: the clock was
/// set back, or somebody has set the time, and every container would seem older than the file.
#[allow(clippy::unnecessary_cast, reason = "the types differ between architectures")]
pub(crate) fn replaced_at(stat: &Stat, now: SystemTime) -> Option<FileTime> {
    let modified = FileTime(stat.st_mtime as i64);
    (stat.st_mtime_nsec == 0 && modified.0 > 0).then(|| modified.min(rounded_up(now)))
}

/// The arguments that set the time of modification alone.
pub(crate) fn times(modified: FileTime) -> Timestamps {
    Timestamps {
        last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
        last_modification: Timespec { tv_sec: modified.0, tv_nsec: 0 },
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_time_is_rounded_up_to_the_next_second() {
        for (nanosecond, second) in [(0, 7), (1, 8), (999_999_999, 8)] {
            assert_eq!(rounded_up(UNIX_EPOCH + Duration::new(7, nanosecond)), FileTime(second));
        }
        assert_eq!(rounded_up(UNIX_EPOCH - Duration::from_secs(7)), FileTime(0));
    }
}
