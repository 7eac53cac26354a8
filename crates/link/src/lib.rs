//! What every client of the API server needs, whether it runs for ever or answers one question.
//!
//! - [`client`]: the connection to the API server.
//! - [`watch`]: one watch that never ends; [`changes`]: what its events mean, so that no other code compares lists.
//! - [`status`]: writes a part of a status, without receiving the object in return.
//! - [`backoff`]: how long to wait before the next try.
//! - [`chain`]: an error with all its causes in one line.

pub mod backoff;
mod cause;
pub mod changes;
pub mod client;
pub mod status;
mod tls;
pub mod watch;

pub use cause::chain;
