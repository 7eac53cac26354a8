//! What the agent and the operator both have around them, and nothing of what they are for.
//!
//! - [`logging`]: log lines as text or JSON.
//! - [`Readiness`]: which parts of a program have yet to start, and which hang.
//! - [`http`]: `/metrics`, `/healthz` and `/readyz`.
//! - [`metrics`]: a registry that starts with `build_info`, and what is measured of the watches.
//! - [`lease`]: which of several processes writes.
//! - [`shutdown_signal`]: the end that Kubernetes asks for.

pub mod http;
pub mod lease;
pub mod logging;
pub mod metrics;
mod readiness;
mod signal;

pub use readiness::{Pulse, Readiness, ReadyHandle};
pub use signal::shutdown_signal;
