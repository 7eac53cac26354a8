//! A call as it is written on the command line.

use filter::diagram::Partial;
use profile::Architecture;
use strace::{Bits, split, value};
use syscalls::{ArgumentType, Syscall};

use crate::explain::value_of_names;

/// A call, of whose arguments something is known or nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The table that the number is of.
    pub architecture: Architecture,
    /// The number.
    pub number: u32,
    /// What is known of the arguments.
    pub arguments: Partial,
}

/// Why a text is no call.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// It is neither a name nor a number, with arguments in parentheses or without.
    #[error(
        "write a call as its name or number, with arguments in parentheses or without: openat, 257, \"socket(16, 3, 0)\""
    )]
    Syntax,
    /// No architecture has the call.
    #[error("no system call of Linux {} or before has this name{}", syscalls::LINUX, suggestion(*.0))]
    Unknown(Option<&'static str>),
    /// The architecture does not have it.
    #[error("{0} has no such system call")]
    Absent(syscalls::Architecture),
    /// The architecture has no table.
    #[error("there is no architecture {name:?}: name one of {}", architectures(), name = .0)]
    Architecture(String),
    /// A call has six arguments.
    #[error("a system call has at most 6 arguments")]
    Arguments,
    /// An argument is neither a number nor the name of one.
    #[error(
        "{0:?} is neither a number nor one of the known names of numbers (AF_…, SOCK_…, IPPROTO_…, NETLINK_…, CLONE_…, PR_…, PER_…, SIG…, and those that explain names for this argument)"
    )]
    Value(String),
}

fn suggestion(near: Option<&'static str>) -> String {
    near.map(|near| format!("; did you mean {near}?")).unwrap_or_default()
}

fn architectures() -> String {
    syscalls::Architecture::ALL.map(syscalls::Architecture::name).join(", ")
}

impl CallError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Syntax => "CallSyntax",
            Self::Unknown(_) => "UnknownCall",
            Self::Absent(_) => "AbsentCall",
            Self::Architecture(_) => "UnknownArchitecture",
            Self::Arguments => "TooManyArguments",
            Self::Value(_) => "UnknownValue",
        }
    }
}

impl Asked {
    /// Reads `openat`, `257`, `syscall_0x1c3`, `socket(AF_NETLINK, 3, 0)` or, for another table than the node's own,
    /// `i386:socketcall(1)`. Arguments that are left out, `_` or `?` may be anything.
    ///
    /// # Errors
    /// The text is no call, or the architecture has no such call.
    pub fn read(text: &str, native: syscalls::Architecture) -> Result<Self, CallError> {
        let (architecture, call) = match text.split_once(':') {
            Some((name, call)) => (table(name.trim())?, call),
            None => (native, text),
        };
        let (name, arguments) = match call.trim().split_once('(') {
            Some((name, rest)) => (name, rest.strip_suffix(')').ok_or(CallError::Syntax)?),
            None => (call.trim(), ""),
        };
        let (number, types) = number_of(name.trim(), architecture)?;
        let name = Syscall::by_number(architecture, number).map_or("", Syscall::name);
        Ok(Self {
            architecture: oci(architecture)
                .ok_or_else(|| CallError::Architecture(architecture.to_string()))?,
            number,
            arguments: known(name, arguments, types, architecture)?,
        })
    }

    /// The name of the call, if a table has its number.
    pub(crate) fn name(&self) -> Option<&'static str> {
        name_of(self.architecture, self.number)
    }
}

/// The name of the call with this number, if a table has it.
pub(crate) fn name_of(architecture: Architecture, number: u32) -> Option<&'static str> {
    let table = syscalls::Architecture::from_oci_name(architecture.name())?;
    Syscall::by_number(table, number).map(Syscall::name)
}

/// The same architecture by its name in profiles.
pub(crate) fn oci(architecture: syscalls::Architecture) -> Option<Architecture> {
    Architecture::from_name(architecture.oci_name())
}

fn table(name: &str) -> Result<syscalls::Architecture, CallError> {
    let mut all = syscalls::Architecture::ALL.into_iter();
    all.find(|it| it.name() == name).ok_or_else(|| CallError::Architecture(name.to_owned()))
}

type Types = Option<&'static [ArgumentType]>;

fn number_of(name: &str, architecture: syscalls::Architecture) -> Result<(u32, Types), CallError> {
    let digits = name.strip_prefix("syscall_").unwrap_or(name);
    if digits.starts_with(|first: char| first.is_ascii_digit()) {
        let number = value(digits);
        let number = u32::try_from(number.value).ok().filter(|_| number.known == u64::MAX);
        let number = number.ok_or(CallError::Syntax)?;
        return Ok((number, Syscall::by_number(architecture, number).and_then(Syscall::arguments)));
    }
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
        return Err(CallError::Syntax);
    }
    let call = Syscall::from_name(name).ok_or_else(|| CallError::Unknown(nearest(name)))?;
    let number = call.number(architecture).ok_or(CallError::Absent(architecture))?;
    Ok((number, call.arguments()))
}

fn known(
    call: &str,
    text: &str,
    types: Types,
    architecture: syscalls::Architecture,
) -> Result<Partial, CallError> {
    // The reader of strace's logs ends at a parenthesis and stops after six.
    if text.contains(['(', ')']) {
        return Err(CallError::Syntax);
    }
    if text.split(',').count() > 6 {
        return Err(CallError::Arguments);
    }
    let mut partial = Partial::UNKNOWN;
    for (index, argument) in (0_u8..).zip(split(text)) {
        if matches!(argument, "?" | "_") {
            continue;
        }
        // Of the names that `explain` prints, some mean the same only as this argument of this call.
        let bits = value_of_names(call, index, argument).map_or_else(|| value(argument), Bits::exact);
        if bits.known != u64::MAX {
            return Err(CallError::Value(argument.to_owned()));
        }
        let bits = register(bits, argument, types, index);
        let is_32_bit = matches!(architecture, syscalls::Architecture::I386 | syscalls::Architecture::Arm);
        // The registers of 32-bit programs have no upper half; the kernel shows zeros to the filter.
        let known = if is_32_bit { u64::MAX } else { bits.known };
        let value = if is_32_bit { bits.value & 0xffff_ffff } else { bits.value };
        partial = partial.with(index, value, known);
    }
    Ok(partial)
}

/// A number in hexadecimal is the whole register. A negative number or a name is what the program writes, and a compiler
/// may extend it to the register in two ways.
fn register(bits: Bits, argument: &str, types: Types, index: u8) -> Bits {
    if argument.starts_with("0x") {
        return bits;
    }
    bits.of_type(types.and_then(|types| types.get(usize::from(index))).copied())
}

/// The most similar name, if it differs in at most a quarter of its characters.
fn nearest(name: &str) -> Option<&'static str> {
    let most = |known: &str| (known.len() / 4).max(1);
    let names = Syscall::all().map(Syscall::name);
    let near = names.filter(|known| known.len().abs_diff(name.len()) <= most(known));
    let near = near.map(|known| (strsim::damerau_levenshtein(name, known), known));
    near.filter(|(distance, known)| *distance <= most(known)).min().map(|(_, known)| known)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(text: &str) -> Result<Asked, CallError> {
        Asked::read(text, syscalls::Architecture::X86_64)
    }

    fn asked(number: u32, arguments: Partial) -> Asked {
        Asked { architecture: Architecture::X86_64, number, arguments }
    }

    #[test]
    fn a_call_is_a_name_or_a_number() {
        for (text, number) in [
            ("openat", 257),
            (" openat ", 257),
            ("openat()", 257),
            ("257", 257),
            ("0x101", 257),
            ("syscall_0x1c3", 451),
            ("syscall_451", 451),
            ("x86_64:openat", 257),
        ] {
            assert_eq!(read(text).unwrap(), asked(number, Partial::UNKNOWN), "{text}");
        }
        let other = Asked { architecture: Architecture::X86, number: 102, arguments: Partial::UNKNOWN };
        assert_eq!(read("i386:socketcall"), Ok(other));
    }

    #[test]
    fn arguments_are_numbers_or_names_of_numbers() {
        let exact = |values: &[u64]| {
            (0..)
                .zip(values)
                .fold(Partial::UNKNOWN, |partial, (index, value)| partial.with(index, *value, u64::MAX))
        };
        assert_eq!(read("socket(16, 3, 0)").unwrap(), asked(41, exact(&[16, 3, 0])));
        assert_eq!(
            read("socket(AF_NETLINK, SOCK_RAW|SOCK_CLOEXEC, 0x0)").unwrap(),
            asked(41, exact(&[16, 0x80003, 0]))
        );
        assert_eq!(read("unshare(CLONE_NEWUSER)").unwrap(), asked(272, exact(&[0x1000_0000])));
        for left_out in ["socket(?, 3)", "socket(_, 3)"] {
            assert_eq!(read(left_out).unwrap(), asked(41, Partial::UNKNOWN.with(1, 3, u64::MAX)));
        }
        // As `explain` prints them.
        for protection in ["PROT_READ|PROT_EXEC", "PROT_READ, PROT_EXEC", "5"] {
            let protection = protection.replace(", ", " | ");
            assert_eq!(read(&format!("mmap(0, 0, {protection})")).unwrap(), asked(9, exact(&[0, 0, 5])));
        }
        assert_eq!(read("ioctl(_, TIOCSTI)").unwrap(), asked(16, Partial::UNKNOWN.with(1, 0x5412, u64::MAX)));
        // The type decides whether the upper half of a negative number is known.
        assert_eq!(
            read("openat(-100)").unwrap(),
            asked(257, Partial::UNKNOWN.with(0, 0xffff_ff9c, 0xffff_ffff))
        );
        assert_eq!(read("openat(0xffffff9c)").unwrap(), asked(257, exact(&[0xffff_ff9c])));
        assert_eq!(read("brk(-1)").unwrap(), asked(12, exact(&[u64::MAX])));
        let of_32_bits = Partial::UNKNOWN.with(0, 0xffff_ffff, u64::MAX);
        assert_eq!(read("i386:brk(-1)").unwrap().arguments, of_32_bits);
    }

    #[test]
    fn an_error_says_what_would_be_right() {
        for (text, error) in [
            ("", CallError::Syntax),
            ("open at", CallError::Syntax),
            ("socket(1", CallError::Syntax),
            ("socket(f(1))", CallError::Syntax),
            ("12x", CallError::Syntax),
            ("4294967296", CallError::Syntax),
            ("opeant", CallError::Unknown(Some("openat"))),
            ("frobnicate", CallError::Unknown(None)),
            ("waitpid", CallError::Absent(syscalls::Architecture::X86_64)),
            ("sparc:open", CallError::Architecture("sparc".to_owned())),
            ("socket(1,2,3,4,5,6,7)", CallError::Arguments),
            ("openat(AT_FDCWD, O_RDONLY)", CallError::Value("O_RDONLY".to_owned())),
            ("socket(1, )", CallError::Value(String::new())),
        ] {
            assert_eq!(read(text), Err(error), "{text}");
        }
        assert!(read("opeant").unwrap_err().to_string().ends_with("did you mean openat?"));
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a-z0-9_x:(), |?é\"<-]{0,40}") {
            let _ = read(&text);
        }
    }
}
