//! Converts one YAML document to the same JSON as kubectl does.
//!
//! A YAML 1.2 parser reads the syntax, and [`scalar`](super::scalar) resolves the values. If kubectl would silently
//! drop something, or other YAML readers disagree with it, the document is refused with advice.

use std::collections::HashMap;

use granit_parser::{ErrorKind, Event, Parser, ScalarStyle, Span, StructureStyle, Tag, options};
use serde_json::{Map, Value};

use super::error::{Fault, SyntaxError};
use super::place::line_ends;
use super::scalar::{self, ScalarError};
use super::tabs::Tabs;

/// The maximum number of values in one document with its aliases expanded and those with an anchor counted twice: the
/// largest profile has some 20,000.
const MAX_VALUES: usize = 500_000;

/// The syntax of a document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Syntax {
    /// YAML.
    Yaml,
    /// Valid JSON.
    Json,
}

/// The document in `text`; `None` if it is empty.
///
/// # Errors
/// It is not YAML, or kubectl would refuse it or drop a part of it. The place counts from the beginning of `text`.
pub(crate) fn parse_document(text: &str, syntax: Syntax) -> Result<Option<Value>, SyntaxError> {
    let text = text.trim_start_matches('\u{feff}');
    let wrong = text.char_indices().find(|(_, c)| !matches!(c, '\n') && is_not_yaml_1_1_text(*c));
    if let (Syntax::Yaml, Some((at, c))) = (syntax, wrong) {
        return Err(SyntaxError::at(text, line_and_column(text, at), Fault::Character(c)));
    }
    let options = options! { emit_comments: false, disallow_directives: true };
    let mut reader = Reader {
        text,
        syntax,
        parser: Parser::new_from_str_with_options(text, options),
        tabs: Tabs::new(text),
        flow_depth: 0,
        place: (1, 1),
        anchors: HashMap::new(),
        values: 0,
    };
    reader.read_document().map_err(|fault| SyntaxError::at(text, reader.place, fault))
}

/// The line and the column of a byte.
fn line_and_column(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    let line = before.rfind(['\n', '\r']).map_or(before, |end| &before[end + 1..]);
    (line_ends(before) + 1, line.chars().count() + 1)
}

/// A character that is text in YAML 1.2, but that libyaml, which reads YAML 1.1, refuses or treats as the end of a
/// line.
fn is_not_yaml_1_1_text(c: char) -> bool {
    (c.is_control() && !matches!(c, '\t' | '\r')) || matches!(c, '\u{2028}' | '\u{2029}' | '\u{feff}')
}

struct Reader<'a> {
    text: &'a str,
    syntax: Syntax,
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    tabs: Tabs<'a>,
    /// How many flow collections (`[…]`, `{…}`) are open.
    flow_depth: usize,
    /// The line and the column of the last event.
    place: (usize, usize),
    /// The values of the anchors, without those that are still being read.
    anchors: HashMap<usize, Value>,
    /// The number of values so far; those of aliases count each time.
    values: usize,
}

impl<'a> Reader<'a> {
    fn read_document(&mut self) -> Result<Option<Value>, Fault> {
        let mut document = None;
        loop {
            match self.next()? {
                None | Some(Event::StreamEnd) => return Ok(document),
                Some(Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd) => {}
                Some(_) if document.is_some() => return Err(Fault::AfterTheEnd),
                Some(_) if self.ended_before() => {
                    return Err(Fault::Syntax("the document ends (...) before it begins".to_owned()));
                }
                Some(event) => document = Some(self.value(event)?),
            }
        }
    }

    /// Whether the last line has only blanks and no line break.
    fn ends_in_blanks(&self) -> bool {
        let last = self.text.rsplit(['\n', '\r']).next().unwrap_or_default();
        !last.is_empty() && last.trim().is_empty()
    }

    /// Whether the end of a document stands above the present line.
    fn ended_before(&self) -> bool {
        self.text.split(['\n', '\r']).take(self.place.0 - 1).any(|line| line.starts_with("..."))
    }

    fn next(&mut self) -> Result<Option<Event<'a>>, Fault> {
        let Some(next) = self.parser.next_event() else { return Ok(None) };
        let (event, span): (Event<'a>, Span) = next.map_err(|error| {
            self.place = (error.marker().line(), error.marker().col() + 1);
            match error.kind() {
                ErrorKind::TabInBlockIndentation if self.flow_depth > 0 => Fault::TabInBrackets,
                _ => Fault::Syntax(error.info()),
            }
        })?;
        self.place = (span.start.line(), span.start.col() + 1);
        if self.syntax == Syntax::Yaml
            && let Some(at) = self.tabs.refused(&event, span, self.flow_depth)
        {
            self.place = line_and_column(self.text, at);
            return Err(Fault::Tab);
        }
        if let Event::Scalar(text, style, ..) = &event {
            self.check(text, *style, span)?;
        }
        Ok(Some(event))
    }

    /// Checks that kubectl reads a YAML scalar as the same text.
    fn check(&self, text: &str, style: ScalarStyle, span: Span) -> Result<(), Fault> {
        match style {
            _ if self.syntax == Syntax::Json => Ok(()),
            ScalarStyle::DoubleQuoted => match span.slice(self.text).and_then(json_escape) {
                Some(escape) => Err(Fault::Escape(escape.to_owned())),
                None => Ok(()),
            },
            // kubectl adds a line break to the file, which the text keeps behind `|+` and `>+`.
            ScalarStyle::Literal | ScalarStyle::Folded if text.ends_with('\n') && self.ends_in_blanks() => {
                Err(Fault::OpenEnd)
            }
            ScalarStyle::Plain if self.flow_depth > 0 && text.contains('?') => {
                Err(Fault::QuestionMark(text.to_owned()))
            }
            _ => Ok(()),
        }
    }

    /// The next event within a list or an object, which the parser always closes.
    fn next_inside(&mut self) -> Result<Event<'a>, Fault> {
        self.next()?.ok_or_else(|| Fault::Syntax("it ends too early".to_owned()))
    }

    fn value(&mut self, event: Event<'a>) -> Result<Value, Fault> {
        let (anchor, value) = match event {
            Event::Alias(id) => {
                let value = self.anchors.get(&id).cloned().ok_or(Fault::ContainsItself)?;
                self.count(count_values(&value))?;
                return Ok(value);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let value = read(&text, style, tag.as_deref())?;
                // JSON has no plain strings: this is a number that is too large for a float.
                if self.syntax == Syntax::Json && style == ScalarStyle::Plain && value.is_string() {
                    return Err(ScalarError::NotFinite(text.into_owned()).into());
                }
                (anchor, value)
            }
            Event::SequenceStart(style, anchor, _) => (anchor, self.within(style, Self::list)?),
            Event::MappingStart(style, anchor, _) => {
                (anchor, Value::Object(self.within(style, Self::object)?))
            }
            other => return Err(Fault::Syntax(format!("{other:?} is not expected here"))),
        };
        self.count(1)?;
        if anchor > 0 {
            // It is kept a second time. Without this, lists with anchors in each other would be kept once for each.
            self.count(count_values(&value))?;
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn count(&mut self, values: usize) -> Result<(), Fault> {
        self.values += values;
        if self.values > MAX_VALUES { Err(Fault::TooLarge(MAX_VALUES)) } else { Ok(()) }
    }

    fn within<T>(
        &mut self,
        style: StructureStyle,
        read: impl FnOnce(&mut Self) -> Result<T, Fault>,
    ) -> Result<T, Fault> {
        let deeper = usize::from(style == StructureStyle::Flow);
        self.flow_depth += deeper;
        let value = read(self)?;
        self.flow_depth -= deeper;
        Ok(value)
    }

    fn list(&mut self) -> Result<Value, Fault> {
        let mut items = Vec::new();
        loop {
            match self.next_inside()? {
                Event::SequenceEnd => return Ok(Value::Array(items)),
                event => items.push(self.value(event)?),
            }
        }
    }

    fn object(&mut self) -> Result<Map<String, Value>, Fault> {
        let mut own = Map::new();
        let mut merged = Map::new();
        loop {
            let key = match self.next_inside()? {
                Event::MappingEnd => break,
                Event::Scalar(text, ScalarStyle::Plain, _, None) if text == "<<" => {
                    let event = self.next_inside()?;
                    let value = self.value(event)?;
                    for (key, value) in merged_entries(value)? {
                        // In kubectl's YAML library (go.yaml.in/yaml/v2) the later key wins; in YAML the object's own
                        // key wins.
                        if own.contains_key(&key) {
                            return Err(Fault::LateMerge(key));
                        }
                        merged.insert(key, value);
                    }
                    continue;
                }
                event => {
                    let key = self.value(event)?;
                    key_text(&key)?
                }
            };
            let event = self.next_inside()?;
            let place = self.place;
            let value = self.value(event)?;
            if own.insert(key.clone(), value).is_some() {
                self.place = place;
                return Err(Fault::KeyTwice(key));
            }
        }
        merged.append(&mut own);
        Ok(merged)
    }
}

/// The text of a key.
fn key_text(key: &Value) -> Result<String, Fault> {
    Ok(match key {
        Value::String(text) => text.clone(),
        Value::Bool(yes) => yes.to_string(),
        Value::Number(number) if number.is_i64() => number.to_string(),
        // Of the other keys, kubectl writes some numbers with different digits and refuses the rest.
        other => return Err(Fault::Key(other.to_string())),
    })
}

/// The entries that `<<` merges: of several objects the earlier ones win.
fn merged_entries(value: Value) -> Result<Map<String, Value>, Fault> {
    match value {
        Value::Object(map) => Ok(map),
        Value::Array(items) => items.into_iter().rev().try_fold(Map::new(), |mut all, item| match item {
            Value::Object(mut map) => {
                all.append(&mut map);
                Ok(all)
            }
            _ => Err(Fault::Merge),
        }),
        _ => Err(Fault::Merge),
    }
}

fn read(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Fault> {
    const YAML_TAG_PREFIX: &str = "tag:yaml.org,2002:";
    match tag {
        Some(tag) => match tag.suffix_in_namespace(YAML_TAG_PREFIX) {
            Some(name) => Ok(scalar::tagged(text, &name)?),
            None => Ok(text.into()),
        },
        None if style == ScalarStyle::Plain => Ok(scalar::plain(text)?),
        None => Ok(text.into()),
    }
}

/// An escape in a double-quoted string that exists in JSON and not in YAML 1.1.
fn json_escape(quoted: &str) -> Option<&str> {
    let mut rest = quoted;
    while let Some(at) = rest.find('\\') {
        let escape = &rest[at..];
        // A surrogate: \uD800 to \uDFFF.
        let is_d = |b: &u8| matches!(b, b'd' | b'D');
        match escape.as_bytes() {
            [_, b'/', ..] => return escape.get(..2),
            [_, b'u', first, b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] if is_d(first) => {
                return escape.get(..6);
            }
            _ => rest = escape.get(1..)?.get(escape[1..].chars().next()?.len_utf8()..)?,
        }
    }
    None
}

/// The number of values in `value`, itself included.
fn count_values(value: &Value) -> usize {
    1 + match value {
        Value::Array(items) => items.iter().map(count_values).sum(),
        Value::Object(map) => map.values().map(count_values).sum(),
        _ => 0,
    }
}
