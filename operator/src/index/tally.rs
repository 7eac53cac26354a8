//! The nodes counted by their state for one profile, and the counts kept up to date.

use super::Sign;

/// The state of a node for one profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NodeState {
    /// Its disk holds exactly the bytes.
    Ready,
    /// It does not hold them yet.
    Pending,
    /// Its agent reports that it cannot hold them, although they are a valid profile.
    Failed,
    /// It is new and has not reported yet.
    Joining,
    /// Its Ready condition is not True.
    Unreachable,
}

/// The nodes that should hold a profile, counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// Nodes in [`NodeState::Ready`].
    pub ready: u32,
    /// Nodes in [`NodeState::Pending`].
    pub pending: u32,
    /// Nodes in [`NodeState::Failed`].
    pub failed: u32,
    /// Nodes in [`NodeState::Joining`].
    pub joining: u32,
    /// Nodes in [`NodeState::Unreachable`].
    pub unreachable: u32,
    /// Reachable nodes whose disk holds a file of the profile, whatever its bytes: a deletion waits for them.
    pub holding: u32,
}

/// What one node adds to one profile's tally, and the profile to the node's count of missing profiles.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Contribution {
    /// `None` where the node should not hold profiles.
    pub(super) state: Option<NodeState>,
    /// Whether a deletion waits for the node.
    pub(super) holding: bool,
    /// Whether the node should have the profile, and has not reported its bytes.
    pub(super) lacking: bool,
}

impl Tally {
    /// Nodes that should hold the profile.
    #[must_use]
    pub fn desired(&self) -> u32 {
        self.ready + self.pending + self.failed + self.joining + self.unreachable
    }

    /// Whether every node has it, but for joining and unreachable ones.
    pub(super) fn is_ready(&self) -> bool {
        self.ready > 0 && self.pending == 0 && self.failed == 0
    }

    pub(super) fn add(&mut self, contribution: Contribution, sign: Sign) {
        let apply = |count: &mut u32| match sign {
            Sign::Plus => *count += 1,
            Sign::Minus => *count -= 1,
        };
        match contribution.state {
            Some(NodeState::Ready) => apply(&mut self.ready),
            Some(NodeState::Pending) => apply(&mut self.pending),
            Some(NodeState::Failed) => apply(&mut self.failed),
            Some(NodeState::Joining) => apply(&mut self.joining),
            Some(NodeState::Unreachable) => apply(&mut self.unreachable),
            None => {}
        }
        if contribution.holding {
            apply(&mut self.holding);
        }
    }
}
