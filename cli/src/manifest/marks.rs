//! Where the fields of an object stand in a file.

use std::rc::Rc;

use profile::{FieldPath, Segment};

use super::place::{Place, Position, line_of};
use super::position::Positions;
use super::stream::Document;

/// An object in a text, for the places of its fields.
#[derive(Debug, Clone)]
pub(crate) struct Marks<'t> {
    text: &'t str,
    pub(super) positions: Rc<Positions>,
    /// The path of the object in its document.
    object: Vec<Segment>,
}

impl<'t> Marks<'t> {
    /// Those of a document of the text.
    pub(super) fn of(document: &Document<'t>, text: &'t str) -> Self {
        Self { text, positions: Rc::new(Positions::read(document)), object: Vec::new() }
    }

    /// Those of an object in the document.
    pub(super) fn below(&self, object: Vec<Segment>) -> Self {
        Self { object, ..self.clone() }
    }

    /// The path in the document of a field of the object.
    pub(super) fn path(&self, field: &FieldPath) -> FieldPath {
        self.object.iter().chain(field.segments()).cloned().collect()
    }

    /// The position of a field of the object; for a field that is not there, of the one that would contain it.
    pub(crate) fn position(&self, field: &FieldPath) -> Position {
        self.positions.of(self.object.iter().chain(field.segments()))
    }

    /// Where a field of the object stands: its value, or its key if the value begins on a later line.
    pub(crate) fn place(&self, field: &FieldPath) -> Place {
        let position = self.positions.of_field(self.object.iter().chain(field.segments()));
        let line = line_of(self.text, position.line).to_owned();
        Place { position, line }
    }
}
