//! A place in a file, as data.

use serde::Serialize;

/// A part of a file: lines and columns in characters, both from 1; the end is behind the last character.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Position {
    /// The first line.
    pub line: usize,
    /// The first column.
    pub column: usize,
    /// The last line.
    pub end_line: usize,
    /// The column behind the last character.
    pub end_column: usize,
}

/// Where a field stands in a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Its lines and columns.
    pub position: Position,
    /// The text of its first line.
    pub line: String,
}

/// The line of a text with this number, from 1; empty if there is none. YAML lines end with `\n`, `\r\n` or `\r` alone.
pub(crate) fn line_of(text: &str, number: usize) -> &str {
    // A file may have one long line, and thousands of findings in it.
    if !text.contains('\r') {
        return text.lines().nth(number - 1).unwrap_or_default();
    }
    let mut rest = text;
    for _ in 1..number {
        match rest.find(['\n', '\r']) {
            Some(end) => rest = after_break(&rest[end..]),
            None => return "",
        }
    }
    rest.split(['\n', '\r']).next().unwrap_or_default()
}

/// The number of line ends in a text.
pub(crate) fn line_ends(text: &str) -> usize {
    let lone = |(at, _): &(usize, &str)| !text[at + 1..].starts_with('\n');
    text.matches('\n').count() + text.match_indices('\r').filter(lone).count()
}

/// What follows the line end with which a text begins.
fn after_break(text: &str) -> &str {
    text.strip_prefix("\r\n").or_else(|| text.get(1..)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_carriage_returns_the_lines_are_the_same() {
        let lines: Vec<_> = (1..5).map(|number| line_of("a\n\nb\n", number)).collect();
        assert_eq!(lines, ["a", "", "b", ""]);
    }

    #[test]
    fn lines_end_in_three_ways() {
        let text = "a\rb\r\nc\nd\r\r";
        let lines: Vec<_> = (1..8).map(|number| line_of(text, number)).collect();
        assert_eq!(lines, ["a", "b", "c", "d", "", "", ""]);
        assert_eq!(line_ends(text), 5);
        assert_eq!(line_ends(""), 0);
    }
}
