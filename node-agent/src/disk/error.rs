//! What can be wrong with a file, in a bounded vocabulary.

use api::ProblemKind;
use rustix::io::Errno;

use super::failure::FailedCall;
use super::ledger::LedgerError;
use super::reason::DiskReason;

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
    /// Something that the agent did not write has the name.
    #[error("{0} that is not the agent's has this name; remove it or rename the profile")]
    NotOurs(&'static str),
    /// A directory has the name, and it is not the agent's to remove.
    #[error("a directory has this name; remove it or rename the profile")]
    DirectoryInTheWay,
    /// The ledger cannot be used, so that it is unknown which files are the agent's.
    #[error(transparent)]
    Ledger(#[from] LedgerError),
    /// Any other failure of the disk.
    #[error("input or output failed: {0}")]
    Io(FailedCall),
}

impl DiskError {
    /// One word for metric labels and reports.
    #[must_use]
    pub fn reason(&self) -> DiskReason {
        match self {
            Self::DiskFull(_) => DiskReason::DiskFull,
            Self::QuotaExceeded(_) => DiskReason::QuotaExceeded,
            Self::ReadOnly(_) => DiskReason::ReadOnly,
            Self::PermissionDenied(_) => DiskReason::PermissionDenied,
            Self::NotOurs(_) => DiskReason::NotOurs,
            Self::DirectoryInTheWay => DiskReason::DirectoryInTheWay,
            Self::Ledger(error) => error.reason(),
            Self::Io(_) => DiskReason::Io,
        }
    }

    /// What kind of problem it is in a report.
    #[must_use]
    pub fn state(&self) -> ProblemKind {
        match self {
            Self::NotOurs(_) | Self::DirectoryInTheWay => ProblemKind::Conflict,
            _ => ProblemKind::Failed,
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
            // Something else took the name between the `stat` and the rename, or turned it into a link.
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
    fn every_errno_has_a_reason_that_says_what_to_do() {
        let reason = |errno| {
            DiskError::from(FailedCall { call: SystemCall::Write, name: "a.json".into(), errno }).reason()
        };
        for (errno, expected) in [
            (Errno::NOSPC, DiskReason::DiskFull),
            (Errno::DQUOT, DiskReason::QuotaExceeded),
            (Errno::ROFS, DiskReason::ReadOnly),
            (Errno::ACCESS, DiskReason::PermissionDenied),
            (Errno::PERM, DiskReason::PermissionDenied),
            (Errno::EXIST, DiskReason::NotOurs),
            (Errno::LOOP, DiskReason::NotOurs),
            (Errno::ISDIR, DiskReason::DirectoryInTheWay),
            (Errno::NOTEMPTY, DiskReason::DirectoryInTheWay),
            (Errno::IO, DiskReason::Io),
            (Errno::MFILE, DiskReason::Io),
        ] {
            assert_eq!(reason(errno), expected, "{errno}");
        }
    }

    #[test]
    fn an_error_names_the_step_and_the_file() {
        let failure =
            FailedCall { call: SystemCall::Create, name: ".a.seccomp-tmp".into(), errno: Errno::NOSPC };
        let text = DiskError::from(failure).to_string();
        assert!(text.starts_with("the disk is full: cannot create .a.seccomp-tmp: No space left"), "{text}");
    }
}
