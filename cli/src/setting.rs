//! The options that say where a profile is loaded: what it does depends on the runtime, its libseccomp and the node.
//!
//! Beside the words that are listed, they take those that the output has for programs, and the values of the nodes' label
//! `kubernetes.io/arch`.

use std::ffi::OsStr;

use clap::builder::{EnumValueParser, PossibleValue, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Arg, Args, Command, Error, ValueEnum};
use filter::{Explainer, Library, Runtime, Setting, Unloadable, numbers};
use lint::Nodes;
use profile::{Architecture, Profile};
use syscalls::Libseccomp;

/// Where a profile is loaded.
#[derive(Debug, Clone, Copy, Args)]
#[command(next_help_heading = "Node")]
pub struct SettingOptions {
    /// The container runtime
    #[arg(long, value_name = "NAME", value_enum, default_value = "runc")]
    pub runtime: RuntimeOption,
    /// The libseccomp of the runtime
    #[arg(long, value_name = "VERSION", value_parser = LibseccompParser, default_value = "2.6.1")]
    pub libseccomp: LibseccompOption,
    /// The architecture of the node
    #[arg(long, value_name = "NAME", value_enum, default_value = "x86_64")]
    pub architecture: ArchitectureOption,
}

/// A container runtime whose handling of profiles is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum RuntimeOption {
    /// runc 1.1.3 to 1.1.14
    #[value(name = "runc-1.1", alias = "runc 1.1.3 to 1.1.14")]
    Runc1_1,
    /// runc 1.1.15
    #[value(name = "runc-1.1.15", alias = "runc 1.1.15")]
    Runc1_1_15,
    /// runc 1.2 to 1.6
    #[value(alias = "runc 1.2 to 1.6")]
    Runc,
    /// crun 1.8 to 1.28
    #[value(alias = "crun 1.8 to 1.28")]
    Crun,
}

impl From<RuntimeOption> for Runtime {
    fn from(option: RuntimeOption) -> Self {
        match option {
            RuntimeOption::Runc1_1 => Self::RUNC_1_1,
            RuntimeOption::Runc1_1_15 => Self::RUNC_1_1_15,
            RuntimeOption::Runc => Self::RUNC_1_2,
            RuntimeOption::Crun => Self::CRUN,
        }
    }
}

/// A version of libseccomp whose names are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LibseccompOption {
    /// 2.5.4 as upstream released it
    #[value(name = "2.5.4")]
    V2_5_4,
    /// 2.5.4 of Debian 12, which knows names of later releases
    #[value(name = "2.5.4-debian12", alias = "2.5.4 of Debian 12")]
    V2_5_4Debian12,
    /// 2.6.0
    #[value(name = "2.6.0")]
    V2_6_0,
    /// 2.6.1
    #[value(name = "2.6.1")]
    V2_6_1,
}

/// Reads a [`LibseccompOption`], and says of a version that was not measured what to state instead.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LibseccompParser;

impl LibseccompParser {
    /// What to state instead of a version; `None` if it was measured, or is none.
    fn instead_of(version: &str) -> Option<&'static str> {
        match version {
            "2.5.0" | "2.5.1" | "2.5.2" | "2.5.3" => Some("2.5.4 is the oldest version of which they were"),
            "2.5.5" | "2.5.6" => Some("see what 2.5.4 and 2.6.0 do, between which it is"),
            _ => None,
        }
    }
}

impl TypedValueParser for LibseccompParser {
    type Value = LibseccompOption;

    fn parse_ref(
        &self,
        command: &Command,
        argument: Option<&Arg>,
        value: &OsStr,
    ) -> Result<Self::Value, Error> {
        if let Some((version, instead)) = value.to_str().and_then(|it| Some((it, Self::instead_of(it)?))) {
            let message = format!("the names that libseccomp {version} knows were not measured: {instead}\n");
            return Err(Error::raw(ErrorKind::InvalidValue, message).with_cmd(command));
        }
        EnumValueParser::new().parse_ref(command, argument, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new(LibseccompOption::value_variants().iter().filter_map(ValueEnum::to_possible_value)))
    }
}

impl From<LibseccompOption> for Libseccomp {
    fn from(option: LibseccompOption) -> Self {
        match option {
            LibseccompOption::V2_5_4 => Self::V2_5_4,
            LibseccompOption::V2_5_4Debian12 => Self::V2_5_4Debian12,
            LibseccompOption::V2_6_0 => Self::V2_6_0,
            LibseccompOption::V2_6_1 => Self::V2_6_1,
        }
    }
}

/// The architecture of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ArchitectureOption {
    /// 64-bit x86 (amd64)
    #[value(name = "x86_64", aliases = ["amd64", "SCMP_ARCH_X86_64"])]
    X86_64,
    /// 32-bit x86
    #[value(name = "i386", aliases = ["386", "SCMP_ARCH_X86"])]
    I386,
    /// 64-bit ARM (arm64)
    #[value(name = "aarch64", aliases = ["arm64", "SCMP_ARCH_AARCH64"])]
    Aarch64,
    /// 32-bit ARM
    #[value(name = "arm", alias = "SCMP_ARCH_ARM")]
    Arm,
    /// 64-bit RISC-V
    #[value(name = "riscv64", alias = "SCMP_ARCH_RISCV64")]
    Riscv64,
    /// 64-bit S/390
    #[value(name = "s390x", alias = "SCMP_ARCH_S390X")]
    S390x,
    /// 64-bit PowerPC, little endian
    #[value(name = "ppc64le", alias = "SCMP_ARCH_PPC64LE")]
    Ppc64le,
    /// 64-bit LoongArch
    #[value(name = "loongarch64", aliases = ["loong64", "SCMP_ARCH_LOONGARCH64"])]
    Loongarch64,
}

impl From<ArchitectureOption> for Architecture {
    fn from(option: ArchitectureOption) -> Self {
        match option {
            ArchitectureOption::X86_64 => Self::X86_64,
            ArchitectureOption::I386 => Self::X86,
            ArchitectureOption::Aarch64 => Self::Aarch64,
            ArchitectureOption::Arm => Self::Arm,
            ArchitectureOption::Riscv64 => Self::Riscv64,
            ArchitectureOption::S390x => Self::S390x,
            ArchitectureOption::Ppc64le => Self::Ppc64le,
            ArchitectureOption::Loongarch64 => Self::Loongarch64,
        }
    }
}

impl From<ArchitectureOption> for syscalls::Architecture {
    fn from(option: ArchitectureOption) -> Self {
        match option {
            ArchitectureOption::X86_64 => Self::X86_64,
            ArchitectureOption::I386 => Self::I386,
            ArchitectureOption::Aarch64 => Self::Aarch64,
            ArchitectureOption::Arm => Self::Arm,
            ArchitectureOption::Riscv64 => Self::Riscv64,
            ArchitectureOption::S390x => Self::S390x,
            ArchitectureOption::Ppc64le => Self::Ppc64le,
            ArchitectureOption::Loongarch64 => Self::Loongarch64,
        }
    }
}

impl Default for SettingOptions {
    /// As the command line has it: the newest measured versions, on the most common architecture.
    fn default() -> Self {
        Self {
            runtime: RuntimeOption::Runc,
            libseccomp: LibseccompOption::V2_6_1,
            architecture: ArchitectureOption::X86_64,
        }
    }
}

impl SettingOptions {
    /// Calls `with` with the setting of these options.
    pub fn apply<T>(self, with: impl FnOnce(&Setting<'_>) -> T) -> T {
        let libseccomp = Libseccomp::from(self.libseccomp);
        let number = numbers(libseccomp);
        with(&Setting {
            runtime: self.runtime.into(),
            library: Library::from(libseccomp),
            native: self.architecture.into(),
            number: &number,
        })
    }

    /// The same node with the other runtime: crun, or for crun the newest runc.
    #[must_use]
    pub fn other_runtime(self) -> Self {
        let runtime = match self.runtime {
            RuntimeOption::Crun => RuntimeOption::Runc,
            RuntimeOption::Runc | RuntimeOption::Runc1_1 | RuntimeOption::Runc1_1_15 => RuntimeOption::Crun,
        };
        Self { runtime, ..self }
    }

    /// The nodes of which these options speak.
    #[must_use]
    pub fn nodes(self) -> Nodes {
        Nodes {
            runtimes: vec![self.runtime.into()],
            libseccomps: vec![self.libseccomp.into()],
            architectures: vec![self.architecture.into()],
        }
    }

    /// The filter of a profile there, with the rules that decide.
    ///
    /// # Errors
    /// No container starts with the profile there.
    pub fn explainer(self, profile: &Profile) -> Result<Explainer, Unloadable> {
        self.apply(|setting| Explainer::new(profile, setting))
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Debug, Parser)]
    struct Only {
        #[command(flatten)]
        setting: SettingOptions,
    }

    #[test]
    fn without_options_the_setting_is_the_default_one() {
        let parsed = Only::try_parse_from(["it"]).unwrap().setting;
        let default = SettingOptions::default();
        assert_eq!(parsed.runtime, default.runtime);
        assert_eq!(parsed.libseccomp, default.libseccomp);
        assert_eq!(parsed.architecture, default.architecture);
    }

    #[test]
    fn every_name_of_an_architecture_is_known() {
        let native = |name: &str| {
            let parsed = Only::try_parse_from(["it", "--architecture", name]).unwrap().setting;
            parsed.apply(|setting| setting.native)
        };
        for option in ArchitectureOption::value_variants() {
            let architecture = Architecture::from(*option);
            assert_eq!(native(architecture.name()), architecture);
        }
        for machine in convert::Machine::ALL {
            assert_eq!(native(machine.name()), machine.native());
        }
    }

    #[test]
    fn a_libseccomp_that_was_not_measured_is_refused_with_what_to_state() {
        let message =
            |version| Only::try_parse_from(["it", "--libseccomp", version]).unwrap_err().to_string();
        assert_eq!(
            message("2.5.5"),
            "error: the names that libseccomp 2.5.5 knows were not measured: see what 2.5.4 and 2.6.0 do, between which it is\n"
        );
        assert!(message("2.5.2").contains("2.5.4 is the oldest version of which they were"));
        assert!(message("2.7").contains("[possible values: 2.5.4, 2.5.4-debian12, 2.6.0, 2.6.1]"));
    }

    #[test]
    fn what_the_output_names_is_taken_by_the_options() {
        let parsed = |option: &str, name: &str| Only::try_parse_from(["it", option, name]).unwrap().setting;
        for option in RuntimeOption::value_variants() {
            let runtime = Runtime::from(*option);
            assert_eq!(Runtime::from(parsed("--runtime", runtime.name).runtime), runtime);
        }
        for option in LibseccompOption::value_variants() {
            let libseccomp = Libseccomp::from(*option);
            assert_eq!(Libseccomp::from(parsed("--libseccomp", libseccomp.name()).libseccomp), libseccomp);
        }
    }
}
