//! One container with the probe, started by a runtime, bounded in time.
//!
//! Each start is in mount and pid namespaces of its own: when its time is over, or the test ends, the kernel ends every
//! process in it, and no mount stays. crun needs cgroup version 2 alone below `/sys/fs/cgroup`, and the others work with
//! it as well. An ended runtime leaves at most an empty cgroup, which is removed after the start; what a killed test left
//! is removed by the next one.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::installed::Installed;

/// The seconds that a start may take.
const LIMIT: &str = "20";

/// Mounts cgroup version 2 alone and becomes the program after it, or kills it after the given seconds.
const ISOLATED: &str =
    "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup && exec timeout -s KILL \"$@\"";

/// What the cgroups of the tests begin with.
const PREFIX: &str = "spe2e-runtimes-";

/// What became of a start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Start {
    /// The program in the container ran, and printed this.
    Ran(String),
    /// It did not, and the runtime printed this.
    Refused(String),
    /// It did not within the limit.
    Late,
}

/// A root file system with the probe alone.
pub(crate) struct Root(tempfile::TempDir);

impl Root {
    /// Compiles the probe.
    pub(crate) fn new() -> Self {
        sweep();
        let directory = tempfile::tempdir().unwrap();
        for empty in ["proc", "dev"] {
            fs::create_dir(directory.path().join(empty)).unwrap();
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes/probe.c");
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Wextra", "-Werror", "-static", "-nostdlib", "-ffreestanding"]);
        compiler.args(["-fno-stack-protector", "-mno-red-zone", "-o"]).arg(directory.path().join("probe"));
        assert!(compiler.arg(source).status().unwrap().success(), "a C compiler is needed");
        Self(directory)
    }

    /// Starts a container that makes these calls, as the probe takes them, under the profile.
    pub(crate) fn start(
        &self,
        runtime: &Installed,
        options: &Options,
        seccomp: Option<&Value>,
        calls: &[String],
    ) -> Start {
        static STARTS: AtomicU32 = AtomicU32::new(0);
        let id = format!("{PREFIX}{}-{}", std::process::id(), STARTS.fetch_add(1, Ordering::Relaxed));
        let bundle = tempfile::tempdir().unwrap();
        let config = self.config(&id, options, seccomp, calls);
        fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();

        let mut words: Vec<PathBuf> = vec![LIMIT.into()];
        words.extend(options.around.iter().map(PathBuf::from));
        words.extend(runtime.words());
        let mut command = Command::new("unshare");
        command.args([
            "--mount",
            "--pid",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            ISOLATED,
            "sh",
        ]);
        command.args(words).arg("--root").arg(bundle.path().join("state"));
        command.args(["run", "--bundle"]).arg(bundle.path()).arg(&id).stdin(Stdio::null());
        let output = command.output().unwrap();
        // A runtime that ended by itself has removed it.
        let _ = fs::remove_dir(hierarchy().join(&id));

        let printed = String::from_utf8(output.stdout).unwrap();
        if !printed.is_empty() {
            return Start::Ran(printed);
        }
        match output.status.code() {
            // What `timeout` returns after it has killed its program.
            Some(137) | None => Start::Late,
            _ => Start::Refused(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn config(&self, id: &str, options: &Options, seccomp: Option<&Value>, calls: &[String]) -> Value {
        let arguments: Vec<&str> = ["/probe"].into_iter().chain(calls.iter().map(String::as_str)).collect();
        let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|name| json!({ "type": name }));
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": 0, "gid": 0 },
                "args": arguments,
                "env": [],
                "cwd": "/",
                // The calls of the probe are harmless, and without capabilities all the more.
                "capabilities": {},
                "noNewPrivileges": options.no_new_privileges,
                "rlimits": [{ "type": "RLIMIT_CORE", "hard": 0, "soft": 0 }],
            },
            "root": { "path": self.0.path(), "readonly": true },
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
            ],
            "linux": { "namespaces": namespaces, "cgroupsPath": format!("/{id}") },
        });
        if let Some(seccomp) = seccomp {
            config["linux"]["seccomp"] = seccomp.clone();
        }
        config
    }
}

/// How a container is started.
#[derive(Debug, Clone, Default)]
pub(crate) struct Options {
    /// `allowPrivilegeEscalation: false` in a pod.
    pub(crate) no_new_privileges: bool,
    /// What the runtime is run by, such as strace.
    pub(crate) around: Vec<String>,
}

/// Where the cgroups of version 2 are.
fn hierarchy() -> PathBuf {
    let unified = Path::new("/sys/fs/cgroup/unified");
    if unified.is_dir() { unified.to_owned() } else { "/sys/fs/cgroup".into() }
}

/// Removes the cgroups of tests that were killed. The kernel keeps one that has a process.
fn sweep() {
    for entry in fs::read_dir(hierarchy()).into_iter().flatten().flatten() {
        if entry.file_name().to_str().is_some_and(|name| name.starts_with(PREFIX)) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}
