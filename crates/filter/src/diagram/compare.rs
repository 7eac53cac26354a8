//! Two diagrams side by side.

use super::forest::{Forest, Node, TooComplex};
use crate::hash::HashSet;
use crate::{Arguments, Verdict};

/// One value of all arguments, and both verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pair {
    /// The arguments.
    pub arguments: Arguments,
    /// The verdict of the first diagram.
    pub first: Verdict,
    /// The verdict of the second.
    pub second: Verdict,
}

/// The arguments, if there are any, for which the two verdicts are in the relation `sought`. Bits that do not matter
/// are 0.
///
/// # Errors
///
/// If the two diagrams are so different that they cannot be compared within the maximum size of a forest.
pub fn difference(
    first: (&Forest, Node),
    second: (&Forest, Node),
    sought: impl Fn(Verdict, Verdict) -> bool,
) -> Result<Option<Pair>, TooComplex> {
    let mut search =
        Search { forests: [first.0, second.0], sought, without: HashSet::default(), arguments: [0; 6] };
    Ok(search.find([first.1, second.1])?.map(|[first, second]| Pair {
        arguments: search.arguments,
        first,
        second,
    }))
}

struct Search<'a, S> {
    forests: [&'a Forest; 2],
    sought: S,
    /// Pairs of nodes in which nothing was found.
    without: HashSet<[Node; 2]>,
    arguments: Arguments,
}

impl<S: Fn(Verdict, Verdict) -> bool> Search<'_, S> {
    fn find(&mut self, nodes: [Node; 2]) -> Result<Option<[Verdict; 2]>, TooComplex> {
        let inner = [0, 1].map(|side| self.forests[side].inner(nodes[side]));
        let Some(bit) = inner.iter().flatten().map(|inner| inner.bit).min() else {
            let [Some(first), Some(second)] = [0, 1].map(|side| self.forests[side].leaf(nodes[side])) else {
                return Ok(None);
            };
            return Ok((self.sought)(first, second).then_some([first, second]));
        };
        if self.without.contains(&nodes) {
            return Ok(None);
        }
        if self.without.len() >= 4 * Forest::NODES {
            return Err(TooComplex);
        }
        let (index, mask) = bit.place();
        for set in [false, true] {
            let next = [0, 1].map(|side| match inner[side] {
                Some(inner) if inner.bit == bit => {
                    if set {
                        inner.set
                    } else {
                        inner.clear
                    }
                }
                _ => nodes[side],
            });
            if set {
                self.arguments[index] |= mask;
            }
            if let Some(found) = self.find(next)? {
                return Ok(Some(found));
            }
        }
        self.arguments[index] &= !mask;
        self.without.insert(nodes);
        Ok(None)
    }
}
