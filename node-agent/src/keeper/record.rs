//! What the agent remembers of one name.

use std::time::Instant;

use api::{FileState, ProfileName};
use profile::ContentHash;

use super::event::Deed;
use crate::budget::Refusal;
use crate::disk::{DiskError, FileAction, Found, Over};
use crate::report::Problem;

/// Repairs of one file between two retries. Who changes a file more often than that fights the agent, and is not
/// fought faster than the retries come.
pub(super) const MOST_REPAIRS: u8 = 10;

/// What the agent remembers of one name.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The hash of the file that lies there, if there is one that could be read.
    pub(super) hash: Option<ContentHash>,
    /// The hash that was last found to be as it should be.
    pub(super) verified: Option<ContentHash>,
    /// What is wrong.
    pub(super) problem: Option<Problem>,
    /// Something is left to do that is no problem yet.
    pub(super) unfinished: bool,
    /// How often it was written or removed since the last retry without news of its profile.
    pub(super) repairs: u8,
}

impl Record {
    /// Whether somebody changes it faster than it is to be mended: the next retry goes on.
    pub(super) fn is_fought_over(&self) -> bool {
        self.repairs >= MOST_REPAIRS
    }

    /// Whether the next retry looks at it again. An invalid profile is mended by its author, not by trying, and room for
    /// one that was refused comes with news.
    pub(super) fn wants_retry(&self) -> bool {
        let can_be_tried = |problem: &Problem| {
            problem.state != FileState::Rejected && !Refusal::REASONS.contains(&problem.reason)
        };
        self.unfinished || self.problem.as_ref().is_some_and(can_be_tried)
    }
}

/// One name on its way through a pass of synchronisation.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: ProfileName,
    /// When the event came that changed what should lie there.
    pub(super) since: Option<Instant>,
    pub(super) found: Found,
    pub(super) action: FileAction,
    /// The hash of the file that was to be removed, if it could be read.
    pub(super) removed: Option<ContentHash>,
    /// Whether a system call may have changed the directory.
    pub(super) acted: bool,
    /// Why the rest of its way is left out.
    pub(super) error: Option<DiskError>,
    /// Left for the next retry because something else keeps changing the file.
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
            acted: false,
            error: None,
            deferred: false,
            done: false,
        }
    }

    /// What is done once all of its way is behind it.
    pub(super) fn deed(&self) -> Option<Deed> {
        match self.action {
            FileAction::Put { drift, .. } => Some(drift.map_or(Deed::Written, Deed::Mended)),
            FileAction::Claim { rewrite: false } => Some(Deed::Adopted),
            FileAction::Claim { rewrite: true } => Some(Deed::AdoptedAndWritten),
            FileAction::Remove { .. } => Some(Deed::Removed),
            FileAction::Forget => Some(Deed::Forgotten),
            FileAction::Rest | FileAction::Refuse(_) => None,
        }
    }

    /// Whether its way leads to a system call that changes what lies under the name.
    pub(super) fn acts(&self) -> bool {
        over(&self.action).is_some() || matches!(self.action, FileAction::Remove { .. })
    }

    /// Whether nobody asked for it: it undoes what something else did to the file.
    pub(super) fn is_repair(&self) -> bool {
        self.since.is_none() && self.acts()
    }

    pub(super) fn goes_on(&self) -> bool {
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

/// What a new file takes the place of, if one is to be put there.
pub(super) fn over(action: &FileAction) -> Option<Over> {
    match action {
        FileAction::Put { over, .. } => Some(*over),
        FileAction::Claim { rewrite: true } => Some(Over::Ours),
        _ => None,
    }
}
