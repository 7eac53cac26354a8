//! What the agent remembers of one name.

use std::time::Instant;

use api::{FileState, ProfileName};
use profile::ContentHash;

use crate::disk::{Action, DiskError, Drift, Fingerprint, Found};

/// Why a profile's file is not as it should be, as it goes into the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What kind of problem it is.
    pub state: FileState,
    /// Why, in one word.
    pub reason: &'static str,
    /// Why, for a person.
    pub message: Box<str>,
}

impl From<&DiskError> for Problem {
    fn from(error: &DiskError) -> Self {
        Self { state: error.state(), reason: error.reason(), message: error.to_string().into() }
    }
}

/// A regular file, when it was last looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Seen {
    /// The hash of its bytes, if they could be read.
    pub(super) hash: Option<ContentHash>,
    pub(super) print: Fingerprint,
    /// Whether the same fingerprint may hide another change.
    pub(super) racy: bool,
}

impl Seen {
    pub(super) fn of(found: &Found) -> Option<Self> {
        match found {
            Found::File { hash, print, racy, .. } => Some(Self { hash: *hash, print: *print, racy: *racy }),
            Found::Unreadable { print, .. } => Some(Self { hash: None, print: *print, racy: true }),
            _ => None,
        }
    }
}

/// What the agent remembers of one name.
#[derive(Debug, Default)]
pub(super) struct Record {
    /// The file that lies there.
    pub(super) seen: Option<Seen>,
    /// The hash that was last found to be as it should be.
    pub(super) verified: Option<ContentHash>,
    /// What is wrong.
    pub(super) problem: Option<Problem>,
    /// Something is left to do that is no problem yet.
    pub(super) unfinished: bool,
    /// Repairs since the last retry.
    pub(super) repairs: u8,
}

impl Record {
    pub(super) fn hash(&self) -> Option<ContentHash> {
        self.seen.and_then(|seen| seen.hash)
    }

    /// Whether the next retry looks at it again. An invalid profile is mended by its author, not by trying.
    pub(super) fn wants_retry(&self) -> bool {
        let failed = self.problem.as_ref().is_some_and(|problem| problem.state != FileState::Rejected);
        self.unfinished || failed
    }
}

/// One name on its way through a pass of synchronisation.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) name: ProfileName,
    /// When the event came that changed what should lie there.
    pub(super) since: Option<Instant>,
    pub(super) found: Found,
    pub(super) action: Action,
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
    pub(super) fn new(name: ProfileName, since: Option<Instant>, found: Found, action: Action) -> Self {
        Self { name, since, found, action, acted: false, error: None, deferred: false, done: false }
    }

    pub(super) fn drift(&self) -> Option<Drift> {
        match self.action {
            Action::Put { drift, .. } => drift,
            _ => None,
        }
    }

    pub(super) fn goes_on(&self) -> bool {
        self.error.is_none() && !self.deferred
    }
}
