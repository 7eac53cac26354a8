//! Standard input and output.

use std::fmt::Display;
use std::io::{self, IsTerminal, Write};

use serde::Serialize;

use crate::error::CliError;
use crate::learn::workload::Console;
use crate::output::Format;
use crate::restart::Dialogue;
use crate::show::{Paint, escaped};

/// Standard input and output.
pub(super) struct Terminal;

impl Dialogue for Terminal {
    fn say(&mut self, text: &str) -> Result<(), CliError> {
        print(text)
    }

    fn ask(&mut self, question: &str) -> Result<bool, CliError> {
        if !io::stdin().is_terminal() {
            return Err(CliError::NobodyToAsk);
        }
        print(&format!("{question} [y/N] "))?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer).map_err(CliError::Output)?;
        Ok(is_yes(&answer))
    }
}

/// The profile is on standard output alone, so that it can be kept in a file; what is said is on standard error.
impl Console for Terminal {
    fn profile(&mut self, text: &str) -> Result<(), CliError> {
        print_error(end_of_line())?;
        print(text)
    }

    fn say(&mut self, text: &str) -> Result<(), CliError> {
        print_error(&format!("{}{text}", end_of_line()))
    }

    fn progress(&mut self, line: &str) -> Result<(), CliError> {
        // Anything but a terminal would get a line every few seconds.
        match io::stderr().is_terminal() {
            true => print_error(&format!("\r\x1b[K{}", escaped(line))),
            false => Ok(()),
        }
    }

    async fn ask(&mut self, question: &str) -> Result<Option<bool>, CliError> {
        if !io::stdin().is_terminal() {
            return Ok(None);
        }
        print_error(&format!("{}{question} [y/N] ", end_of_line()))?;
        // A thread of its own, so that an interrupt ends the wait. Nothing waits for the thread at the end.
        let (send, answer) = tokio::sync::oneshot::channel();
        std::thread::spawn(move || {
            let mut line = String::new();
            let _ = send.send(io::stdin().read_line(&mut line).map(|_| line));
        });
        let answer = answer.await.unwrap_or_else(|_| Ok(String::new())).map_err(CliError::Output)?;
        Ok(Some(is_yes(&answer)))
    }
}

/// What removes a line of progress.
fn end_of_line() -> &'static str {
    if io::stderr().is_terminal() { "\r\x1b[K" } else { "" }
}

fn is_yes(answer: &str) -> bool {
    matches!(answer.trim().to_lowercase().as_str(), "y" | "yes")
}

pub(super) fn paint() -> Paint {
    painted(io::stdout().is_terminal())
}

/// For what is said on standard error.
pub(super) fn paint_of_errors() -> Paint {
    painted(io::stderr().is_terminal())
}

fn painted(is_terminal: bool) -> Paint {
    let set = |name| std::env::var(name).ok();
    Paint::on(is_terminal, set("NO_COLOR").as_deref(), set("TERM").as_deref())
}

pub(super) fn print(text: &str) -> Result<(), CliError> {
    let mut out = io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

fn print_error(text: &str) -> Result<(), CliError> {
    let mut out = io::stderr().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).map_err(CliError::Output)
}

/// Prints a line to standard error and ignores errors.
pub(super) fn remark(text: &str) {
    let _ = writeln!(io::stderr().lock(), "{}", escaped(text));
}

/// Prints several lines to standard error and ignores errors. What in them comes from elsewhere is escaped where they are
/// worded.
pub(super) fn remark_lines(lines: &str) {
    lines.lines().for_each(remark);
}

/// Prints an error with its lines of advice, like [`remark_lines`].
pub(super) fn report(error: impl Display) {
    remark_lines(&format!("error: {error}"));
}

/// The view as JSON or YAML or, from `text`, as text.
pub(super) fn shown(
    view: &impl Serialize,
    output: Format,
    text: impl FnOnce() -> String,
) -> Result<String, CliError> {
    match output {
        Format::Text => Ok(text()),
        Format::Json => {
            serde_json::to_string_pretty(view).map(|json| json + "\n").map_err(|error| output_error(&error))
        }
        Format::Yaml => serde_saphyr::to_string(view).map_err(|error| output_error(&error)),
    }
}

fn output_error(error: &dyn std::fmt::Display) -> CliError {
    CliError::Output(io::Error::other(error.to_string()))
}
