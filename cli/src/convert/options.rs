//! The options of `convert`.

use std::convert::Infallible;
use std::path::PathBuf;
use std::str::FromStr;

use api::ProfileName;
use clap::{Args, ValueEnum, ValueHint};
use convert::{Capabilities, CapabilityError, Kernel, Machine, Target};

/// What to convert, and for what.
#[derive(Debug, Clone, Args)]
pub struct ConvertArgs {
    /// Files, directories, quoted patterns such as 'profiles/**/*.json', - for standard input, or names in the cluster
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// The format to convert to
    #[arg(long, value_enum, value_name = "FORM", default_value = "seccompprofile")]
    pub to: Form,
    /// The name of the SeccompProfile [default: that of the object, or of the file without its ending]
    #[arg(long, value_name = "NAME")]
    pub name: Option<ProfileName>,
    /// Convert only the profile of this name; may be repeated
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// A file with base profiles of the Security Profiles Operator, which are not converted themselves; may be repeated.
    /// NAME=FILE for a baseProfileName that is not the name of the object
    #[arg(long = "base", value_name = "[NAME=]FILE", value_hint = ValueHint::FilePath)]
    pub bases: Vec<BaseFile>,
    /// A capability that the containers have beside the default ones, or ALL; may be repeated
    #[arg(long, value_name = "CAPABILITY")]
    cap_add: Vec<String>,
    /// A capability that the containers do not have although it is a default one or --cap-add ALL adds it, or ALL; may be
    /// repeated
    #[arg(long, value_name = "CAPABILITY")]
    cap_drop: Vec<String>,
    /// The architecture of the nodes, as in their label kubernetes.io/arch; may be repeated [default: amd64 and arm64, as
    /// far as archMap lists them]
    #[arg(long, value_name = "ARCH")]
    architecture: Vec<Machine>,
    /// The kernel of the nodes, such as 6.1 [default: any that the agents run on, 5.6 or later]
    #[arg(long, value_name = "VERSION")]
    kernel: Option<Kernel>,
}

/// A file with base profiles.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BaseFile {
    /// The `baseProfileName` that means the profile in it; the names of the objects if it is absent.
    pub name: Option<String>,
    /// The file.
    pub path: PathBuf,
}

impl FromStr for BaseFile {
    type Err = Infallible;

    fn from_str(text: &str) -> Result<Self, Infallible> {
        Ok(match text.split_once('=') {
            Some((name, path)) => Self { name: Some(name.to_owned()), path: path.into() },
            None => Self { name: None, path: text.into() },
        })
    }
}

/// A format to convert to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Form {
    /// A SeccompProfile, as YAML
    Seccompprofile,
    /// The JSON of the OCI runtime specification, as runtimes read it
    Oci,
}

impl ConvertArgs {
    /// For which containers and nodes to convert.
    ///
    /// # Errors
    /// A capability is unknown, or added and dropped.
    pub fn target(&self) -> Result<Target, CapabilityError> {
        let capabilities = Capabilities::new(&self.cap_add, &self.cap_drop)?;
        Ok(Target { capabilities, machines: self.architecture.clone(), kernel: self.kernel })
    }
}
