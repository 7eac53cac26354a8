//! A line of a file with a part of it underlined, and errors about fields of a file.

use std::fmt::Write;
use std::ops::Range;
use std::path::Path;

use crate::manifest::{DocumentError, Place, Position, line_of};
use crate::show::{Paint, Tone, escaped, escaped_path, in_columns};

/// The maximum number of characters of a line that are shown: a JSON file may have only one line.
const WIDTH: usize = 120;
/// How many characters are shown before the underlined part of a longer line.
const BEFORE: usize = 40;

/// The first line of a position, underlined, with its number.
pub(crate) fn excerpt(source: &str, position: Position, paint: Paint, tone: Tone) -> String {
    of_line(line_of(source, position.line), position, paint, tone)
}

/// An error about a file: each field that is wrong, with its line.
pub(crate) fn document_error(path: &Path, error: &DocumentError) -> String {
    let problems = error.problems();
    if problems.is_empty() {
        return format!("{}: {error}", escaped_path(path));
    }
    field_errors(&escaped_path(path), problems)
}

/// Errors about fields of a file, each with its line. What prints them writes `error: ` before the first.
pub(crate) fn field_errors<'p>(
    file: &str,
    problems: impl IntoIterator<Item = (String, &'p Place)>,
) -> String {
    let mut text = String::new();
    for (message, Place { position, line }) in problems {
        if !text.is_empty() {
            text += "error: ";
        }
        let (row, column) = (position.line, position.column);
        // Writing to memory does not fail.
        let _ = writeln!(text, "{message}\n --> {}:{row}:{column}", escaped(file));
        text += &of_line(line, *position, Paint::Plain, Tone::Bad);
    }
    text.truncate(text.trim_end().len());
    text
}

/// The first line of a position, underlined.
fn of_line(line: &str, position: Position, paint: Paint, tone: Tone) -> String {
    let end = if position.end_line > position.line { usize::MAX } else { position.end_column - 1 };
    marked(line, position.line, position.column - 1..end, paint, tone)
}

/// A line with this number, in which these characters are underlined.
pub(crate) fn marked(line: &str, number: usize, part: Range<usize>, paint: Paint, tone: Tone) -> String {
    // Only what is near the part is looked at: a file may have one long line and thousands of findings in it.
    let (before, begin) = at_character(line, part.start);
    let near: Vec<char> = line[before..].chars().take(WIDTH + 1).collect();
    let from = if begin + near.len() > WIDTH { begin.saturating_sub(BEFORE) } else { 0 };
    let first =
        line[..before].char_indices().rev().take(begin - from).last().map_or(before, |(byte, _)| byte);
    let shown: String = line[first..].chars().take(WIDTH).collect();
    let to = from + shown.chars().count();
    let end = part.end.clamp(begin, begin + near.len());
    let mark = |cut: bool| if cut { "…" } else { "" };
    let shown = format!("{}{shown}{}", mark(from > 0), mark(first + shown.len() < line.len()));
    let number = number.to_string();
    let margin = " ".repeat(number.len());
    let indent = " ".repeat(begin - from + usize::from(from > 0));
    let underline = "^".repeat((end.min(to).saturating_sub(begin)).max(1));
    format!(
        "{margin} |\n{number} | {}\n{margin} | {indent}{}\n",
        paint.text(&in_columns(shown.trim_end()), Tone::Plain),
        paint.text(&underline, tone)
    )
}

/// The byte at which a character begins, and its index; those of the end if the line is shorter.
fn at_character(line: &str, index: usize) -> (usize, usize) {
    if line.is_ascii() {
        return (index.min(line.len()), index.min(line.len()));
    }
    let mut rest = line.chars();
    match index.checked_sub(1).map(|before| rest.nth(before)) {
        Some(None) => (line.len(), line.chars().count()),
        _ => (line.len() - rest.as_str().len(), index),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown(source: &str, (line, column): (usize, usize), (end_line, end_column): (usize, usize)) -> String {
        excerpt(source, Position { line, column, end_line, end_column }, Paint::Plain, Tone::Bad)
    }

    #[test]
    fn a_part_of_a_line_is_underlined() {
        assert_eq!(
            shown("a: b\nnames: [é, x]\n", (2, 12), (2, 13)),
            "  |\n2 | names: [é, x]\n  |            ^\n"
        );
        assert_eq!(shown("- a:\n  - b\n", (1, 3), (3, 1)), "  |\n1 | - a:\n  |   ^^\n");
        assert_eq!(shown("a: b\n", (1, 1), (1, 1)), "  |\n1 | a: b\n  | ^\n");
    }

    #[test]
    fn of_a_long_line_only_the_surroundings_are_shown() {
        let line = format!("{}here{}", "x".repeat(200), "y".repeat(200));
        let text = shown(&line, (1, 201), (1, 205));
        assert!(text.lines().all(|line| line.chars().count() < 130), "{text}");
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1].chars().position(|c| c == 'h'), lines[2].chars().position(|c| c == '^'));
        assert!(lines[2].ends_with("^^^^") && !lines[2].ends_with("^^^^^"));
        let longer = shown(&line, (1, 11), (1, 401));
        assert!(longer.lines().all(|line| line.chars().count() < 130), "{longer}");
    }

    #[test]
    fn each_place_in_a_long_line_is_shown_with_its_surroundings() {
        let items: Vec<String> = (0..2_000).map(|number| format!("item_{number}")).collect();
        let line = items.join(", ");
        for item in items.iter().step_by(97) {
            let column = line.find(item.as_str()).unwrap() + 1;
            let text = shown(&line, (1, column), (1, column + item.len()));
            let lines: Vec<&str> = text.lines().collect();
            let at = lines[2].chars().position(|c| c == '^').unwrap();
            let marked: String = lines[1].chars().skip(at).take(item.len()).collect();
            assert_eq!(marked, *item);
        }
    }

    proptest! {
        #[test]
        fn no_text_and_no_position_make_it_panic(
            source in "[ab é\\n\\r\t]{0,300}",
            begin in (1_usize..5, 1_usize..300),
            end in (1_usize..5, 1_usize..300),
        ) {
            prop_assert_eq!(shown(&source, begin, end).lines().count(), 3);
        }
    }

    #[test]
    fn a_fault_of_the_text_is_shown_at_its_line_and_column() {
        let shown = |text: &str| {
            let error = crate::manifest::profiles_in(text).unwrap_err();
            document_error(Path::new("web.yaml"), &error)
        };
        for end in ["\n", "\r\n", "\r"] {
            let text = ["defaultAction: SCMP_ACT_ALLOW", "flags: []", "flags: []", ""].join(end);
            let shown = shown(&text);
            assert!(shown.contains("\n --> web.yaml:3:8\n  |\n3 | flags: []\n"), "{shown}");
        }
        assert!(shown("---\na: b\n--- x\n").contains("\n --> web.yaml:3:1\n  |\n3 | --- x\n"));
    }

    #[test]
    fn lines_that_end_with_a_carriage_return_are_counted_as_the_yaml_reader_does() {
        assert_eq!(shown("a: b\rnames: [x]\r", (2, 9), (2, 10)), "  |\n2 | names: [x]\n  |         ^\n");
    }

    #[test]
    fn a_position_behind_the_text_shows_an_empty_line() {
        assert_eq!(shown("", (1, 1), (1, 1)), "  |\n1 | \n  | ^\n");
    }
}
