//! Why a file holds no profile to compare with.

use std::fmt;

use super::scalar::ScalarError;

/// A file that holds no profile to compare with.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// kubectl would not read it, or drop a part of it.
    #[error("{0}")]
    Syntax(#[from] SyntaxError),
    /// It holds neither a `SeccompProfile` nor a profile as runtimes read it.
    #[error(
        "no SeccompProfile of {API_VERSION}, and no profile in the form of the OCI runtime specification (with a \
         defaultAction); found: {}",
        listed(.0)
    )]
    NoProfile(Vec<Found>),
    /// It holds a profile of the Security Profiles Operator.
    #[error(
        "{0} is a profile of the Security Profiles Operator, another product whose kind has the same name\nTo convert it \
         by hand, move defaultAction, architectures, flags and syscalls from its spec into spec.contents of a \
         SeccompProfile of {API_VERSION} (listenerPath and listenerMetadata, too, where the chart's value \
         listeners.enabled is true), add the rules of its baseProfileName, and leave out disabled and state. Pods then name \
         profiles/NAME.json instead of operator/NAME.json."
    )]
    OtherOperator(Found),
    /// It holds several, none of which has the name that was asked for.
    #[error("several SeccompProfiles ({}), none of them named {wanted}", .found.join(", "))]
    Several {
        /// Their names.
        found: Vec<String>,
        /// The name that was asked for.
        wanted: String,
    },
    /// A whole number that `kubectl apply` does not send as it stands.
    #[error(
        "{field}: kubectl apply makes {sent} of {number} where it changes an object, because it compares objects in floating \
         point; write it as text: \"{number}\""
    )]
    Rounded {
        /// Where it stands.
        field: String,
        /// The number.
        number: i64,
        /// What kubectl makes of it.
        sent: String,
    },
    /// The object has no contents.
    #[error("spec.contents: is required: the profile, as JSON")]
    NoContents,
    /// The object has a field that the API server does not know.
    #[error("{0}: unknown field; kubectl refuses it")]
    UnknownField(String),
    /// The profile is not valid.
    #[error("{0}")]
    Invalid(#[from] profile::ParseError),
}

/// What the kind's objects say in `apiVersion`.
pub(crate) const API_VERSION: &str = "seccomp.imjasonh.dev/v1alpha1";

impl DocumentError {
    /// One word of a bounded vocabulary.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Syntax(_) => "Syntax",
            Self::NoProfile(_) => "NoProfile",
            Self::OtherOperator(_) => "OtherOperator",
            Self::Several { .. } => "SeveralProfiles",
            Self::Rounded { .. } => "RoundedNumber",
            Self::NoContents => "NoContents",
            Self::UnknownField(_) => "UnknownField",
            Self::Invalid(error) => error.reason(),
        }
    }
}

/// An object that is not one of ours.
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
            (Some(kind), Some(version)) => write!(f, "{kind} of {version}")?,
            (Some(kind), None) => write!(f, "{kind} without an apiVersion")?,
            (None, _) => f.write_str("something without a kind")?,
        }
        self.name.iter().try_for_each(|name| write!(f, " named {name:?}"))
    }
}

/// How many objects an error names; a file may hold a whole installation.
const NAMED: usize = 5;

fn listed(found: &[Found]) -> String {
    if found.is_empty() {
        return "nothing".to_owned();
    }
    let mut named: Vec<_> = found.iter().take(NAMED).map(ToString::to_string).collect();
    if found.len() > NAMED {
        named.push(format!("{} more", found.len() - NAMED));
    }
    named.join(", ")
}

/// What is wrong with the text itself, and where.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct SyntaxError {
    /// The line of the file, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// It is neither YAML nor JSON.
    #[error("neither YAML nor JSON: {0}")]
    Syntax(String),
    /// A character that may not stand in YAML 1.1, or ends a line there.
    #[error("the character {0:?} is no text to kubectl; write it as an escape in double quotes")]
    Character(char),
    /// An escape of JSON in text that is not JSON.
    #[error(
        "the escape {0} is one of JSON alone, and kubectl refuses it in YAML; write the character itself"
    )]
    Escape(String),
    /// A question mark in text that is not quoted, in brackets or braces.
    #[error(
        "{0:?} has a question mark, which kubectl takes for something else in brackets and braces; quote it"
    )]
    Question(String),
    /// A document that is no object.
    #[error("expected an object, found {0}")]
    NoObject(String),
    /// Something stands beside the separator of documents.
    #[error(
        "{0:?} stands beside the separator ---, where kubectl takes nothing but a comment; begin a new line"
    )]
    Separator(String),
    /// Something stands behind the end of a document.
    #[error("kubectl reads nothing behind the end of a document (...); separate documents by ---")]
    BehindTheEnd,
    /// A key stands twice.
    #[error("the key {0:?} stands twice in one object, and kubectl takes the last in silence; leave one out")]
    KeyTwice(String),
    /// `<<` stands behind a key that it brings, too.
    #[error(
        "<< stands behind the key {0:?} and brings it, too: kubectl takes what << brings, other readers the key's own; put << first"
    )]
    LateMerge(String),
    /// `<<` brings something that is no object.
    #[error("<< takes an object, or a list of objects")]
    Merge,
    /// A key that is no text.
    #[error("the key {0} is no text; quote it")]
    Key(String),
    /// An anchor within itself.
    #[error("an alias stands within its own anchor")]
    ContainsItself,
    /// More than anybody needs.
    #[error("more than {0} values, those of aliases counted each time")]
    TooLarge(usize),
    /// A scalar that has no value.
    #[error("{0}")]
    Scalar(#[from] ScalarError),
}
