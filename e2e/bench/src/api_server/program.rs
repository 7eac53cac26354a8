//! A child process that ends with the thread that started it, however that thread ends.

use std::fs::OpenOptions;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, io};

use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use xtask::command::ended_within;
use xtask::files::NamePath;

use super::ApiServerError;

/// How long a program may take to end after SIGTERM.
const STOP_LIMIT: Duration = Duration::from_secs(30);

/// A running program. It is killed when this is dropped, or when the thread that started it ends.
#[derive(Debug)]
pub struct Program {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Program {
    /// Starts `command` under the name `name`, its output appended to `log`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, command: &Command, log: &Path) -> Result<Self, ApiServerError> {
        let file = OpenOptions::new().create(true).append(true).open(log).name_path("open", log)?;
        let errors = file.try_clone().name_path("open", log)?;
        // The kernel kills it when this thread ends, which a destructor cannot guarantee.
        let mut guarded = Command::new("setpriv");
        guarded.args(["--pdeathsig", "KILL", "--"]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => guarded.env(name, value),
                None => guarded.env_remove(name),
            };
        }
        guarded.stdin(Stdio::null()).stdout(file).stderr(errors);
        let child = guarded.spawn().map_err(failed("start", name))?;
        Ok(Program { name: name.to_owned(), log: log.to_owned(), child })
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails with the end of its log when it has ended.
    ///
    /// # Errors
    /// It has ended.
    pub fn expect_running(&mut self) -> Result<(), ApiServerError> {
        match self.child.try_wait().map_err(failed("look at", &self.name))? {
            None => Ok(()),
            Some(_) => Err(ApiServerError::Ended { program: self.name.clone(), log: self.tail() }),
        }
    }

    /// The last lines of its log.
    #[must_use]
    pub fn tail(&self) -> String {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let lines: Vec<_> = text.lines().collect();
        lines[lines.len().saturating_sub(20)..].join("\n")
    }

    /// Everything it has logged.
    #[must_use]
    pub fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Stops it (SIGSTOP) until [`Program::resume`].
    ///
    /// # Errors
    /// It has ended.
    pub fn pause(&self) -> Result<(), ApiServerError> {
        self.signal(Signal::STOP)
    }

    /// Ends a [`Program::pause`].
    ///
    /// # Errors
    /// It has ended.
    pub fn resume(&self) -> Result<(), ApiServerError> {
        self.signal(Signal::CONT)
    }

    /// Asks it to end.
    ///
    /// # Errors
    /// It has been waited for.
    pub fn terminate(&self) -> Result<(), ApiServerError> {
        self.signal(Signal::TERM)
    }

    /// Asks it to end, and returns when it has.
    ///
    /// # Errors
    /// It does not end.
    pub fn stop(mut self) -> Result<(), ApiServerError> {
        self.terminate()?;
        let pidfd = pidfd_open(Pid::from_child(&self.child), PidfdFlags::empty())
            .map_err(|error| failed("watch", &self.name)(error.into()))?;
        if !ended_within(&pidfd, STOP_LIMIT).map_err(failed("wait for", &self.name))? {
            return Err(failed("end", &self.name)(io::ErrorKind::TimedOut.into()));
        }
        self.child.wait().map_err(failed("wait for", &self.name))?;
        Ok(())
    }

    /// Kills it, as a crash would, and returns when it has gone.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(&mut self) -> Result<(), ApiServerError> {
        self.child.kill().map_err(failed("kill", &self.name))?;
        self.child.wait().map_err(failed("wait for", &self.name))?;
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<(), ApiServerError> {
        // It is our child and has not been waited for, so that the id is still its own.
        kill_process(Pid::from_child(&self.child), signal)
            .map_err(|error| failed("signal", &self.name)(error.into()))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

pub(super) fn failed(action: &'static str, program: &str) -> impl FnOnce(io::Error) -> ApiServerError {
    let program = program.to_owned();
    move |source| ApiServerError::System { action, program, source }
}
