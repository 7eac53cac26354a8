//! Why a profile cannot be converted.

use profile::{FieldPath, ParseError, ParseProblem, Segment};

use crate::wording::listed;
use crate::{Kernel, Machine};

/// Why there is no single profile that means the same.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConvertError {
    /// The profile has fields or values that mean nothing.
    #[error("{0}")]
    Invalid(#[from] ParseError),
    /// A rule applies on one architecture and not on another, which has the same calls.
    #[error(
        "syscalls[{rule}]: applies on {applies} and not on {other}, which also has {}, and a profile is the same on all \
         nodes; convert it for each alone (--architecture {applies}, --architecture {other})", listed(names.iter().map(String::as_str))
    )]
    ByArchitecture {
        /// Index of the rule.
        rule: usize,
        /// An architecture on which it applies.
        applies: Machine,
        /// One on which it does not.
        other: Machine,
        /// The calls of the rule that this one has, too.
        names: Vec<String>,
    },
    /// No node has the byte order of both.
    #[error(
        "{big} is big-endian and {little} little-endian, and libseccomp refuses a profile for both; convert it for each alone"
    )]
    ByteOrder {
        /// A big-endian architecture.
        big: Machine,
        /// A little-endian one.
        little: Machine,
    },
    /// The profile covers neither of the architectures that are assumed.
    #[error(
        "archMap has neither SCMP_ARCH_X86_64 nor SCMP_ARCH_AARCH64; give the architectures of the nodes \
         (--architecture, as in the nodes' label kubernetes.io/arch)"
    )]
    MachineNeeded,
    /// Conditions on the kernel depend on more than what is assumed of it.
    #[error("{}", .0.iter().map(LaterKernel::message).collect::<Vec<_>>().join("\n"))]
    KernelNeeded(Vec<LaterKernel>),
    /// The base of a profile of the Security Profiles Operator is not there.
    #[error(
        "its baseProfileName {0:?} is none of the given profiles; give the file that has it (--base FILE), or the object as \
         `kubectl get -o yaml` prints it, with the rules that the operator has merged (annotation syscalls)"
    )]
    BaseMissing(String),
    /// The base is an artifact in a registry, which is not read here.
    #[error(
        "its baseProfileName {reference:?} is an artifact in a registry, which this command does not read; pull it \
         (`spoc pull --output-file base.yaml {}`) and give it (--base {reference}=base.yaml)",
        reference.trim_start_matches("oci://")
    )]
    BaseInRegistry {
        /// The `baseProfileName`.
        reference: String,
    },
    /// A chain of bases that the operator would refuse, too.
    #[error("its chain of base profiles is longer than 15 or a circle, which the operator refuses, too")]
    BaseTooDeep,
}

/// A rule with a condition on a later kernel than the one that is assumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LaterKernel {
    /// Index of the rule.
    pub rule: usize,
    /// The latest version that its conditions name.
    pub kernel: Kernel,
    /// The calls of the rule.
    pub names: Vec<String>,
}

impl LaterKernel {
    fn message(&self) -> String {
        let Self { rule, kernel, names } = self;
        let names = listed(names.iter().map(String::as_str));
        format!(
            "syscalls[{rule}]: the rule for {names} depends on a kernel of {kernel} or later; give the kernel of the nodes \
             (--kernel)"
        )
    }
}

/// The error with these problems.
pub(crate) fn invalid(problems: Vec<ParseProblem>) -> ConvertError {
    let unknown = || ParseProblem { path: FieldPath::default(), message: "not a profile".to_owned() };
    match ParseError::of(problems) {
        Some(error) => error.into(),
        None => invalid(vec![unknown()]),
    }
}

impl ConvertError {
    /// What is wrong with fields of the document, and where; nothing if no field is wrong.
    #[must_use]
    pub fn problems(&self) -> Vec<(FieldPath, String)> {
        let at = |path| vec![(path, self.to_string())];
        match self {
            Self::Invalid(error) => {
                error.problems().iter().map(|problem| (problem.path.clone(), problem.to_string())).collect()
            }
            Self::ByArchitecture { rule, .. } => {
                at([Segment::from("syscalls"), Segment::from(*rule)].into_iter().collect())
            }
            Self::MachineNeeded => at([Segment::from("archMap")].into_iter().collect()),
            Self::BaseMissing(_) | Self::BaseInRegistry { .. } | Self::BaseTooDeep => at(Self::base_name()),
            Self::KernelNeeded(rules) => {
                let path = |rule| [Segment::from("syscalls"), Segment::from(rule)].into_iter().collect();
                rules.iter().map(|later| (path(later.rule), later.message())).collect()
            }
            Self::ByteOrder { .. } => Vec::new(),
        }
    }

    /// The field of an object that names its base.
    pub(crate) fn base_name() -> FieldPath {
        ["spec", "baseProfileName"].map(Segment::from).into_iter().collect()
    }

    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Invalid(error) => error.reason(),
            Self::ByArchitecture { .. } => "DependsOnArchitecture",
            Self::ByteOrder { .. } => "ByteOrder",
            Self::MachineNeeded => "ArchitectureNeeded",
            Self::KernelNeeded(_) => "KernelNeeded",
            Self::BaseMissing(_) => "BaseMissing",
            Self::BaseInRegistry { .. } => "BaseInRegistry",
            Self::BaseTooDeep => "BaseTooDeep",
        }
    }
}
