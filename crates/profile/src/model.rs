//! A valid profile.
//!
//! The fields are private and only the parser fills them, so an invalid profile cannot be represented. The order of the
//! fields is the order of the keys in the canonical bytes.

use serde::{Serialize, Serializer};

use crate::{Action, Architecture, Comparison, Flag};

/// A seccomp profile.
///
/// Its names are `N`: a profile of which only the canonical bytes are needed borrows them from its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Profile<N = SyscallName> {
    pub(crate) default_action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) default_errno_ret: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) architectures: Vec<Architecture>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) flags: Vec<Flag>,
    #[serde(flatten)]
    pub(crate) listener: Option<Listener>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) syscalls: Vec<Rule<N>>,
}

impl<N> Profile<N> {
    /// What happens to a call that no rule names.
    #[must_use]
    pub fn default_action(&self) -> Action {
        self.default_action
    }

    /// The errno of the default action, if one is given.
    #[must_use]
    pub fn default_errno_ret(&self) -> Option<u16> {
        self.default_errno_ret
    }

    /// The system call tables that the filter covers in addition to the native one.
    #[must_use]
    pub fn architectures(&self) -> &[Architecture] {
        &self.architectures
    }

    /// The flags for `seccomp(2)`.
    #[must_use]
    pub fn flags(&self) -> &[Flag] {
        &self.flags
    }

    /// The listener for calls with the action [`Action::Notify`]; present exactly if a rule has this action.
    #[must_use]
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }

    /// The rules, in the order given.
    #[must_use]
    pub fn rules(&self) -> &[Rule<N>] {
        &self.syscalls
    }

    /// The same profile with [`Flag::Log`], so that the kernel records the calls that it refuses with an error, too.
    ///
    /// Without any flag, runtimes load a filter with [`Flag::SpecAllow`] (runc 1.3.6 and 1.5.2, crun 1.8.1 to 1.28), and
    /// with any they load it with these alone. So a profile without flags gets this one, too.
    #[must_use]
    pub fn reporting(mut self) -> Self {
        match &self.flags[..] {
            [] => self.flags = vec![Flag::Log, Flag::SpecAllow],
            flags if flags.contains(&Flag::Log) => {}
            _ => self.flags.push(Flag::Log),
        }
        self
    }
}

/// The socket of a *seccomp agent*: a program on the node to which the runtime sends a descriptor when it starts a
/// container. Through it the agent decides about every call with the action [`Action::Notify`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Listener {
    #[serde(rename = "listenerPath")]
    pub(crate) path: Box<str>,
    // Runtimes do not send empty metadata.
    #[serde(rename = "listenerMetadata", skip_serializing_if = "str::is_empty")]
    pub(crate) metadata: Box<str>,
}

impl Listener {
    /// The path of the socket on the node: absolute, without `.` and `..`.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// Text that the runtime sends to the agent with the container's state; only the agent interprets it.
    #[must_use]
    pub fn metadata(&self) -> &str {
        &self.metadata
    }
}

/// One rule: an entry of `syscalls`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule<N = SyscallName> {
    pub(crate) names: Vec<N>,
    pub(crate) action: Action,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) errno_ret: Option<u16>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) args: Vec<Argument>,
}

impl<N> Rule<N> {
    /// The syscalls of the rule; at least one.
    #[must_use]
    pub fn names(&self) -> &[N] {
        &self.names
    }

    /// What happens to them.
    #[must_use]
    pub fn action(&self) -> Action {
        self.action
    }

    /// The errno of the action, if one is given.
    #[must_use]
    pub fn errno_ret(&self) -> Option<u16> {
        self.errno_ret
    }

    /// The comparisons that must hold for the rule to apply.
    #[must_use]
    pub fn arguments(&self) -> &[Argument] {
        &self.args
    }
}

/// One comparison: an entry of `args`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Argument {
    pub(crate) index: u8,
    pub(crate) value: u64,
    // Runtimes read an absent `valueTwo` as 0 and omit a 0: both spellings mean the same.
    #[serde(skip_serializing_if = "is_zero")]
    pub(crate) value_two: u64,
    pub(crate) op: Comparison,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(value: &u64) -> bool {
    *value == 0
}

impl Argument {
    /// Which argument of the call, from 0 to 5.
    #[must_use]
    pub fn index(&self) -> u8 {
        self.index
    }

    /// The value compared with; the mask, for [`Comparison::MaskedEqual`].
    #[must_use]
    pub fn value(&self) -> u64 {
        self.value
    }

    /// The value that the masked argument must equal, for [`Comparison::MaskedEqual`].
    #[must_use]
    pub fn value_two(&self) -> u64 {
        self.value_two
    }

    /// The comparison.
    #[must_use]
    pub fn comparison(&self) -> Comparison {
        self.op
    }

    /// The comparison as libseccomp compiles it for an architecture whose arguments have 32 bits: it drops the upper halves
    /// of the values.
    #[must_use]
    pub fn lower_half(self) -> Self {
        let lower = |value: u64| value & u64::from(u32::MAX);
        Self { value: lower(self.value), value_two: lower(self.value_two), ..self }
    }
}

/// The name of a system call: lower-case letters, digits and underscores.
///
/// It is not checked whether a kernel has such a call: runtimes skip unknown names, so that one profile works on old
/// and new kernels.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SyscallName(pub(crate) Box<str>);

impl SyscallName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AsRef<str> for SyscallName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Serialize for SyscallName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}
