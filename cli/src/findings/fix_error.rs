//! Why the fixes of a file are not applied.

use crate::manifest::DocumentError;

/// Why the fixes of a file are not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FixError {
    /// The text cannot be read after a fix.
    #[error("after the fix of {rule} it cannot be read: {error}")]
    Unreadable {
        /// The rule.
        rule: &'static str,
        /// Why.
        error: DocumentError,
    },
    /// The text has another profile than the fix gives, as where an anchor is used twice.
    #[error("the fix of {0} would change more than {path}", path = .1)]
    ChangesMore(&'static str, String),
    /// A filter is not the same after the safe fixes.
    #[error("the safe fixes would change the filter: {0}")]
    OtherFilter(String),
}

impl FixError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unreadable { .. } => "FixUnreadable",
            Self::ChangesMore(..) => "FixChangesMore",
            Self::OtherFilter(_) => "FixOtherFilter",
        }
    }
}
