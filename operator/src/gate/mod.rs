//! `operator gate`: keeps pods from being scheduled until the nodes have the profiles that they need.
//!
//! It is a program of its own in the operator's executable, with a Deployment and an account of its own, and is off by
//! default. An admission policy of the chart puts a scheduling gate on each new pod that names a profile, in namespaces
//! with a label; [`pods`] takes it off. A new node registers with a start-up taint; [`nodes`] takes it off. Of several gates, the one that has the lease writes. [`options`] has the command
//! line, [`metrics`] and [`watch`] what the parts have in common, [`run`](self::run()) starts them.

pub mod metrics;
pub mod nodes;
pub mod options;
pub mod pods;
mod run;
mod watch;

pub use run::run;
