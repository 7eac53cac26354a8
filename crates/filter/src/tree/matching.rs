//! How far a new rule and the tree are the same.

/// What a comparison of a new rule with the tree has found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
#[expect(clippy::struct_excessive_bools, reason = "each is found separately")]
pub(super) struct Match {
    /// The tests are the same so far.
    pub(super) same: bool,
    /// They were at some test above.
    pub(super) begun: bool,
    /// A test was reached below which the tree, or the rule, has none.
    pub(super) tree_ends: bool,
    pub(super) rule_ends: bool,
    /// The tree, or the rule, has tests of later arguments above the first that is the same.
    pub(super) tree_begins_above: bool,
    pub(super) rule_begins_above: bool,
}

impl Match {
    /// Whether the tree has a rule with some of the conditions of the new one and no other.
    pub(super) fn is_superfluous(self) -> bool {
        self.same && self.tree_ends && self.rule_begins_above
    }

    pub(super) fn join(&mut self, other: Self) {
        self.same |= other.same;
        self.begun |= other.begun;
        self.tree_ends |= other.tree_ends;
        self.rule_ends |= other.rule_ends;
        self.tree_begins_above |= other.tree_begins_above;
        self.rule_begins_above |= other.rule_begins_above;
    }
}
