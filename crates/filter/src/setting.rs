//! Where a profile is loaded, and why it may not be.

use profile::{Architecture, SyscallName};

use crate::mention::Mention;
use crate::runtime::{Library, Runtime};
use crate::tree::Refusal;

/// Where a profile is loaded.
#[derive(Clone, Copy)]
pub struct Setting<'a> {
    /// The runtime.
    pub runtime: Runtime,
    /// The libseccomp that the runtime uses.
    pub library: Library,
    /// The architecture of the node.
    pub native: Architecture,
    /// The number that the library knows for a name on an architecture; for x32, with the bit that marks its calls.
    pub number: &'a dyn Fn(&str, Architecture) -> Option<u32>,
}

impl Setting<'_> {
    /// Whether two settings certainly differ by nothing but the runtime. Functions without data may have one address.
    pub(crate) fn differs_only_by_runtime(&self, other: &Self) -> bool {
        let function =
            |setting: &Self| (std::ptr::from_ref(setting.number).cast::<()>(), size_of_val(setting.number));
        let has_data = size_of_val(self.number) > 0;
        (self.library, self.native) == (other.library, other.native)
            && has_data
            && function(self) == function(other)
    }
}

/// Why there is no filter of the profile; [`Unloadable::consequence`] is what follows from that.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unloadable {
    /// libseccomp refuses or cannot compile the rules for a call.
    #[error("{}: {refusal}", described(name.as_ref(), *mention))]
    Rules {
        /// The architecture on whose calls the rules clash.
        architecture: Architecture,
        /// The call.
        name: Option<SyscallName>,
        /// Where the profile names the call for which libseccomp does this.
        mention: Option<Mention>,
        /// What libseccomp does.
        refusal: Refusal,
    },
    /// The profile lists an architecture of the other byte order.
    #[error("libseccomp refuses {} on this node, whose byte order is another one", architecture.name())]
    ByteOrder {
        /// The architecture.
        architecture: Architecture,
    },
    /// The library does not know an architecture that the profile lists.
    #[error("{library} does not know {}", architecture.name())]
    Architecture {
        /// The architecture.
        architecture: Architecture,
        /// The library.
        library: &'static str,
    },
    /// The runtime refuses every flag.
    #[error("{runtime} refuses every seccomp flag")]
    Flags {
        /// The runtime.
        runtime: &'static str,
    },
}

/// What follows from a filter's absence for containers with the profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Consequence {
    /// No container starts.
    NoStart,
    /// Whether containers start depends on chance.
    Chance,
    /// It was not worked out, and containers may well start.
    Unknown,
}

impl Consequence {
    /// The main clause of a sentence about a profile.
    #[must_use]
    pub fn of(self, profile: &str) -> String {
        match self {
            Self::NoStart => format!("no container starts with {profile}"),
            Self::Chance => format!("containers may hang or fail to start with {profile}"),
            Self::Unknown => format!("it was not worked out what happens with {profile}"),
        }
    }
}

/// A call, and the field that names it.
fn described(name: Option<&SyscallName>, mention: Option<Mention>) -> String {
    let name = name.map_or("?", SyscallName::as_str);
    match mention {
        Some(Mention { rule, name: at }) => format!("syscalls[{rule}].names[{at}] ({name})"),
        None => name.to_owned(),
    }
}

impl Unloadable {
    /// Where in the profile the rule stands that is the reason, if one is.
    #[must_use]
    pub fn mention(&self) -> Option<Mention> {
        match self {
            Self::Rules { mention, .. } => *mention,
            Self::ByteOrder { .. } | Self::Architecture { .. } | Self::Flags { .. } => None,
        }
    }

    /// What follows for containers.
    #[must_use]
    pub fn consequence(&self) -> Consequence {
        match self {
            Self::Rules { refusal: Refusal::Unpredictable { .. }, .. } => Consequence::Chance,
            Self::Rules { refusal: Refusal::TooMany { .. }, .. } => Consequence::Unknown,
            Self::Rules { refusal: Refusal::Clash { .. }, .. }
            | Self::ByteOrder { .. }
            | Self::Architecture { .. }
            | Self::Flags { .. } => Consequence::NoStart,
        }
    }
}
