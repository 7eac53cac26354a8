//! The options of `explain`.

use std::path::PathBuf;

use clap::{Args, ValueEnum, ValueHint};

use crate::setting::SettingOptions;

/// The options of `explain`.
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// Files, directories, quoted patterns such as 'profiles/**/*.yaml', - for standard input, or names of
    /// SeccompProfiles in the cluster
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::AnyPath)]
    pub files: Vec<PathBuf>,
    /// The form of the answer
    #[arg(long, short, value_name = "FORM", value_enum, default_value = "text")]
    pub output: ExplainFormat,
    /// The node.
    #[command(flatten)]
    pub setting: SettingOptions,
}

/// A form of the answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ExplainFormat {
    /// Text for people
    Text,
    /// JSON
    Json,
    /// YAML
    Yaml,
    /// One page for a browser, which loads nothing else
    Html,
}
