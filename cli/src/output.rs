//! The option that says in which format an answer is printed.

use clap::{Args, ValueEnum};

/// The output format.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputOption {
    /// The form of the answer
    #[arg(long, short, value_name = "FORM", value_enum, default_value = "text")]
    pub output: Format,
}

/// A form of an answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Text for people
    #[default]
    Text,
    /// JSON
    Json,
    /// YAML
    Yaml,
}

/// The form of a profile.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ProfileForm {
    /// The profile as runtimes read it
    Json,
    /// A SeccompProfile, to be applied to a cluster
    Yaml,
}
