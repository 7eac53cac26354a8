//! Many nodes on one API server: the cost of each phase of the profiles' life, beside the least possible cost.
//!
//! [`Testbed`] holds an API server and etcd that sync to the disk, the agents of N nodes (their own code, each with a
//! connection, an identity and a directory in memory of its own) and a real operator process. A [`Phase`] is a
//! happens to it: a rollout, an update, a restart. [`meter`] says what each took, from the audit log, the agents'
//! connections and `/proc`. [`rollout_floor`] has bare watchers in the agents' place do the least that a rollout asks of the
//! API server, in the same run, and [`separate_processors`] has most of them stand in for agents beside the real operator.
//! [`result`] holds the figures, [`table`] and [`plot`] show them, [`bars`] judges them, and [`run`] does one after the
//! other.

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
mod separate_processors;
mod svg;
mod table;
mod testbed;

pub use phases::Phase;
pub use rollout_floor::Plan;
pub use run::{Beside, Options, Sweep, beside, measure, sweep, ways};
pub use testbed::{Size, Testbed};
