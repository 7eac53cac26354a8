//! The line and the column of each field in a document.

use std::collections::HashMap;

use granit_parser::{Event, Marker, Parser, Span, options};
use profile::Segment;

use super::place::Position;
use super::stream::Document;

/// The positions of all values in a document.
#[derive(Debug)]
pub(crate) struct Positions {
    top: Place,
}

#[derive(Debug)]
struct Place {
    position: Position,
    /// The position of its key.
    key: Option<Position>,
    inner: Inner,
}

#[derive(Debug)]
enum Inner {
    Scalar,
    List(Vec<Place>),
    Object(HashMap<String, Place>),
}

impl Positions {
    /// Reads them. The document is known to be well-formed.
    pub(crate) fn read(document: &Document<'_>) -> Self {
        let options = options! { emit_comments: false, disallow_directives: true };
        let text = document.text.trim_start_matches('\u{feff}');
        let mut reader = Reader {
            parser: Parser::new_from_str_with_options(text, options),
            above: document.above,
            before: document.before,
        };
        let top = reader.top().unwrap_or_else(|| Place {
            position: reader.position(Span::empty(Marker::new(0, 1, 0))),
            key: None,
            inner: Inner::Scalar,
        });
        Self { top }
    }

    /// The position of the value at a path; if it is not in the text, as after an alias, of the last one on the way.
    pub(crate) fn of<'s>(&self, path: impl IntoIterator<Item = &'s Segment>) -> Position {
        self.place(path).position
    }

    /// The same, or the position of the key of a value that begins on a later line.
    pub(super) fn of_field<'s>(&self, path: impl IntoIterator<Item = &'s Segment>) -> Position {
        let Place { position, key, .. } = self.place(path);
        key.filter(|key| key.line < position.line).unwrap_or(*position)
    }

    fn place<'s>(&self, path: impl IntoIterator<Item = &'s Segment>) -> &Place {
        let mut place = &self.top;
        for segment in path {
            let next = match (&place.inner, segment) {
                (Inner::Object(fields), Segment::Key(key)) => fields.get(&**key),
                (Inner::List(items), Segment::Index(index)) => items.get(*index),
                _ => None,
            };
            match next {
                Some(next) => place = next,
                None => break,
            }
        }
        place
    }
}

struct Reader<'a> {
    parser: Parser<'a, granit_parser::StrInput<'a>>,
    above: usize,
    before: usize,
}

impl<'a> Reader<'a> {
    fn top(&mut self) -> Option<Place> {
        loop {
            match self.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (event, span) => return self.place(event, span),
            }
        }
    }

    fn next(&mut self) -> Option<(Event<'a>, Span)> {
        self.parser.next_event()?.ok()
    }

    fn place(&mut self, event: Event<'a>, span: Span) -> Option<Place> {
        let (inner, end) = match event {
            Event::SequenceStart(..) => self.list()?,
            Event::MappingStart(..) => self.object()?,
            Event::Scalar(..) | Event::Alias(..) => (Inner::Scalar, span),
            _ => return None,
        };
        Some(Place { position: self.position(Span::new(span.start, end.end)), key: None, inner })
    }

    fn list(&mut self) -> Option<(Inner, Span)> {
        let mut items = Vec::new();
        loop {
            match self.next()? {
                (Event::SequenceEnd, span) => return Some((Inner::List(items), span)),
                (event, span) => items.push(self.place(event, span)?),
            }
        }
    }

    fn object(&mut self) -> Option<(Inner, Span)> {
        let mut fields = HashMap::new();
        loop {
            let (key, at) = match self.next()? {
                (Event::MappingEnd, span) => return Some((Inner::Object(fields), span)),
                (Event::Scalar(text, ..), span) => (text.into_owned(), span),
                // A key that is not text; no path has one.
                (event, span) => {
                    self.place(event, span)?;
                    (String::new(), span)
                }
            };
            let (event, span) = self.next()?;
            let value = self.place(event, span)?;
            fields.insert(key, Place { key: Some(self.position(at)), ..value });
        }
    }

    fn position(&self, span: Span) -> Position {
        let at = |marker: Marker| {
            let before = if marker.line() == 1 { self.before } else { 0 };
            (self.above + marker.line(), before + marker.col() + 1)
        };
        let ((line, column), (end_line, end_column)) = (at(span.start), at(span.end));
        Position { line, column, end_line, end_column }
    }
}
