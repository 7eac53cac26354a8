//! What the client does with each answer of a registry, as plain data: no I/O and no clock.
//!
//! An *exchange* is one question to a registry with everything that it takes: redirects, and a challenge with the token that
//! answers it. Every host in it is checked against a *reach*: which hosts may be reached how. A login goes to the registry
//! that was asked, and to the token service that this registry names, never to a host of a redirect.

mod challenge;
mod exchange;
mod reach;
mod target;
mod token;

pub use reach::{Reach, Unreachable};

pub(crate) use challenge::Challenge;
pub(crate) use exchange::{Authorization, Exchange, Head, Step};
pub(crate) use target::Target;
pub(crate) use token::{Token, TokenQuestion};
