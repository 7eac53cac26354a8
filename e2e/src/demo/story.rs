//! The demo's output, and the count of its claims.

use std::process::ExitCode;
use std::time::Instant;

use xtask::workspace::repository;

/// The output so far. It goes to standard error, like all progress.
pub(super) struct Story {
    start: Instant,
    section: Instant,
    held: usize,
    failed: Vec<String>,
}

impl Story {
    pub(super) fn new() -> Self {
        let now = Instant::now();
        Story { start: now, section: now, held: 0, failed: Vec::new() }
    }

    /// Begins a section.
    pub(super) fn section(&mut self, title: &str) {
        eprintln!("\n== {title}");
        self.section = Instant::now();
    }

    /// Prints a line.
    pub(super) fn say(&self, text: &str) {
        eprintln!("   {text}");
    }

    /// Prints a kubectl command as a user would type it in the repository.
    pub(super) fn command(&self, arguments: &[&str]) {
        let repository = format!("{}/", repository().display());
        let words = arguments.iter().map(|word| {
            let word = match word.strip_prefix(&repository) {
                Some(path) => format!("{path}/"),
                None => (*word).to_owned(),
            };
            if word.contains(['{', ' ', '*']) { format!("'{word}'") } else { word }
        });
        eprintln!("\n   $ kubectl {}", words.collect::<Vec<_>>().join(" "));
    }

    /// Prints the output of a command.
    pub(super) fn printed(&self, text: &str) {
        text.lines().for_each(|line| eprintln!("   {line}"));
    }

    /// Prints a line with the time since `start`.
    pub(super) fn timed_line(&self, line: &str, start: Instant) {
        eprintln!("   {line:<60} {:>6.2} s", start.elapsed().as_secs_f64());
    }

    /// Counts and prints a claim, and prints `instead` if it does not hold.
    pub(super) fn claim(&mut self, what: &str, holds: bool, instead: impl FnOnce() -> String) {
        let seconds = self.section.elapsed().as_secs_f64();
        if holds {
            self.held += 1;
            eprintln!("ok {what} ({seconds:.1} s)");
        } else {
            let text = format!("{what}: {}", instead());
            eprintln!("!! {text} ({seconds:.1} s)");
            self.failed.push(text);
        }
    }

    /// Prints the summary.
    pub(super) fn end(self) -> ExitCode {
        let all = self.held + self.failed.len();
        let seconds = self.start.elapsed().as_secs_f64();
        if self.failed.is_empty() {
            eprintln!("\nAll {all} claims checked and true, in {seconds:.0} s.");
            return ExitCode::SUCCESS;
        }
        eprintln!("\n{} of {all} claims did not hold, in {seconds:.0} s:", self.failed.len());
        self.failed.iter().for_each(|text| eprintln!("  - {text}"));
        ExitCode::FAILURE
    }
}
