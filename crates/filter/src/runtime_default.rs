//! The default profiles of runtimes: what a container gets without a profile of its own (`RuntimeDefault`).

use profile::{Architecture, Profile};

/// The default profile of a runtime, with its default capabilities. A container with added capabilities may make more
/// calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RuntimeDefault {
    /// The project and its version, for messages.
    pub name: &'static str,
    /// Where in the project it is defined.
    pub source: &'static str,
    /// The licence of the project.
    pub licence: &'static str,
    x86_64: &'static [u8],
    aarch64: &'static [u8],
}

impl RuntimeDefault {
    /// That of containerd.
    pub const CONTAINERD: Self = Self {
        name: "containerd 2.4.2",
        source: "contrib/seccomp/seccomp_default.go in github.com/containerd/containerd",
        licence: "Apache-2.0",
        x86_64: include_bytes!("../data/containerd-amd64.json"),
        aarch64: include_bytes!("../data/containerd-arm64.json"),
    };

    /// That of Docker.
    pub const MOBY: Self = Self {
        name: "moby/profiles 0.3.0",
        source: "seccomp/default.json in github.com/moby/profiles",
        licence: "Apache-2.0",
        x86_64: include_bytes!("../data/moby-amd64.json"),
        aarch64: include_bytes!("../data/moby-arm64.json"),
    };

    /// The profile on nodes of this architecture; `None` if it is not known here.
    #[must_use]
    pub fn profile(self, native: Architecture) -> Option<Profile> {
        let contents = match native {
            Architecture::X86_64 => self.x86_64,
            Architecture::Aarch64 => self.aarch64,
            _ => return None,
        };
        // A test reads all of them.
        Profile::from_slice(contents).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_default_is_a_profile_that_denies_by_default() {
        for default in [RuntimeDefault::CONTAINERD, RuntimeDefault::MOBY] {
            for native in [Architecture::X86_64, Architecture::Aarch64] {
                let profile = default.profile(native).unwrap();
                assert_eq!(profile.default_action(), profile::Action::Errno, "{}", default.name);
                assert!(profile.architectures().contains(&native));
            }
            assert!(default.profile(Architecture::Riscv64).is_none());
        }
    }
}
