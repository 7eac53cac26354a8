//! The agent as a process of its own, which may be killed.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Instant;
use std::{env, io};

use node_agent::disk::{Directory, Faults, SystemCall};
use node_agent::goal::Goal;
use node_agent::keeper::Keeper;
use rustix::io::Errno;
use rustix::process::{Signal, getpid, kill_process};

use crate::files;

pub(crate) const ROLE: &str = "agent";
const ROUND: &str = "KILLED_ROUND";
const CALL: &str = "KILLED_CALL";

/// How the process ended.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// It did all that there was to do.
    Finished,
    /// By SIGKILL, before this call.
    Killed { before: String },
}

/// Brings the directory to the profiles of a round in a process of its own, which is killed before one of its calls.
pub(crate) fn run(directory: &Path, round: u64, killed_before: Option<usize>) -> End {
    let mut command = crate::started_as(ROLE, directory);
    command.env(ROUND, round.to_string()).stdout(Stdio::null()).stderr(Stdio::piped());
    if let Some(call) = killed_before {
        command.env(CALL, call.to_string());
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.signal() {
        Some(signal) if signal == Signal::KILL.as_raw() => End::Killed { before: said.trim_end().to_owned() },
        _ => {
            assert!(output.status.success(), "round {round}: {}: {said}", output.status);
            End::Finished
        }
    }
}

/// What the process does.
pub(crate) fn act(directory: PathBuf) {
    let number = |name| env::var(name).ok().map(|text| text.parse::<u64>().unwrap());
    let killer = Killer { calls_left: number(CALL) };
    let directory = Directory::with_faults(&directory, killer).unwrap();
    let mut keeper = Keeper::new(directory);
    for (name, bytes) in files::wanted(number(ROUND).unwrap()) {
        let goal = Goal::file(&bytes);
        keeper.set_goal(name.parse().unwrap(), goal, Instant::now());
    }
    keeper.list_complete();
    let pass = keeper.sync();
    assert!(!pass.failed, "{:?}", keeper.report());
}

/// Ends the process before one of its calls, as `kill -9` does: nothing is unwound, no buffer written.
struct Killer {
    calls_left: Option<u64>,
}

impl Faults for Killer {
    fn before(&mut self, call: SystemCall, name: &str) -> Result<(), Errno> {
        match &mut self.calls_left {
            Some(0) => {
                // In one write, and not through the harness.
                io::stderr().write_all(format!("{call:?} {name}").as_bytes()).unwrap();
                kill_process(getpid(), Signal::KILL).unwrap();
                unreachable!("SIGKILL cannot be handled");
            }
            Some(left) => *left -= 1,
            None => {}
        }
        Ok(())
    }
}
