//! What the agent and the operator both have around them, and nothing of what they are for.
//!
//! - [`logging`]: log lines as text or JSON; [`chain`]: an error in one.
//! - [`client`]: the connection to the API server.
//! - [`watch`]: one watch, for ever.
//! - [`backoff`]: how long to wait before something is tried again.
//! - [`Readiness`]: which parts of a program have yet to start, and which hang.
//! - [`http`]: `/metrics`, `/healthz` and `/readyz`.
//! - [`metrics`]: a registry that starts with `build_info`, and what is measured of the watches.
//! - [`shutdown_signal`]: the end that Kubernetes asks for.

pub mod backoff;
mod cause;
pub mod client;
pub mod http;
pub mod logging;
pub mod metrics;
mod readiness;
mod signal;
mod tls;
pub mod watch;

pub use cause::chain;
pub use readiness::{Pulse, Readiness, ReadyHandle};
pub use signal::shutdown_signal;
