//! What to do about one name: a pure function of what is expected there, what the ledger says and what lies there.

use profile::ContentHash;

use super::error::DiskError;
use super::found::Found;
use super::ledger::{Claim, LedgerError};

/// What the agent expects to find under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A file with these bytes.
    File(ContentHash),
    /// Whatever lies there: no file can be made of the profile, or it is not yet known whether there is one.
    Anything,
    /// No file of the agent's.
    Nothing,
}

/// What the ledger says of a name, if it can be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Owner<'a> {
    /// The ledger can be used.
    Known(Option<Claim>),
    /// It cannot: nothing may be touched.
    Unknown(&'a LedgerError),
}

/// What a new file takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Over {
    /// Nothing; if something appears there meanwhile, it stays.
    Nothing,
    /// A file of ours, or what took its place.
    Ours,
    /// An empty directory that took the place of a file of ours.
    EmptyDirectory,
}

/// How a file of ours had drifted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Drift {
    /// Other bytes, permissions or another owner.
    Changed,
    /// Gone.
    Removed,
    /// A link, a directory or the like in its place.
    Replaced,
}

impl Drift {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Changed, Self::Removed, Self::Replaced];

    /// One word for metric labels and log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Changed => "changed",
            Self::Removed => "removed",
            Self::Replaced => "replaced",
        }
    }
}

/// What to do about a name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FileAction {
    /// Nothing: all is as it should be.
    Rest,
    /// The ledger learns that the file is ours; then, if `rewrite`, the file is put there anew.
    Claim {
        /// Whether its bytes, permissions or owner are not as they should be.
        rewrite: bool,
    },
    /// The intent goes into the ledger unless the name is written already; then the file is put there.
    Put {
        /// What it takes the place of.
        over: Over,
        /// How a file that was as it should be has changed, if that is why.
        drift: Option<Drift>,
    },
    /// What is ours is removed, then the ledger forgets the name.
    Remove {
        /// Whether an empty directory took our file's place.
        directory: bool,
    },
    /// The ledger forgets the name.
    Forget,
    /// Nothing can be done now.
    Refuse(DiskError),
}

/// Decides.
///
/// `verified` is the hash that was last found to be as it should be under this name: a file that differs from it has
/// drifted, while one that differs from a new `expected` is merely old.
#[must_use]
pub fn decide(
    expected: Expected,
    owner: Owner<'_>,
    found: &Found,
    verified: Option<ContentHash>,
) -> FileAction {
    match (expected, owner) {
        (Expected::Anything, _) => FileAction::Rest,
        (Expected::File(want), Owner::Known(claim)) => hold(want, claim, found, verified),
        (Expected::File(want), Owner::Unknown(error)) => match found {
            Found::File { hash, .. } if *hash == Some(want) => FileAction::Rest,
            _ => FileAction::Refuse(error.clone().into()),
        },
        (Expected::Nothing, Owner::Known(claim)) => gone(claim, found),
        (Expected::Nothing, Owner::Unknown(error)) => match found {
            Found::Absent => FileAction::Rest,
            _ => FileAction::Refuse(error.clone().into()),
        },
    }
}

fn hold(want: ContentHash, claim: Option<Claim>, found: &Found, verified: Option<ContentHash>) -> FileAction {
    match claim {
        Some(Claim::Written) => hold_written(want, found, verified),
        Some(Claim::Intended(intended)) => hold_unwritten(want, Some(intended), found),
        None => hold_unwritten(want, None, found),
    }
}

/// The name is ours, whatever lies there.
fn hold_written(want: ContentHash, found: &Found, verified: Option<ContentHash>) -> FileAction {
    let put = |over, drift| FileAction::Put { over, drift };
    let changed = (verified == Some(want)).then_some(Drift::Changed);
    match found {
        Found::Absent => put(Over::Nothing, Some(Drift::Removed)),
        Found::File { hash, access_is_right: true, .. } if *hash == Some(want) => FileAction::Rest,
        Found::File { .. } | Found::Unreadable(_) => put(Over::Ours, changed),
        Found::Special(_) => put(Over::Ours, Some(Drift::Replaced)),
        Found::EmptyDirectory => put(Over::EmptyDirectory, Some(Drift::Replaced)),
        Found::Directory => FileAction::Refuse(DiskError::DirectoryInTheWay),
        Found::Unknown(error) => FileAction::Refuse(error.clone()),
    }
}

/// Only a file with the intended or the wanted bytes is ours.
fn hold_unwritten(want: ContentHash, intended: Option<ContentHash>, found: &Found) -> FileAction {
    match found {
        Found::Absent => FileAction::Put { over: Over::Nothing, drift: None },
        Found::File { hash: Some(hash), access_is_right, .. } if *hash == want => {
            FileAction::Claim { rewrite: !access_is_right }
        }
        Found::File { hash: Some(hash), .. } if intended == Some(*hash) => {
            FileAction::Claim { rewrite: true }
        }
        Found::File { .. } => FileAction::Refuse(DiskError::NotOurs("a file")),
        Found::Special(kind) => FileAction::Refuse(DiskError::NotOurs(kind)),
        Found::EmptyDirectory | Found::Directory => FileAction::Refuse(DiskError::DirectoryInTheWay),
        Found::Unreadable(error) | Found::Unknown(error) => FileAction::Refuse(error.clone()),
    }
}

fn gone(claim: Option<Claim>, found: &Found) -> FileAction {
    let Some(claim) = claim else { return FileAction::Rest };
    match (claim, found) {
        (_, Found::Unknown(error)) | (Claim::Intended(_), Found::Unreadable(error)) => {
            FileAction::Refuse(error.clone())
        }
        (Claim::Intended(intended), Found::File { hash, .. }) if *hash == Some(intended) => {
            FileAction::Remove { directory: false }
        }
        (Claim::Written, Found::File { .. } | Found::Special(_) | Found::Unreadable(_)) => {
            FileAction::Remove { directory: false }
        }
        (Claim::Written, Found::EmptyDirectory) => FileAction::Remove { directory: true },
        // Nothing of ours is left: a directory with something in it is somebody's, as is a file that is not what
        // we intended.
        (Claim::Written, Found::Absent | Found::Directory) | (Claim::Intended(_), _) => FileAction::Forget,
    }
}
