//! The operator: computes each profile's status from the reports of all nodes.
//!
//! Data flows one way. [`watch`] follows profiles, reports, Nodes and Pods and turns each object into plain [`facts`].
//! The [`index`] applies the facts and returns the keys of what must be reconciled; the [`controller`] takes them
//! from its [`queue`]. A reconciliation ([`reconcile`]) gets a decision from the index and carries it out through the
//! [`writer`], bound to the version on which it is based; after a failure or a conflict it waits for its [`cooldowns`].
//! The index, the [`status`] that it computes and the [`notice`]s for Events are pure and synchronous; time is an
//! argument. Before the index decides about a profile, its contents are checked for [`findings`]. Where nodes have
//! observers, the index also counts the calls that filters refused, and the [`outbox`] has those [`denied_call`]s that
//! Events are published about. Of several operators, only the one that has the lease writes. [`metrics`] count what the
//! operator does, by [`labels`] that several files share, [`gauges`] show the state of the cluster, [`watch_lag`]
//! measures how late the watches are. [`shared`] is the state that these tasks share, [`run`] starts them.
//! [`uninstall`] removes the operator's finalizers when it is uninstalled.
//!
//! [`gate`] is another program in the same executable, with an account of its own.

pub mod agent_options;
pub mod controller;
pub mod cooldowns;
pub mod denied_call;
pub mod facts;
pub mod findings;
pub mod gate;
pub mod gauges;
pub mod index;
pub mod labels;
pub mod metrics;
pub mod notice;
pub mod options;
pub mod outbox;
pub mod pod_list;
pub mod queue;
pub mod reconcile;
pub mod run;
pub mod shared;
pub mod status;
pub mod time;
pub mod uninstall;
pub mod unlisted;
pub mod watch;
pub mod watch_lag;
pub mod writer;
