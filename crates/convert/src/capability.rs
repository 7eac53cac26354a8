//! The capabilities of a container, on which rules of Docker's dialect depend.

use std::collections::BTreeSet;

use profile::wording::{advice, quote};

/// The capabilities that a container has: its bounding set, which Docker, Podman and CRI-O look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    held: BTreeSet<&'static str>,
    /// Whether somebody has chosen them.
    pub(crate) chosen: bool,
}

impl Default for Capabilities {
    /// Those that Docker and containerd give a container by default.
    fn default() -> Self {
        Self { held: DEFAULT.iter().copied().collect(), chosen: false }
    }
}

/// Why capabilities cannot be added or dropped.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CapabilityError {
    /// A text is not the name of a capability.
    #[error("unknown capability {}; {}", quote(.0), known_or_near(.0))]
    Unknown(String),
    /// A capability is both added and dropped.
    #[error(
        "{0} is both added and dropped: containers of Docker and Podman then have it, those of containerd and CRI-O do \
         not; name it once"
    )]
    AddedAndDropped(&'static str),
}

impl CapabilityError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Unknown(_) => "UnknownCapability",
            Self::AddedAndDropped(_) => "CapabilityAddedAndDropped",
        }
    }
}

/// The word for every capability.
const EVERY: &str = "ALL";

impl Capabilities {
    /// The default ones without those of `drop` and with those of `add`. `ALL` means every capability: added, those of
    /// `drop` are then taken away; dropped, only those of `add` remain.
    ///
    /// This is what runtimes agree on: Docker (`TweakCapabilities` in oci/caps of its 28.3) and containerd's CRI plugin
    /// (`WithCapabilities`) differ where a capability is added and dropped by its name, or `ALL` is.
    ///
    /// # Errors
    /// A capability is unknown, or added and dropped. The prefix `CAP_` may be missing, and the case of the letters does
    /// not matter.
    pub fn new(add: &[String], drop: &[String]) -> Result<Self, CapabilityError> {
        let ((adds_all, added), (drops_all, dropped)) = (named(add)?, named(drop)?);
        if adds_all && drops_all {
            return Err(CapabilityError::AddedAndDropped(EVERY));
        }
        // Beside ALL that is added, all runtimes take away what is dropped.
        if let Some(both) = added.intersection(&dropped).next().filter(|_| !adds_all) {
            return Err(CapabilityError::AddedAndDropped(both));
        }
        let mut held = match (adds_all, drops_all) {
            (true, _) => ALL.iter().copied().collect(),
            (false, true) => BTreeSet::new(),
            (false, false) => Self::default().held,
        };
        held.extend(added);
        held.retain(|name| !dropped.contains(name));
        Ok(Self { held, chosen: !(add.is_empty() && drop.is_empty()) })
    }

    /// Whether the container has this capability.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.held.contains(name)
    }
}

/// Whether the values of an option contain `ALL`, and the capabilities that they name.
fn named(texts: &[String]) -> Result<(bool, BTreeSet<&'static str>), CapabilityError> {
    let (mut all, mut names) = (false, BTreeSet::new());
    for text in texts {
        let upper = text.to_ascii_uppercase();
        if upper == EVERY {
            all = true;
            continue;
        }
        let is_named = |name: &&&str| **name == upper || name.strip_prefix("CAP_") == Some(upper.as_str());
        let known = ALL.iter().find(is_named);
        names.insert(*known.ok_or_else(|| CapabilityError::Unknown(text.clone()))?);
    }
    Ok((all, names))
}

fn known_or_near(text: &str) -> String {
    let upper = text.to_ascii_uppercase();
    advice(&if upper.starts_with("CAP_") { upper } else { format!("CAP_{upper}") }, ALL)
}

/// `defaultUnixCaps` in pkg/oci/spec.go of containerd 2.4.2, which are those of Docker (`DefaultCapabilities` in oci/caps of
/// its 28.3).
const DEFAULT: &[&str] = &[
    "CAP_AUDIT_WRITE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_KILL",
    "CAP_MKNOD",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_RAW",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYS_CHROOT",
];

/// Every capability, from `include/uapi/linux/capability.h` of Linux 6.18.
pub(crate) const ALL: &[&str] = &[
    "CAP_AUDIT_CONTROL",
    "CAP_AUDIT_READ",
    "CAP_AUDIT_WRITE",
    "CAP_BLOCK_SUSPEND",
    "CAP_BPF",
    "CAP_CHECKPOINT_RESTORE",
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_DAC_READ_SEARCH",
    "CAP_FOWNER",
    "CAP_FSETID",
    "CAP_IPC_LOCK",
    "CAP_IPC_OWNER",
    "CAP_KILL",
    "CAP_LEASE",
    "CAP_LINUX_IMMUTABLE",
    "CAP_MAC_ADMIN",
    "CAP_MAC_OVERRIDE",
    "CAP_MKNOD",
    "CAP_NET_ADMIN",
    "CAP_NET_BIND_SERVICE",
    "CAP_NET_BROADCAST",
    "CAP_NET_RAW",
    "CAP_PERFMON",
    "CAP_SETFCAP",
    "CAP_SETGID",
    "CAP_SETPCAP",
    "CAP_SETUID",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_RESOURCE",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
    "CAP_WAKE_ALARM",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn of(add: &[&str], drop: &[&str]) -> Result<Capabilities, CapabilityError> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Capabilities::new(&owned(add), &owned(drop))
    }

    #[test]
    fn all_capabilities_are_added_or_dropped_with_exceptions() {
        let bind = of(&["NET_BIND_SERVICE"], &["ALL"]).unwrap();
        assert_eq!(bind.held, BTreeSet::from(["CAP_NET_BIND_SERVICE"]));
        assert!(of(&["cap_sys_admin"], &[]).unwrap().has("CAP_SYS_ADMIN"));
        assert!(!of(&[], &["SYS_CHROOT"]).unwrap().has("CAP_SYS_CHROOT"));
        assert_eq!(of(&["ALL"], &[]).unwrap().held.len(), ALL.len());
        let most = of(&["ALL", "SYS_ADMIN"], &["sys_admin", "CAP_CHOWN"]).unwrap();
        assert_eq!(most.held.len(), ALL.len() - 2);
        assert!(!most.has("CAP_SYS_ADMIN") && !most.has("CAP_CHOWN"));
    }

    #[test]
    fn what_runtimes_understand_in_two_ways_is_refused() {
        let both = Err(CapabilityError::AddedAndDropped("CAP_SYS_ADMIN"));
        assert_eq!(of(&["SYS_ADMIN"], &["CAP_SYS_ADMIN"]), both);
        assert_eq!(of(&["SYS_ADMIN"], &["ALL", "SYS_ADMIN"]), both);
        assert_eq!(of(&["ALL"], &["ALL"]), Err(CapabilityError::AddedAndDropped("ALL")));
    }

    #[test]
    fn a_misspelt_capability_is_refused_with_the_right_one() {
        let error = of(&["SYS_ADMINS"], &[]).unwrap_err().to_string();
        assert_eq!(error, "unknown capability \"SYS_ADMINS\"; did you mean CAP_SYS_ADMIN?");
    }
}
