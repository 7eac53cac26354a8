//! A copy of the unpacked packages, and programs that run in it under strace.

use std::collections::BTreeSet;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use strace::{Event, Reader};
use syscalls::Architecture;

use crate::machine::run;

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// How long anything may take before it has failed. Programs are slow under strace.
const LIMIT: Duration = Duration::from_mins(1);

/// Where a server runs.
pub(crate) struct Lab {
    pub(crate) root: PathBuf,
    logs: PathBuf,
    program: &'static str,
    count: usize,
}

/// A program that runs.
pub(crate) struct Running {
    strace: Child,
    pub(crate) pid: u32,
}

impl Lab {
    pub(crate) fn new(folder: &Path, packages: &Path, program: &'static str) -> Self {
        let (root, logs) = (folder.join("root"), folder.join("logs"));
        run(Command::new("cp").arg("-a").arg(packages).arg(&root));
        fs::create_dir(&logs).unwrap();
        // Servers change to other users, who pass through.
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755)).unwrap();
        for path in ["dev", "proc", "tmp", "run", "var/log", "srv"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for path in ["tmp", "run", "var/log", "srv"] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o777)).unwrap();
        }
        run(Command::new("mount").args(["--bind", "/dev"]).arg(root.join("dev")));
        run(Command::new("mount").args(["-t", "proc", "proc"]).arg(root.join("proc")));
        let lab = Self { root, logs, program, count: 0 };
        lab.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
        lab.write("/etc/passwd", "root:x:0:0::/:/none\nserver:x:998:998::/:/none\n");
        lab.write("/etc/group", "root:x:0:\nserver:x:998:\nnogroup:x:65534:\n");
        lab.write("/etc/hosts", "127.0.0.1 localhost\n");
        lab.write("/etc/resolv.conf", "nameserver 127.0.0.1\n");
        lab
    }

    pub(crate) fn write(&self, path: &str, contents: impl AsRef<[u8]>) {
        let place = self.root.join(path.trim_start_matches('/'));
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, contents).unwrap();
    }

    pub(crate) fn read(&self, path: &str) -> Option<String> {
        fs::read_to_string(self.root.join(path.trim_start_matches('/'))).ok()
    }

    /// Starts the program in the root.
    pub(crate) fn start(&mut self, arguments: &[&str]) -> Running {
        let mut strace = self.start_with(arguments, Stdio::null());
        let log = self.logs.join(self.count.to_string());
        let pid = until("strace has the program's number", || {
            let text = fs::read_to_string(&log).ok()?;
            // The number of a process that has begun the program, and not only chroot.
            text.lines().filter(|it| it.contains(" execve(")).nth(1)?.split(' ').next()?.parse().ok()
        });
        assert!(strace.try_wait().unwrap().is_none() || pid > 0);
        Running { strace, pid }
    }

    /// Runs the program in the root to its end, with a text as its input.
    pub(crate) fn run(&mut self, arguments: &[&str], input: &str) {
        let mut strace = self.start_with(arguments, Stdio::piped());
        let mut to = strace.stdin.take().unwrap();
        // A program that has failed reads nothing.
        _ = to.write_all(input.as_bytes());
        drop(to);
        wait(&mut strace);
    }

    /// The same on a terminal.
    pub(crate) fn run_on_terminal(&mut self, arguments: &[&str], input: &str) {
        let strace = self.strace(arguments);
        let words = strace.get_args().map(|it| format!("'{}'", it.display()));
        let line = words.collect::<Vec<_>>().join(" ");
        let mut terminal = Command::new("script");
        terminal.args(["--quiet", "--return", "--command", &format!("strace {line}"), "/dev/null"]);
        terminal.env_clear().envs([
            ("PATH", PATH),
            ("TERM", "xterm"),
            ("HOME", "/root"),
            ("SHELL", "/bin/sh"),
        ]);
        let mut child =
            terminal.stdin(Stdio::piped()).stdout(Stdio::null()).spawn().expect("script is installed");
        child.stdin.as_mut().unwrap().write_all(input.as_bytes()).unwrap();
        wait(&mut child);
    }

    fn start_with(&mut self, arguments: &[&str], input: Stdio) -> Child {
        let mut strace = self.strace(arguments);
        let output = fs::File::create(self.logs.join(format!("{}.out", self.count))).unwrap();
        strace.env_clear().env("PATH", PATH).stdin(input);
        strace.stdout(output.try_clone().unwrap()).stderr(output).spawn().expect("strace is installed")
    }

    fn strace(&mut self, arguments: &[&str]) -> Command {
        self.count += 1;
        let mut strace = Command::new("strace");
        strace.args(["-f", "-qq", "-o"]).arg(self.logs.join(self.count.to_string()));
        strace.arg("chroot").arg(&self.root).arg(self.program).args(arguments);
        strace
    }

    /// All calls that programs have made, without the execve that started them: the runtime makes that one.
    pub(crate) fn end(self) -> BTreeSet<String> {
        let mut found = BTreeSet::new();
        for index in 1..=self.count {
            let text = fs::read(self.logs.join(index.to_string())).unwrap();
            let (mut reader, mut started) = (Reader::new(Architecture::X86_64), 0);
            for line in text.split(|byte| *byte == b'\n') {
                let Event::Call(call) = reader.line(line) else { continue };
                if started == 2 {
                    found.insert(call.name.to_owned());
                } else if call.name == "execve" {
                    started += 1;
                }
            }
            assert_eq!(started, 2, "the program was not started: {}", String::from_utf8_lossy(&text));
        }
        for path in ["dev", "proc"] {
            run(Command::new("umount").arg(self.root.join(path)));
        }
        found
    }
}

impl Drop for Lab {
    /// After a failure: what the last program has printed, and its last calls.
    fn drop(&mut self) {
        const LINES: usize = 20;
        if !std::thread::panicking() {
            return;
        }
        for name in [format!("{}.out", self.count), self.count.to_string()] {
            let text = fs::read(self.logs.join(&name)).unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let first = text.lines().count().saturating_sub(LINES);
            text.lines().skip(first).for_each(|line| eprintln!("{name}: {line:.300}"));
        }
    }
}

impl Running {
    /// Sends a signal to the program.
    pub(crate) fn signal(&self, name: &str) {
        signal(self.pid, name);
    }

    /// Ends the program by a signal, and waits for all of its processes.
    pub(crate) fn end(mut self, name: &str) {
        /// One that has just been told to begin anew may lose the next signal.
        const AGAIN: Duration = Duration::from_secs(10);
        self.signal(name);
        let start = Instant::now();
        until("the program has ended", || {
            if start.elapsed() > AGAIN {
                _ = Command::new("kill").args(["-s", name, &self.pid.to_string()]).status();
            }
            self.strace.try_wait().unwrap()
        });
    }

    /// Waits until the program has ended by itself.
    pub(crate) fn ended(mut self) {
        wait(&mut self.strace);
    }
}

/// Sends a signal to a process.
pub(crate) fn signal(pid: u32, name: &str) {
    run(Command::new("kill").args(["-s", name, &pid.to_string()]));
}

/// What there is as soon as there is something.
pub(crate) fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(start.elapsed() < LIMIT, "not within {LIMIT:?}: {what}");
        sleep(Duration::from_millis(20));
    }
}

fn wait(strace: &mut Child) {
    let start = Instant::now();
    while strace.try_wait().unwrap().is_none() {
        assert!(start.elapsed() < LIMIT, "a program does not end within {LIMIT:?}");
        sleep(Duration::from_millis(20));
    }
}
