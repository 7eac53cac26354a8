//! The root of one program, and what the program does when it is started there.

use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use strace::{Event, Reader};
use syscalls::Architecture;

use crate::arguments::{Made, made};
use crate::machine::run;

/// How a program is started: each of these ends soon, or is ended.
pub(crate) const ARGUMENTS: &[&[&str]] = &[&["--version"], &["--help"], &[]];
/// Its variables.
pub(crate) const VARIABLES: [(&str, &str); 3] =
    [("PATH", "/usr/sbin:/usr/bin:/sbin:/bin"), ("HOME", "/tmp"), ("LANG", "C")];
/// Its user and its group, which are not root's.
pub(crate) const USER: u32 = 65534;
/// After which a program is ended.
const LIMIT: Duration = Duration::from_secs(5);
/// The `execve` of setpriv, of chroot, and of the program.
const STARTS: usize = 3;
/// Links that the installation of a package makes (`update-alternatives`).
const LINKS: &[(&str, &str)] = &[
    ("usr/lib/x86_64-linux-gnu/libblas.so.3", "blas/libblas.so.3"),
    ("usr/lib/x86_64-linux-gnu/liblapack.so.3", "lapack/liblapack.so.3"),
];

/// What a program did.
#[derive(Default)]
pub(crate) struct Traced {
    /// The calls that it has made by itself.
    pub(crate) calls: BTreeSet<String>,
    /// The same with arguments.
    pub(crate) made: BTreeSet<Made>,
    /// The libraries that it has opened, as paths in the root.
    pub(crate) libraries: BTreeSet<String>,
}

/// The root of one program.
pub(crate) struct Room {
    folder: tempfile::TempDir,
    pub(crate) root: PathBuf,
}

impl Room {
    /// Of unpacked packages, whose files it shares.
    pub(crate) fn new(store: &Path, packages: &[PathBuf]) -> Self {
        let folder = tempfile::tempdir_in(store).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let root = folder.path().join("root");
        for path in ["dev", "proc", "tmp", "etc", "run", "var/tmp"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for path in ["tmp", "run", "var/tmp"] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o777)).unwrap();
        }
        let mut copy = Command::new("cp");
        copy.args(["--archive", "--link", "--force"]).args(packages.iter().map(|it| it.join(".")));
        run(copy.arg(&root));
        for (path, target) in LINKS {
            let path = root.join(path);
            let folder = path.parent().unwrap();
            if folder.join(target).exists() && fs::symlink_metadata(&path).is_err() {
                run(Command::new("ln").args(["-s", target]).arg(&path));
            }
        }
        for (path, text) in [
            ("etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
            ("etc/passwd", "root:x:0:0::/:/none\nnobody:x:65534:65534::/tmp:/none\n"),
            ("etc/group", "root:x:0:\nnogroup:x:65534:\n"),
            ("etc/hosts", "127.0.0.1 localhost\n"),
        ] {
            // A file of a package is shared with other roots.
            _ = fs::remove_file(root.join(path));
            fs::write(root.join(path), text).unwrap();
        }
        run(Command::new("ldconfig").arg("-r").arg(&root));
        run(Command::new("mount").args(["-t", "proc", "proc"]).arg(root.join("proc")));
        run(Command::new("mount").args(["--bind", "/dev"]).arg(root.join("dev")));
        Self { folder, root }
    }

    /// What a program does. `None` if the kernel does not start it.
    pub(crate) fn run(&self, program: &str) -> Option<Traced> {
        let mut found = Traced::default();
        for (index, arguments) in ARGUMENTS.iter().enumerate() {
            let log = self.folder.path().join(index.to_string());
            // What is still there when the time is up ends with the first process of its namespace.
            let mut strace = Command::new("unshare");
            strace
                .args(["--pid", "--fork", "--kill-child", "strace", "-f", "-qq", "-s", "0", "-o"])
                .arg(&log);
            strace.args(["setpriv", "--no-new-privs", "chroot"]).arg(format!("--userspec={USER}:{USER}"));
            strace.arg(&self.root).arg(program).args(*arguments);
            strace.env_clear().envs(VARIABLES);
            strace.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
            let mut strace = strace.spawn().expect("unshare is installed");
            let start = Instant::now();
            while strace.try_wait().unwrap().is_none() {
                if start.elapsed() > LIMIT {
                    strace.kill().unwrap();
                }
                sleep(Duration::from_millis(10));
            }
            found.read(&fs::read(&log).unwrap_or_default(), program)?;
        }
        Some(found)
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        for path in ["dev", "proc"] {
            // A process that has just been ended may still have a file there.
            _ = Command::new("umount").arg("--lazy").arg(self.root.join(path)).status();
        }
    }
}

impl Traced {
    /// The libraries that it has opened by names that are not constant: those that are not among the objects, paths in the
    /// root, that were derived.
    pub(crate) fn unnamed_modules(&self, root: &Path, objects: &[String]) -> Vec<String> {
        let file = |path: &str| Some(fs::metadata(root.join(path.trim_start_matches('/'))).ok()?.ino());
        let derived: BTreeSet<_> = objects.iter().filter_map(|it| file(it)).collect();
        let is_unnamed = |it: &&String| file(it).is_some_and(|it| !derived.contains(&it));
        self.libraries.iter().filter(is_unnamed).cloned().collect()
    }

    /// Adds what is in a log, without the calls of other programs that the program has started. `None` if the program was
    /// not started.
    fn read(&mut self, log: &[u8], program: &str) -> Option<()> {
        let (mut reader, mut starts, mut others) = (Reader::new(Architecture::X86_64), 0, HashSet::new());
        for line in log.split(|byte| *byte == b'\n') {
            let text = String::from_utf8_lossy(line);
            let process = text.split(' ').next().unwrap_or_default().to_owned();
            let has_started = text.contains("execve") && text.ends_with(" = 0");
            if starts < STARTS {
                starts += usize::from(has_started);
                reader.line(line);
                continue;
            }
            let is_other = others.contains(&process);
            if let Event::Call(call) = reader.line(line)
                && !call.name.starts_with("syscall_0x")
                && !is_other
            {
                self.calls.insert(call.name.to_owned());
                self.made.insert(made(&call));
                let path = text.split('"').nth(1).filter(|it| it.contains(".so") && !it.starts_with("/etc/"));
                if call.name == "openat" && !text.contains(" = -1 ") {
                    self.libraries.extend(path.map(str::to_owned));
                }
            }
            if is_other && (text.contains("clone") || text.contains("fork")) {
                others.extend(text.rsplit_once(" = ").map(|(_, child)| child.to_owned()));
            } else if has_started && !text.contains(&format!("\"{program}\"")) {
                others.insert(process);
            }
        }
        (starts == STARTS).then_some(())
    }
}
