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
