//! What the kernel does with one call.

use std::fmt;

use profile::{Action, Effect};
use serde::Serialize;

/// What the kernel does with one call: a rule's or the default action, with its errno.
///
/// Runtimes read `SCMP_ACT_KILL` as `SCMP_ACT_KILL_THREAD` and an absent errno as EPERM, so two actions with the same
/// effect are one verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(into = "Effect")]
pub enum Verdict {
    /// Ends the process.
    KillProcess,
    /// Ends the calling thread.
    KillThread,
    /// Sends SIGSYS.
    Trap,
    /// Fails the call with this errno; with 0 the call seems to succeed and does nothing.
    Errno(u16),
    /// Allows the call and logs it.
    Log,
    /// Asks a tracer, which receives this number.
    Trace(u16),
    /// Asks the seccomp agent that listens.
    Notify,
    /// Allows the call.
    Allow,
}

/// How much a verdict permits: a higher one permits more.
///
/// `SCMP_ACT_TRACE` and `SCMP_ACT_NOTIFY` count as permissive as `SCMP_ACT_ALLOW`, because another process decides,
/// which may allow everything. Every errno is equally permissive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Permission {
    /// The process ends.
    KillProcess,
    /// The thread ends.
    KillThread,
    /// The thread receives a signal.
    Trap,
    /// The call fails.
    Errno,
    /// The call is made, and logged.
    Log,
    /// The call is made, or another process decides.
    Allow,
}

impl Verdict {
    /// How much the verdict permits.
    #[must_use]
    pub fn permission(self) -> Permission {
        match self {
            Self::KillProcess => Permission::KillProcess,
            Self::KillThread => Permission::KillThread,
            Self::Trap => Permission::Trap,
            Self::Errno(_) => Permission::Errno,
            Self::Log => Permission::Log,
            Self::Trace(_) | Self::Notify | Self::Allow => Permission::Allow,
        }
    }

    /// Whether another process decides about the call.
    #[must_use]
    pub fn is_delegated(self) -> bool {
        matches!(self, Self::Trace(_) | Self::Notify)
    }
}

impl From<Effect> for Verdict {
    fn from(effect: Effect) -> Self {
        let errno = effect.errno().unwrap_or_default();
        match effect.action() {
            Action::KillProcess => Self::KillProcess,
            Action::Kill | Action::KillThread => Self::KillThread,
            Action::Trap => Self::Trap,
            Action::Errno => Self::Errno(errno),
            Action::Trace => Self::Trace(errno),
            Action::Allow => Self::Allow,
            Action::Log => Self::Log,
            Action::Notify => Self::Notify,
        }
    }
}

impl From<Verdict> for Effect {
    fn from(verdict: Verdict) -> Self {
        let (action, errno) = match verdict {
            Verdict::KillProcess => (Action::KillProcess, None),
            Verdict::KillThread => (Action::KillThread, None),
            Verdict::Trap => (Action::Trap, None),
            Verdict::Errno(errno) => (Action::Errno, Some(errno)),
            Verdict::Log => (Action::Log, None),
            Verdict::Trace(number) => (Action::Trace, Some(number)),
            Verdict::Notify => (Action::Notify, None),
            Verdict::Allow => (Action::Allow, None),
        };
        Self::of(action, errno)
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Effect::from(*self).fmt(f)
    }
}
