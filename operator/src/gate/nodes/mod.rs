//! The start-up taint and the condition `ProfilesReady` of Nodes.
//!
//! A node that joins the cluster has the taint from its registration on, and no pod is scheduled there that does not
//! tolerate it. The gate takes the taint off when the node's report contains every accepted profile that is meant for the
//! node and is not being deleted. It never puts a taint on: a right that an attacker could use against every node.
//!
//! What is known is plain, synchronous state, the [`cluster`]: [`judgement`] judges what the index knows of a node
//! ([`NodeStanding`](crate::index::NodeStanding)), and [`decision`] compares the judgement with the Node
//! ([`startup_node`]); the result is one write at most, and [`notice`]s for Events.

pub mod cluster;
pub mod decision;
pub mod judgement;
pub mod notice;
pub mod startup_node;
pub mod taint_key;
