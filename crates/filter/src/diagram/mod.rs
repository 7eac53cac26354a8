//! Functions of all values of a call's arguments, represented exactly.
//!
//! A *diagram* is a function of the six 64-bit arguments of a call: an acyclic graph in which every inner node tests one
//! bit and every leaf is a result. On every path the bits come in one fixed order: the last argument first, and in an
//! argument the most significant bit first. Equal nodes exist only once in a [`Forest`], so two diagrams in it are the
//! same function exactly if they are the same [`Node`]. (These are reduced ordered binary decision diagrams; R. Bryant,
//! "Graph-Based Algorithms for Boolean Function Manipulation", 1986.)
//!
//! The order is chosen for filters: libseccomp compares the last argument first, and a comparison with a constant, with
//! or without a mask, needs at most one node a bit. Nevertheless some functions have no small diagram in any order, so
//! a forest has a maximum size, and every operation that adds nodes may fail with [`TooComplex`].
//!
//! - [`Forest::field`] and [`Forest::condition`] make diagrams whose leaves are *true* and *false*.
//! - [`Forest::verdict`] and [`Forest::select`] make diagrams whose leaves are verdicts.
//! - [`Forest::decide`] evaluates one; [`difference`] compares two, also from different forests.
//! - [`Forest::restrict`] is what remains of a diagram when a part of the arguments is known ([`Partial`]).

mod compare;
mod field;
mod forest;
mod partial;

pub use compare::{Pair, difference};
pub use field::{Field, Relation};
pub use forest::{Forest, Node, TooComplex};
pub use partial::Partial;
