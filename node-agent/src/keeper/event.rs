//! What happened in the directory, to be counted and logged.

use std::time::Instant;

use api::ProfileName;
use profile::ContentHash;

use crate::disk::{DiskError, DiskReason, Drift, FailedCall, LedgerError};
use crate::report::Problem;

/// Something that happened in the directory.
#[derive(Debug, Clone, PartialEq)]
pub enum DiskEvent {
    /// Temporary files of an earlier run may remain.
    NotSwept(FailedCall),
    /// The ledger cannot be used at the start: no file is written or removed until it can.
    LedgerUnusable(LedgerError),
    /// The ledger of a newer agent has replaced this one's: no file is written or removed while it is there.
    LedgerReplaced(LedgerError),
    /// The ledger can be used again.
    LedgerUsable,
    /// The ledger could not be written.
    LedgerNotWritten(DiskError),
    /// Everything that had to be done about a profile's file is done, and the file was read back.
    Completed {
        /// The profile.
        profile: ProfileName,
        /// The hash of the file, or of the file that was removed.
        hash: Option<ContentHash>,
        /// What was done.
        outcome: FileOutcome,
        /// When the change came that set the goal; `None` where no change of the goal was the reason.
        since: Option<Instant>,
    },
    /// A profile's file could not be made to match its goal, for this reason: one event for every attempt.
    Failed(DiskReason),
    /// The problem with a profile's file has changed.
    Problem {
        /// The profile.
        profile: ProfileName,
        /// The hash of the file.
        hash: Option<ContentHash>,
        /// The problem now; `None` where there is none any more, or where the profile is gone.
        problem: Option<Problem>,
    },
    /// Every byte of every file was read.
    Checked,
    /// How many files are in which state, where that may have changed.
    Counted(FileCounts),
}

/// What was done about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileOutcome {
    /// It was written.
    Written,
    /// It was written again after something else had changed it.
    Repaired(Drift),
    /// A file with the right bytes was there, and is the agent's from now on.
    Adopted,
    /// Like [`Self::Adopted`], and it was written again because of its permissions or owner.
    AdoptedAndRewritten,
    /// It was removed.
    Removed,
    /// There was no file of the agent's any more; only its claim in the ledger was removed.
    Forgotten,
}

/// How many files are in which state.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileCounts {
    /// As they should be.
    pub ready: i64,
    /// Not written, read or removed.
    pub failed: i64,
    /// Something else has the name.
    pub conflict: i64,
    /// The profile is invalid, or names a listener where none is allowed.
    pub rejected: i64,
}
