//! The options of `derive`.

use std::path::{Path, PathBuf};

use api::ProfileName;
use clap::{Args, ValueEnum, ValueHint};
use filter::{Runtime, Startup};

use super::DeriveCommandError;
use crate::output::ProfileForm;

/// What to derive, and for where.
#[derive(Debug, Clone, Args)]
pub struct DeriveArgs {
    /// A program, or a directory with the files of an image
    #[arg(value_name = "ELF|DIR", value_hint = ValueHint::AnyPath)]
    pub target: PathBuf,
    /// A program in DIR, as the image has it (/usr/sbin/nginx); may be repeated
    #[arg(long = "program", value_name = "PATH")]
    pub programs: Vec<String>,
    /// The directory with the libraries of ELF [default: /]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// A library that the program opens although its name is no constant, such as a plugin: a path in the image, or a
    /// name; may be repeated
    #[arg(long = "module", value_name = "PATH")]
    pub modules: Vec<String>,
    /// A directory of libraries that comes before all others, as in LD_LIBRARY_PATH; may be repeated
    #[arg(long = "library-path", value_name = "PATH")]
    pub library_paths: Vec<String>,
    /// A runtime that starts the containers, whose own calls are added; may be repeated
    #[arg(long = "runtime", value_name = "NAME", value_enum, default_values = ["runc", "crun"])]
    pub runtimes: Vec<StartedBy>,
    /// The containers do not have allowPrivilegeEscalation: false, so that runtimes make more calls under the filter
    #[arg(long)]
    pub allow_privilege_escalation: bool,
    /// What to do if the number of a call is not known
    #[arg(long = "open-numbers", value_name = "WHAT", value_enum, default_value = "refuse")]
    pub open: OpenNumbers,
    /// Show how the program reaches this call instead of a profile; may be repeated
    #[arg(long, value_name = "CALL")]
    pub why: Vec<String>,
    /// Show what this profile refuses of what the program can reach, and what it permits beyond
    #[arg(long, value_name = "PROFILE", value_hint = ValueHint::FilePath, conflicts_with = "why")]
    pub check: Option<PathBuf>,
    /// Write how the program reaches each call to this file, as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub evidence: Option<PathBuf>,
    /// The name of the SeccompProfile [default: that of the first program]
    #[arg(long, value_name = "NAME")]
    pub name: Option<ProfileName>,
    /// The output format
    #[arg(long, short, value_name = "FORM", value_enum, default_value = "yaml")]
    pub output: ProfileForm,
}

/// A runtime that starts containers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StartedBy {
    /// runc
    Runc,
    /// crun
    Crun,
    /// None: only the program's own calls
    None,
}

impl StartedBy {
    pub(super) fn is(self, startup: &Startup) -> bool {
        match self {
            Self::Runc => startup.model != Runtime::CRUN,
            Self::Crun => startup.model == Runtime::CRUN,
            Self::None => false,
        }
    }
}

/// What to do if the number of a call is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OpenNumbers {
    /// Derive nothing, and show the places
    Refuse,
    /// Also permit what the default profile of containerd permits
    RuntimeDefault,
}

/// Programs, as paths in a root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Target {
    pub(super) root: PathBuf,
    pub(super) programs: Vec<String>,
}

impl DeriveArgs {
    pub(super) fn target(&self) -> Result<Target, DeriveCommandError> {
        let target = &self.target;
        let unreadable = |error| DeriveCommandError::File { path: target.clone(), error };
        let whole = std::fs::canonicalize(target).map_err(unreadable)?;
        if whole.is_dir() {
            if self.programs.is_empty() {
                return Err(DeriveCommandError::NoProgram(target.clone()));
            }
            return Ok(Target { root: whole, programs: self.programs.clone() });
        }
        if !self.programs.is_empty() {
            return Err(DeriveCommandError::NoDirectory(target.clone()));
        }
        let root = self.root.clone().unwrap_or_else(|| PathBuf::from("/"));
        let root = std::fs::canonicalize(&root)
            .map_err(|error| DeriveCommandError::File { path: root.clone(), error })?;
        let inside = whole.strip_prefix(&root).ok().and_then(Path::to_str);
        let inside = inside.ok_or_else(|| DeriveCommandError::Outside(target.clone()))?;
        Ok(Target { programs: vec![format!("/{inside}")], root })
    }

    /// The name of the profile.
    pub(super) fn name(&self) -> Result<ProfileName, DeriveCommandError> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let program = self.programs.first().map_or(self.target.as_path(), Path::new);
        let name = program.file_name().and_then(|name| name.to_str());
        let name = name.and_then(|name| name.to_lowercase().replace('_', "-").parse().ok());
        name.ok_or_else(|| DeriveCommandError::Nameless(program.to_owned()))
    }
}
