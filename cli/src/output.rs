//! The option that says in which format an answer is printed.

use clap::{Args, ValueEnum};
use serde::Serialize;

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

/// A value as JSON in lines, for a file or a pipe.
pub(crate) fn json_lines(value: &impl Serialize) -> String {
    #[expect(
        clippy::expect_used,
        reason = "no key of a map is anything but text, and writing to memory does not fail"
    )]
    let text = serde_json::to_string_pretty(value).expect("it is always JSON");
    text + "\n"
}
