//! Findings as commands of GitHub's workflows, which shows them at the lines of a pull request.

use lint::Severity;

use super::PlacedFinding;

/// The command of a finding, a line.
pub(super) fn command(it: &PlacedFinding) -> String {
    let PlacedFinding { file, position, finding, .. } = it;
    let level = match finding.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "notice",
    };
    let mut place = format!("file={},line={},", property(file), position.line);
    // GitHub shows columns only within a line.
    if position.end_line == position.line {
        place += &format!("col={},endColumn={},", position.column, position.end_column);
    } else {
        place += &format!("endLine={},", position.end_line);
    }
    format!("::{level} {place}title={}::{}\n", property(finding.rule), message(&finding.message))
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
