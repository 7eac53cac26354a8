//! Findings as commands of GitHub's workflows, which shows them at the lines of a pull request.

use lint::Severity;

use super::PlacedFinding;
use super::unchecked::Problem;
use crate::manifest::Position;

/// The command of a finding, a line.
pub(super) fn command(it: &PlacedFinding) -> String {
    let PlacedFinding { file, position, finding, .. } = it;
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let (rule, text) = (property(finding.rule), message(&finding.message));
    format!("::{level} {}title={rule}::{text}\n", place(Some(file), Some(*position)))
}

/// The command of what is wrong with a file, a line.
pub(super) fn error(it: &Problem) -> String {
    let Problem { file, position, reason, message: text } = it;
    let place = place(file.as_deref(), *position);
    format!("::error {place}title={}::{}\n", property(reason), message(text))
}

/// The properties of a place, each with a comma behind it.
fn place(file: Option<&str>, position: Option<Position>) -> String {
    let Some(file) = file else { return String::new() };
    let mut place = format!("file={},", property(file));
    if let Some(Position { line, column, end_line, end_column }) = position {
        place += &format!("line={line},");
        // GitHub shows columns only within a line.
        place += &match end_line == line {
            true => format!("col={column},endColumn={end_column},"),
            false => format!("endLine={end_line},"),
        };
    }
    place
}

/// Text behind the colons (`escapeData` of the package @actions/core).
fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

/// The value of a property (`escapeProperty` there).
fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_end_a_property_or_a_line_is_escaped() {
        assert_eq!(property("a,b:c\n50%"), "a%2Cb%3Ac%0A50%25");
        assert_eq!(message("a,b:c\r\n50%"), "a,b:c%0D%0A50%25");
    }
}
