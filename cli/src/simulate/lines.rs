//! The lines of a file, in bounded memory.

use std::io::{self, BufRead, Read};

/// The maximum number of bytes of a line that are kept: strace prints at most some kilobytes before the end of a call's
/// arguments.
const LENGTH: u64 = 1 << 16;

/// Calls `each` with the beginning of every line, without its end.
///
/// # Errors
/// The file cannot be read.
pub(crate) fn each_line(mut file: impl BufRead, mut each: impl FnMut(&[u8])) -> io::Result<()> {
    let mut line = Vec::new();
    loop {
        line.clear();
        if (&mut file).take(LENGTH).read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        if line.last() == Some(&b'\n') {
            line.pop();
        } else if line.len() as u64 == LENGTH {
            file.skip_until(b'\n')?;
        }
        each(&line);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lengths(text: &str) -> Vec<usize> {
        let mut lengths = Vec::new();
        each_line(text.as_bytes(), |line| lengths.push(line.len())).unwrap();
        lengths
    }

    #[test]
    fn of_a_long_line_only_the_beginning_is_kept() {
        let long = "x".repeat(100_000);
        assert_eq!(lengths(&format!("ab\n\n{long}\nabc")), [2, 0, LENGTH as usize, 3]);
        assert_eq!(lengths(&format!("{}\nab\n", &long[..LENGTH as usize])), [LENGTH as usize, 2]);
        assert_eq!(lengths(""), Vec::<usize>::new());
    }
}
