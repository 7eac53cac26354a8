//! The parts of a profile as people read them.

use std::fmt;

use crate::{Argument, Comparison, Listener};

impl fmt::Display for Listener {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path)?;
        // Quoted, with all that would move a cursor or turn the writing round escaped.
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

/// Small numbers are counts and descriptors, large ones bits.
struct Number(u64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 256 { write!(f, "{}", self.0) } else { write!(f, "{:#x}", self.0) }
    }
}
