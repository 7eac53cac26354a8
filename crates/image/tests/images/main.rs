//! Images as tools write them, and as nobody should.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

mod hostile;
mod made;
mod opened;
mod whiteouts;
