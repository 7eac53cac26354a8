//! Files that cannot be linted, because they cannot be read or have no valid profile: they hide no finding in others.

use std::path::Path;

use serde::Serialize;

use crate::error::CliError;
use crate::manifest::Position;

/// Why a file was not checked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Problem {
    /// The file; absent if the error is about something else.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) file: Option<String>,
    /// The field's place, if the error is about one.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub(super) position: Option<Position>,
    /// The error, as one word of a bounded set.
    pub(super) reason: &'static str,
    /// The error.
    pub(super) message: String,
}

/// A file that was not checked.
#[derive(Debug)]
pub(super) struct Unchecked {
    /// Its problems, at least one.
    pub(super) problems: Vec<Problem>,
    /// All of them as people read them.
    pub(super) text: String,
}

impl From<CliError> for Unchecked {
    fn from(error: CliError) -> Self {
        let reason = error.reason();
        let problem = |file: Option<&Path>, position, message| Problem {
            file: file.map(|path| path.display().to_string()),
            position,
            reason,
            message,
        };
        let mut problems = Vec::new();
        match &error {
            CliError::Document { path, error } => {
                let places = error.problems().into_iter();
                problems.extend(
                    places.map(|(message, place)| problem(Some(path), Some(place.position), message)),
                );
                if problems.is_empty() {
                    problems.push(problem(Some(path), None, error.to_string()));
                }
            }
            CliError::File { path, .. } => problems.push(problem(Some(path), None, error.to_string())),
            _ => problems.push(problem(None, None, error.to_string())),
        }
        Self { problems, text: error.to_string() }
    }
}
