//! The progress of a compiler that takes minutes, printed in a line every quarter of a minute.

use std::fmt;
use std::time::{Duration, Instant};

use crate::step::note;

/// How long a build may print nothing.
const INTERVAL: Duration = Duration::from_secs(15);

/// The compiler whose lines are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Compiler {
    /// `go build -v`: a line for each module that it downloads and for each package that it starts.
    Go,
    /// `cargo build`: a line for each crate that it downloads and for each that it starts.
    Cargo,
}

/// Counts the lines that a compiler prints on its standard error, and prints the progress from time to time.
#[derive(Debug)]
pub struct Progress {
    compiler: Compiler,
    start: Instant,
    printed: Instant,
    downloaded: usize,
    started: usize,
    last: String,
}

impl Progress {
    /// The progress of a build that starts `now`.
    pub fn new(compiler: Compiler, now: Instant) -> Self {
        Progress { compiler, start: now, printed: now, downloaded: 0, started: 0, last: String::new() }
    }

    /// Counts a line of the compiler. Returns whether it was one of progress; any other is part of an error.
    pub fn count(&mut self, line: &str) -> bool {
        match self.compiler {
            Compiler::Go if line.starts_with("go: downloading ") => self.downloaded += 1,
            // A package's path has no blanks; a sentence of the compiler's has.
            Compiler::Go if line.starts_with("go: ") && line.contains(": added ") => {}
            Compiler::Go if !line.is_empty() && !line.contains([' ', '#']) => self.start_unit(line),
            Compiler::Cargo => match line.trim_start().split_once(' ') {
                Some(("Downloaded", _)) => self.downloaded += 1,
                Some(("Compiling", rest)) => self.start_unit(rest.split(' ').next().unwrap_or(rest)),
                Some(("Downloading" | "Updating" | "Finished" | "Blocking" | "Locking", _)) => {}
                _ => return false,
            },
            Compiler::Go => return false,
        }
        true
    }

    fn start_unit(&mut self, what: &str) {
        self.started += 1;
        self.last.clear();
        self.last.push_str(what);
    }

    /// Prints the progress if nothing has been printed for long enough.
    pub fn print_if_due(&mut self, now: Instant) {
        if now.duration_since(self.printed) >= INTERVAL {
            self.printed = now;
            note(format!("{} s: {self}", now.duration_since(self.start).as_secs()));
        }
    }
}

impl fmt::Display for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (download, unit) = match self.compiler {
            Compiler::Go => ("module", "package"),
            Compiler::Cargo => ("crate", "crate"),
        };
        let plural = |count: usize| if count == 1 { "" } else { "s" };
        if self.downloaded > 0 {
            write!(f, "{} {download}{} downloaded, ", self.downloaded, plural(self.downloaded))?;
        }
        write!(f, "{} {unit}{} started", self.started, plural(self.started))?;
        if !self.last.is_empty() {
            write!(f, ", latest {}", self.last)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(compiler: Compiler, lines: &[&str]) -> (String, Vec<bool>) {
        let mut progress = Progress::new(compiler, Instant::now());
        let counted = lines.iter().map(|line| progress.count(line)).collect();
        (progress.to_string(), counted)
    }

    #[test]
    fn what_go_downloads_and_compiles_is_counted_and_its_errors_are_kept() {
        let (said, counted) = after(
            Compiler::Go,
            &[
                "go: downloading example.org/m v1.2.3",
                "example.org/m/package",
                "internal/cpu",
                "# example.org/m/package",
                "./x.go:3:1: undefined: y",
            ],
        );
        assert_eq!(said, "1 module downloaded, 2 packages started, latest internal/cpu");
        assert_eq!(counted, [true, true, true, false, false]);
    }

    #[test]
    fn what_cargo_downloads_and_compiles_is_counted_and_its_errors_are_kept() {
        let (said, counted) = after(
            Compiler::Cargo,
            &[
                "   Compiling operator v0.1.0 (/somewhere)",
                "    Finished `release` profile [optimized] target(s) in 1.0s",
                "error[E0425]: cannot find value `x` in this scope",
            ],
        );
        assert_eq!(said, "1 crate started, latest operator");
        assert_eq!(counted, [true, true, false]);
    }
}
