//! The options of `derive`.

use std::path::{Path, PathBuf};

use api::ProfileName;
use clap::{Args, ValueEnum, ValueHint};
use registry::Reference;

use super::target::Here;
use crate::derive_error::DeriveCommandError;
use crate::image::RegistryOptions;
use crate::output::ProfileForm;
use crate::started_by::StartedBy;

/// What to derive, and what comes out.
#[derive(Debug, Clone, Args)]
pub struct DeriveArgs {
    /// A program; a directory with the files of an image; an image as an OCI layout, as an archive (docker save), or in a
    /// registry
    #[arg(value_name = "ELF|DIR|LAYOUT|ARCHIVE|IMAGE", value_hint = ValueHint::AnyPath)]
    pub target: PathBuf,
    /// Which image of a layout or an archive with several
    #[arg(long, value_name = "NAME")]
    pub image: Option<String>,
    /// The directory with the libraries of ELF [default: /]
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub root: Option<PathBuf>,
    /// How it is derived.
    #[command(flatten)]
    pub options: DeriveOptions,
    /// Show how the program reaches this call instead of a profile; may be repeated
    #[arg(long, value_name = "CALL")]
    pub why: Vec<String>,
    /// Show what this profile refuses of what the program can reach, with the overrides, and what it permits beyond
    #[arg(long, value_name = "PROFILE", value_hint = ValueHint::FilePath, conflicts_with = "why")]
    pub check: Option<PathBuf>,
    /// The output format
    #[arg(long, short, value_name = "FORM", value_enum, default_value = "yaml")]
    pub output: ProfileForm,
    /// The registry.
    #[command(flatten)]
    pub registry: RegistryOptions,
}

/// How a profile is derived.
#[derive(Debug, Clone, Args)]
pub struct DeriveOptions {
    /// A program in DIR or in the image, as the image has it (/usr/sbin/nginx); may be repeated. An image's entry point and
    /// command are derived, too
    #[arg(long = "program", value_name = "PATH")]
    pub programs: Vec<String>,
    /// Only the programs that are named, not those that they start, nor the image's entry point
    #[arg(long)]
    pub only_named: bool,
    /// A program that is not derived although something may start it: a path or a name; may be repeated
    #[arg(long, value_name = "PROGRAM")]
    pub without: Vec<String>,
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
    /// Experimental: permit calls only with the arguments that they are found to have, where these are known on all ways:
    /// families and types of sockets, requests, commands, flags. docs/derive.md says what this assumes of the code
    #[arg(long, value_name = "WHICH", value_enum, default_value = "any")]
    pub arguments: KnownArguments,
    /// What to do if the number of a call is not known
    #[arg(long = "open-numbers", value_name = "WHAT", value_enum, default_value = "refuse")]
    pub open: OpenNumbers,
    /// A file with calls to be permitted and refused whatever is derived, each with a reason
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub overrides: Option<PathBuf>,
    /// Write how the programs reach each call to this file, as JSON
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub evidence: Option<PathBuf>,
    /// The name of the SeccompProfile [default: that of the first program, or of the image]
    #[arg(long, value_name = "NAME")]
    pub name: Option<ProfileName>,
}

/// Which arguments a call is permitted with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum KnownArguments {
    /// All
    Any,
    /// Those that are known, if everything that can run was followed
    Proven,
    /// Those that are known of what was followed, as for the calls themselves: modules and programs whose names are not
    /// known have to be named
    Followed,
}

/// What to do if the number of a call is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OpenNumbers {
    /// Derive nothing, and show the places
    Refuse,
    /// Also permit what the default profile of containerd permits
    RuntimeDefault,
}

impl DeriveArgs {
    /// The name of the profile: that of the first program, or of the layout or archive.
    pub(super) fn name(&self, here: &Here) -> Result<ProfileName, DeriveCommandError> {
        let programs = &self.options.programs;
        // A directory may be named as `.`.
        let whole = std::fs::canonicalize(&self.target).unwrap_or_else(|_| self.target.clone());
        let path = programs.first().map_or(whole.as_path(), Path::new);
        let is_archive = matches!(here, Here::Archive(_)) && programs.is_empty();
        let name = if is_archive { path.file_stem() } else { path.file_name() };
        let name = name.and_then(|name| name.to_str()).map(|name| name.trim_end_matches(".tar"));
        self.options.named(name, path)
    }
}

impl DeriveOptions {
    /// The name of the profile of an image in a registry: the last word of its repository.
    pub(super) fn name_of_image(&self, image: &Reference) -> Result<ProfileName, DeriveCommandError> {
        let path = image.repository().path();
        self.named(path.rsplit('/').next(), Path::new(path))
    }

    fn named(&self, name: Option<&str>, path: &Path) -> Result<ProfileName, DeriveCommandError> {
        if let Some(name) = &self.name {
            return Ok(name.clone());
        }
        let name = name.and_then(|name| name.to_lowercase().replace('_', "-").parse().ok());
        name.ok_or_else(|| DeriveCommandError::Nameless(path.to_owned()))
    }
}
