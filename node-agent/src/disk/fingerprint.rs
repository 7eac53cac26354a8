//! The metadata of the ledger's file when it was last read or written.

use rustix::fs::Stat;

/// Enough of a file's metadata to see that it hardly can have changed: a hint that saves reading it, and no more.
///
/// No clock is asked, but time stamps are compared, which a clock that is set back can repeat. The full check reads
/// every byte all the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint {
    device: u64,
    inode: u64,
    size: u64,
    mode: u32,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Fingerprint {
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
}
