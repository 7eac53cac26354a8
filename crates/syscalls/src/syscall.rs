//! A system call.

use crate::register::registers;
use crate::tables::{
    ABSENT, ARGUMENTS, ARGUMENTS_ELSEWHERE, BY_NUMBER, GROUPS, KNOWN, NAMES, NUMBERS, PARAMETERS, RELEASES,
    UNRESOLVED,
};
use crate::{Architecture, ArgumentType, Group, Libseccomp, Register, Release};

/// A system call that some architecture has or had, or whose name some libseccomp knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Syscall(u16);

impl Syscall {
    /// Every call, by name.
    pub fn all() -> impl ExactSizeIterator<Item = Self> {
        (0..NAMES.len()).map(Self::at)
    }

    /// The call with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        NAMES.binary_search(&name).ok().map(Self::at)
    }

    /// The call with this number on an architecture.
    #[must_use]
    pub fn by_number(architecture: Architecture, number: u32) -> Option<Self> {
        let (numbers, order) = (&NUMBERS[architecture.index()], BY_NUMBER[architecture.index()]);
        let found = order.binary_search_by_key(&number, |call| numbers[usize::from(*call)]);
        found.ok().map(|place| Self(order[place]))
    }

    /// The name.
    #[must_use]
    pub fn name(self) -> &'static str {
        NAMES[self.index()]
    }

    /// The number on an architecture, as in the kernel's headers ([`LINUX`](crate::LINUX)); `None` if it has no such
    /// call. The numbers of x32 have bit 30 set, as a filter sees them.
    #[must_use]
    pub fn number(self, architecture: Architecture) -> Option<u32> {
        let number = NUMBERS[architecture.index()][self.index()];
        (number != ABSENT).then_some(number)
    }

    /// Whether a libseccomp knows the name. Runtimes ignore a rule for a name that it does not know.
    #[must_use]
    pub fn known_to(self, libseccomp: Libseccomp) -> bool {
        KNOWN[self.index()] & (1 << libseccomp.index()) != 0
    }

    /// Whether a filter that this libseccomp makes for an architecture can cover the call: it knows the name, the
    /// architecture, and that the architecture has the call.
    #[must_use]
    pub fn resolved_by(self, libseccomp: Libseccomp, architecture: Architecture) -> bool {
        let place = (libseccomp.index() as u8, architecture.index() as u8, self.0);
        self.known_to(libseccomp)
            && libseccomp.supports(architecture)
            && self.number(architecture).is_some()
            && !UNRESOLVED.contains(&place)
    }

    /// The release of Linux in which the call appeared on its first architecture; `None` if the sources do not tell.
    #[must_use]
    pub fn appeared_in(self) -> Option<Release> {
        let [major, minor, patch] = RELEASES[self.index()];
        (major > 0).then_some(Release::new(major, minor, patch))
    }

    /// The types of the arguments on 64-bit x86; `None` if it has no such call, or the sources do not declare it.
    ///
    /// Those of other architectures may differ: see [`Self::registers`].
    #[must_use]
    pub fn arguments(self) -> Option<&'static [ArgumentType]> {
        ARGUMENTS[self.index()]
    }

    /// What the registers of the call hold on an architecture, from the first on; `None` if it has no such call, or if its
    /// arguments are not known there.
    #[must_use]
    pub fn registers(self, architecture: Architecture) -> Option<Vec<Register>> {
        self.number(architecture)?;
        let place = (self.0, architecture.index() as u8);
        let elsewhere = ARGUMENTS_ELSEWHERE.binary_search_by_key(&place, |(call, on, _)| (*call, *on));
        let types = match elsewhere {
            Ok(found) => ARGUMENTS_ELSEWHERE[found].2,
            Err(_) => self.arguments(),
        };
        Some(registers(types?, architecture))
    }

    /// The names of the arguments in the manual pages, as far as they are known: there may be fewer than the call has.
    ///
    /// The order of those of `clone` is that of 64-bit x86.
    #[must_use]
    pub fn parameters(self) -> &'static [&'static str] {
        PARAMETERS[self.index()]
    }

    /// What the call is about.
    #[must_use]
    pub fn group(self) -> Group {
        GROUPS[self.index()]
    }

    fn at(index: usize) -> Self {
        Self(index as u16)
    }

    fn index(self) -> usize {
        usize::from(self.0)
    }
}
