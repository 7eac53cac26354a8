//! One container with the probe, started by a runtime, bounded in time.
//!
//! Each start is in mount and pid namespaces of its own: when its time is over, or the test ends, the kernel ends every
//! process in it, and no mount stays. crun needs cgroup version 2 alone below `/sys/fs/cgroup`, and the others work with
//! it as well. An ended runtime leaves at most an empty cgroup, which is removed after the start; what a killed test left
//! is removed by the next one.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::{Value, json};

use crate::installed::Installed;

/// Mounts cgroup version 2 alone, and libraries in place of the machine's if the first argument names a directory of them;
/// becomes the program in the other arguments, or kills it after the given seconds.
const ISOLATED: &str = "umount -R /sys/fs/cgroup && mount -t cgroup2 cgroup2 /sys/fs/cgroup \
     && { [ -z \"$1\" ] || mount --bind \"$1\" /usr/lib/x86_64-linux-gnu; } && shift && exec timeout -s KILL \"$@\"";

/// What the cgroups of the tests begin with.
const PREFIX: &str = "spe2e-runtimes-";

/// What containerd gives a container that asks for nothing.
pub(crate) const CAPABILITIES: [&str; 14] = [
    "CAP_CHOWN",
    "CAP_DAC_OVERRIDE",
    "CAP_FSETID",
    "CAP_FOWNER",
    "CAP_MKNOD",
    "CAP_NET_RAW",
    "CAP_SETGID",
    "CAP_SETUID",
    "CAP_SETFCAP",
    "CAP_SETPCAP",
    "CAP_NET_BIND_SERVICE",
    "CAP_SYS_CHROOT",
    "CAP_KILL",
    "CAP_AUDIT_WRITE",
];

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

/// A root file system with one program alone.
pub(crate) struct Root(tempfile::TempDir);

/// A container of the program.
pub(crate) struct Container<'a> {
    pub(crate) options: Options,
    pub(crate) seccomp: Option<&'a Value>,
    /// The program's arguments: calls, as the probe takes them.
    pub(crate) arguments: &'a [String],
    /// Its cgroup below the root, as the kubelet has one for each container.
    pub(crate) group: Option<&'a str>,
    /// The annotations of its bundle, an object.
    pub(crate) annotations: Value,
    /// Where the runtime keeps its state, instead of in the bundle, which is removed.
    pub(crate) state: Option<&'a Path>,
    /// Where strace writes with which flags the runtime loads filters.
    pub(crate) trace: Option<&'a Path>,
}

impl Default for Container<'_> {
    fn default() -> Self {
        Self {
            options: Options::HARMLESS,
            seccomp: None,
            arguments: &[],
            group: None,
            annotations: json!({}),
            state: None,
            trace: None,
        }
    }
}

impl Root {
    /// Compiles the probe, which needs no C library.
    pub(crate) fn new() -> Self {
        let flags = ["-nostdlib", "-ffreestanding", "-fno-stack-protector", "-mno-red-zone"];
        Self::of("probe.c", &flags)
    }

    /// Compiles the program in this file with the flags.
    pub(crate) fn of(source: &str, flags: &[&str]) -> Self {
        sweep();
        let directory = tempfile::tempdir().unwrap();
        for empty in ["proc", "dev"] {
            fs::create_dir(directory.path().join(empty)).unwrap();
        }
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/runtimes").join(source);
        let mut compiler = Command::new("cc");
        compiler.args(["-O1", "-Wall", "-Wextra", "-Werror", "-static"]).args(flags);
        compiler.arg("-o").arg(directory.path().join("probe"));
        assert!(compiler.arg(source).status().unwrap().success(), "a C compiler is needed");
        Self(directory)
    }

    /// Starts a container that makes these calls, as the probe takes them, under the profile.
    pub(crate) fn start(
        &self,
        runtime: &Installed,
        options: Options,
        seccomp: Option<&Value>,
        calls: &[String],
    ) -> Start {
        self.run(runtime, &Container { options, seccomp, arguments: calls, ..Container::default() })
    }

    /// Starts this container.
    pub(crate) fn run(&self, runtime: &Installed, container: &Container<'_>) -> Start {
        let groups = Groups::new();
        let id = groups.name();
        let group = container.group.map_or_else(|| id.to_owned(), |group| format!("{id}/{group}"));
        let bundle = tempfile::tempdir().unwrap();
        let config = self.config(&group, container);
        fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();

        let mut command = isolated(runtime, container.options.seconds);
        let state = container.state.map_or_else(|| bundle.path().join("state"), Path::to_owned);
        command.arg("--root").arg(state);
        command.args(["run", "--bundle"]).arg(bundle.path()).arg(id);
        if let Some(trace) = container.trace {
            command = traced(&command, trace);
        }
        command.stdin(Stdio::null());
        let output = command.output().unwrap();

        let printed = String::from_utf8(output.stdout).unwrap();
        match output.status.code() {
            Some(42) => Start::Ran(printed),
            // The probe itself was ended.
            _ if !printed.is_empty() => Start::Ran(printed),
            // What `timeout` returns after it has killed its program.
            Some(137) | None => Start::Late,
            _ => Start::Refused(String::from_utf8_lossy(&output.stderr).into_owned()),
        }
    }

    fn config(&self, group: &str, container: &Container<'_>) -> Value {
        let options = container.options;
        let arguments: Vec<&str> =
            ["/probe"].into_iter().chain(container.arguments.iter().map(String::as_str)).collect();
        let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|name| json!({ "type": name }));
        let capabilities = if options.capabilities { &CAPABILITIES[..] } else { &[] };
        let capabilities = json!({
            "bounding": capabilities, "effective": capabilities, "permitted": capabilities,
        });
        let mut config = json!({
            "ociVersion": "1.0.2",
            "process": {
                "user": { "uid": options.user, "gid": options.user },
                "args": arguments,
                "env": [],
                "cwd": "/",
                "capabilities": capabilities,
                "noNewPrivileges": options.no_new_privileges,
                "rlimits": [{ "type": "RLIMIT_CORE", "hard": 0, "soft": 0 }],
            },
            "root": { "path": self.0.path(), "readonly": true },
            "annotations": container.annotations,
            "mounts": [
                { "destination": "/proc", "type": "proc", "source": "proc" },
                { "destination": "/dev", "type": "tmpfs", "source": "tmpfs" },
            ],
            "linux": { "namespaces": namespaces, "cgroupsPath": format!("/{group}") },
        });
        if let Some(seccomp) = container.seccomp {
            config["linux"]["seccomp"] = seccomp.clone();
        }
        config
    }
}

/// How a container is started.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Options {
    /// `allowPrivilegeEscalation: false` in a pod.
    pub(crate) no_new_privileges: bool,
    /// The capabilities that containers usually have; otherwise none, and calls are all the more harmless.
    pub(crate) capabilities: bool,
    /// The numbers of its user and group.
    pub(crate) user: u32,
    /// How many seconds a start may take. Most take a tenth of one on an idle machine.
    pub(crate) seconds: u8,
}

impl Options {
    /// As root, without capabilities and new privileges.
    pub(crate) const HARMLESS: Self =
        Self { no_new_privileges: true, capabilities: false, user: 0, seconds: 60 };
}

/// The runtime in namespaces of its own, bounded in time. Its arguments are still to be added.
pub(crate) fn isolated(runtime: &Installed, seconds: u8) -> Command {
    let libraries = runtime.mounted_libraries().unwrap_or(Path::new("")).to_owned();
    let mut command = Command::new("unshare");
    command.args(["--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "sh", "-c", ISOLATED, "sh"]);
    command.arg(libraries).arg(seconds.to_string()).args(runtime.words());
    command
}

/// The same command under strace, which does not use the libraries that the command mounts.
fn traced(command: &Command, trace: &Path) -> Command {
    let mut strace = Command::new("strace");
    strace.args(["--follow-forks", "--quiet=all", "--trace=seccomp,prctl", "--output"]).arg(trace);
    strace.arg("--").arg(command.get_program()).args(command.get_args());
    strace
}

/// The name of a container that no other one has, and the cgroups below this name. They are removed when this is dropped: a
/// runtime that ended by itself has removed them.
pub(crate) struct Groups(String);

impl Groups {
    pub(crate) fn new() -> Self {
        static STARTS: AtomicU32 = AtomicU32::new(0);
        // In another namespace another process has this number.
        let namespace = namespace_of("self").unwrap();
        let (process, start) = (std::process::id(), STARTS.fetch_add(1, Ordering::Relaxed));
        Self(format!("{PREFIX}{namespace}-{process}-{start}"))
    }

    pub(crate) fn name(&self) -> &str {
        &self.0
    }
}

impl Drop for Groups {
    fn drop(&mut self) {
        remove_groups(&hierarchy().join(&self.0));
    }
}

/// Where the cgroups of version 2 are.
fn hierarchy() -> PathBuf {
    let unified = Path::new("/sys/fs/cgroup/unified");
    if unified.is_dir() { unified.to_owned() } else { "/sys/fs/cgroup".into() }
}

/// The number of the namespace of a process, in which processes have their numbers.
fn namespace_of(process: &str) -> Option<u64> {
    Some(fs::metadata(Path::new("/proc").join(process).join("ns/pid")).ok()?.ino())
}

/// Removes the cgroups of tests that were killed: those of no process that runs, and of no namespace that has one.
fn sweep() {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let namespaces: BTreeSet<_> = processes.filter_map(|it| namespace_of(it.file_name().to_str()?)).collect();
    let own = namespace_of("self");
    for entry in fs::read_dir(hierarchy()).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let parts: Option<Vec<u64>> = name
            .to_str()
            .and_then(|name| name.strip_prefix(PREFIX))
            .and_then(|rest| rest.split('-').map(|part| part.parse().ok()).collect());
        let Some([namespace, process, _]) = parts.as_deref() else { continue };
        let runs = match Some(*namespace) == own {
            true => Path::new("/proc").join(process.to_string()).exists(),
            false => namespaces.contains(namespace),
        };
        if !runs {
            remove_groups(&entry.path());
        }
    }
}

/// Removes an empty cgroup with all below it.
fn remove_groups(group: &Path) {
    for below in fs::read_dir(group).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_groups(&below.path());
        }
    }
    let _ = fs::remove_dir(group);
}
