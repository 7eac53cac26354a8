//! Why something on the disk did not succeed, in a bounded vocabulary.

/// One word for metric labels and reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DiskReason {
    /// No space, or no inode, is left.
    DiskFull,
    /// The quota of the directory or of the user is used up.
    QuotaExceeded,
    /// The file system is mounted read-only.
    ReadOnly,
    /// The kernel refused the agent.
    PermissionDenied,
    /// Something that the agent did not put there has the name.
    NotOurs,
    /// A directory has the name.
    DirectoryInTheWay,
    /// Any other failure of the disk.
    Io,
    /// The ledger cannot be read.
    LedgerUnreadable,
    /// The ledger has no room for another name.
    LedgerFull,
    /// A newer agent wrote the ledger.
    LedgerTooNew,
}

impl DiskReason {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::DiskFull,
        Self::QuotaExceeded,
        Self::ReadOnly,
        Self::PermissionDenied,
        Self::NotOurs,
        Self::DirectoryInTheWay,
        Self::Io,
        Self::LedgerUnreadable,
        Self::LedgerFull,
        Self::LedgerTooNew,
    ];

    /// The word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DiskFull => "DiskFull",
            Self::QuotaExceeded => "QuotaExceeded",
            Self::ReadOnly => "ReadOnly",
            Self::PermissionDenied => "PermissionDenied",
            Self::NotOurs => "NotOurs",
            Self::DirectoryInTheWay => "DirectoryInTheWay",
            Self::Io => "Io",
            Self::LedgerUnreadable => "LedgerUnreadable",
            Self::LedgerFull => "LedgerFull",
            Self::LedgerTooNew => "LedgerTooNew",
        }
    }
}
