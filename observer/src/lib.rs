//! The observer on one node: it reads the kernel's audit records about system calls that seccomp filters refused or
//! logged, counts them by container and call, and reports the counts. It writes nothing to the API server but the
//! SeccompObservation of its own node.
//!
//! What a record says and how it is counted within fixed bounds is in the crate `audit`. Here:
//! - [`audit_socket`]: the kernel's multicast group, and why an observer may be blind.
//! - [`process`]: the container of a process, from the node's `/proc`.
//! - [`process_events`]: the kernel's news of processes that start, and why there may be none.
//! - [`callers`]: who made a call, from both.
//! - [`log_links`]: the names of containers, from the links in the kubelet's `/var/log/containers`.
//! - [`observation`]: the state that records change, and the thread that reads them.
//! - [`report`]: that state as the custom resource has it, and back.
//! - [`reporter`]: reads the earlier report, and writes the next one.
//! - [`run()`]: puts the parts together, and sets the pace: a report at most every 30 s, and none without news, but for the
//!   first after a start, which does not wait, and the last before the end.

pub mod audit_socket;
pub mod callers;
pub mod log_links;
pub mod metrics;
pub mod observation;
pub mod options;
pub mod process;
pub mod process_events;
pub mod report;
pub mod reporter;
mod run;

pub use run::{Fatal, run};
