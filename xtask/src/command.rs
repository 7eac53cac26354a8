//! Runs a program to its end and returns its output, or an error with the reason of the failure.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{PidfdFlags, Signal, pidfd_open, pidfd_send_signal};

use crate::interrupt;
use crate::progress::{Compiler, Progress};

/// How often a wait for a program checks for a signal.
const INTERRUPT_CHECK: Timespec = Timespec { tv_sec: 0, tv_nsec: 100_000_000 };

/// A program that could not be run or that failed.
#[derive(Debug, thiserror::Error)]
pub enum CommandError {
    /// It could not be started or waited for.
    #[error("cannot run {program}: {source}")]
    NotRun {
        /// The program's name.
        program: String,
        /// Why.
        source: io::Error,
    },
    /// It ended with something other than success.
    #[error("`{command}` failed ({status}): {stderr}")]
    Failed {
        /// The program and its arguments.
        command: String,
        /// How it ended.
        status: ExitStatus,
        /// What it printed on its standard error, or on its standard output if that is all, as linters do; without
        /// the newline at the end.
        stderr: String,
    },
    /// This process was asked to end, and ended the program.
    #[error(transparent)]
    Interrupted(#[from] interrupt::Interrupted),
}

/// Runs the program without standard input and returns its standard output.
///
/// # Errors
/// When it cannot be run, fails, or a signal interrupts the wait.
pub fn output(command: &mut Command) -> Result<String, CommandError> {
    output_of(command, None)
}

/// Like [`output`], with `input` as the program's standard input.
///
/// # Errors
/// Same as [`output`].
pub fn output_with_input(command: &mut Command, input: &str) -> Result<String, CommandError> {
    output_of(command, Some(input))
}

fn output_of(command: &mut Command, input: Option<&str>) -> Result<String, CommandError> {
    // A group of its own: the terminal's Ctrl-C reaches this process only, which ends the program itself.
    command.stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    command.stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() });
    let mut child = start(command)?;
    if let (Some(mut pipe), Some(input)) = (child.stdin.take(), input.map(str::to_owned)) {
        // A program that ends without reading everything reports the reason itself.
        thread::spawn(move || pipe.write_all(input.as_bytes()));
    }
    let stdout = collect(child.stdout.take());
    let stderr = collect(child.stderr.take());
    let status = wait(&mut child, command, GracePeriod::None, || ())?;
    let (stdout, stderr) = (stdout.join().unwrap_or_default(), stderr.join().unwrap_or_default());
    ended(command, status, stdout, stderr)
}

/// Runs a compiler without standard input, prints its progress from time to time, and returns its standard output.
///
/// # Errors
/// Same as [`output`]; the error shows what the compiler printed without its lines of progress.
pub fn run_compiler(command: &mut Command, compiler: Compiler) -> Result<String, CommandError> {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).process_group(0);
    let mut child = start(command)?;
    let progress = Arc::new(Mutex::new(Progress::new(compiler, Instant::now())));
    let stdout = collect(child.stdout.take());
    let stderr = child.stderr.take().map(|pipe| {
        let progress = Arc::clone(&progress);
        thread::spawn(move || errors(pipe, &progress))
    });
    let print_if_due =
        || progress.lock().unwrap_or_else(PoisonError::into_inner).print_if_due(Instant::now());
    let status = wait(&mut child, command, GracePeriod::None, print_if_due)?;
    let stdout = stdout.join().unwrap_or_default();
    let stderr = stderr.and_then(|stderr| stderr.join().ok()).unwrap_or_default();
    ended(command, status, stdout, stderr)
}

/// The lines of a compiler that are not about its progress, which is counted.
fn errors(pipe: impl Read, progress: &Mutex<Progress>) -> String {
    let mut errors = String::new();
    let mut lines = BufReader::new(pipe);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).is_ok_and(|read| read > 0) {
        let text = String::from_utf8_lossy(&line);
        if !progress.lock().unwrap_or_else(PoisonError::into_inner).count(text.trim_end()) {
            errors.push_str(&text);
        }
        line.clear();
    }
    errors
}

/// The output of a success, or the error of a failure.
fn ended(
    command: &Command,
    status: ExitStatus,
    stdout: String,
    stderr: String,
) -> Result<String, CommandError> {
    if status.success() {
        return Ok(stdout);
    }
    let said = if stderr.trim().is_empty() { stdout } else { stderr };
    Err(CommandError::Failed { command: display(command), status, stderr: said.trim_end().to_owned() })
}

/// Runs the program with this process's own input and output and returns how it ended. When a signal
/// arrives, the program gets SIGTERM and some seconds to end by itself.
///
/// # Errors
/// When it cannot be run, or a signal interrupts the wait.
pub fn run_interactive(command: &mut Command) -> Result<ExitStatus, CommandError> {
    let mut child = start(command)?;
    wait(&mut child, command, GracePeriod::Seconds(20), || ())
}

/// How long a program may go on after SIGTERM before it is killed.
enum GracePeriod {
    None,
    Seconds(i64),
}

fn start(command: &mut Command) -> Result<Child, CommandError> {
    interrupt::check()?;
    command.spawn().map_err(|source| not_run(command, source))
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            // What was read before an error is still worth showing.
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// Waits through a pidfd: it returns as soon as the program ends, and a pidfd cannot refer to another process. Calls
/// `meanwhile` each time it checks for a signal.
fn wait(
    child: &mut Child,
    command: &Command,
    grace_period: GracePeriod,
    mut meanwhile: impl FnMut(),
) -> Result<ExitStatus, CommandError> {
    let fail = |error: rustix::io::Errno| not_run(command, error.into());
    let pidfd = pidfd_open(rustix::process::Pid::from_child(child), PidfdFlags::empty()).map_err(fail)?;
    let ended = |limit: &Timespec| match poll(&mut [PollFd::new(&pidfd, PollFlags::IN)], Some(limit)) {
        Ok(ready) => Ok(ready > 0),
        Err(rustix::io::Errno::INTR) => Ok(false),
        Err(error) => Err(fail(error)),
    };
    let interrupted = loop {
        if ended(&INTERRUPT_CHECK)? {
            break None;
        }
        if let Err(interrupted) = interrupt::check() {
            break Some(interrupted);
        }
        meanwhile();
    };
    if let Some(interrupted) = interrupted {
        // The program may just have ended; then the signal has no target, which is fine.
        let _ = pidfd_send_signal(&pidfd, Signal::TERM);
        let gone = match grace_period {
            GracePeriod::None => ended(&Timespec { tv_sec: 1, tv_nsec: 0 })?,
            GracePeriod::Seconds(seconds) => ended(&Timespec { tv_sec: seconds, tv_nsec: 0 })?,
        };
        if !gone {
            let _ = pidfd_send_signal(&pidfd, Signal::KILL);
        }
        let _ = child.wait();
        return Err(interrupted.into());
    }
    child.wait().map_err(|source| not_run(command, source))
}

/// Where the program is on this process's `PATH`, or in a system administrator's usual places.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/sbin".into()])
        .map(|directory| directory.join(program))
        .find(|candidate| candidate.is_file())
}

fn not_run(command: &Command, source: io::Error) -> CommandError {
    CommandError::NotRun { program: command.get_program().to_string_lossy().into_owned(), source }
}

fn display(command: &Command) -> String {
    let mut words = vec![command.get_program().to_string_lossy()];
    words.extend(command.get_args().map(|argument| argument.to_string_lossy()));
    words.join(" ")
}

/// Waits until the program behind `pidfd` has ended, for at most `limit`; returns whether it has.
///
/// # Errors
/// When the system refuses the wait.
pub fn ended_within(pidfd: &impl std::os::fd::AsFd, limit: Duration) -> io::Result<bool> {
    let limit = Timespec::try_from(limit).map_err(io::Error::other)?;
    Ok(poll(&mut [PollFd::new(pidfd, PollFlags::IN)], Some(&limit))? > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_output_of_a_success_is_returned() {
        assert_eq!(output(Command::new("echo").arg("well")).unwrap(), "well\n");
    }

    #[test]
    fn a_failure_shows_the_command_the_status_and_the_standard_error() {
        let error = output(Command::new("sh").args(["-c", "echo broken >&2; exit 3"])).unwrap_err();
        assert_eq!(error.to_string(), "`sh -c echo broken >&2; exit 3` failed (exit status: 3): broken");
    }

    #[test]
    fn a_compiler_that_fails_shows_its_errors_without_its_progress() {
        let script =
            "echo 'go: downloading example.org/m v1' >&2; echo '# a' >&2; echo 'x.go: bad name' >&2; exit 1";
        let error = run_compiler(Command::new("sh").args(["-c", script]), Compiler::Go).unwrap_err();
        assert!(error.to_string().ends_with(": # a\nx.go: bad name"), "{error}");
    }

    #[test]
    fn a_failure_shows_the_standard_output_where_nothing_else_was_said() {
        let error = output(Command::new("sh").args(["-c", "echo wrong; exit 1"])).unwrap_err();
        assert!(error.to_string().ends_with(": wrong"), "{error}");
    }
}
