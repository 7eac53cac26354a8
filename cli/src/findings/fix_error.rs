//! Why a fix is not applied.

use profile::ParseError;

use crate::manifest::DocumentError;

/// Why a fix is not applied.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FixError {
    /// The field or the item cannot be changed in the text, as where it is behind an alias or has a tag.
    #[error("its place in the file cannot be changed, as behind an alias or a tag; change it by hand")]
    NoPlace,
    /// The profile is not valid after it.
    #[error("after it the profile would not be valid: {0}")]
    Invalid(ParseError),
    /// The rule finds the same after it.
    #[error("the rule would still find this")]
    NotMended,
    /// The file has had as many fixes as one run applies.
    #[error("{0} fixes were applied before it; run the command again")]
    TooMany(usize),
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
            Self::NoPlace => "FixNoPlace",
            Self::Invalid(_) => "FixInvalid",
            Self::NotMended => "FixNotMended",
            Self::TooMany(_) => "FixTooMany",
            Self::Unreadable(_) => "FixUnreadable",
            Self::ChangesMore => "FixChangesMore",
            Self::OtherFilter(_) => "FixOtherFilter",
        }
    }
}
