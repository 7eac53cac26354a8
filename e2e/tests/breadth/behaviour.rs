//! What a program does in a container, and whether that is the same with a profile as without.

use std::fs;
use std::path::Path;
use std::process::Stdio;

use serde_json::{Value, json};

use crate::container::{CAPABILITIES, Groups, isolated};
use crate::installed::Installed;
use crate::room::{USER, VARIABLES};

/// After how many seconds a program is ended that does not end by itself.
const SECONDS: u8 = 10;
/// What `timeout` returns after it has killed its program.
const ENDED: i32 = 137;

/// What a program did: all that is seen of it from outside.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Behaviour {
    /// Its exit status, or 128 and the number of the signal.
    pub(crate) status: Option<i32>,
    output: Vec<u8>,
    errors: Vec<u8>,
}

/// What a start with a profile has in common with starts without one.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Likeness {
    /// The status and each byte are the same as of one of them.
    Same,
    /// The same but for digits, of a program whose starts without a profile differ from each other.
    ButForDigits,
    /// The same status. The output differs, and so does that of the starts without a profile.
    ByItself,
    /// No start without a profile explains it.
    Differs,
}

impl Likeness {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::ButForDigits => "but for digits",
            Self::ByItself => "varies by itself",
            Self::Differs => "differs",
        }
    }
}

impl Behaviour {
    /// Starts the program in the root.
    pub(crate) fn of(runtime: &Installed, root: &Path, words: &[&str], seccomp: Option<&Value>) -> Self {
        let groups = Groups::new();
        let bundle = tempfile::tempdir().unwrap();
        let config = config(root, words, seccomp, groups.name());
        fs::write(bundle.path().join("config.json"), config.to_string()).unwrap();
        let mut command = isolated(runtime, SECONDS);
        command.arg("--root").arg(bundle.path().join("state"));
        command.args(["run", "--bundle"]).arg(bundle.path()).arg(groups.name()).stdin(Stdio::null());
        let found = command.output().unwrap();
        // The name of the container is another one each time.
        let without_name =
            |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace(groups.name(), "NAME").into_bytes();
        Self {
            status: found.status.code(),
            output: without_name(found.stdout),
            errors: without_name(found.stderr),
        }
    }

    /// Whether it was still there when its time was up, or was killed.
    pub(crate) fn was_ended(&self) -> bool {
        self.status == Some(ENDED)
    }

    /// How this start with a profile compares with starts without one.
    pub(crate) fn likeness(&self, without: &[Self]) -> Likeness {
        let alike: Vec<_> = without.iter().filter(|it| it.status == self.status).collect();
        match () {
            () if alike.contains(&self) => Likeness::Same,
            () if alike.is_empty() || alike.windows(2).all(|it| it[0] == it[1]) => Likeness::Differs,
            () if alike.iter().any(|it| it.without_digits() == self.without_digits()) => {
                Likeness::ButForDigits
            }
            () => Likeness::ByItself,
        }
    }

    fn without_digits(&self) -> [Vec<u8>; 2] {
        [&self.output, &self.errors]
            .map(|text| text.iter().copied().filter(|it| !it.is_ascii_digit()).collect())
    }

    /// Both, for people.
    pub(crate) fn shown(&self) -> String {
        let text = |bytes: &[u8]| {
            let bytes = &bytes[..bytes.len().min(1500)];
            String::from_utf8_lossy(bytes).into_owned()
        };
        format!("{:?}\n  output: {:?}\n  errors: {:?}", self.status, text(&self.output), text(&self.errors))
    }
}

/// A container as Kubernetes makes one for a pod that asks for as little as it can, with what the program has under strace.
fn config(root: &Path, words: &[&str], seccomp: Option<&Value>, group: &str) -> Value {
    let variables: Vec<_> = VARIABLES.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let mount = |path: &str, kind: &str, options: &[&str]| json!({ "destination": path, "type": kind, "source": kind, "options": options });
    let namespaces = ["pid", "network", "ipc", "uts", "mount"].map(|name| json!({ "type": name }));
    let mut config = json!({
        "ociVersion": "1.0.2",
        "hostname": "container",
        "process": {
            "user": { "uid": USER, "gid": USER },
            "args": words,
            "env": variables,
            "cwd": "/",
            "capabilities": { "bounding": CAPABILITIES },
            "noNewPrivileges": true,
            "rlimits": [{ "type": "RLIMIT_CORE", "hard": 0, "soft": 0 }],
        },
        "root": { "path": root, "readonly": true },
        "mounts": [
            mount("/proc", "proc", &[]),
            mount("/dev", "tmpfs", &["nosuid", "mode=755"]),
            mount("/dev/pts", "devpts", &["newinstance", "ptmxmode=0666", "mode=0620"]),
            mount("/dev/shm", "tmpfs", &["mode=1777"]),
            mount("/run", "tmpfs", &["mode=1777"]),
            mount("/tmp", "tmpfs", &["mode=1777"]),
            mount("/var/tmp", "tmpfs", &["mode=1777"]),
        ],
        "linux": { "namespaces": namespaces, "cgroupsPath": format!("/{group}") },
    });
    if let Some(seccomp) = seccomp {
        config["linux"]["seccomp"] = seccomp.clone();
    }
    config
}
