//! What is wrong with a profile, in messages that help its author to correct it.

use std::fmt;

use crate::path::FieldPath;

/// The maximum number of problems in one error; otherwise a file that is not a profile at all would fill a screen.
pub(crate) const MAX_PROBLEMS: usize = 10;

/// One field that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseProblem {
    /// The path of the field from the top of the profile. Empty for the profile itself.
    pub path: FieldPath,
    /// What is wrong and what is expected.
    pub message: String,
}

impl fmt::Display for ParseProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.path.segments().is_empty() {
            f.write_str(&self.message)
        } else {
            write!(f, "{}: {}", self.path, self.message)
        }
    }
}

/// A profile that cannot be used, with every field that is wrong (ten at most).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct ParseError {
    problems: Vec<ParseProblem>,
}

impl ParseError {
    pub(crate) fn new(problems: Vec<ParseProblem>) -> Self {
        Self { problems }
    }

    /// The error with these problems, of which it keeps ten; `None` without any. For readers of other formats, which
    /// name fields in the same way.
    #[must_use]
    pub fn of(mut problems: Vec<ParseProblem>) -> Option<Self> {
        problems.truncate(MAX_PROBLEMS);
        (!problems.is_empty()).then_some(Self { problems })
    }

    pub(crate) fn whole(message: impl Into<String>) -> Self {
        Self { problems: vec![ParseProblem { path: FieldPath::default(), message: message.into() }] }
    }

    /// The problems; never empty.
    #[must_use]
    pub fn problems(&self) -> &[ParseProblem] {
        &self.problems
    }

    /// The same error with its paths below `prefix`, as in `spec.contents`.
    #[must_use]
    pub fn under(mut self, prefix: &str) -> Self {
        for problem in &mut self.problems {
            problem.path = std::mem::take(&mut problem.path).under(prefix);
        }
        self
    }

    /// The reason for metric labels, Events and conditions.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        "InvalidProfile"
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, problem) in self.problems.iter().enumerate() {
            if i > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{problem}")?;
        }
        Ok(())
    }
}
