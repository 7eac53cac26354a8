//! `operator gate`: keeps pods from being scheduled until the nodes have the profiles that they need.
//!
//! It is a program of its own in the operator's executable, with a Deployment and an account of its own, and is off by
//! default. An admission policy of the chart puts a scheduling gate on each new pod that names a profile, in namespaces
//! with a label; [`pods`] takes it off. A new node registers with a start-up taint; [`nodes`] takes it off. [`sandboxes`]
//! tells of pods whose runtime may not apply their profiles. Of several gates, the one that has the lease writes.
//! [`options`] has the command line, [`metrics`], [`watch`], [`follow`], [`pod_events`] and [`pod_id`] what the parts have in common,
//! [`run`](self::run()) starts them.

mod follow;
pub mod metrics;
pub mod nodes;
pub mod options;
mod pod_events;
pub mod pod_id;
pub mod pods;
mod run;
pub mod sandboxes;
mod watch;

pub use run::run;
