//! The bytes of each value of a document.

use std::ops::Range;

use granit_parser::{Event, Parser, Span, StrInput, StructureStyle, options};
use profile::Segment;

/// A value, and its bytes in the file.
#[derive(Debug)]
pub(super) struct Node {
    /// Its bytes. For what is written in lines, they may end behind it.
    pub(super) span: Range<usize>,
    pub(super) kind: Kind,
}

/// What a value is.
#[derive(Debug)]
pub(super) enum Kind {
    Scalar,
    Alias,
    List { flow: bool, items: Vec<Node> },
    Object { flow: bool, fields: Vec<Field> },
}

/// A key with its value.
#[derive(Debug)]
pub(super) struct Field {
    pub(super) name: String,
    pub(super) key: Range<usize>,
    pub(super) value: Node,
}

/// The parts of a list or an object: each item, or each key with its value.
pub(super) struct Items {
    /// Whether it is in brackets or braces.
    pub(super) flow: bool,
    pub(super) spans: Vec<Range<usize>>,
}

impl Node {
    /// Reads the document in these bytes of a text. It is known to be well-formed.
    pub(super) fn read(text: &str, bytes: Range<usize>) -> Option<Self> {
        let options = options! { emit_comments: false, disallow_directives: true };
        let parser = Parser::new_from_str_with_options(text.get(bytes.clone())?, options);
        let mut reader = Reader { parser, offset: bytes.start };
        loop {
            match reader.next()? {
                (Event::StreamStart | Event::DocumentStart(..), _) => {}
                (event, span) => return reader.node(event, span),
            }
        }
    }

    /// The value at a path.
    pub(super) fn at(&self, path: &[Segment]) -> Option<&Self> {
        path.iter().try_fold(self, |node, segment| match (&node.kind, segment) {
            (Kind::List { items, .. }, Segment::Index(index)) => items.get(*index),
            (Kind::Object { .. }, Segment::Key(_)) => Some(&node.field(segment)?.value),
            _ => None,
        })
    }

    /// The key of the value at a path.
    pub(super) fn key_of(&self, path: &[Segment]) -> Option<Range<usize>> {
        let (last, parents) = path.split_last()?;
        Some(self.at(parents)?.field(last)?.key.clone())
    }

    fn field(&self, key: &Segment) -> Option<&Field> {
        match (&self.kind, key) {
            (Kind::Object { fields, .. }, Segment::Key(key)) => fields.iter().find(|it| it.name == **key),
            _ => None,
        }
    }

    /// The parts, and the index of one of them.
    pub(super) fn items(&self, text: &str, of: &Segment) -> Option<(Items, usize)> {
        match (&self.kind, of) {
            (Kind::List { flow, items }, Segment::Index(index)) if *index < items.len() => {
                let spans = items.iter().map(|item| item.extent(text)).collect();
                Some((Items { flow: *flow, spans }, *index))
            }
            (Kind::Object { flow, fields }, Segment::Key(key)) => {
                let index = fields.iter().position(|field| field.name == **key)?;
                let spans = fields.iter().map(|field| field.key.start..field.end(text)).collect();
                Some((Items { flow: *flow, spans }, index))
            }
            _ => None,
        }
    }

    /// Its bytes, up to the last one that is neither white space nor in a comment.
    pub(super) fn extent(&self, text: &str) -> Range<usize> {
        self.span.start..self.end(text).unwrap_or(self.span.start)
    }

    /// Where it ends; `None` if it is an absent value.
    fn end(&self, text: &str) -> Option<usize> {
        match &self.kind {
            Kind::List { flow: false, items } => items.last()?.end(text),
            Kind::Object { flow: false, fields } => Some(fields.last()?.end(text)),
            _ => {
                let bytes = text.get(self.span.clone())?.trim_end();
                (!bytes.is_empty()).then(|| self.span.start + bytes.len())
            }
        }
    }
}

impl Field {
    /// Where its value ends, or the key if it has none.
    pub(super) fn end(&self, text: &str) -> usize {
        self.value.end(text).unwrap_or(self.key.end)
    }
}

struct Reader<'t> {
    parser: Parser<'t, StrInput<'t>>,
    /// The bytes before the document.
    offset: usize,
}

impl<'t> Reader<'t> {
    fn next(&mut self) -> Option<(Event<'t>, Range<usize>)> {
        let (event, span): (Event<'t>, Span) = self.parser.next_event()?.ok()?;
        let bytes = span.byte_range()?;
        Some((event, self.offset + bytes.start..self.offset + bytes.end))
    }

    fn node(&mut self, event: Event<'t>, span: Range<usize>) -> Option<Node> {
        let (kind, end) = match event {
            Event::Scalar(..) => (Kind::Scalar, span.end),
            Event::Alias(..) => (Kind::Alias, span.end),
            Event::SequenceStart(style, ..) => {
                let mut items = Vec::new();
                let end = loop {
                    match self.next()? {
                        (Event::SequenceEnd, end) => break end.end,
                        (event, span) => items.push(self.node(event, span)?),
                    }
                };
                (Kind::List { flow: style == StructureStyle::Flow, items }, end)
            }
            Event::MappingStart(style, ..) => {
                let mut fields = Vec::new();
                let end = loop {
                    let (name, key) = match self.next()? {
                        (Event::MappingEnd, end) => break end.end,
                        (Event::Scalar(text, ..), key) => (text.into_owned(), key),
                        // A key that is not text; no path has one.
                        (event, span) => (String::new(), self.node(event, span)?.span),
                    };
                    let (event, span) = self.next()?;
                    fields.push(Field { name, key, value: self.node(event, span)? });
                };
                (Kind::Object { flow: style == StructureStyle::Flow, fields }, end)
            }
            _ => return None,
        };
        Some(Node { span: span.start..end, kind })
    }
}
