//! What can be wrong with a file, in a bounded vocabulary.

use api::FileState;
use rustix::io::Errno;

use super::failure::FailedCall;
use super::ledger::LedgerError;

/// Why a profile's file is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DiskError {
    /// No space, or no inode, is left.
    #[error("the disk is full: {0}")]
    DiskFull(FailedCall),
    /// The quota of the directory or of the user is used up.
    #[error("the quota is used up: {0}")]
    QuotaExceeded(FailedCall),
    /// The file system is mounted read-only.
    #[error("the file system is read-only: {0}")]
    ReadOnly(FailedCall),
    /// The kernel refused the agent, because of permissions, attributes such as `chattr +i`, or a security module.
    #[error("permission denied: {0}")]
    PermissionDenied(FailedCall),
    /// Something that the agent did not put there has the name.
    #[error("{0} that is not the agent's has this name; remove it or rename the profile")]
    NotOurs(&'static str),
    /// A directory has the name, and it is not the agent's to remove.
    #[error("a directory has this name; remove it or rename the profile")]
    DirectoryInTheWay,
    /// The ledger cannot be used, so that the agent does not know what is its own.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Any other failure of the disk.
    #[error("input or output failed: {0}")]
    Io(FailedCall),
}

impl DiskError {
    /// Every [`Self::reason`].
    pub const REASONS: [&str; 10] = [
        "DiskFull",
        "QuotaExceeded",
        "ReadOnly",
        "PermissionDenied",
        "NotOurs",
        "DirectoryInTheWay",
        "Io",
        "LedgerUnreadable",
        "LedgerFull",
        "LedgerTooNew",
    ];

    /// One word for metric labels and reports.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::DiskFull(_) => "DiskFull",
            Self::QuotaExceeded(_) => "QuotaExceeded",
            Self::ReadOnly(_) => "ReadOnly",
            Self::PermissionDenied(_) => "PermissionDenied",
            Self::NotOurs(_) => "NotOurs",
            Self::DirectoryInTheWay => "DirectoryInTheWay",
            Self::Ledger(error) => error.reason(),
            Self::Io(_) => "Io",
        }
    }

    /// What kind of problem it is in a report.
    #[must_use]
    pub fn state(&self) -> FileState {
        match self {
            Self::NotOurs(_) | Self::DirectoryInTheWay => FileState::Conflict,
            _ => FileState::Failed,
        }
    }
}

impl From<FailedCall> for DiskError {
    fn from(failure: FailedCall) -> Self {
        match failure.errno {
            Errno::NOSPC => Self::DiskFull(failure),
            Errno::DQUOT => Self::QuotaExceeded(failure),
            Errno::ROFS => Self::ReadOnly(failure),
            Errno::ACCESS | Errno::PERM => Self::PermissionDenied(failure),
            // Someone took the name between our look at it and our rename, or turned it into a link.
            Errno::EXIST | Errno::LOOP => Self::NotOurs("something"),
            Errno::ISDIR | Errno::NOTDIR | Errno::NOTEMPTY => Self::DirectoryInTheWay,
            _ => Self::Io(failure),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::disk::SystemCall;

    #[test]
    fn every_errno_has_a_reason_from_the_vocabulary() {
        let reason = |errno| {
            DiskError::from(FailedCall { step: SystemCall::Write, name: "a.json".into(), errno }).reason()
        };
        for (errno, expected) in [
            (Errno::NOSPC, "DiskFull"),
            (Errno::DQUOT, "QuotaExceeded"),
            (Errno::ROFS, "ReadOnly"),
            (Errno::ACCESS, "PermissionDenied"),
            (Errno::PERM, "PermissionDenied"),
            (Errno::EXIST, "NotOurs"),
            (Errno::LOOP, "NotOurs"),
            (Errno::ISDIR, "DirectoryInTheWay"),
            (Errno::NOTEMPTY, "DirectoryInTheWay"),
            (Errno::IO, "Io"),
            (Errno::MFILE, "Io"),
        ] {
            assert_eq!(reason(errno), expected, "{errno}");
            assert!(DiskError::REASONS.contains(&expected), "{expected}");
        }
    }

    #[test]
    fn an_error_names_the_step_and_the_file() {
        let failure =
            FailedCall { step: SystemCall::Create, name: ".a.seccomp-tmp".into(), errno: Errno::NOSPC };
        let text = DiskError::from(failure).to_string();
        assert!(text.starts_with("the disk is full: cannot create .a.seccomp-tmp: No space left"), "{text}");
    }
}
