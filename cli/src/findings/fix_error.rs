//! Why a fix is not applied.

use crate::manifest::DocumentError;

/// Why a fix is not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FixError {
    /// The text cannot be read after it.
    #[error("after it the file cannot be read: {0}")]
    Unreadable(DocumentError),
    /// The text has another profile than the fix gives, as where an anchor is used twice.
    #[error("it would change more than this field")]
    ChangesMore,
    /// The filter is not the same after it.
    #[error("it would change the filter: {0}")]
    OtherFilter(String),
}

impl FixError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable(_) => "FixUnreadable",
            Self::ChangesMore => "FixChangesMore",
            Self::OtherFilter(_) => "FixOtherFilter",
        }
    }
}
