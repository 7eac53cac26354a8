//! Why a value cannot be followed.

/// Why a value is not known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Why {
    /// It comes from memory.
    Memory,
    /// It is calculated in a way that is not followed.
    Calculated,
    /// It is what a call returns.
    Returned,
    /// A call may have overwritten it.
    Overwritten,
    /// It is an argument of a function that is called indirectly.
    IndirectCall,
    /// There are too many ways to it.
    TooManyWays,
    /// The code before it cannot be followed.
    Unclear,
}

impl Why {
    /// What is said of the value at the place where it is lost.
    #[must_use]
    pub fn text(self) -> &'static str {
        match self {
            Self::Memory => "comes from memory",
            Self::Calculated => "is calculated",
            Self::Returned => "is what a call returns",
            Self::Overwritten => "may be overwritten by a call",
            Self::IndirectCall => "is an argument of a function that is called indirectly",
            Self::TooManyWays => "has too many sources",
            Self::Unclear => "cannot be followed through this code",
        }
    }
}
