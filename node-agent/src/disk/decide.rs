//! What to do about one name: a pure function of what is expected there, the ledger's claim and what is there.

use profile::ContentHash;

use super::error::DiskError;
use super::found::Found;
use super::ledger::{Claim, LedgerError};

/// What the agent expects to find under a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Expected {
    /// A file with these bytes.
    File(ContentHash),
    /// Whatever is there: no file can be made of the profile, or it is not yet known whether there is one.
    Anything,
    /// No file of the agent's.
    Nothing,
}

/// Whether a name is the agent's, as far as the ledger shows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ownership<'a> {
    /// The ledger can be used; the name's claim, if it has one.
    Known(Option<Claim>),
    /// The ledger cannot be used: nothing may be written or removed.
    Unknown(&'a LedgerError),
}

/// What a new file takes the place of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaces {
    /// Nothing. If something appears there meanwhile, it stays.
    Nothing,
    /// A file of the agent's, or what took its place.
    OwnFile,
    /// An empty directory that took the place of a file of the agent's.
    EmptyDirectory,
}

/// How a file of the agent's had drifted.
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
    Nothing,
    /// The ledger gets a claim of the file that is there; then, if `rewrite`, the file is written again.
    Adopt {
        /// Whether its bytes, permissions or owner are not as they should be.
        rewrite: bool,
    },
    /// The intent goes into the ledger unless the name is claimed as written; then the file is written.
    Write {
        /// What the file takes the place of.
        replaces: Replaces,
        /// How a file that was as it should be has changed, if that is why.
        drift: Option<Drift>,
    },
    /// The agent's file is removed; then its claim.
    Remove {
        /// Whether an empty directory has taken the place of the file.
        directory: bool,
    },
    /// The claim is removed; no file of the agent is there.
    Forget,
    /// Nothing can be done now, for this reason.
    Fail(DiskError),
}

/// What to do about a name.
///
/// `verified` is the hash that was last found to be as it should be under this name: a file that differs from it has
/// drifted, while one that differs from a new `expected` is merely old.
#[must_use]
pub fn decide(
    expected: Expected,
    owner: Ownership<'_>,
    found: &Found,
    verified: Option<ContentHash>,
) -> FileAction {
    match (expected, owner) {
        (Expected::Anything, _) => FileAction::Nothing,
        (Expected::File(wanted), Ownership::Known(claim)) => file_expected(wanted, claim, found, verified),
        (Expected::File(wanted), Ownership::Unknown(error)) => match found {
            Found::File { hash, .. } if *hash == Some(wanted) => FileAction::Nothing,
            _ => FileAction::Fail(error.clone().into()),
        },
        (Expected::Nothing, Ownership::Known(claim)) => nothing_expected(claim, found),
        (Expected::Nothing, Ownership::Unknown(error)) => match found {
            Found::Absent => FileAction::Nothing,
            _ => FileAction::Fail(error.clone().into()),
        },
    }
}

fn file_expected(
    wanted: ContentHash,
    claim: Option<Claim>,
    found: &Found,
    verified: Option<ContentHash>,
) -> FileAction {
    match claim {
        Some(Claim::Written) => file_of_the_agent(wanted, found, verified),
        Some(Claim::Intended(intended)) => file_of_unknown_owner(wanted, Some(intended), found),
        None => file_of_unknown_owner(wanted, None, found),
    }
}

/// The name is claimed as written: whatever is there has taken the place of the agent's file.
fn file_of_the_agent(wanted: ContentHash, found: &Found, verified: Option<ContentHash>) -> FileAction {
    let write = |replaces, drift| FileAction::Write { replaces, drift };
    let changed = (verified == Some(wanted)).then_some(Drift::Changed);
    match found {
        Found::Absent => write(Replaces::Nothing, Some(Drift::Removed)),
        Found::File { hash, access_is_right: true, .. } if *hash == Some(wanted) => FileAction::Nothing,
        Found::File { .. } | Found::Unreadable(_) => write(Replaces::OwnFile, changed),
        Found::Special(_) => write(Replaces::OwnFile, Some(Drift::Replaced)),
        Found::EmptyDirectory => write(Replaces::EmptyDirectory, Some(Drift::Replaced)),
        Found::Directory => FileAction::Fail(DiskError::DirectoryInTheWay),
        Found::Unknown(error) => FileAction::Fail(error.clone()),
    }
}

/// Only a file with the intended or the wanted bytes is the agent's.
fn file_of_unknown_owner(wanted: ContentHash, intended: Option<ContentHash>, found: &Found) -> FileAction {
    match found {
        Found::Absent => FileAction::Write { replaces: Replaces::Nothing, drift: None },
        Found::File { hash: Some(hash), access_is_right, .. } if *hash == wanted => {
            FileAction::Adopt { rewrite: !access_is_right }
        }
        Found::File { hash: Some(hash), .. } if intended == Some(*hash) => {
            FileAction::Adopt { rewrite: true }
        }
        Found::File { .. } => FileAction::Fail(DiskError::NotOurs("a file")),
        Found::Special(kind) => FileAction::Fail(DiskError::NotOurs(kind)),
        Found::EmptyDirectory | Found::Directory => FileAction::Fail(DiskError::DirectoryInTheWay),
        Found::Unreadable(error) | Found::Unknown(error) => FileAction::Fail(error.clone()),
    }
}

fn nothing_expected(claim: Option<Claim>, found: &Found) -> FileAction {
    let Some(claim) = claim else { return FileAction::Nothing };
    match (claim, found) {
        (_, Found::Unknown(error)) | (Claim::Intended(_), Found::Unreadable(error)) => {
            FileAction::Fail(error.clone())
        }
        (Claim::Intended(intended), Found::File { hash, .. }) if *hash == Some(intended) => {
            FileAction::Remove { directory: false }
        }
        (Claim::Written, Found::File { .. } | Found::Special(_) | Found::Unreadable(_)) => {
            FileAction::Remove { directory: false }
        }
        (Claim::Written, Found::EmptyDirectory) => FileAction::Remove { directory: true },
        // Nothing of the agent's is left: a directory that is not empty belongs to somebody else, as does a file
        // with other bytes than the intended ones.
        (Claim::Written, Found::Absent | Found::Directory) | (Claim::Intended(_), _) => FileAction::Forget,
    }
}
