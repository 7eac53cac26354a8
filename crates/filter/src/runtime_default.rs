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
    use syscalls::{Libseccomp, Syscall};

    use super::*;
    use crate::{Call, Filter, Library, Runtime, Setting, numbers};

    /// Docker permits the three only with `CAP_SYS_ADMIN`. Of the address families above 40, containerd lists five and Docker
    /// permits all.
    #[test]
    fn the_defaults_of_containerd_and_docker_differ_for_three_calls_and_for_families_of_sockets() {
        let number = numbers(Libseccomp::V2_6_1);
        let native = Architecture::X86_64;
        let setting =
            Setting { runtime: Runtime::RUNC_1_2, library: Library::V2_6_1, native, number: &number };
        let defaults = [RuntimeDefault::CONTAINERD, RuntimeDefault::MOBY];
        let [containerd, moby] =
            defaults.map(|default| Filter::new(&default.profile(native).unwrap(), &setting).unwrap());
        let difference = containerd.difference(&moby).unwrap();
        // Without the calls of x32.
        let is_here = |call: Call| call.architecture == native && call.number < 1 << 30;
        let here = difference.iter().filter(|witness| is_here(witness.call));
        let name = |number| Syscall::by_number(syscalls::Architecture::X86_64, number).unwrap().name();
        let names: Vec<_> = here.clone().map(|witness| name(witness.call.number)).collect();
        assert_eq!(names, ["socket", "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules"]);
        let families: Vec<_> = here.take(1).map(|witness| witness.call.arguments[0]).collect();
        assert!(families[0] > 45, "{families:?}");
    }

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
