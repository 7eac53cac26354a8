//! The parts of a profile in a readable form.

use std::fmt;

use crate::{Argument, Comparison, Listener};

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        // Quoted; characters that move a cursor or reverse the direction of writing are escaped.
        if self.metadata.is_empty() { Ok(()) } else { write!(f, " (metadata {:?})", self.metadata) }
    }
}

impl fmt::Display for Argument {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.op.write(f, self.index, self.value, self.value_two)
    }
}

impl Comparison {
    /// Writes the comparison of argument `index` with these values, as in `arg0 & 0xff00 == 1`.
    ///
    /// # Errors
    /// As the formatter's.
    pub fn write(self, f: &mut fmt::Formatter<'_>, index: u8, value: u64, value_two: u64) -> fmt::Result {
        let value = Number(value);
        let operator = match self {
            Self::NotEqual => "!=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Equal => "==",
            Self::GreaterOrEqual => ">=",
            Self::Greater => ">",
            Self::MaskedEqual => return write!(f, "arg{index} & {value} == {}", Number(value_two)),
        };
        write!(f, "arg{index} {operator} {value}")
    }
}

/// Small numbers are usually counts or descriptors and shown in decimal, large ones are bits and shown in hexadecimal.
struct Number(u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 256 { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}
