//! Arguments of which only a part is known.

use std::collections::BTreeSet;

use super::forest::{Forest, Node, TooComplex};
use crate::Arguments;
use crate::hash::{HashMap, HashSet};

/// What is known of a call's arguments: some of their bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Partial {
    values: Arguments,
    known: Arguments,
}

impl Partial {
    /// Nothing is known.
    pub const UNKNOWN: Self = Self { values: [0; 6], known: [0; 6] };

    /// The same, and those bits of argument `index` that are set in `known` are those of `value`. A call has no other
    /// arguments than 0 to 5, so that another index changes nothing.
    #[must_use]
    pub fn with(mut self, index: u8, value: u64, known: u64) -> Self {
        let index = usize::from(index);
        if let (Some(old), Some(mask)) = (self.values.get_mut(index), self.known.get_mut(index)) {
            *old = (*old & !known) | (value & known);
            *mask |= known;
        }
        self
    }

    /// The arguments, if every bit of them is known.
    #[must_use]
    pub fn exact(&self) -> Option<Arguments> {
        (self.known == [u64::MAX; 6]).then_some(self.values)
    }

    /// Whether every bit of argument `index` is known.
    #[must_use]
    pub fn is_known(&self, index: u8) -> bool {
        self.known.get(usize::from(index)) == Some(&u64::MAX)
    }
}

impl From<Arguments> for Partial {
    fn from(values: Arguments) -> Self {
        Self { values, known: [u64::MAX; 6] }
    }
}

impl Forest {
    /// What remains of a diagram when something is known of the arguments.
    ///
    /// # Errors
    ///
    /// If the forest would exceed its size.
    pub fn restrict(&mut self, node: Node, partial: &Partial) -> Result<Node, TooComplex> {
        self.restrict_node(node, partial, &mut HashMap::default())
    }

    fn restrict_node(
        &mut self,
        node: Node,
        partial: &Partial,
        done: &mut HashMap<Node, Node>,
    ) -> Result<Node, TooComplex> {
        let Some(inner) = self.inner(node) else { return Ok(node) };
        if let Some(done) = done.get(&node) {
            return Ok(*done);
        }
        let (index, mask) = inner.bit.place();
        let found = if partial.known[index] & mask == 0 {
            let clear = self.restrict_node(inner.clear, partial, done)?;
            let set = self.restrict_node(inner.set, partial, done)?;
            self.node(inner.bit, clear, set)?
        } else if partial.values[index] & mask == 0 {
            self.restrict_node(inner.clear, partial, done)?
        } else {
            self.restrict_node(inner.set, partial, done)?
        };
        done.insert(node, found);
        Ok(found)
    }

    /// The indexes of the arguments on which a diagram depends.
    #[must_use]
    pub fn arguments_of(&self, node: Node) -> Vec<u8> {
        let (mut open, mut seen, mut found) = (vec![node], HashSet::default(), BTreeSet::new());
        while let Some(node) = open.pop() {
            if let Some(inner) = self.inner(node)
                && seen.insert(node)
            {
                found.insert(inner.bit.place().0 as u8);
                open.extend([inner.clear, inner.set]);
            }
        }
        found.into_iter().collect()
    }
}
