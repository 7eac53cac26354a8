//! What is derived.

use std::fmt;

use crate::bounds::Argument;
use crate::chain::Link;
use crate::numbers::Why;

/// A system call that the program can make.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Its number on x86_64.
    pub number: u32,
    /// How it is reached: from where the program begins, or what the loader calls, to the instruction.
    pub chain: Vec<Link>,
    /// What is known of its arguments, if that was asked for and the call is one whose arguments are examined.
    pub arguments: Vec<Argument>,
}

impl Call {
    /// Adds what the arguments can be with other libraries.
    fn add(&mut self, other: Self) {
        for argument in other.arguments {
            if let Some(known) = self.arguments.iter_mut().find(|it| it.index == argument.index) {
                known.add(argument);
            }
        }
    }
}

/// Another program that the program starts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Starts {
    /// What it starts.
    pub what: Started,
    /// Where: the call of the function that does it.
    pub place: Link,
}

/// What a program starts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Started {
    /// The program with this path (`execve` and the like).
    Path(String),
    /// The program with this name, which is looked for in the directories of `PATH` if it has no slash (`execvp` and the
    /// like).
    Name(String),
    /// A shell with this command (`system`, `popen`).
    Command(String),
}

/// The calls of a program, and what could not be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Derived {
    /// The program, as a path in the root.
    pub program: String,
    /// Everything that was loaded, in the order of loading.
    pub objects: Vec<String>,
    /// By number.
    pub calls: Vec<Call>,
    /// What it starts, by place.
    pub starts: Vec<Starts>,
    /// By kind and place.
    pub findings: Vec<Finding>,
}

impl Derived {
    /// Whether no call can be missing: every number is bounded.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.findings.iter().all(|finding| !finding.is_open())
    }

    /// Adds what the same program can do with other libraries.
    pub(crate) fn add(&mut self, other: Self) {
        let objects: Vec<_> = other.objects.into_iter().filter(|it| !self.objects.contains(it)).collect();
        self.objects.extend(objects);
        for call in other.calls {
            match self.calls.iter_mut().find(|it| it.number == call.number) {
                Some(known) => known.add(call),
                None => self.calls.push(call),
            }
        }
        self.starts.extend(other.starts);
        self.findings.extend(other.findings);
        self.sort();
    }

    /// Brings everything into its order, once.
    pub(crate) fn sort(&mut self) {
        self.calls.sort_by_key(|it| it.number);
        self.starts.sort_by_key(|it| (it.place.object.clone(), it.place.address, it.what.clone()));
        self.starts.dedup();
        self.findings.sort_by_key(|it| (it.kind.reason(), it.place.object.clone(), it.place.address));
        self.findings.dedup();
    }
}

/// What could not be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// What.
    pub kind: FindingKind,
    /// Where: the instruction.
    pub place: Link,
}

impl Finding {
    /// Whether calls may be missing because of it.
    #[must_use]
    pub fn is_open(&self) -> bool {
        matches!(self.kind, FindingKind::OpenNumber { .. } | FindingKind::OtherEntry)
    }
}

/// What could not be followed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FindingKind {
    /// The number of a call is not bounded.
    OpenNumber {
        /// Why.
        why: Why,
        /// The instruction at which the value is lost.
        at: Link,
    },
    /// The kernel is called as from a 32-bit program (`int 0x80`, `sysenter`), whose numbers are others.
    OtherEntry,
    /// A number that is no call of x86_64.
    NoSuchCall(u64),
    /// A library is opened whose name is not known.
    OpenLibrary,
    /// A library is opened that the root does not have.
    AbsentLibrary(String),
    /// A function is looked for whose name is not known.
    OpenSymbol,
    /// A library cannot be read.
    UnreadableLibrary(String),
    /// A program is started whose name is not known.
    OpenProgram,
}

impl FindingKind {
    /// The kind, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::OpenNumber { .. } => "OpenNumber",
            Self::OtherEntry => "OtherEntry",
            Self::NoSuchCall(_) => "NoSuchCall",
            Self::OpenLibrary => "OpenLibrary",
            Self::AbsentLibrary(_) => "AbsentLibrary",
            Self::OpenSymbol => "OpenSymbol",
            Self::UnreadableLibrary(_) => "UnreadableLibrary",
            Self::OpenProgram => "OpenProgram",
        }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let place = &self.place;
        match &self.kind {
            FindingKind::OpenNumber { why, at } => {
                let why = why.text();
                write!(f, "{place}: the number of the call is not known: at {at} it {why}")
            }
            FindingKind::OtherEntry => {
                write!(f, "{place}: calls the kernel as a 32-bit program, whose calls have other numbers")
            }
            FindingKind::NoSuchCall(number) => write!(f, "{place}: x86_64 has no call {number}"),
            FindingKind::OpenLibrary => write!(f, "{place}: opens a library whose name is not known"),
            FindingKind::AbsentLibrary(name) => {
                write!(f, "{place}: opens {name}, which is not in the directories of libraries")
            }
            FindingKind::OpenSymbol => write!(f, "{place}: looks for a function whose name is not known"),
            FindingKind::UnreadableLibrary(why) => {
                write!(f, "{place}: opens a library that is left out: {why}")
            }
            FindingKind::OpenProgram => write!(f, "{place}: starts a program whose name is not known"),
        }
    }
}
