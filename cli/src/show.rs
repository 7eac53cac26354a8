//! Formatting: tables, colours, ages.

use std::fmt::{Display, Write};
use std::path::Path;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

/// The message if there are no profiles.
pub(crate) const NO_PROFILES: &str = "there are no profiles";

/// Whether the output has colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Paint {
    /// The ANSI sequences of a terminal.
    Colours,
    /// Plain text.
    Plain,
}

impl Paint {
    /// Colours on a terminal that supports them, unless `NO_COLOR` is set (<https://no-color.org>).
    #[must_use]
    pub fn on(terminal: bool, no_color: Option<&str>, term: Option<&str>) -> Self {
        let wanted = no_color.is_none_or(str::is_empty) && term != Some("dumb");
        if terminal && wanted { Self::Colours } else { Self::Plain }
    }

    /// Text in a tone, on one line, with [escapes](escaped).
    #[must_use]
    pub fn text(self, text: &str, tone: Tone) -> String {
        let text = escaped(text);
        match (self, tone.code()) {
            (Self::Colours, Some(code)) => format!("\x1b[{code}m{text}\x1b[0m"),
            _ => text,
        }
    }
}

/// The meaning of a text, shown by its colour.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Tone {
    /// Nothing in particular.
    #[default]
    Plain,
    /// Right.
    Good,
    /// Not right yet.
    Waiting,
    /// Wrong.
    Bad,
    /// A heading.
    Heading,
}

impl Tone {
    fn code(self) -> Option<&'static str> {
        match self {
            Self::Plain => None,
            Self::Good => Some("32"),
            Self::Waiting => Some("33"),
            Self::Bad => Some("31"),
            Self::Heading => Some("1"),
        }
    }
}

/// Text for people that comes from a file, its name, the command line or the cluster: with an escape (`\n`, `\u{1b}`) for
/// each character that ends a line, controls a terminal or reverses the direction of writing. A file may have any name, and
/// somebody with an agent's token can write any text into its report: none of it must look like a line of this program.
pub(crate) fn escaped(text: impl Display) -> String {
    let text = text.to_string();
    if !text.contains(steers) {
        return text;
    }
    let mut shown = String::new();
    for c in text.chars() {
        if steers(c) { shown.extend(c.escape_default()) } else { shown.push(c) }
    }
    shown
}

/// A path, [escaped].
pub(crate) fn escaped_path(path: &Path) -> String {
    escaped(path.display())
}

/// A line of a file, with as many columns as it has characters, so that a part of it can be underlined.
pub(crate) fn in_columns(line: &str) -> String {
    let shown = |c| match c {
        '\t' => ' ',
        c if steers(c) => '\u{fffd}',
        c => c,
    };
    line.chars().map(shown).collect()
}

/// Whether a character ends a line, controls a terminal or reverses the direction of writing.
fn steers(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{61c}' | '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One field of a table.
#[derive(Debug, Clone, Default)]
pub struct Cell {
    text: String,
    tone: Tone,
}

impl Cell {
    /// A cell in a tone.
    pub fn toned(text: impl ToString, tone: Tone) -> Self {
        Self { text: escaped(text.to_string()), tone }
    }
}

impl<T: ToString> From<T> for Cell {
    fn from(text: T) -> Self {
        Self::toned(text, Tone::Plain)
    }
}

/// Rows under headings, with each column as wide as necessary.
#[derive(Debug)]
pub struct Table<const N: usize> {
    rows: Vec<[Cell; N]>,
}

impl<const N: usize> Table<N> {
    /// A table with these headings and no rows.
    #[must_use]
    pub fn new(headings: [&str; N]) -> Self {
        Self { rows: vec![headings.map(|heading| Cell::toned(heading, Tone::Heading))] }
    }

    /// One more row.
    pub fn row(&mut self, cells: [Cell; N]) {
        self.rows.push(cells);
    }

    /// The table as lines.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        const GAP: usize = 3;
        let width = |column: usize| {
            self.rows.iter().map(|row| row[column].text.chars().count()).max().unwrap_or_default()
        };
        let widths: [usize; N] = std::array::from_fn(width);
        let mut lines = String::new();
        for row in &self.rows {
            let mut line = String::new();
            // Padding is added before the next non-empty cell, so that no line ends in spaces.
            let mut owed = 0;
            for (cell, width) in row.iter().zip(widths) {
                if !cell.text.is_empty() {
                    line.extend(std::iter::repeat_n(' ', owed));
                    owed = 0;
                    line += &paint.text(&cell.text, cell.tone);
                }
                owed += width + GAP - cell.text.chars().count();
            }
            lines += &line;
            lines.push('\n');
        }
        lines
    }
}

/// The age of something in kubectl's format: two units if the first is small.
#[must_use]
pub fn age(since: Option<&Time>, now: Timestamp) -> String {
    let Some(since) = since else { return String::new() };
    let seconds = now.as_second().saturating_sub(since.0.as_second()).max(0);
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let mut text = String::new();
    let mut two = |large: i64, unit: char, small: i64, small_unit: char| {
        // Writing to memory does not fail.
        let _ = write!(text, "{large}{unit}");
        if small > 0 {
            let _ = write!(text, "{small}{small_unit}");
        }
    };
    match seconds {
        0..120 => two(seconds, 's', 0, 's'),
        120..600 => two(minutes, 'm', seconds % 60, 's'),
        600..10_800 => two(minutes, 'm', 0, 's'),
        10_800..28_800 => two(hours, 'h', minutes % 60, 'm'),
        28_800..172_800 => two(hours, 'h', 0, 'm'),
        172_800..691_200 => two(days, 'd', hours % 24, 'h'),
        _ => two(days, 'd', 0, 'h'),
    }
    text
}

/// `1 node`, `2 nodes`.
#[must_use]
pub fn count(number: usize, what: &str) -> String {
    if number == 1 { format!("{number} {what}") } else { format!("{number} {what}s") }
}

/// What an answer does not say otherwise, a line each.
pub(crate) fn notes(notes: &[String], paint: Paint) -> String {
    notes.iter().map(|note| format!("{}: {note}\n", paint.text("note", Tone::Waiting))).collect()
}

/// A size, for people.
pub(crate) fn bytes(size: u64) -> String {
    const UNITS: [&str; 3] = ["kB", "MB", "GB"];
    if size < 1_000 {
        return format!("{size} bytes");
    }
    let (mut size, mut unit) = (size as f64 / 1e3, 0);
    while size >= 999.95 && unit + 1 < UNITS.len() {
        (size, unit) = (size / 1e3, unit + 1);
    }
    format!("{size:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::at;

    #[test]
    fn columns_are_as_wide_as_they_must_be_and_no_line_ends_in_spaces() {
        let mut table = Table::new(["NAME", "STATE", "WHY"]);
        table.row(["a-long-name".into(), Cell::toned("Failed", Tone::Bad), "because".into()]);
        table.row(["b".into(), "Ready".into(), "".into()]);
        table.row(["".into(), "".into(), "more".into()]);
        assert_eq!(
            table.render(Paint::Plain),
            "NAME          STATE    WHY\na-long-name   Failed   because\nb             Ready\n                       more\n"
        );
        assert_eq!(
            table.render(Paint::Colours).lines().nth(1),
            Some("a-long-name   \x1b[31mFailed\x1b[0m   because")
        );
    }

    #[test]
    fn what_an_agent_writes_does_not_steer_the_terminal() {
        let mut table = Table::new(["WHY"]);
        table.row(["\x1b]0;owned\x07\x1b[2Jgone\nReady\u{202e}".into()]);
        assert_eq!(
            table.render(Paint::Colours),
            "\x1b[1mWHY\x1b[0m\n\\u{1b}]0;owned\\u{7}\\u{1b}[2Jgone\\nReady\\u{202e}\n"
        );
    }

    #[test]
    fn colours_are_for_terminals_that_want_them() {
        assert_eq!(Paint::on(true, None, Some("xterm")), Paint::Colours);
        assert_eq!(Paint::on(true, Some(""), None), Paint::Colours);
        assert_eq!(Paint::on(false, None, Some("xterm")), Paint::Plain);
        assert_eq!(Paint::on(true, Some("1"), Some("xterm")), Paint::Plain);
        assert_eq!(Paint::on(true, None, Some("dumb")), Paint::Plain);
    }

    #[test]
    fn ages_are_as_kubectl_says_them() {
        for (seconds, text) in [
            (-5, "0s"),
            (0, "0s"),
            (119, "119s"),
            (120, "2m"),
            (125, "2m5s"),
            (600, "10m"),
            (10_799, "179m"),
            (10_800, "3h"),
            (11_000, "3h3m"),
            (86_400, "24h"),
            (172_800, "2d"),
            (180_000, "2d2h"),
            (9_000_000, "104d"),
        ] {
            assert_eq!(age(Some(&at(1_000)), Timestamp::from_second(1_000 + seconds).unwrap()), text);
        }
        assert_eq!(age(None, Timestamp::UNIX_EPOCH), "");
    }
}
