//! What the keeper records of one name.

use std::time::Instant;

use api::{ProblemKind, ProfileName};
use profile::ContentHash;

use super::event::FileOutcome;
use crate::budget::Refusal;
use crate::disk::{Claim, DiskError, FileAction, FileTime, Found, Replaces, Stamp};
use crate::report::Problem;

/// Repairs of one file between two retries. A file that something else changes more often than that is repaired again
/// only at the next retry.
pub(super) const MAX_REPAIRS: u8 = 10;

/// What the keeper records of one name.
#[derive(Debug, Default)]
pub(super) struct FileRecord {
    /// The hash of the file, if there is one that could be read.
    pub(super) hash: Option<ContentHash>,
    /// The hash of the file when it last was as it should be.
    pub(super) verified: Option<ContentHash>,
    /// Since when the file's bytes have been in the place of others; the outer `None` before a file was read or
    /// written. It is read from the disk once: what somebody else does to the file's times afterwards has no effect.
    pub(super) replaced: Option<Option<FileTime>>,
    /// What is wrong with the file.
    pub(super) problem: Option<Problem>,
    /// Something remains to be done that is not a problem yet.
    pub(super) unfinished: bool,
    /// How often the file was written or removed since the last retry although its goal had not changed.
    pub(super) repairs: u8,
}

impl FileRecord {
    /// Whether the file is not repaired again before the next retry.
    pub(super) fn repairs_exhausted(&self) -> bool {
        self.repairs >= MAX_REPAIRS
    }

    /// Whether the next retry examines the name again. A retry helps neither an invalid profile, which its author
    /// must correct, nor one over the budget: once there is room, it gets a new goal.
    pub(super) fn wants_retry(&self) -> bool {
        let can_be_tried = |problem: &Problem| {
            problem.state != ProblemKind::Rejected && !Refusal::REASONS.contains(&problem.reason)
        };
        self.unfinished || self.problem.as_ref().is_some_and(can_be_tried)
    }
}

/// One name in a pass.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: ProfileName,
    /// When the change came that set the goal; `None` where no change of the goal is the reason.
    pub(super) since: Option<Instant>,
    pub(super) found: Found,
    pub(super) action: FileAction,
    /// The hash of the file that was to be removed, if it could be read.
    pub(super) removed: Option<ContentHash>,
    /// Since when the bytes that were written have been in the place of others, if a file was written.
    pub(super) replaced: Option<Option<FileTime>>,
    /// Whether a system call may have changed the directory.
    pub(super) acted: bool,
    /// Why nothing more is done about it in this pass.
    pub(super) error: Option<DiskError>,
    /// Left for the next retry.
    pub(super) deferred: bool,
    /// All is as it should be.
    pub(super) done: bool,
}

impl Work {
    pub(super) fn new(name: ProfileName, since: Option<Instant>, found: Found, action: FileAction) -> Self {
        Self {
            name,
            since,
            found,
            action,
            removed: None,
            replaced: None,
            acted: false,
            error: None,
            deferred: false,
            done: false,
        }
    }

    /// What was done, once the work is complete.
    pub(super) fn outcome(&self) -> Option<FileOutcome> {
        match self.action {
            FileAction::Write { drift, .. } => {
                Some(drift.map_or(FileOutcome::Written, FileOutcome::Repaired))
            }
            FileAction::Adopt { rewrite: false } => Some(FileOutcome::Adopted),
            FileAction::Adopt { rewrite: true } => Some(FileOutcome::AdoptedAndRewritten),
            FileAction::Remove { .. } => Some(FileOutcome::Removed),
            FileAction::Forget => Some(FileOutcome::Forgotten),
            FileAction::Nothing | FileAction::Fail(_) => None,
        }
    }

    /// Whether a system call changes what is under the name.
    pub(super) fn changes_the_directory(&self) -> bool {
        replaced_by(&self.action).is_some() || matches!(self.action, FileAction::Remove { .. })
    }

    /// Whether it undoes what something else did to the file: no change of the goal is the reason.
    pub(super) fn is_repair(&self) -> bool {
        self.since.is_none() && self.changes_the_directory()
    }

    /// The time of modification of the file that is written with the `wanted` bytes. `claim` is the ledger's when the file
    /// is written, `record` what is known of the name.
    pub(super) fn stamp(
        &self,
        wanted: ContentHash,
        claim: Option<Claim>,
        record: Option<&FileRecord>,
    ) -> Stamp {
        let on_disk = match &self.found {
            Found::File { replaced, .. } => *replaced,
            _ => None,
        };
        let known = record.and_then(|record| record.replaced);
        let repairs = matches!(self.action, FileAction::Write { drift: Some(_), .. })
            && record.is_some_and(|record| record.verified == Some(wanted));
        if repairs || hash_of(&self.found) == Some(wanted) {
            // Containers that started before have these bytes, but for those that started while the file had drifted.
            Stamp::Same(known.unwrap_or(on_disk))
        } else if self.found == Found::Absent && !matches!(claim, Some(Claim::Written)) {
            Stamp::First
        } else {
            // If the file was lost while no agent ran, it may have held other bytes.
            Stamp::Replaced
        }
    }

    /// Whether there is more to do about it in this pass.
    pub(super) fn continues(&self) -> bool {
        self.error.is_none() && !self.deferred
    }
}

/// The hash of a regular file whose bytes could be read.
pub(super) fn hash_of(found: &Found) -> Option<ContentHash> {
    match found {
        Found::File { hash, .. } => *hash,
        _ => None,
    }
}

/// What a new file takes the place of, if one has to be written.
pub(super) fn replaced_by(action: &FileAction) -> Option<Replaces> {
    match action {
        FileAction::Write { replaces, .. } => Some(*replaces),
        FileAction::Adopt { rewrite: true } => Some(Replaces::OwnFile),
        _ => None,
    }
}
