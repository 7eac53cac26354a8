//! The options of `lint`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum, ValueHint};
use lint::{Nodes, ON_REQUEST, RULES, Safety};

use super::Checks;
use crate::setting::{ArchitectureOption, LibseccompOption, LibseccompParser, RuntimeOption};
use crate::sources::Others;

/// The options of `lint`.
#[derive(Debug, Clone, Args)]
#[expect(clippy::struct_excessive_bools, reason = "each is an option of its own")]
pub struct LintArgs {
    /// Files, directories, quoted patterns such as 'profiles/**/*.yaml', - for standard input, or names of
    /// SeccompProfiles in the cluster
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// Correct the files in place where the filter stays the same, and keep comments and order
    ///
    /// A fix is left out if the filter would then be another one in some known runtime and libseccomp, on the
    /// architectures that the profile lists or that --architecture names. It shows what was corrected, and the findings
    /// that are left.
    #[arg(long)]
    fix: bool,
    /// With --fix, also apply the fixes that change the filter: check each
    #[arg(long, requires = "fix")]
    unsafe_fixes: bool,
    /// Skip named files without a profile, as those in directories, instead of failing
    #[arg(long)]
    skip_others: bool,
    /// A rule whose findings are left out; may be repeated
    #[arg(long, value_name = "RULE", value_parser = PossibleValuesParser::new(RULES.iter().map(|rule| rule.id)), hide_possible_values = true)]
    ignore: Vec<String>,
    /// A rule that is only checked on request; may be repeated
    #[arg(long, value_name = "RULE", value_parser = PossibleValuesParser::new(ON_REQUEST))]
    also: Vec<String>,
    /// A container runtime of the nodes; may be repeated [default: all]
    #[arg(long, value_name = "NAME", value_enum)]
    runtime: Vec<RuntimeOption>,
    /// A libseccomp of the nodes, which determines the names that they know; may be repeated [default: all]
    #[arg(long, value_name = "VERSION", value_parser = LibseccompParser)]
    libseccomp: Vec<LibseccompOption>,
    /// An architecture of the nodes; may be repeated [default: unknown]
    #[arg(long, value_name = "NAME", value_enum)]
    architecture: Vec<ArchitectureOption>,
    /// Also find what a profile permits beyond the default profiles of containerd and Docker: the rule
    /// weaker-than-runtime-default
    #[arg(long)]
    runtime_default: bool,
    /// The form of the answer
    #[arg(long, short, value_name = "FORM", value_enum, default_value = "text")]
    pub output: LintFormat,
}

/// A form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LintFormat {
    /// Text for people, with the lines of the files
    Text,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// The Static Analysis Results Interchange Format (SARIF) 2.1.0
    Sarif,
    /// Commands of GitHub's workflows
    Github,
}

impl LintArgs {
    /// What to check for.
    #[must_use]
    pub fn checks(&self) -> Checks {
        let mut nodes = Nodes::default();
        if !self.libseccomp.is_empty() {
            nodes.libseccomps = self.libseccomp.iter().map(|option| (*option).into()).collect();
        }
        if !self.runtime.is_empty() {
            nodes.runtimes = self.runtime.iter().map(|option| (*option).into()).collect();
        }
        nodes.architectures = self.architecture.iter().map(|option| (*option).into()).collect();
        let mut requested = self.also.clone();
        if self.runtime_default {
            requested.push("weaker-than-runtime-default".to_owned());
        }
        Checks { nodes, ignored: self.ignore.clone(), requested }
    }

    /// Which fixes to apply.
    pub(super) fn fixes(&self) -> Option<Safety> {
        self.fix.then_some(if self.unsafe_fixes { Safety::Unsafe } else { Safety::Safe })
    }

    /// What to do about named files without a profile.
    #[must_use]
    pub fn others(&self) -> Others {
        if self.skip_others { Others::Skip } else { Others::Refuse }
    }
}
