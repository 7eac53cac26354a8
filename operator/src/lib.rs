//! The cluster's side: from the nodes' reports to a judgement of each profile.
//!
//! News flows one way. [`watch`] follows profiles, reports, Nodes and Pods and turns each object into plain
//! [`facts`]. The [`index`] takes the facts in and gives out the keys of what is to be reconciled; the [`controller`]
//! works them off, one after the other, from its [`queue`]. A reconciliation ([`reconcile`]) asks the index for a verdict and has
//! the [`writer`] carry it out, bound to the version that was judged; what fails, or is called outdated, waits for its
//! [`cooldowns`]. The index, the [`status`] it wants and the [`notice`]s
//! worth an Event are pure and synchronous; time is an argument. Of several operators the one that holds the lease
//! writes. [`metrics`] count what it does, by [`labels`] that more than one file names, [`gauges`] tell of the cluster, [`watch_lag`] measures how late the watches are.
//! [`run`] wires it all. What a cluster is left with when the operator goes for good is up to [`uninstall`].

pub mod cluster;
pub mod controller;
pub mod cooldowns;
pub mod facts;
pub mod gauges;
pub mod index;
pub mod labels;
pub mod metrics;
pub mod notice;
pub mod options;
pub mod pod_list;
pub mod queue;
pub mod reconcile;
pub mod run;
pub mod selection;
pub mod status;
pub mod uninstall;
pub mod watch;
pub mod watch_lag;
pub mod writer;
