//! Infrastructure that the agent and the operator share.
//!
//! - [`logging`]: log lines as text or JSON.
//! - [`Readiness`]: which parts of a program have yet to start, and which hang.
//! - [`http`]: `/metrics`, `/healthz` and `/readyz`.
//! - [`metrics`]: a registry that starts with `build_info`, and the metrics of the watches.
//! - [`lease`]: elects the process that writes.
//! - [`shutdown_signal`]: waits for the signal to stop.

pub mod http;
pub mod lease;
pub mod logging;
pub mod metrics;
mod readiness;
mod signal;

pub use readiness::{Changeable, Pulse, Readiness, ReadyHandle};
pub use signal::shutdown_signal;
