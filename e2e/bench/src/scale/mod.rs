//! Many nodes on one API server: the cost of each phase of the profiles' life, beside the least possible cost.
//!
//! [`Testbed`] holds an API server and etcd that sync to the disk, the agents of N nodes (their own code, each with a
//! connection, an identity and a directory in memory of its own) and a real operator process. A [`Phase`] is a change
//! of it: a rollout, an update, a restart. [`meter`] measures each phase, from the audit log, the agents' connections
//! and `/proc`. In [`rollout_floor`] bare watchers replace the agents and do the minimum of a rollout, in the same run;
//! in [`separate_cpus`] they replace most agents, beside the real operator. [`result`] holds the figures,
//! [`table`] and [`plot`] print them, [`bars`] compares them with the design's bars, and [`run`] runs all of it in
//! order.

mod bare_watchers;
mod bars;
mod meter;
mod observed;
mod phases;
mod plot;
mod proc;
pub mod result;
mod rollout_floor;
mod run;
mod separate_cpus;
mod svg;
mod table;
mod testbed;

pub use phases::Phase;
pub use rollout_floor::Plan;
pub use run::{Beside, Options, Sweep, beside, measure, sweep, ways};
pub use testbed::{Size, Testbed};
