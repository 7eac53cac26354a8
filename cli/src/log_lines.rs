//! The files of a log, and their lines in bounded memory.

use std::io::{self, BufRead, Read};
use std::path::{Path, PathBuf};

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

/// The files of the logs: `strace -ff -o LOG` writes one `LOG.PID` for each process.
pub(crate) fn logs(named: &[PathBuf]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for path in named {
        let mut parts = if path == Path::new("-") || path.exists() { Vec::new() } else { of_processes(path) };
        parts.sort();
        // A file that is not there is named by the error of opening it.
        if parts.is_empty() {
            parts.push(path.clone());
        }
        found.append(&mut parts);
    }
    found
}

fn of_processes(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let Some(name) = path.file_name().and_then(|name| name.to_str()) else { return Vec::new() };
    let is_part = |file: &str| {
        let pid = file.strip_prefix(name).and_then(|rest| rest.strip_prefix('.'));
        pid.is_some_and(|pid| !pid.is_empty() && pid.bytes().all(|byte| byte.is_ascii_digit()))
    };
    let files = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    let parts = files.filter(|file| file.file_name().to_str().is_some_and(is_part));
    parts.map(|file| path.with_file_name(file.file_name())).collect()
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
