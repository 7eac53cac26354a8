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

/// Text that is not the name of a capability.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown capability {}; {}", quote(.0), known_or_near(.0))]
pub struct UnknownCapability(String);

impl Capabilities {
    /// The default ones without those of `drop` and with those of `add`, as Docker and Kubernetes combine them: `ALL`
    /// means every capability, and what is added wins.
    ///
    /// # Errors
    /// A capability is unknown. The prefix `CAP_` may be missing, and the case of the letters does not matter.
    pub fn new(add: &[String], drop: &[String]) -> Result<Self, UnknownCapability> {
        let mut capabilities = Self { chosen: !(add.is_empty() && drop.is_empty()), ..Self::default() };
        for names in drop.iter().map(|text| named(text)) {
            let names = names?;
            capabilities.held.retain(|held| !names.contains(held));
        }
        for names in add.iter().map(|text| named(text)) {
            capabilities.held.extend(names?);
        }
        Ok(capabilities)
    }

    /// Whether the container has this capability.
    #[must_use]
    pub fn has(&self, name: &str) -> bool {
        self.held.contains(name)
    }
}

/// The capabilities that an option names.
fn named(text: &str) -> Result<Vec<&'static str>, UnknownCapability> {
    let upper = text.to_ascii_uppercase();
    if upper == "ALL" {
        return Ok(ALL.to_vec());
    }
    let known = ALL.iter().find(|name| **name == upper || name.strip_prefix("CAP_") == Some(upper.as_str()));
    known.map(|name| vec![*name]).ok_or_else(|| UnknownCapability(text.to_owned()))
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

    fn of(add: &[&str], drop: &[&str]) -> Result<Capabilities, UnknownCapability> {
        let owned = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        Capabilities::new(&owned(add), &owned(drop))
    }

    #[test]
    fn what_is_added_wins_over_what_is_dropped() {
        let bind = of(&["NET_BIND_SERVICE"], &["ALL"]).unwrap();
        assert_eq!(bind.held, BTreeSet::from(["CAP_NET_BIND_SERVICE"]));
        assert!(of(&["cap_sys_admin"], &[]).unwrap().has("CAP_SYS_ADMIN"));
        assert!(!of(&[], &["SYS_CHROOT"]).unwrap().has("CAP_SYS_CHROOT"));
        assert_eq!(of(&["ALL"], &[]).unwrap().held.len(), ALL.len());
    }

    #[test]
    fn a_misspelt_capability_is_refused_with_the_right_one() {
        let error = of(&["SYS_ADMINS"], &[]).unwrap_err().to_string();
        assert_eq!(error, "unknown capability \"SYS_ADMINS\"; did you mean CAP_SYS_ADMIN?");
    }
}
