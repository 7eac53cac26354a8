//! The admission webhook: the API server asks it about objects before it stores them.
//!
//! [`warn`] finds what is wrong with a SeccompProfile; it is pure. [`review`] has the API server's questions and answers,
//! [`handler`] answers one request within limits, [`server`] accepts connections, and limits what they may use.
//! [`images`] decides what the containers of a new pod get of what their images bring.
//! [`certificates`] are those by which the API server knows this program. [`metrics`] count what it does, [`options`] are
//! the command line, and [`run`] starts everything.

pub mod certificates;
pub mod handler;
pub mod images;
pub mod metrics;
pub mod options;
pub mod review;
pub mod run;
pub mod server;
pub mod warn;
