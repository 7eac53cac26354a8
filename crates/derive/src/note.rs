//! Why a program may run, and what a profile may lack because of what is started.

use std::fmt;

/// Why a program may run.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Because {
    /// It is named.
    Named,
    /// The image starts it, or gives its name to what it starts.
    Image,
    /// It interprets a script.
    Interprets(String),
    /// A script has its name.
    Script(String),
    /// A program starts it.
    Program(String),
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named => f.write_str("named"),
            Self::Image => f.write_str("the image starts it"),
            Self::Interprets(script) => write!(f, "interprets {script}"),
            Self::Script(script) => write!(f, "named in {script}"),
            Self::Program(program) => write!(f, "{program} starts it"),
        }
    }
}

/// What the profile may lack because of what is started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Note {
    /// A shell script.
    ShellScript {
        /// The script.
        script: String,
        /// Its interpreter.
        interpreter: String,
        /// Whether the programs whose names are in it are followed.
        is_followed: bool,
    },
    /// Another script.
    OtherScript {
        /// The script.
        script: String,
        /// Its interpreter.
        interpreter: String,
    },
    /// A program that is started is not there.
    Absent {
        /// Its path or name.
        program: String,
        /// Why it would run.
        because: Because,
    },
    /// A program is left out.
    LeftOut {
        /// Its path.
        program: String,
        /// Why it would run.
        because: Because,
        /// Why it is left out.
        why: String,
    },
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ShellScript { script, interpreter, is_followed: true } => write!(
                f,
                "{script}: a script for {interpreter}: the profile has what {interpreter} can do, and what the programs \
                 whose names are in the script can do; name others that it starts with --program"
            ),
            Self::ShellScript { script, interpreter, is_followed: false } => write!(
                f,
                "{script}: a script for {interpreter}: the profile has what {interpreter} can do; name the programs that \
                 the script starts with --program"
            ),
            Self::OtherScript { script, interpreter } => write!(
                f,
                "{script}: a script for {interpreter}: the profile has what {interpreter} can do, with the modules that \
                 are named with --module; name the programs that the script starts with --program"
            ),
            Self::Absent { program, because } => {
                write!(f, "{program}: is not in the files; it would run because: {because}")
            }
            Self::LeftOut { program, because, why } => {
                write!(f, "{program}: left out: {why}; it would run because: {because}")
            }
        }
    }
}
