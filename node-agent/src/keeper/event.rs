//! What happened in the directory, for whoever counts and logs it.

use std::time::Instant;

use api::ProfileName;
use profile::ContentHash;

use crate::disk::{DiskError, DiskReason, Drift, FailedCall, LedgerError};
use crate::report::Problem;

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// Temporary files of an earlier run may be left.
    NotSwept(FailedCall),
    /// The ledger cannot be used at the start: no file is written or removed until it can.
    LedgerUnusable(LedgerError),
    /// The ledger of a newer agent has taken the place of this one's: no file is written or removed until it is gone.
    LedgerReplaced(LedgerError),
    /// The ledger can be used again.
    LedgerUsable,
    /// The ledger could not be written.
    LedgerNotWritten(DiskError),
    /// All that was to be done about a profile's file is done, and read back.
    Done {
        /// The profile.
        profile: ProfileName,
        /// What lies there; of a file that was removed, what lay there.
        hash: Option<ContentHash>,
        /// What was done.
        deed: Deed,
        /// When the event came that changed what should lie there; `None` where nobody asked.
        since: Option<Instant>,
    },
    /// A profile's file could not be brought to what it should be, for this reason; told anew by every attempt.
    Failed(DiskReason),
    /// What is wrong with a profile's file is something else than before.
    Problem {
        /// The profile.
        profile: ProfileName,
        /// What lies there.
        hash: Option<ContentHash>,
        /// What is wrong now; `None` where nothing is any more, or where the profile is gone.
        problem: Option<Problem>,
    },
    /// Every byte of every file was read.
    Checked,
    /// How many files are in which state, where that may have changed.
    Counted(FileCounts),
}

/// What was done about a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Deed {
    /// It was written.
    Written,
    /// It was written again after something else had changed it.
    Mended(Drift),
    /// One with the right bytes was there, and is the agent's from now on.
    Adopted,
    /// The same, and it was written again for its permissions.
    AdoptedAndWritten,
    /// It was removed.
    Removed,
    /// It was gone already, or not the agent's.
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
    /// The profile is invalid.
    pub rejected: i64,
}
