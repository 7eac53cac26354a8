//! `kubectl seccomp`: shows people where their seccomp profiles are, where not, and why. It changes nothing.
//!
//! - [`options`]: the command line; [`manual`] makes completion scripts from it, [`complete`] serves kubectl's.
//! - [`connect`], [`read`], [`live`]: the conversation with the API server, once or for as long as something is watched.
//! - [`facts`]: what is read, as plain data; [`standing`]: how one node stands for one profile.
//! - [`status`], [`nodes`], [`wait`], [`users`], [`diff`], [`verify`]: one task each: facts in, a view out, which is
//!   shown as text or given to programs.
//! - [`unenforced`]: why a pod that asks for a profile may run without its filter.
//! - [`manifest`]: a file as kubectl reads it and the API server stores it.
//! - [`show`]: tables, colours, ages.
//! - [`run`]: from the options to an answer.

pub mod complete;
pub mod connect;
pub mod diff;
pub mod error;
pub mod facts;
pub mod live;
pub mod manifest;
pub mod manual;
pub mod nodes;
pub mod options;
pub mod read;
pub mod run;
pub mod show;
pub mod standing;
pub mod status;
#[cfg(test)]
mod testing;
pub mod unenforced;
pub mod users;
pub mod verify;
pub mod wait;
