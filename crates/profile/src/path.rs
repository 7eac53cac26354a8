//! The place of a field in an object, as data, so that whoever has the source can find its line and column.

use std::fmt;

use crate::wording::quote_key;

/// The path of a field from the top of an object. It is empty for the object itself, and is displayed as
/// `syscalls[3].args[0].op`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FieldPath(Vec<Segment>);

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    /// The value of this key of a map, as the source has it.
    Key(Box<str>),
    /// The item of a list with this index, from 0.
    Index(usize),
}

impl FieldPath {
    /// The segments, from the top.
    #[must_use]
    pub fn segments(&self) -> &[Segment] {
        &self.0
    }

    /// Adds a segment at the end.
    pub(crate) fn push(&mut self, segment: Segment) {
        self.0.push(segment);
    }

    /// The same path in an object that has the present one below the keys of `prefix`, as in `spec.contents`.
    #[must_use]
    pub fn under(self, prefix: &str) -> Self {
        let keys = prefix.split('.').map(|key| Segment::Key(key.into()));
        Self(keys.chain(self.0).collect())
    }
}

impl FromIterator<Segment> for FieldPath {
    fn from_iter<I: IntoIterator<Item = Segment>>(segments: I) -> Self {
        Self(segments.into_iter().collect())
    }
}

impl From<&str> for Segment {
    fn from(key: &str) -> Self {
        Self::Key(key.into())
    }
}

impl From<usize> for Segment {
    fn from(index: usize) -> Self {
        Self::Index(index)
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, segment) in self.0.iter().enumerate() {
            match segment {
                Segment::Key(key) if at == 0 => f.write_str(&quote_key(key))?,
                Segment::Key(key) => write!(f, ".{}", quote_key(key))?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_displayed_as_its_reader_would_write_it() {
        let mut path = FieldPath::default();
        assert_eq!(path.to_string(), "");
        for segment in [Segment::Key("syscalls".into()), Segment::Index(3), Segment::Key("op".into())] {
            path.push(segment);
        }
        assert_eq!(path.to_string(), "syscalls[3].op");
        let path = path.under("spec.contents");
        assert_eq!(path.to_string(), "spec.contents.syscalls[3].op");
        assert_eq!(path.segments()[3], Segment::Index(3));
    }
}
