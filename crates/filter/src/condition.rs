//! Conditions on the arguments of a call.

use std::fmt;

use profile::{Argument, Comparison};

/// The six arguments of a call, as the kernel shows them to a filter: registers of 64 bits. A 32-bit program fills only
/// the lower halves.
pub type Arguments = [u64; 6];

/// One comparison of one argument with a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Condition {
    index: u8,
    comparison: Comparison,
    value: u64,
    value_two: u64,
}

impl Condition {
    /// The condition that argument `index` compares with `value` as `comparison` says; for
    /// [`Comparison::MaskedEqual`], that the bits of the argument in the mask `value` are those of `value_two`. `None`
    /// if no call has such an argument.
    ///
    /// Bits of `value_two` outside the mask have no effect in libseccomp, and neither has `value_two` for other
    /// comparisons, so conditions which only differ in them are equal.
    #[must_use]
    pub fn new(index: u8, comparison: Comparison, value: u64, value_two: u64) -> Option<Self> {
        let value_two = if comparison == Comparison::MaskedEqual { value & value_two } else { 0 };
        (index <= profile::limits::ARGUMENT_INDEX).then_some(Self { index, comparison, value, value_two })
    }

    /// The index of the argument, from 0 to 5.
    #[must_use]
    pub fn index(self) -> u8 {
        self.index
    }

    /// The comparison.
    #[must_use]
    pub fn comparison(self) -> Comparison {
        self.comparison
    }

    /// The value compared with, or the mask.
    #[must_use]
    pub fn value(self) -> u64 {
        self.value
    }

    /// What the masked argument must equal; 0 for other comparisons.
    #[must_use]
    pub fn value_two(self) -> u64 {
        self.value_two
    }

    /// The condition as libseccomp compiles it for an architecture whose arguments have 32 bits
    /// ([`compares_lower_halves`](crate::compares_lower_halves)): it drops the upper halves of the values.
    #[must_use]
    pub fn lower_half(self) -> Self {
        let lower = |value: u64| value & u64::from(u32::MAX);
        Self { value: lower(self.value), value_two: lower(self.value_two), ..self }
    }

    /// The condition that is true where this one is not; `None` if one comparison cannot say it.
    #[must_use]
    pub fn opposite(self) -> Option<Self> {
        let (comparison, value_two) = match self.comparison {
            Comparison::NotEqual => (Comparison::Equal, 0),
            Comparison::Equal => (Comparison::NotEqual, 0),
            Comparison::Less => (Comparison::GreaterOrEqual, 0),
            Comparison::GreaterOrEqual => (Comparison::Less, 0),
            Comparison::LessOrEqual => (Comparison::Greater, 0),
            Comparison::Greater => (Comparison::LessOrEqual, 0),
            // Of one bit there are two values.
            Comparison::MaskedEqual if self.value.is_power_of_two() => {
                (Comparison::MaskedEqual, self.value ^ self.value_two)
            }
            Comparison::MaskedEqual => return None,
        };
        Some(Self { comparison, value_two, ..self })
    }

    /// Whether it is true of these arguments.
    #[must_use]
    pub fn holds(self, arguments: &Arguments) -> bool {
        let (argument, value) = (arguments[usize::from(self.index)], self.value);
        match self.comparison {
            Comparison::NotEqual => argument != value,
            Comparison::Less => argument < value,
            Comparison::LessOrEqual => argument <= value,
            Comparison::Equal => argument == value,
            Comparison::GreaterOrEqual => argument >= value,
            Comparison::Greater => argument > value,
            Comparison::MaskedEqual => argument & value == self.value_two,
        }
    }
}

impl fmt::Display for Condition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.comparison.write(f, self.index, self.value, self.value_two)
    }
}

impl From<&Argument> for Condition {
    fn from(argument: &Argument) -> Self {
        let value_two = match argument.comparison() {
            Comparison::MaskedEqual => argument.value() & argument.value_two(),
            _ => 0,
        };
        Self {
            index: argument.index(),
            comparison: argument.comparison(),
            value: argument.value(),
            value_two,
        }
    }
}
