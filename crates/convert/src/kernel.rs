//! The version of a kernel, on which rules of Docker's dialect depend.

use std::fmt;
use std::str::FromStr;

use profile::wording::quote;

/// A version of Linux: its first two numbers, which Docker compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Kernel {
    first: u8,
    second: u8,
}

impl Kernel {
    /// The oldest kernel on which the node agent runs (it needs `openat2`).
    pub const OLDEST: Self = Self { first: 5, second: 6 };

    /// The version in `minKernel`: two numbers and nothing else (`KernelVersion.UnmarshalJSON` in moby/profiles cd3bed8).
    pub(crate) fn of_condition(text: &str) -> Option<Self> {
        let (first, second) = text.split_once('.')?;
        let kernel = Self { first: number(first)?, second: number(second)? };
        (kernel != Self { first: 0, second: 0 }).then_some(kernel)
    }
}

fn number(text: &str) -> Option<u8> {
    (!text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

impl fmt::Display for Kernel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.first, self.second)
    }
}

/// Text that is not the version of a kernel.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not the version of a kernel: {}; expected one like 6.1, or like `uname -r` prints it", quote(.0))]
pub struct NoKernel(String);

impl FromStr for Kernel {
    type Err = NoKernel;

    /// Reads a version like `6.1` or the release that `uname -r` prints.
    fn from_str(text: &str) -> Result<Self, NoKernel> {
        let end = |c: char| !(c.is_ascii_digit() || c == '.');
        let mut numbers = text.split(end).next().unwrap_or_default().split('.');
        let first = numbers.next().and_then(number);
        let second = numbers.next().and_then(number);
        match (first, second) {
            (Some(first), Some(second)) => Ok(Self { first, second }),
            _ => Err(NoKernel(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_as_people_and_uname_write_it() {
        let kernel: Kernel = "6.1".parse().unwrap();
        for same in ["6.1.0-13-amd64", "6.1.55", "6.1-rc3"] {
            assert_eq!(same.parse(), Ok(kernel), "{same}");
        }
        assert!(kernel > "5.15".parse().unwrap() && kernel < "6.10".parse().unwrap());
        for wrong in ["", "6", "six.one", "6.", ".1", "600.1"] {
            assert!(wrong.parse::<Kernel>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_condition_has_two_numbers() {
        assert_eq!(Kernel::of_condition("4.8"), "4.8".parse().ok());
        for wrong in ["", "4", "4.8.0", "4.8-rc1", "0.0", "4.+8"] {
            assert_eq!(Kernel::of_condition(wrong), None, "{wrong}");
        }
    }
}
