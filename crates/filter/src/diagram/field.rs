//! Comparisons with constants.

use profile::Comparison;

use super::forest::{Bit, Forest, Node, TooComplex};
use crate::Condition;

/// A part of an argument that is compared as a number: a filter loads 32 bits at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Field {
    index: u8,
    lowest: u8,
    width: u8,
}

/// How the masked bits of a field compare with a number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Relation {
    /// They are the same.
    Equal,
    /// The field is greater.
    Greater,
    /// The field is greater, or they are the same.
    GreaterOrEqual,
}

impl Field {
    /// All of argument `index`; `None` if no call has such an argument.
    #[must_use]
    pub fn whole(index: u8) -> Option<Self> {
        (index <= profile::limits::ARGUMENT_INDEX).then_some(Self { index, lowest: 0, width: 64 })
    }

    /// The lower half of this argument.
    #[must_use]
    pub fn low(self) -> Self {
        Self { width: 32, lowest: 0, ..self }
    }

    /// The upper half of this argument.
    #[must_use]
    pub fn high(self) -> Self {
        Self { width: 32, lowest: 32, ..self }
    }
}

impl Forest {
    /// The condition that the bits of `field` in `mask` have this relation to `value`.
    ///
    /// # Errors
    ///
    /// If the forest would exceed its size.
    pub fn field(
        &mut self,
        field: Field,
        mask: u64,
        relation: Relation,
        value: u64,
    ) -> Result<Node, TooComplex> {
        let mut node = Self::always(relation != Relation::Greater);
        // From the least significant bit upwards: a more significant one that differs decides alone.
        for power in 0..field.width {
            let (compared, one) = (mask >> power & 1 == 1, value >> power & 1 == 1);
            let greater = Self::always(relation != Relation::Equal);
            let (clear, set) = if one { (Self::always(false), node) } else { (node, greater) };
            let bit = Bit::new(field.index, field.lowest + power);
            node = if compared { self.node(bit, clear, set)? } else { clear };
        }
        Ok(node)
    }

    /// A condition on all 64 bits of an argument, or on the lower 32 bits alone, which is what libseccomp compares on
    /// 32-bit architectures.
    ///
    /// # Errors
    ///
    /// If the forest would exceed its size.
    pub fn condition(&mut self, condition: Condition, bits: u8) -> Result<Node, TooComplex> {
        let field = Field { index: condition.index(), lowest: 0, width: bits };
        let value = condition.value();
        let (mask, relation, value, truth) = match condition.comparison() {
            Comparison::NotEqual => (u64::MAX, Relation::Equal, value, false),
            Comparison::Less => (u64::MAX, Relation::GreaterOrEqual, value, false),
            Comparison::LessOrEqual => (u64::MAX, Relation::Greater, value, false),
            Comparison::Equal => (u64::MAX, Relation::Equal, value, true),
            Comparison::GreaterOrEqual => (u64::MAX, Relation::GreaterOrEqual, value, true),
            Comparison::Greater => (u64::MAX, Relation::Greater, value, true),
            Comparison::MaskedEqual => (value, Relation::Equal, condition.value_two(), true),
        };
        let compared = self.field(field, mask, relation, value)?;
        self.select(compared, Self::always(truth), Self::always(!truth))
    }
}
