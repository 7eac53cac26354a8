//! A call in a log.

use syscalls::{Architecture, ArgumentType, Syscall};

use crate::printed::register;
use crate::split::split;
use crate::value::{Bits, number, value};

/// A call in a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call<'l> {
    /// The name that strace prints.
    pub name: &'l str,
    /// The table that the number is of.
    pub architecture: Architecture,
    /// The number; `None` if no table has the name.
    pub number: Option<u32>,
    /// Whether strace printed the number itself, so that a call through a multiplexer is known as such.
    pub is_numbered: bool,
    /// The arguments as they are printed, and what follows them.
    pub(crate) text: &'l [u8],
}

/// Calls of 32-bit tables whose printed arguments are not the registers in their order: numbers of 64 bits are in two
/// registers, or the arguments are in a structure.
const OTHERWISE: [&str; 21] = [
    "_llseek",
    "arm_fadvise64_64",
    "arm_sync_file_range",
    "fadvise64",
    "fadvise64_64",
    "fallocate",
    "fanotify_mark",
    "ftruncate64",
    "lookup_dcookie",
    "mmap",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "readahead",
    "select",
    "sync_file_range",
    "truncate64",
    "process_madvise",
];

/// Calls of 32-bit tables through which others are made. strace prints most of them as the other call; what it prints under
/// their own name begins with the first register, the code of the other call.
const MULTIPLEXERS: [&str; 2] = ["ipc", "socketcall"];

impl Call<'_> {
    /// What is known of the six registers.
    #[must_use]
    pub fn arguments(&self) -> [Bits; 6] {
        let mut registers = [Bits::UNKNOWN; 6];
        let is_32_bit = matches!(self.architecture, Architecture::I386 | Architecture::Arm);
        // What is printed of these is read from the stack.
        let has_no_arguments = matches!(self.name, "rt_sigreturn" | "sigreturn");
        // There it takes a structure (`sys_old_mmap` in the kernel's arch/s390/kernel/syscalls/syscall.tbl).
        let is_old_mmap = self.architecture == Architecture::S390x && self.name == "mmap";
        if has_no_arguments || is_old_mmap || is_32_bit && OTHERWISE.contains(&self.name) {
            return registers;
        }
        let types = Syscall::from_name(self.name).and_then(Syscall::arguments);
        let text = String::from_utf8_lossy(self.text);
        let printed = split(&text);
        let certain = if is_32_bit && MULTIPLEXERS.contains(&self.name) { 1 } else { printed.len() };
        for (place, argument) in printed.iter().enumerate().take(certain) {
            let (place, argument) = match named(argument) {
                Some((name, argument)) => (self.register_of(name), argument),
                None => (register(self.name, self.architecture, &printed, place), *argument),
            };
            if let Some(place) = place
                && let Some(register) = registers.get_mut(place)
            {
                *register = value(argument).of_type(self.type_of(place, types));
                // The registers of 32-bit programs have no upper half.
                if is_32_bit {
                    *register =
                        Bits { value: register.value & 0xffff_ffff, known: register.known & 0xffff_ffff };
                }
            }
        }
        registers
    }

    fn type_of(&self, place: usize, types: Option<&[ArgumentType]>) -> Option<ArgumentType> {
        // The numbers of calls that strace does not know are followed by whole registers.
        if self.name.starts_with(UNNAMED) {
            return Some(ArgumentType::Word);
        }
        types.and_then(|types| types.get(place)).copied()
    }

    /// The register of an argument of `clone` that is printed with its name, where the order is certain (`CLONE_BACKWARDS`
    /// in the kernel's arch/Kconfig).
    fn register_of(&self, name: &str) -> Option<usize> {
        let backwards = self.architecture == Architecture::S390x;
        match (self.name, name) {
            ("clone", "flags") => Some(usize::from(backwards)),
            ("clone", "child_stack") => Some(usize::from(!backwards)),
            _ => None,
        }
    }
}

/// What the name of a call that strace does not know begins with; its number follows in hexadecimal.
const UNNAMED: &str = "syscall_";

/// The number in a name such as `syscall_0x1c3`.
pub(crate) fn unnamed(name: &str) -> Option<u32> {
    name.strip_prefix(UNNAMED).and_then(number).and_then(|number| u32::try_from(number).ok())
}

/// The name and the value of an argument that is printed with its name.
fn named(argument: &str) -> Option<(&str, &str)> {
    let (name, argument) = argument.split_once('=')?;
    let is_name = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    (is_name && !name.is_empty()).then_some((name, argument))
}
