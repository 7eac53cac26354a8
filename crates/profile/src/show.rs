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
        let (index, value) = (self.index, Number(self.value));
        let operator = match self.op {
            Comparison::NotEqual => "!=",
            Comparison::Less => "<",
            Comparison::LessOrEqual => "<=",
            Comparison::Equal => "==",
            Comparison::GreaterOrEqual => ">=",
            Comparison::Greater => ">",
            Comparison::MaskedEqual => {
                return write!(f, "arg{index} & {value} == {}", Number(self.value_two));
            }
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
