//! Reads the kernel's audit records about refused system calls, finds the container of a process, and counts the calls
//! of each container.
//!
//! An audit *record* is a line of text. A seccomp record (`AUDIT_SECCOMP`) is about one system call that a filter did not
//! simply permit: it names the process, the call's number, and the filter's *action*. Its *serial* is a number that all
//! records of the machine share, and that grows by one from event to event, so that a gap shows records that were *lost*
//! between the kernel and the reader.
//!
//! - [`messages`]: the netlink messages in what a socket received. [`Record::parse`]: the text of a seccomp record.
//! - [`Call`]: a call as the kernel names it, with the names that people use.
//! - [`Serials`]: how many records were lost.
//! - [`container_of`]: the container in the text of `/proc/PID/cgroup`. [`ContainerName::from_log_link`]: the pod and the
//!   container in the name of a link that the kubelet creates. [`started_at`]: when a process started, from
//!   `/proc/PID/stat`.
//! - [`ProcessEvent`]: what the kernel says of processes that start. [`Lineage`]: whose child each is, and in which
//!   container, for records of processes that are gone.
//! - [`Tally`]: the counts, of bounded size whatever happens.
//!
//! The crate is pure: no Kubernetes, no I/O. Times are arguments, in milliseconds since 1970.

#![forbid(unsafe_code)]

mod call;
mod cgroup;
mod lineage;
mod log_link;
mod netlink;
mod process_event;
mod record;
mod serials;
mod stat;
mod tally;

pub use call::{Action, Arch, Call};
pub use cgroup::{ContainerId, Place, container_of};
pub use lineage::{Lineage, PROCESSES_KEPT};
pub use log_link::ContainerName;
pub use netlink::{AUDIT_SECCOMP, Message, messages};
pub use process_event::{ProcessEvent, WantedEvents, answer_to_request, ask_for_process_events};
pub use record::{MAX_PROGRAM, MAX_RECORD, Record, RecordError};
pub use serials::{SERIALS_KEPT, Serials};
pub use stat::{Started, started_at};
pub use tally::{Container, Count, MAX_CALLS, MAX_CALLS_OF_CONTAINER, Tally};
