//! What every client of the API server needs, whether it runs for ever or answers one question.
//!
//! - [`client`]: the connection to the API server.
//! - [`watch`]: one watch that never ends; [`changes`]: what its events mean, so that no other code compares lists.
//! - [`backoff`]: how long to wait before the next try.
//! - [`chain`]: an error with all its causes in one line.

pub mod backoff;
mod cause;
pub mod changes;
pub mod client;
mod tls;
pub mod watch;

pub use cause::chain;
