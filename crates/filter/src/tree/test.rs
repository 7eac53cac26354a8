//! One test, and its place in a list.

use std::cmp::Ordering;

use crate::Verdict;
use crate::diagram::Relation;

/// The index of a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Id(pub(super) u32);

/// A comparison of one half of an argument with a number.
#[derive(Debug, Clone)]
pub(super) struct Test {
    pub(super) compared: Compared,
    /// The condition that it belongs to, which only matters for the place in a list.
    pub(super) kind: Kind,
    /// The number that the whole condition compares with.
    pub(super) whole: u64,
    pub(super) on: [Exit; 2],
    /// The neighbours in the list.
    pub(super) before: Option<Id>,
    pub(super) after: Option<Id>,
    /// How many links lead here. libseccomp frees a test when the last one goes.
    pub(super) links: u32,
    pub(super) freed: bool,
}

/// What a test compares: two tests that compare the same are merged.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Compared {
    pub(super) index: u8,
    pub(super) upper: bool,
    pub(super) relation: Relation,
    /// Whether the condition has a mask of its own. Otherwise the mask has all bits.
    pub(super) masked: bool,
    pub(super) mask: u32,
    pub(super) value: u32,
}

/// The kind of a condition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Kind {
    /// Greater, or greater or equal.
    LowerBound,
    /// Less, or less or equal.
    UpperBound,
    /// Equal, not equal, equal under a mask.
    Equality,
}

/// Where a call goes from a test.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Exit {
    /// To the next test of the list.
    Fall,
    /// Out of the filter.
    Return(Verdict),
    /// To the list that this test belongs to.
    Enter(Id),
}

/// The exit of a test that is true.
pub(super) const TRUE: usize = 0;
/// The exit of a test that is false.
pub(super) const FALSE: usize = 1;
/// Both, in the order in which libseccomp handles them.
pub(super) const BOTH: [usize; 2] = [TRUE, FALSE];

impl Exit {
    pub(super) fn verdict(self) -> Option<Verdict> {
        if let Self::Return(verdict) = self { Some(verdict) } else { None }
    }

    pub(super) fn entered(self) -> Option<Id> {
        if let Self::Enter(id) = self { Some(id) } else { None }
    }
}

impl Test {
    /// Whether no list is below.
    pub(super) fn is_last(&self) -> bool {
        self.on.iter().all(|exit| exit.entered().is_none())
    }

    /// Whether a list has this test after `other`.
    pub(super) fn comes_after(&self, other: &Self) -> bool {
        self.rank(other) == Ordering::Less
    }

    /// The higher test comes first.
    fn rank(&self, other: &Self) -> Ordering {
        let place = |test: &Self| (test.compared.index, test.compared.upper, test.kind);
        place(self).cmp(&place(other)).then_with(|| {
            let values = self.compared.value.cmp(&other.compared.value);
            // The tighter bound comes first. Among equalities, the greater number does.
            if self.kind == Kind::UpperBound { values.reverse() } else { values }
        })
    }
}
