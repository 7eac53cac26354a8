//! The nodes of diagrams, and the operations that combine them.

use std::collections::hash_map::Entry;

use crate::hash::{HashMap, HashSet};
use crate::{Arguments, Verdict};

/// A diagram of a [`Forest`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Node(u32);

/// Nodes from here on are leaves: the two truth values, then an index into the verdicts.
const LEAVES: u32 = 1 << 31;

impl Node {
    pub(super) const FALSE: Self = Self(LEAVES);
    pub(super) const TRUE: Self = Self(LEAVES + 1);
    const VERDICTS: u32 = LEAVES + 2;
}

/// The function has no small diagram: it would exceed the size of the forest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "the conditions on a call are too complex to be decided for all arguments; use fewer rules with arguments for it, or \
     fewer arguments in each"
)]
pub struct TooComplex;

/// A bit of the arguments, numbered in the order of the diagrams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Bit(u16);

impl Bit {
    /// The bit of argument `index` with the value 2^`power`.
    pub(super) fn new(index: u8, power: u8) -> Self {
        Self((5 - u16::from(index)) * 64 + (63 - u16::from(power)))
    }

    /// The index of the argument, and the bit as a mask.
    pub(super) fn place(self) -> (usize, u64) {
        (5 - usize::from(self.0 / 64), 1 << (63 - self.0 % 64))
    }
}

/// An inner node: the diagrams that remain if `bit` is 0 or 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Inner {
    pub(super) bit: Bit,
    pub(super) clear: Node,
    pub(super) set: Node,
}

/// Diagrams that share their nodes.
#[derive(Debug, Clone, Default)]
pub struct Forest {
    inner: Vec<Inner>,
    known: HashMap<Inner, Node>,
    verdicts: Vec<Verdict>,
    selected: HashMap<[Node; 3], Node>,
}

impl Forest {
    /// The maximum number of nodes: some 12 MB with the tables. Profiles in use need a few thousand.
    pub const NODES: usize = 1 << 17;

    /// The number of nodes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.inner.len()
    }

    /// The diagram that is this verdict for all arguments.
    pub fn verdict(&mut self, verdict: Verdict) -> Node {
        let index = self.verdicts.iter().position(|known| *known == verdict).unwrap_or_else(|| {
            self.verdicts.push(verdict);
            self.verdicts.len() - 1
        });
        Node(Node::VERDICTS + index as u32)
    }

    /// The diagram that is `yes` where `condition` is true and `no` where it is false.
    ///
    /// # Errors
    ///
    /// If the forest would exceed its size.
    pub fn select(&mut self, condition: Node, yes: Node, no: Node) -> Result<Node, TooComplex> {
        if condition == Node::TRUE || yes == no {
            return Ok(yes);
        }
        if condition == Node::FALSE {
            return Ok(no);
        }
        let key = [condition, yes, no];
        if let Some(known) = self.selected.get(&key) {
            return Ok(*known);
        }
        if self.selected.len() >= 4 * Self::NODES {
            return Err(TooComplex);
        }
        let Some(bit) = key.iter().filter_map(|node| Some(self.inner(*node)?.bit)).min() else {
            return Ok(no);
        };
        let [clear, set] = [false, true].map(|value| key.map(|node| self.restricted(node, bit, value)));
        let clear = self.select(clear[0], clear[1], clear[2])?;
        let set = self.select(set[0], set[1], set[2])?;
        let found = self.node(bit, clear, set)?;
        self.selected.insert(key, found);
        Ok(found)
    }

    /// The condition that both are true.
    ///
    /// # Errors
    ///
    /// If the forest would exceed its size.
    pub fn both(&mut self, one: Node, other: Node) -> Result<Node, TooComplex> {
        self.select(one, other, Node::FALSE)
    }

    /// The diagram whose verdicts are those of two others, combined.
    ///
    /// # Errors
    ///
    /// If the forest would exceed its size.
    pub fn combine(
        &mut self,
        one: Node,
        other: Node,
        combined: impl Fn(Verdict, Verdict) -> Verdict,
    ) -> Result<Node, TooComplex> {
        self.combine_nodes([one, other], &combined, &mut HashMap::default())
    }

    fn combine_nodes(
        &mut self,
        nodes: [Node; 2],
        combined: &impl Fn(Verdict, Verdict) -> Verdict,
        known: &mut HashMap<[Node; 2], Node>,
    ) -> Result<Node, TooComplex> {
        if let Some(known) = known.get(&nodes) {
            return Ok(*known);
        }
        if known.len() >= 4 * Self::NODES {
            return Err(TooComplex);
        }
        let Some(bit) = nodes.iter().filter_map(|node| Some(self.inner(*node)?.bit)).min() else {
            let [Some(first), Some(second)] = nodes.map(|node| self.leaf(node)) else { return Ok(nodes[0]) };
            return Ok(self.verdict(combined(first, second)));
        };
        let [clear, set] = [false, true].map(|value| nodes.map(|node| self.restricted(node, bit, value)));
        let clear = self.combine_nodes(clear, combined, known)?;
        let set = self.combine_nodes(set, combined, known)?;
        let found = self.node(bit, clear, set)?;
        known.insert(nodes, found);
        Ok(found)
    }

    /// The verdicts that a diagram has for some arguments.
    #[must_use]
    pub fn verdicts_of(&self, node: Node) -> Vec<Verdict> {
        let (mut open, mut seen, mut found) = (vec![node], HashSet::default(), Vec::new());
        while let Some(node) = open.pop() {
            if !seen.insert(node) {
                continue;
            }
            match self.inner(node) {
                Some(inner) => open.extend([inner.clear, inner.set]),
                None => found.extend(self.leaf(node)),
            }
        }
        found
    }

    /// The condition that is always true, or never.
    #[must_use]
    pub fn always(truth: bool) -> Node {
        if truth { Node::TRUE } else { Node::FALSE }
    }

    /// The verdict for these arguments; `None` if the diagram is a condition.
    #[must_use]
    pub fn decide(&self, mut node: Node, arguments: &Arguments) -> Option<Verdict> {
        while let Some(inner) = self.inner(node) {
            let (index, mask) = inner.bit.place();
            node = if arguments[index] & mask == 0 { inner.clear } else { inner.set };
        }
        self.leaf(node)
    }

    /// Whether the condition is true of these arguments.
    #[must_use]
    pub fn holds(&self, mut node: Node, arguments: &Arguments) -> bool {
        while let Some(inner) = self.inner(node) {
            let (index, mask) = inner.bit.place();
            node = if arguments[index] & mask == 0 { inner.clear } else { inner.set };
        }
        node == Node::TRUE
    }

    /// The verdict of a leaf.
    pub(super) fn leaf(&self, node: Node) -> Option<Verdict> {
        self.verdicts.get(node.0.checked_sub(Node::VERDICTS)? as usize).copied()
    }

    pub(super) fn inner(&self, node: Node) -> Option<Inner> {
        self.inner.get(node.0 as usize).copied()
    }

    /// What remains of a diagram when `bit`, which comes no later than its first one, has this value.
    fn restricted(&self, node: Node, bit: Bit, value: bool) -> Node {
        match self.inner(node) {
            Some(inner) if inner.bit == bit => {
                if value {
                    inner.set
                } else {
                    inner.clear
                }
            }
            _ => node,
        }
    }

    pub(super) fn node(&mut self, bit: Bit, clear: Node, set: Node) -> Result<Node, TooComplex> {
        if clear == set {
            return Ok(clear);
        }
        let inner = Inner { bit, clear, set };
        match self.known.entry(inner) {
            Entry::Occupied(known) => Ok(*known.get()),
            Entry::Vacant(_) if self.inner.len() >= Self::NODES => Err(TooComplex),
            Entry::Vacant(place) => {
                let node = Node(self.inner.len() as u32);
                self.inner.push(inner);
                Ok(*place.insert(node))
            }
        }
    }
}
