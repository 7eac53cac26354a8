//! The agent is killed with SIGKILL before each of its system calls in turn, while another process reads the files.
//!
//! The test starts itself again in two other roles: as the [`agent`], a process with a keeper and a directory that
//! ends before the call that it is told, and as the [`reader`], which opens and parses the files without end. Each
//! round wants other contents, one profile more and one less, so that it has a first write, an update, a removal and
//! writes of the ledger; after each kill a new process takes the directory over.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

mod agent;
mod files;
mod reader;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;
use std::time::Instant;
use std::{env, fs};

use agent::End;
use reader::Reader;
use tempfile::TempDir;

/// How often it is killed in all.
const KILLS: usize = 1000;

/// Names this test, to start it again.
const TEST: &str = "killed_a_thousand_times_the_agent_leaves_nothing_but_whole_files";

/// In what role the process is started; without one it is the test.
const ROLE: &str = "KILLED_ROLE";
const DIRECTORY: &str = "KILLED_DIRECTORY";

/// This program in another role.
fn started_as(role: &str, directory: &Path) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command
        .args([TEST, "--exact", "--nocapture", "--test-threads=1"])
        .env(ROLE, role)
        .env(DIRECTORY, directory);
    command
}

#[test]
fn killed_a_thousand_times_the_agent_leaves_nothing_but_whole_files() {
    let directory = |()| env::var_os(DIRECTORY).unwrap().into();
    match env::var(ROLE).as_deref() {
        Ok(agent::ROLE) => agent::act(directory(())),
        Ok(reader::ROLE) => reader::act(directory(())),
        _ => kill_without_end(),
    }
}

/// Where files are made in memory: a flush costs nothing there, and SIGKILL does not care.
const MEMORY: &str = "/dev/shm";

fn kill_without_end() {
    let mut killed_before = BTreeSet::new();
    // Before every call once where files usually are, and then again and again.
    let on_disk = kill(&tempfile::tempdir().unwrap(), usize::MAX, &mut killed_before);
    let in_memory = tempfile::tempdir_in(MEMORY).or_else(|_| tempfile::tempdir()).unwrap();
    let in_memory = kill(&in_memory, KILLS - on_disk, &mut killed_before);
    assert_eq!(on_disk + in_memory, KILLS);
    for (what, steps) in [
        (".seccomp-profile-ledger.seccomp-tmp", "Create Stat Write SetMode Sync"),
        (".seccomp-profile-ledger", "Open Stat Read Rename"),
        (".steady.seccomp-tmp", "Create Stat Write SetMode SetTime Sync"),
        ("steady.json", "Stat Open Read Rename"),
        (".odd.seccomp-tmp", "Create Stat Write SetMode Sync"),
        ("odd.json", "Stat Open Read Rename Unlink"),
        (".even.seccomp-tmp", "Create Stat Write SetMode Sync"),
        ("even.json", "Stat Open Read Rename Unlink"),
        (".", "List SyncDirectory"),
    ] {
        for step in steps.split(' ') {
            let point = format!("{step} {what}");
            assert!(killed_before.contains(&point), "never killed before {point}: {killed_before:?}");
        }
    }
}

/// Kills it `most` times; without a limit (`usize::MAX`) before each call once. Returns how often.
fn kill(root: &TempDir, most: usize, killed_before: &mut BTreeSet<String>) -> usize {
    let (start, path) = (Instant::now(), root.path().join("profiles"));
    assert_eq!(agent::run(&path, 0, None), End::Finished);
    fs::write(path.join("theirs.json"), "theirs").unwrap();
    let mut reader = Reader::start(&path);
    let (mut kills, mut call, mut cycles) = (0, 0, 0);
    for number in 1.. {
        // Whether the round has a file more or less alternates from call to call, and for each call from cycle to cycle.
        let round = 2 * number + (call as u64 + cycles) % 2;
        match agent::run(&path, round, Some(call)) {
            End::Killed { before } => {
                killed_before.insert(before);
                (kills, call) = (kills + 1, call + 1);
            }
            End::Finished if most == usize::MAX => break,
            End::Finished => (call, cycles) = (0, cycles + 1),
        }
        reader.has_read_all();
        assert_eq!(agent::run(&path, round, None), End::Finished);
        files::are_as_wanted(&path, round);
        assert_eq!(fs::read_to_string(path.join("theirs.json")).unwrap(), "theirs");
        if kills == most {
            break;
        }
    }
    let passes = reader.end();
    // Once after each kill at the very least; in fact far more often.
    assert!(passes > kills, "the files were read only {passes} times");
    let (took, path) = (start.elapsed().as_secs_f64(), path.display());
    println!("{path}: {kills} kills in {took:.1} s; every file was read {passes} times");
    kills
}
