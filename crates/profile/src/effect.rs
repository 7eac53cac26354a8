//! The effect of a rule in a runtime: two spellings with the same effect are equal here.

use std::fmt;

use serde::Serialize;

use crate::{Action, Argument, Comparison, Profile, Rule};

/// The errno that runtimes use if none is given.
const EPERM: u16 = 1;

/// What happens to a call: an action, with its errno if it has one.
///
/// runc and crun read `SCMP_ACT_KILL` as `SCMP_ACT_KILL_THREAD` and an absent errno as EPERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Effect {
    action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    errno_ret: Option<u16>,
}

impl Effect {
    /// The effect of an action with an optional `errno_ret`.
    #[must_use]
    pub fn of(action: Action, errno_ret: Option<u16>) -> Self {
        let errno_ret = action.takes_errno().then(|| errno_ret.unwrap_or(EPERM));
        Self { action: if action == Action::Kill { Action::KillThread } else { action }, errno_ret }
    }

    /// The action; never [`Action::Kill`].
    #[must_use]
    pub fn action(self) -> Action {
        self.action
    }

    /// The errno, or for a tracer the number; `None` if the action has none.
    #[must_use]
    pub fn errno(self) -> Option<u16> {
        self.errno_ret
    }

    /// How permissive the action is, in the kernel's order of precedence (`seccomp(2)`): 0 is the strictest. Logging
    /// makes no difference.
    #[must_use]
    pub fn leniency(self) -> u8 {
        match self.action {
            Action::KillProcess => 0,
            Action::Kill | Action::KillThread => 1,
            Action::Trap => 2,
            Action::Errno => 3,
            Action::Notify => 4,
            Action::Trace => 5,
            Action::Log | Action::Allow => 6,
        }
    }
}

impl fmt::Display for Effect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.action.name())?;
        match self.errno_ret {
            Some(errno) => write!(f, " (errno {errno})"),
            None => Ok(()),
        }
    }
}

impl<N> Profile<N> {
    /// What happens to a call that no rule names.
    #[must_use]
    pub fn default_effect(&self) -> Effect {
        Effect::of(self.default_action, self.default_errno_ret)
    }
}

impl<N> Rule<N> {
    /// What happens to a call that the rule names.
    #[must_use]
    pub fn effect(&self) -> Effect {
        Effect::of(self.action, self.errno_ret)
    }

    /// The comparisons as libseccomp applies them: in the order of the arguments, without bits that it ignores.
    #[must_use]
    pub fn comparisons(&self) -> Vec<Argument> {
        let compared = |argument: &Argument| {
            let masked = argument.op == Comparison::MaskedEqual;
            let value_two = if masked { argument.value_two & argument.value } else { 0 };
            Argument { value_two, ..*argument }
        };
        let mut comparisons: Vec<_> = self.args.iter().map(compared).collect();
        comparisons.sort_unstable_by_key(|argument| argument.index);
        comparisons
    }
}
