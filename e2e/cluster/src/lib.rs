//! A real Kubernetes cluster on one Linux machine: the programs that production runs, no container engine, no virtual
//! machines.
//!
//! [`Cluster`] is the whole of it, [`Node`] one machine of it. The control plane runs on the host behind
//! a bridge (`control_plane`), each node in namespaces of its own (`node`, `node_config`, `network`),
//! all below cgroups of ours (`cgroup`), with certificates from `pki`. `process` starts and ends
//! daemons, `client` runs kubectl and helm, `record` and `teardown` leave the machine as it was, `layout`
//! has every path and `instance` every name and address that the kernel knows. A machine runs two clusters side by side
//! at most, each for one process at a time (`lock`).
//!
//! [`doctor`] lists what the machine lacks. [`TargetCluster`] is a cluster that can be used, whoever runs it: this one,
//! one of kind's ([`KindCluster`]) or an external one. [`wait`] polls conditions with a limit. The crate `xtask` makes
//! the programs and the images.

mod cgroup;
mod client;
mod cluster;
mod control_plane;
pub mod doctor;
mod error;
mod instance;
mod kind;
mod layout;
mod lock;
mod network;
mod node;
mod node_config;
mod node_id;
mod pki;
mod process;
mod record;
mod target_cluster;
mod teardown;
pub mod wait;

pub use cgroup::CgroupError;
pub use client::{Client, NAMESPACE};
pub use cluster::{Cluster, Options};
pub use control_plane::Component;
pub use error::ClusterError;
pub use instance::{Instance, NoSuchInstance};
pub use kind::KindCluster;
pub use layout::Layout;
pub use lock::LockError;
pub use node::{Node, NodeDaemon, SmallDisk};
pub use node_id::{NoSuchNode, NodeId};
pub use pki::PkiError;
pub use process::ProcessError;
pub use target_cluster::TargetCluster;
