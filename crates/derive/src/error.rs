//! Why nothing is derived.

/// Why nothing is derived.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DeriveError {
    /// There is no such file, or it cannot be read.
    #[error("{object}: {why}")]
    Unreadable {
        /// The path in the root.
        object: String,
        /// Why.
        why: String,
    },
    /// A library is not there.
    #[error("{needed_by}: needs {object}, which is not in the directories of libraries")]
    Missing {
        /// The name of the library.
        object: String,
        /// The file that needs it.
        needed_by: String,
    },
    /// The file is no ELF file.
    #[error("{object}: no ELF program or library: {why}")]
    NotElf {
        /// The file.
        object: String,
        /// What it is instead.
        why: &'static str,
    },
    /// The program is a script.
    #[error(
        "{object}: a script for {interpreter}, whose needs are those of its whole runtime: derive a profile for {interpreter} instead"
    )]
    Script {
        /// The file.
        object: String,
        /// Its interpreter.
        interpreter: String,
    },
    /// The file is for another architecture.
    #[error("{object}: for {machine}; only programs for x86_64 can be derived yet")]
    Architecture {
        /// The file.
        object: String,
        /// What it is for.
        machine: &'static str,
    },
    /// The file contradicts itself.
    #[error("{object}: malformed: {what} at {offset:#x}")]
    Malformed {
        /// The file.
        object: String,
        /// What is wrong.
        what: &'static str,
        /// Where: an offset in the file or, of tables that the loader reads, an address.
        offset: u64,
    },
    /// The file has more of something than is read.
    #[error("{object}: too large: more than {limit} {what}")]
    TooLarge {
        /// The file, or the program.
        object: String,
        /// What it has too much of.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

impl DeriveError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "Unreadable",
            Self::Missing { .. } => "MissingLibrary",
            Self::NotElf { .. } => "NotElf",
            Self::Script { .. } => "Script",
            Self::Architecture { .. } => "Architecture",
            Self::Malformed { .. } => "Malformed",
            Self::TooLarge { .. } => "TooLarge",
        }
    }
}
