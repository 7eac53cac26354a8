//! Where a profile names a call.

/// Where a rule names the call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mention {
    /// The index of the rule.
    pub rule: usize,
    /// The index of the name in it.
    pub name: usize,
}
