//! The runtimes that start containers, and the calls that they make under the filter before the program begins.

use std::collections::BTreeSet;

use clap::ValueEnum;
use filter::{Runtime, Startup};
use syscalls::Syscall;

/// A runtime that starts containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StartedBy {
    /// runc
    Runc,
    /// crun
    Crun,
    /// None: only the program's own calls
    None,
}

impl StartedBy {
    fn is(self, startup: &Startup) -> bool {
        match self {
            Self::Runc => startup.model != Runtime::CRUN,
            Self::Crun => startup.model == Runtime::CRUN,
            Self::None => false,
        }
    }
}

/// The calls of the runtimes between the loading of the filter and the program.
pub(crate) fn started_by(runtimes: &[StartedBy], allow_privilege_escalation: bool) -> BTreeSet<Syscall> {
    let startups = Startup::ALL.iter().filter(|startup| {
        startup.no_new_privileges != allow_privilege_escalation
            && runtimes.iter().any(|runtime| runtime.is(startup))
    });
    startups.flat_map(Startup::calls).filter_map(Syscall::from_name).collect()
}
