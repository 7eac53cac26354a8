//! The option that says in which format an answer is printed.

use clap::{Args, ValueEnum};

/// The output format.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct OutputOption {
    /// Print JSON or YAML instead of text
    #[arg(long = "output", short, value_name = "FORM")]
    pub output: Option<Format>,
}

/// A machine-readable format.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// JSON
    Json,
    /// YAML
    Yaml,
}
