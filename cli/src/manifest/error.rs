//! Why a file contains no profile to compare with.

use std::fmt;

use profile::{FieldPath, ParseError};

use super::place::{Place, Position, line_of};
use super::scalar::ScalarError;
use crate::show::escaped;

/// An error about a file without a usable profile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// kubectl would refuse the file or drop a part of it.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// It contains neither a `SeccompProfile` nor a profile in the runtimes' format.
    #[error(
        "no SeccompProfile of {API_VERSION}, and no profile in the form of the OCI runtime specification (with a \
         defaultAction); found: {}",
        listed(.0)
    )]
    NoProfile(Vec<Found>),
    /// It contains an object of the group of `SeccompProfile` that is of no kind which the group has.
    #[error(
        "{0} is no kind of object that the API server knows; a profile is a SeccompProfile of {API_VERSION}"
    )]
    UnknownKind(Found),
    /// It contains a profile in the runtimes' format, and something else.
    #[error(
        "a profile in the form of the OCI runtime specification stands alone in its file, which a runtime reads whole; this \
         file has {0} documents\nPut each into a file of its own, or make SeccompProfiles of them with `kubectl seccomp \
         convert`."
    )]
    NotAlone(usize),
    /// It contains a profile of the Security Profiles Operator.
    #[error(
        "{0} is a profile of the Security Profiles Operator, another product whose kind has the same name\nConvert it to a \
         SeccompProfile of {API_VERSION} with `kubectl seccomp convert`. Pods then name profiles/NAME.json instead of \
         operator/NAME.json."
    )]
    OtherOperator(Found),
    /// It contains several profiles, none of which has the requested name.
    #[error("several SeccompProfiles ({}), none of them named {}", escaped(.found.join(", ")), escaped(wanted))]
    Several {
        /// Their names.
        found: Vec<String>,
        /// The requested name.
        wanted: String,
    },
    /// A whole number that `kubectl apply` would change.
    #[error(
        "{field}: kubectl apply makes {sent} of {number} where it changes an object, because it compares objects in floating \
         point; write it as text: \"{number}\""
    )]
    Rounded {
        /// Its path.
        field: FieldPath,
        /// The number.
        number: i64,
        /// The number that kubectl would send.
        sent: String,
        /// Where it stands.
        place: Box<Place>,
    },
    /// The object has no contents.
    #[error("spec.contents: is required: the profile, as JSON")]
    NoContents,
    /// The object has a field that the API server does not know.
    #[error("{field}: unknown field; kubectl refuses it")]
    UnknownField {
        /// Its path.
        field: FieldPath,
        /// Where it stands.
        place: Box<Place>,
    },
    /// It is a profile in the format of Docker, Podman and CRI-O, which has more fields than that of the runtimes.
    #[error(
        "{field}: only Docker, Podman and CRI-O read this\nConvert the profile to a SeccompProfile of {API_VERSION} with \
         `kubectl seccomp convert`."
    )]
    Dialect {
        /// The path of such a field.
        field: FieldPath,
        /// Where it stands.
        place: Box<Place>,
    },
    /// The profile is not valid.
    #[error("{error}")]
    Invalid {
        /// What is wrong, with paths from the top of the object.
        error: ParseError,
        /// Where each of the problems is.
        places: Vec<Place>,
    },
}

/// The `apiVersion` of the kind.
pub(crate) const API_VERSION: &str = "seccomp.imjasonh.dev/v1alpha1";

impl DocumentError {
    /// What is wrong with fields, as messages, and where; nothing if the error is about the whole file.
    pub(crate) fn problems(&self) -> Vec<(String, &Place)> {
        match self {
            Self::Syntax(SyntaxError { place, fault }) => vec![(fault.to_string(), &**place)],
            Self::Rounded { place, .. } | Self::UnknownField { place, .. } | Self::Dialect { place, .. } => {
                vec![(self.to_string(), &**place)]
            }
            Self::Invalid { error, places } => {
                error.problems().iter().map(ToString::to_string).zip(places).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "Syntax",
            Self::NoProfile(_) => "NoProfile",
            Self::UnknownKind(_) => "UnknownKind",
            Self::NotAlone(_) => "NotAlone",
            Self::OtherOperator(_) => "OtherOperator",
            Self::Several { .. } => "SeveralProfiles",
            Self::Rounded { .. } => "RoundedNumber",
            Self::NoContents => "NoContents",
            Self::Dialect { .. } => "Dialect",
            Self::UnknownField { .. } => "UnknownField",
            Self::Invalid { error, .. } => error.reason(),
        }
    }
}

/// An object of another kind.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its `apiVersion`, if it has one.
    pub api_version: Option<String>,
    /// Its kind, if it has one.
    pub kind: Option<String>,
    /// Its name, if it has one.
    pub name: Option<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.kind, &self.api_version) {
            (Some(kind), Some(version)) => write!(f, "{} of {}", escaped(kind), escaped(version))?,
            (Some(kind), None) => write!(f, "{} without an apiVersion", escaped(kind))?,
            (None, _) => f.write_str("an object without a kind")?,
        }
        self.name.iter().try_for_each(|name| write!(f, " named {name:?}"))
    }
}

/// The maximum number of objects that an error names, because a file may contain a whole installation.
const MAX_NAMED: usize = 5;

fn listed(found: &[Found]) -> String {
    if found.is_empty() {
        return "nothing".to_owned();
    }
    let mut named: Vec<_> = found.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    if found.len() > MAX_NAMED {
        named.push(format!("{} more", found.len() - MAX_NAMED));
    }
    named.join(", ")
}

/// What is wrong with the text itself, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {}: {fault}", .place.position.line)]
pub struct SyntaxError {
    /// The place in the file.
    pub place: Box<Place>,
    /// What is wrong.
    pub fault: Fault,
}

impl SyntaxError {
    /// A fault at a line and a column of a text.
    pub(crate) fn at(text: &str, (line, column): (usize, usize), fault: Fault) -> Self {
        let position = Position { line, column, end_line: line, end_column: column + 1 };
        Self { place: Box::new(Place { position, line: line_of(text, line).to_owned() }), fault }
    }

    /// The same where so many lines, and characters on the first line, come before the text.
    pub(super) fn below(mut self, lines: usize, characters: usize) -> Self {
        let position = &mut self.place.position;
        if position.line == 1 {
            position.column += characters;
            position.end_column += characters;
            // Of the line only what follows is known.
            self.place.line.insert_str(0, &" ".repeat(characters));
        }
        position.line += lines;
        position.end_line += lines;
        self
    }
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is neither YAML nor JSON.
    #[error("neither YAML nor JSON: {0}")]
    Syntax(String),
    /// A file whose name says that it is JSON, and that only kubectl's reader of YAML accepts.
    #[error(
        "a runtime reads this file as JSON, and it is none: {0}; correct it, or give it a name that ends in .yaml if it is made \
         into a SeccompProfile"
    )]
    NotJson(String),
    /// A character that is not allowed in YAML 1.1, or ends a line there.
    #[error("the character {0:?} is not allowed in kubectl's YAML; write it as an escape in double quotes")]
    Character(char),
    /// A tab where kubectl expects spaces.
    #[error(
        "a tab before the first character of a line, or of what follows a dash: outside brackets kubectl refuses it in most \
         places; use spaces"
    )]
    Tab,
    /// A tab at the beginning of a line in brackets or braces.
    #[error(
        "a tab before the first character of a line in brackets or braces: kubectl accepts it, other readers of YAML do not; use spaces"
    )]
    TabInBrackets,
    /// A text whose empty last lines readers count differently.
    #[error(
        "behind the text, the file ends with blanks and no line break, and readers count its last lines differently; add one"
    )]
    OpenEnd,
    /// A JSON escape in text that is not JSON.
    #[error("the escape {0} exists only in JSON, and kubectl refuses it in YAML; write the character itself")]
    Escape(String),
    /// A question mark in unquoted text in brackets or braces.
    #[error(
        "{0:?} contains a question mark, which kubectl reads differently inside brackets and braces; quote it"
    )]
    QuestionMark(String),
    /// A document that is not an object.
    #[error("expected an object, found {0}")]
    NoObject(String),
    /// Text on the line of the separator of documents.
    #[error(
        "{0:?} is on the line of the separator ---, where kubectl accepts only a comment; begin a new line"
    )]
    Separator(String),
    /// Text after the end of a document.
    #[error("kubectl ignores text after the end of a document (...); separate documents by ---")]
    AfterTheEnd,
    /// A duplicate key.
    #[error("the key {0:?} appears twice in one object, and kubectl silently keeps the last; leave one out")]
    KeyTwice(String),
    /// `<<` comes after a key that it also merges.
    #[error(
        "<< comes after the key {0:?} and also merges it: kubectl uses the merged value, other readers the key's own; put << first"
    )]
    LateMerge(String),
    /// `<<` merges something that is not an object.
    #[error("<< needs an object, or a list of objects")]
    Merge,
    /// A key that is not a string.
    #[error("the key {0} is not a string; quote it")]
    Key(String),
    /// An alias within its own anchor.
    #[error("an alias is within its own anchor")]
    ContainsItself,
    /// Too many values.
    #[error("more than {0} values, those of aliases counted each time")]
    TooLarge(usize),
    /// An invalid scalar.
    #[error("{0}")]
    Scalar(#[from] ScalarError),
}
