//! What a converted profile does not contain, and what was assumed.

use std::collections::BTreeSet;
use std::fmt;

use profile::{Architecture, FieldPath, Segment};

use crate::wording::{count, listed};
use crate::{Kernel, Machine};

/// Something that is not in the converted profile, or that was assumed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remark {
    /// The nodes for which the profile was converted.
    Nodes {
        /// Their architectures.
        machines: Vec<Machine>,
        /// Whether nobody has chosen them.
        assumed: bool,
        /// The architectures of `archMap` that are left out.
        left_out: Vec<Architecture>,
    },
    /// `archMap` does not list the architecture of some nodes, so that they have no sub-architectures.
    NotInArchMap(Machine),
    /// The capabilities of the containers were assumed.
    DefaultCapabilities {
        /// Those that conditions name and the containers have.
        held: BTreeSet<&'static str>,
    },
    /// The kernel of the nodes was assumed.
    AssumedKernel(Kernel),
    /// Rules whose condition is not true.
    RulesLeftOut {
        /// Which condition.
        why: Why,
        /// The rules.
        rules: Rules,
        /// The capabilities or kernels that the conditions name.
        named: BTreeSet<String>,
        /// The calls of the rules.
        calls: BTreeSet<String>,
    },
    /// Comments of rules, which runtimes do not read.
    Comments(Rules),
    /// Rules with an errno beside an action that takes none.
    UnusedErrno(Rules),
    /// Rules whose `errno` and `errnoRet` differ.
    ErrnosDiffer(Rules),
    /// Rules that compare one argument several times.
    Split(Rules),
    /// An option that changes nothing, because the profile has no such condition.
    UnusedOption(&'static str),
    /// Fields of an object that its profile does not depend on.
    ObjectFields(Vec<String>),
    /// The operator does not write the profile to nodes.
    Disabled,
    /// The profile is a part of a recording, which the operator does not write to nodes.
    Partial,
    /// `SCMP_ARCH_NATIVE` was listed.
    NativeArchitecture,
    /// Rules with `errnoRet: 0`, which the operator drops.
    ZeroErrno(Rules),
    /// Profiles whose rules were added.
    Bases(Vec<String>),
    /// The rules are those that the operator has merged before.
    MergedBefore(String),
    /// What containerd would have done with the file.
    Containerd {
        /// The fields that it ignores.
        ignored: Vec<&'static str>,
        /// Rules whose condition it would not have looked at.
        rules: usize,
    },
}

/// Some rules of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Rules {
    count: usize,
    /// The index of the first one in the profile that was converted; `None` if they may be those of another one.
    first: Option<usize>,
}

impl Rules {
    /// One more rule, which has this index in the profile.
    pub(crate) fn add(&mut self, index: usize) {
        self.count += 1;
        self.first.get_or_insert(index);
    }

    /// The same rules, some of which may be those of another profile.
    pub(crate) fn of_several_profiles(self) -> Self {
        Self { first: None, ..self }
    }

    /// The rules, if there are any.
    pub(crate) fn some(self) -> Option<Self> {
        (self.count > 0).then_some(self)
    }
}

impl FromIterator<usize> for Rules {
    fn from_iter<I: IntoIterator<Item = usize>>(indexes: I) -> Self {
        let mut rules = Self::default();
        indexes.into_iter().for_each(|index| rules.add(index));
        rules
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&count(self.count, "rule"))
    }
}

/// Why a rule does not apply.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It is for other architectures.
    Architecture,
    /// The containers lack a capability that it needs.
    CapabilityLacking,
    /// The containers have a capability with which it does not apply.
    CapabilityHeld,
    /// It is for other kernels.
    Kernel,
}

fn named(names: &BTreeSet<String>) -> String {
    listed(names.iter().map(String::as_str))
}

impl Remark {
    /// The field that it is about, from the top of the profile (of an object: from its `spec`); of several rules the first.
    /// `None` if it is about the whole profile, or about rules of another one.
    #[must_use]
    pub fn path(&self) -> Option<FieldPath> {
        let field = |name: &str| Some(FieldPath::from_iter([Segment::from(name)]));
        match self {
            Self::NotInArchMap(_) => field("archMap"),
            Self::NativeArchitecture => field("architectures"),
            Self::Bases(_) | Self::MergedBefore(_) => field("baseProfileName"),
            Self::RulesLeftOut { rules, .. }
            | Self::Comments(rules)
            | Self::UnusedErrno(rules)
            | Self::ErrnosDiffer(rules)
            | Self::Split(rules)
            | Self::ZeroErrno(rules) => {
                Some(FieldPath::from_iter([Segment::from("syscalls"), Segment::from(rules.first?)]))
            }
            Self::Nodes { .. }
            | Self::DefaultCapabilities { .. }
            | Self::AssumedKernel(_)
            | Self::UnusedOption(_)
            | Self::ObjectFields(_)
            | Self::Disabled
            | Self::Partial
            | Self::Containerd { .. } => None,
        }
    }
}

impl fmt::Display for Remark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes { machines, assumed, left_out } => {
                let machines: Vec<_> = machines.iter().map(|machine| machine.name()).collect();
                write!(f, "converted for nodes with {}", machines.join(" and "))?;
                if !left_out.is_empty() {
                    write!(f, "; left out of archMap: {}", listed(left_out.iter().map(|it| it.name())))?;
                }
                if *assumed { f.write_str(" (choose with --architecture)") } else { Ok(()) }
            }
            Self::NotInArchMap(machine) => write!(
                f,
                "archMap does not list {machine}: on such nodes only calls of their own architecture are covered"
            ),
            Self::DefaultCapabilities { held } => {
                f.write_str(
                    "converted for containers with the default capabilities of containerd and Docker, ",
                )?;
                match held.is_empty() {
                    true => f.write_str("which include none that rules depend on")?,
                    false => write!(f, "of which rules depend on {}", listed(held.iter().copied()))?,
                }
                f.write_str(" (change them with --cap-add and --cap-drop)")
            }
            Self::AssumedKernel(kernel) => {
                write!(
                    f,
                    "converted for Linux {kernel} or later, which the agents need (choose with --kernel)"
                )
            }
            Self::RulesLeftOut { why, rules, named: words, calls } => {
                write!(f, "left out: {rules} ")?;
                match why {
                    Why::Architecture => f.write_str("for other architectures")?,
                    Why::CapabilityLacking => {
                        write!(f, "for capabilities that the containers lack ({})", named(words))?;
                    }
                    Why::CapabilityHeld => {
                        write!(f, "that a capability of the containers excludes ({})", named(words))?;
                    }
                    Why::Kernel => {
                        write!(f, "for other kernels ({}; Podman and CRI-O ignore minKernel)", named(words))?;
                    }
                }
                write!(f, ": {}", named(calls))
            }
            Self::Comments(rules) => {
                write!(f, "left out: the comment of {rules}, which no runtime reads")
            }
            Self::UnusedErrno(rules) => write!(
                f,
                "left out: the errno of {rules}, whose action takes none (runc ignores it, crun refuses it)"
            ),
            Self::ErrnosDiffer(rules) => write!(
                f,
                "errno and errnoRet differ in {rules}: the profile has errno, as with Podman and CRI-O; Docker uses errnoRet"
            ),
            Self::Split(rules) => write!(
                f,
                "{rules} compared an argument several times, which runtimes take as alternatives: written as a rule for each \
                 comparison"
            ),
            Self::UnusedOption(option) => {
                write!(f, "{option} changes nothing: the profile has no such condition")
            }
            Self::ObjectFields(fields) => write!(f, "left out: {}", fields.join(", ")),
            Self::Disabled => f.write_str("the Security Profiles Operator does not write this profile to nodes: it is disabled"),
            Self::Partial => f.write_str(
                "the Security Profiles Operator does not write this profile to nodes: it is a part of a recording \
                 (label spo.x-k8s.io/partial)",
            ),
            Self::NativeArchitecture => f.write_str(
                "left out: SCMP_ARCH_NATIVE, which runtimes refuse; a node's own architecture is always covered",
            ),
            Self::ZeroErrno(rules) => write!(
                f,
                "left out: errnoRet 0 of {rules}, which the operator does not write, so that the calls fail with EPERM"
            ),
            Self::Bases(names) => {
                write!(f, "with the rules of {}, as the operator merges them", names.join(", "))
            }
            Self::MergedBefore(base) => write!(
                f,
                "with the rules that the operator had merged with those of {base} (annotation syscalls)"
            ),
            Self::Containerd { ignored, rules } => {
                write!(f, "containerd would have ignored {} of this file", ignored.join(", "))?;
                if *rules > 0 {
                    write!(
                        f,
                        ", and so applied {} to every container",
                        match rules {
                            1 => "1 rule that has a condition".to_owned(),
                            _ => format!("{rules} rules that have conditions"),
                        }
                    )?;
                }
                Ok(())
            }
        }
    }
}
