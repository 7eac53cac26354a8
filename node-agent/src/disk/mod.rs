//! The directory with the profiles' files, and nothing of Kubernetes.
//!
//! - [`calls`]: every system call, one method each; tests can make any of them fail.
//! - [`Directory`]: the opened directory: atomic writes, removal, the ledger's file, whether its path still leads to
//!   it.
//! - [`Found`]: what is under a name, with its bytes read and hashed.
//! - [`Ledger`]: which files are the agent's.
//! - [`Stamp`], [`FileTime`]: since when a file has its present bytes.
//! - [`decide()`]: what to do about a name; pure.
//! - [`DiskError`]: what can be wrong, in a bounded vocabulary.

pub mod calls;
mod decide;
mod directory;
mod error;
mod failure;
mod fingerprint;
mod found;
mod identity;
mod ledger;
mod reason;
mod stamp;
#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;

use rustix::fs::Mode;

pub use calls::{Faults, NoFaults};
pub use decide::{Drift, Expected, FileAction, Ownership, Replaces, decide};
pub use directory::{Directory, LEDGER, OpenError};
pub use error::DiskError;
pub use failure::{FailedCall, SystemCall};
pub use fingerprint::Fingerprint;
pub use found::Found;
pub use identity::Displaced;
pub use ledger::{Claim, Ledger, LedgerError};
pub use reason::DiskReason;
pub use stamp::{FileTime, Stamp};

/// Permissions of a profile's file: runtimes that do not run as root read it too.
const MODE: Mode = Mode::from_raw_mode(0o644);
