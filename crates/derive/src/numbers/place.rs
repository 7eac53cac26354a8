//! What has a value: a register, memory, or memory behind a pointer.

use iced_x86::Register;

/// What has a value.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Place {
    /// A register of 64 bits.
    Register(Register),
    /// A place on the stack, relative to the stack pointer at the start of the function.
    Stack(i64),
    /// Memory at an address.
    Memory(u64),
    /// Memory at the address that a place has, and an offset.
    Behind(Box<Place>, i64),
}

/// In how many bytes, from the lowest one, the bits of a mask are.
pub(super) const fn bytes_of(mask: u64) -> u32 {
    (u64::BITS - mask.leading_zeros()).div_ceil(8)
}

/// How many pointers are followed, one behind the other.
const POINTERS: usize = 3;

impl Place {
    pub(crate) fn behind(self, offset: i64) -> Option<Self> {
        let mut depth = 0;
        let mut at = &self;
        while let Self::Behind(inner, _) = at {
            (depth, at) = (depth + 1, inner);
        }
        (depth < POINTERS).then(|| Self::Behind(Box::new(self), offset))
    }

    /// The place that is asked for in the end: what pointers start from.
    pub(crate) fn root(&self) -> &Self {
        let mut at = self;
        while let Self::Behind(inner, _) = at {
            at = inner;
        }
        at
    }

    /// The same with another start of the pointers.
    pub(crate) fn with_root(&self, root: Self) -> Option<Self> {
        match self {
            Self::Behind(inner, offset) => inner.with_root(root)?.behind(*offset),
            _ => Some(root),
        }
    }
}

/// The offset of the first pointer.
pub(crate) fn innermost(place: &Place) -> Option<i64> {
    match place {
        Place::Behind(inner, offset) if !matches!(**inner, Place::Behind(..)) => Some(*offset),
        Place::Behind(inner, _) => innermost(inner),
        _ => None,
    }
}

/// The same with a place instead of what is behind the first pointer.
pub(crate) fn replace_innermost(place: &Place, with: Place) -> Option<Place> {
    match place {
        Place::Behind(inner, offset) if matches!(**inner, Place::Behind(..)) => {
            replace_innermost(inner, with)?.behind(*offset)
        }
        Place::Behind(..) => Some(with),
        _ => None,
    }
}
