//! The number of a node, and its name.

use std::fmt;
use std::str::FromStr;

/// A node, by its number from 1 to [`NodeId::MAX`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeId(u8);

/// Text or a number that is not a node's.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no node {0:?}: a node is called node-1 to node-{max}", max = NodeId::MAX)]
pub struct NoSuchNode(pub String);

impl NodeId {
    /// The highest number. Each node's pods have a network of their own, to which every other node has a route.
    pub const MAX: u8 = 32;
    /// The node with the highest number.
    #[cfg(test)]
    pub(crate) const LAST: Self = NodeId(Self::MAX);

    /// The node with this number.
    ///
    /// # Errors
    /// When the number is 0 or above [`NodeId::MAX`].
    pub fn new(number: u8) -> Result<Self, NoSuchNode> {
        match number {
            1..=Self::MAX => Ok(NodeId(number)),
            _ => Err(NoSuchNode(number.to_string())),
        }
    }

    /// Every node that there could be, in order.
    pub fn all() -> impl Iterator<Item = Self> {
        (1..=Self::MAX).map(NodeId)
    }

    pub(crate) fn number(self) -> u8 {
        self.0
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "node-{}", self.0)
    }
}

impl FromStr for NodeId {
    type Err = NoSuchNode;

    fn from_str(name: &str) -> Result<Self, NoSuchNode> {
        let number = name.strip_prefix("node-").and_then(|number| number.parse().ok());
        let id = number.and_then(|number| NodeId::new(number).ok());
        id.filter(|id| id.to_string() == name).ok_or_else(|| NoSuchNode(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_read_back_from_its_name_and_from_no_other() {
        assert!(NodeId::all().all(|id| id.to_string().parse() == Ok(id)));
        for name in ["node-0", "node-33", "node-01", "node-", "node-+1", "1", "node-1 "] {
            assert_eq!(name.parse::<NodeId>(), Err(NoSuchNode(name.into())));
        }
    }
}
