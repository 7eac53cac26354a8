//! What a file looked like when its bytes were read.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::fs::Stat;

/// Enough of a file's metadata to tell that nobody has touched it since.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

/// Kernels stamp files with a clock that ticks every 1 to 10 ms. A file that was changed less than this before it
/// was read may change again without another time stamp.
const CLOCK_TICK: Duration = Duration::from_millis(50);

impl Fingerprint {
    // The types of these fields differ between architectures.
    #[allow(clippy::unnecessary_cast, reason = "the types differ between architectures")]
    #[expect(clippy::cast_sign_loss, reason = "sizes are never negative")]
    pub(crate) fn of(stat: &Stat) -> Self {
        Self {
            device: stat.st_dev as u64,
            inode: stat.st_ino as u64,
            size: stat.st_size as u64,
            mode: stat.st_mode as u32,
            modified: (stat.st_mtime as i64, stat.st_mtime_nsec as i64),
            changed: (stat.st_ctime as i64, stat.st_ctime_nsec as i64),
        }
    }

    /// Size in bytes.
    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    /// Whether a change right after `now` might leave the fingerprint as it is.
    pub(crate) fn is_racy(&self, now: SystemTime) -> bool {
        let (seconds, nanoseconds) = self.changed;
        let changed = u64::try_from(seconds)
            .ok()
            .zip(u32::try_from(nanoseconds).ok())
            .map(|(seconds, nanoseconds)| UNIX_EPOCH + Duration::new(seconds, nanoseconds));
        // A time stamp from the future tells nothing.
        changed.and_then(|changed| now.duration_since(changed).ok()).is_none_or(|age| age < CLOCK_TICK)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_changed_within_a_clock_tick_of_the_reading_is_racy() {
        let file = tempfile::tempfile().unwrap();
        let print = Fingerprint::of(&rustix::fs::fstat(&file).unwrap());
        let changed = UNIX_EPOCH
            + Duration::new(print.changed.0.try_into().unwrap(), print.changed.1.try_into().unwrap());
        assert!(print.is_racy(changed));
        assert!(print.is_racy(changed + Duration::from_millis(10)));
        assert!(print.is_racy(changed - Duration::from_secs(10)), "the clock was set back");
        assert!(!print.is_racy(changed + Duration::from_secs(1)));
    }
}
