//! Daemons: long-lived processes that outlive the command that started them.
//!
//! A pid file holds the pid and the process's start time, so a pid that the kernel has given to another
//! process since is never taken for ours. Signals go through a pidfd for the same reason.

use std::ffi::OsStr;
use std::fs::OpenOptions;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{fmt, fs, io, thread};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use xtask::command::ended_within;
use xtask::files::{self, FileError, NamePath};

use crate::layout::Layout;

/// How long a daemon may take to end after SIGTERM before it is killed.
const STOP_LIMIT: Duration = Duration::from_secs(10);

/// A daemon that does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// A file operation on its log or pid file failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// It could not be started or signalled.
    #[error("cannot {action} {daemon}: {source}")]
    System {
        /// What was tried.
        action: &'static str,
        /// The daemon's name.
        daemon: String,
        /// Why.
        source: io::Error,
    },
    /// It should run and does not.
    #[error("{daemon} has ended; the end of its log:\n{log}")]
    Ended {
        /// The daemon's name.
        daemon: String,
        /// Its last lines.
        log: String,
    },
}

/// A process, told apart from all others that had or will have its pid since the machine booted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    pid: Pid,
    /// In clock ticks since boot, field 22 of `/proc/PID/stat`.
    started: u64,
}

impl Identity {
    /// The live process with this pid. One that has ended and waits to be reaped does not count.
    pub(crate) fn of(pid: Pid) -> Option<Self> {
        let stat = fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).ok()?;
        let (state, started) = parse_stat(&stat)?;
        (!"ZX".contains(state)).then_some(Identity { pid, started })
    }

    /// The process's pidfd, or nothing when it has ended.
    fn open(self) -> io::Result<Option<OwnedFd>> {
        let pidfd = match pidfd_open(self.pid, PidfdFlags::empty()) {
            Err(rustix::io::Errno::SRCH) => return Ok(None),
            result => result?,
        };
        // Checked after the pidfd was opened: from then on the pidfd cannot refer to another process.
        Ok((Self::of(self.pid) == Some(self)).then_some(pidfd))
    }

    fn parse(text: &str) -> Option<Self> {
        let (pid, started) = text.trim_end().split_once(' ')?;
        Some(Identity { pid: Pid::from_raw(pid.parse().ok()?)?, started: started.parse().ok()? })
    }

    pub(crate) fn pid(self) -> Pid {
        self.pid
    }
}

impl fmt::Display for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.pid.as_raw_nonzero(), self.started)
    }
}

/// State and start time. The second field is the program's name, which may hold spaces and brackets.
fn parse_stat(stat: &str) -> Option<(char, u64)> {
    let mut fields = stat[stat.rfind(')')? + 1..].split_whitespace();
    let state = fields.next()?.chars().next()?;
    Some((state, fields.nth(18)?.parse().ok()?))
}

/// A daemon by its name, whether it runs or not.
#[derive(Debug, Clone)]
pub(crate) struct Daemon {
    name: String,
    pid_file: PathBuf,
    log: PathBuf,
}

/// Moves the shell into the cgroups that are named before `--` and becomes the program after it.
const ENTER: &str = r#"while [ "$1" != -- ]; do echo $$ >"$1" || exit; shift; done; shift; exec "$@""#;

impl Daemon {
    pub(crate) fn new(layout: &Layout, name: impl Into<String>) -> Self {
        let name = name.into();
        Daemon { pid_file: layout.pid_file(&name), log: layout.log(&name), name }
    }

    /// Starts it in the cgroups whose `cgroup.procs` files are given, in a session of its own: neither
    /// the terminal's Ctrl-C nor its end reaches it. Its output is appended to its log.
    pub(crate) fn start(
        &self,
        groups: &[PathBuf],
        command: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<(), ProcessError> {
        let log =
            OpenOptions::new().create(true).append(true).open(&self.log).name_path("open", &self.log)?;
        let errors = log.try_clone().name_path("open", &self.log)?;
        let mut shell = Command::new("setsid");
        shell.args(["sh", "-c", ENTER, "sh"]).args(groups).arg("--").args(command);
        shell.current_dir("/").stdin(Stdio::null()).stdout(log).stderr(errors);
        let mut child = shell.spawn().map_err(self.failed("start"))?;
        let identity = Identity::of(Pid::from_child(&child)).ok_or_else(|| self.ended())?;
        // This process must reap it, or it would stay a zombie until this process ends.
        thread::spawn(move || child.wait());
        Ok(files::write(&self.pid_file, identity.to_string())?)
    }

    /// The process, when it runs.
    pub(crate) fn running(&self) -> Option<Identity> {
        let written = Identity::parse(&fs::read_to_string(&self.pid_file).ok()?)?;
        Identity::of(written.pid).filter(|live| *live == written)
    }

    /// Fails when it does not run, with the end of its log.
    pub(crate) fn expect_running(&self) -> Result<Identity, ProcessError> {
        self.running().ok_or_else(|| self.ended())
    }

    /// Ends it: SIGTERM, and SIGKILL when that does not help. Returns when it has gone; one that does
    /// not run is fine.
    pub(crate) fn stop(&self) -> Result<(), ProcessError> {
        self.end(&[(Signal::TERM, STOP_LIMIT), (Signal::KILL, STOP_LIMIT)])
    }

    /// Kills it, as a crash would, and returns when it has gone.
    pub(crate) fn kill(&self) -> Result<(), ProcessError> {
        self.end(&[(Signal::KILL, STOP_LIMIT)])
    }

    fn end(&self, signals: &[(Signal, Duration)]) -> Result<(), ProcessError> {
        if let Some(identity) = self.running()
            && let Some(pidfd) = identity.open().map_err(self.failed("open"))?
        {
            let mut ended = false;
            for (signal, limit) in signals {
                match pidfd_send_signal(&pidfd, *signal) {
                    Err(rustix::io::Errno::SRCH) => {}
                    result => result.map_err(|error| self.failed("signal")(error.into()))?,
                }
                ended = ended_within(&pidfd, *limit).map_err(self.failed("wait for"))?;
                if ended {
                    break;
                }
            }
            if !ended {
                return Err(self.failed("end")(io::ErrorKind::TimedOut.into()));
            }
        }
        files::or_absent(fs::remove_file(&self.pid_file)).name_path("remove", &self.pid_file)?;
        Ok(())
    }

    fn ended(&self) -> ProcessError {
        ProcessError::Ended { daemon: self.name.clone(), log: files::tail(&self.log, 15) }
    }

    fn failed(&self, action: &'static str) -> impl Fn(io::Error) -> ProcessError {
        let daemon = self.name.clone();
        move |source| ProcessError::System { action, daemon: daemon.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Instance;

    fn daemon(directory: &tempfile::TempDir) -> Daemon {
        let layout = Layout::new(directory.path(), Instance::FIRST);
        for below in ["log", "pid"] {
            fs::create_dir(directory.path().join(below)).unwrap();
        }
        Daemon::new(&layout, "sleeper")
    }

    #[test]
    fn state_and_start_time_are_read_behind_any_program_name() {
        let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 987654 2 3 4";
        assert_eq!(parse_stat(stat), Some(('S', 987_654)));
        assert_eq!(parse_stat("42 (short) S 1"), None);
    }

    #[test]
    fn an_identity_is_read_back_from_what_was_written() {
        let own = Identity::of(rustix::process::getpid()).unwrap();
        assert_eq!(Identity::parse(&own.to_string()), Some(own));
        assert_eq!(Identity::parse("12"), None);
    }

    #[test]
    fn a_pid_that_now_belongs_to_another_process_is_not_running_and_is_not_signalled() {
        let directory = tempfile::tempdir().unwrap();
        let daemon = daemon(&directory);
        let own = Identity::of(rustix::process::getpid()).unwrap();
        let earlier = Identity { started: own.started - 1, ..own };
        fs::write(&daemon.pid_file, earlier.to_string()).unwrap();
        assert_eq!(daemon.running(), None);
        daemon.kill().unwrap(); // this test would not get past here
        assert!(!daemon.pid_file.exists());
    }

    #[test]
    fn a_daemon_runs_until_it_is_stopped_and_stopping_it_again_is_fine() {
        let directory = tempfile::tempdir().unwrap();
        let daemon = daemon(&directory);
        daemon.start(&[], ["sleep", "600"]).unwrap();
        let identity = daemon.expect_running().unwrap();
        daemon.stop().unwrap();
        assert_eq!(Identity::of(identity.pid()), None);
        daemon.stop().unwrap();
    }

    #[test]
    fn a_daemon_that_ended_is_reported_with_the_end_of_its_log() {
        let directory = tempfile::tempdir().unwrap();
        let daemon = daemon(&directory);
        daemon.start(&[], ["sh", "-c", "echo no such flag; sleep 0.05"]).unwrap();
        let ended = crate::wait::until::<_, crate::wait::WaitError>("its end", STOP_LIMIT, || {
            Ok(daemon.expect_running().err())
        });
        let message = ended.unwrap().to_string();
        assert!(message.starts_with("sleeper has ended") && message.ends_with("no such flag"), "{message}");
    }
}
