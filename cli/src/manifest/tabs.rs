//! Tabs that kubectl refuses outside flow collections, and the YAML 1.2 parser accepts.
//!
//! kubectl's YAML library skips a tab before a token only in flow collections (`[…]`, `{…}`), and where no key may begin:
//! not at the beginning of a line, and not behind the `-`, `?` and `:` that begin an item, a key or a value
//! (`yaml_parser_scan_to_next_token` of go.yaml.in/yaml/v2 2.4.4, scannerc.go). Within a text over several lines it refuses
//! a tab before the column of the text (`yaml_parser_scan_plain_scalar`, `yaml_parser_scan_block_scalar_breaks` there).

use granit_parser::{Event, ScalarStyle, Span, StructureStyle};

/// Looks for such tabs between the events of a document.
pub(super) struct Tabs<'t> {
    text: &'t str,
    /// The byte behind the last token.
    from: usize,
}

impl<'t> Tabs<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, from: 0 }
    }

    /// The byte of a tab in or before an event that kubectl refuses. The events come in the order of the text.
    pub(super) fn refused(&mut self, event: &Event<'_>, span: Span, flow_depth: usize) -> Option<usize> {
        let range = span.byte_range()?;
        let token = match event {
            // Nothing, which stands for null.
            Event::Scalar(..) if range.is_empty() => return None,
            Event::Scalar(..) | Event::Alias(..) => range,
            Event::SequenceStart(StructureStyle::Flow, ..)
            | Event::MappingStart(StructureStyle::Flow, ..) => range.start..range.start + 1,
            Event::SequenceEnd | Event::MappingEnd if flow_depth > 0 => range,
            Event::StreamEnd => self.text.len()..self.text.len(),
            _ => return None,
        };
        let begin = std::mem::replace(&mut self.from, token.end);
        let inside = self.text.get(token.clone())?;
        let style = match event {
            Event::Scalar(_, style, ..) => Some(*style),
            _ => None,
        };
        if style == Some(ScalarStyle::Plain) {
            self.from = token.start + inside.trim_end().len();
        }
        if flow_depth > 0 {
            return None;
        }
        let between = before_token(self.text.get(begin..token.start)?, self.begins_line(begin));
        let inside = match style {
            Some(ScalarStyle::Plain) => continued(inside.trim_end()),
            Some(ScalarStyle::Literal | ScalarStyle::Folded) => under_indentation(inside),
            _ => None,
        };
        between.map(|at| begin + at).or(inside.map(|at| token.start + at))
    }

    fn begins_line(&self, at: usize) -> bool {
        let before = self.text.get(..at).map(|before| before.trim_end_matches([' ', '\t']));
        before.is_some_and(|before| before.is_empty() || before.ends_with(['\n', '\r']))
    }
}

/// The first tab before a token in block context where a key may begin.
fn before_token(text: &str, begins_line: bool) -> Option<usize> {
    let is_blank = |c: Option<char>| c.is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | '\r'));
    let mut key_may_begin = begins_line;
    let mut is_comment = false;
    let mut before = None;
    for (at, c) in text.char_indices() {
        let is_indicator = is_blank(before) && is_blank(text[at + c.len_utf8()..].chars().next());
        match c {
            '\n' | '\r' => (key_may_begin, is_comment) = (true, false),
            _ if is_comment => {}
            '\t' if key_may_begin => return Some(at),
            ' ' | '\t' => {}
            '#' if is_blank(before) => is_comment = true,
            '-' | '?' if is_indicator => key_may_begin = true,
            // At the beginning of a line it belongs to a key behind `?`.
            ':' if is_indicator && key_may_begin => {}
            _ => key_may_begin = false,
        }
        before = Some(c);
    }
    None
}

/// The first tab at the beginning of a line of an unquoted text, without the first line.
fn continued(text: &str) -> Option<usize> {
    lines(text).skip(1).find_map(|(at, line)| {
        let blank = &line[..line.len() - line.trim_start_matches([' ', '\t']).len()];
        blank.find('\t').map(|tab| at + tab)
    })
}

/// The first tab in a text behind `|` or `>` that stands before its first line, or before the column of that.
fn under_indentation(text: &str) -> Option<usize> {
    let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
    let first = lines(text).skip(1).find(|(_, line)| !line.trim().is_empty());
    let (begin, indentation) = first.map_or((text.len(), 0), |(at, line)| (at, spaces(line)));
    let is_early = |(at, line): &(usize, &str)| {
        line[spaces(line)..].starts_with('\t') && (*at < begin || spaces(line) < indentation)
    };
    lines(text).skip(1).find(is_early).map(|(at, line)| at + spaces(line))
}

/// The lines of a text, each with its first byte.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.split(['\n', '\r']).scan(0, |next, line| {
        let at = std::mem::replace(next, *next + line.len() + 1);
        Some((at, line))
    })
}
