//! The versions of libseccomp whose names were measured.

use std::fmt;

use crate::Architecture;

/// A libseccomp that was asked for the names that it knows (`data/libseccomp.c`).
///
/// Upstream's 2.5.0 to 2.5.3, 2.5.5 and 2.5.6 were not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Libseccomp {
    /// 2.5.4 as upstream released it.
    V2_5_4,
    /// 2.5.4-1+deb12u1 of Debian 12, which has names of later releases.
    V2_5_4Debian12,
    /// 2.6.0.
    V2_6_0,
    /// 2.6.1.
    V2_6_1,
}

impl Libseccomp {
    /// Every measured one, from the oldest.
    pub const ALL: [Self; 4] = [Self::V2_5_4, Self::V2_5_4Debian12, Self::V2_6_0, Self::V2_6_1];

    /// Its name for messages.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::V2_5_4 => "2.5.4",
            Self::V2_5_4Debian12 => "2.5.4 of Debian 12",
            Self::V2_6_0 => "2.6.0",
            Self::V2_6_1 => "2.6.1",
        }
    }

    /// Whether it can load a filter for this architecture. No container starts whose profile names another one.
    #[must_use]
    pub fn supports(self, architecture: Architecture) -> bool {
        architecture != Architecture::Loongarch64 || self >= Self::V2_6_0
    }

    /// Its place in the generated tables.
    pub(crate) const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Libseccomp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
