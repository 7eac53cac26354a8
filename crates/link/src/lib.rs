//! What every client of the API server needs, whether it runs for ever or answers one question.
//!
//! - [`client`]: the connection to the API server.
//! - [`watch`]: one watch, for ever; [`changes`]: what its events mean, so that nobody else compares lists.
//! - [`backoff`]: how long to wait before something is tried again.
//! - [`chain`]: an error with all its causes in one line.

pub mod backoff;
mod cause;
pub mod changes;
pub mod client;
mod tls;
pub mod watch;

pub use cause::chain;
