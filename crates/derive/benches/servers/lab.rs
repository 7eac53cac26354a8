//! A copy of the unpacked packages, and programs that run in it under strace.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use strace::{Event, Reader};
use syscalls::Architecture;

use crate::arguments::{Made, made};
use crate::client::connection;
use crate::machine::run;
use crate::processes::Processes;

const PATH: &str = "/usr/sbin:/usr/bin:/sbin:/bin";
/// Starts the program in the root, with variables that chroot does not have.
const ENV: &str = "/usr/bin/env";
/// A shell ignores these for what it runs in the background, and so would the programs.
const DEFAULT_SIGNALS: &str = "--default-signal=INT,QUIT";
/// The `execve` of chroot, of [`ENV`], and of the program.
const STARTS: usize = 3;
/// What the kernels of Linux 4.18 and older do not have and these programs use: hosts with Debian's images run them still.
/// containerd and Docker answer the same to `clone3` on any kernel.
const SINCE_4_18: &str = "clone3,close_range,openat2,faccessat2,epoll_pwait2,pidfd_open";
/// How long anything may take before it has failed. Programs are slow under strace.
const LIMIT: Duration = Duration::from_mins(3);

/// Where a server runs.
pub(crate) struct Lab {
    pub(crate) root: PathBuf,
    logs: PathBuf,
    program: &'static str,
    /// What is started: the program, or another one that starts it.
    started: &'static str,
    count: usize,
    environment: Vec<String>,
    is_old_kernel: bool,
    user: Option<&'static str>,
    /// Where something is mounted.
    mounts: Vec<PathBuf>,
    /// The cache of names, if it runs.
    names: Option<Child>,
}

/// The calls of a load.
#[derive(Default)]
pub(crate) struct Calls {
    /// Those of the program.
    pub(crate) own: BTreeSet<Made>,
    /// Those of other programs that it has started.
    pub(crate) others: BTreeSet<Made>,
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
        for path in ["dev", "proc", "sys", "tmp", "run", "var/log", "var/tmp", "srv"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        for path in ["tmp", "run", "var/log", "var/tmp", "srv"] {
            fs::set_permissions(root.join(path), fs::Permissions::from_mode(0o777)).unwrap();
        }
        run(Command::new("ln").args(["-sfn", "/run"]).arg(root.join("var/run")));
        run(Command::new("cp").arg(ENV).arg(root.join(ENV.trim_start_matches('/'))));
        let mut lab = Self {
            root,
            logs,
            program,
            started: program,
            count: 0,
            environment: Vec::new(),
            is_old_kernel: false,
            user: None,
            mounts: Vec::new(),
            names: None,
        };
        lab.mount(&["--bind", "/dev"], "dev");
        lab.mount(&["-t", "proc", "proc"], "proc");
        lab.mount(&["--bind", "/sys"], "sys");
        lab.write("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n");
        lab.write("/etc/passwd", "root:x:0:0::/:/none\nserver:x:998:998::/:/none\n");
        lab.write("/etc/group", "root:x:0:\nserver:x:998:root\nnogroup:x:65534:\n");
        lab.write("/etc/hosts", "127.0.0.1 localhost\n");
        lab.write("/etc/resolv.conf", "nameserver 127.0.0.1\n");
        lab
    }

    pub(crate) fn mount(&mut self, what: &[&str], path: &str) {
        let place = self.root.join(path);
        run(Command::new("mount").args(what).arg(&place));
        self.mounts.push(place);
    }

    /// What is started then has these variables.
    pub(crate) fn with(&mut self, environment: &[&str]) {
        self.environment = environment.iter().map(|it| (*it).to_owned()).collect();
    }

    /// What is started then has a kernel of Linux 4.18, or a runtime that answers in its place.
    pub(crate) fn on_old_kernel(&mut self, is_old: bool) {
        self.is_old_kernel = is_old;
    }

    /// What is started then runs as this user and group instead of root.
    pub(crate) fn as_user(&mut self, user: Option<&'static str>) {
        self.user = user;
    }

    /// Runs the program as it is looked into when something is wrong with it or with its speed: the loader says what it
    /// loads, libraries come from directories beside the program, one is profiled, and memory comes in huge pages.
    pub(crate) fn diagnose(&mut self, arguments: &[&str], profiled: &str) {
        let profiled = format!("LD_PROFILE={profiled}");
        for environment in [
            &["LD_DEBUG=libs,files"][..],
            &["LD_LIBRARY_PATH=$ORIGIN/../lib:lib/x86_64-linux-gnu"],
            &[&profiled, "LD_PROFILE_OUTPUT=/tmp"],
            &["GLIBC_TUNABLES=glibc.malloc.hugetlb=1"],
            &["GLIBC_TUNABLES=glibc.malloc.hugetlb=2097152"],
        ] {
            self.with(environment);
            self.run(arguments, "");
        }
        self.with(&[]);
    }

    /// Runs something in a root that has neither `/proc` nor `/sys`, as that of a service which is put into one.
    pub(crate) fn without_kernel_files(&mut self, what: impl FnOnce(&mut Self)) {
        let files: Vec<_> = ["proc", "sys"].iter().map(|it| self.root.join(it)).collect();
        files.iter().for_each(|it| run(Command::new("umount").arg(it)));
        what(self);
        run(Command::new("mount").args(["-t", "proc", "proc"]).arg(&files[0]));
        run(Command::new("mount").args(["--bind", "/sys"]).arg(&files[1]));
    }

    /// Starts glibc's cache of names, which programs then ask: some answers are in memory that it shares with them.
    pub(crate) fn cache_names(&mut self) {
        self.write(
            "/etc/nscd.conf",
            "enable-cache passwd yes\nshared passwd yes\nenable-cache group yes\nshared group no\n\
             enable-cache hosts yes\nshared hosts no\nenable-cache services no\nenable-cache netgroup no\n",
        );
        for path in ["run/nscd", "var/cache/nscd"] {
            fs::create_dir_all(self.root.join(path)).unwrap();
        }
        let mut cache = Command::new("chroot");
        cache.arg(&self.root).args(["/usr/sbin/nscd", "--foreground", "-f", "/etc/nscd.conf"]);
        let child = cache.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.names = Some(child.expect("chroot is installed"));
        let socket = self.root.join("run/nscd/socket");
        until("the cache of names runs", || fs::symlink_metadata(&socket).ok());
    }

    /// Ends the cache of names.
    pub(crate) fn cache_no_names(&mut self) {
        if let Some(mut cache) = self.names.take() {
            _ = cache.kill();
            _ = cache.wait();
            _ = fs::remove_file(self.root.join("run/nscd/socket"));
        }
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
            text.lines().filter(|it| it.contains(" execve(")).nth(STARTS - 1)?.split(' ').next()?.parse().ok()
        });
        assert!(strace.try_wait().unwrap().is_none() || pid > 0);
        Running { strace, pid }
    }

    /// Runs the program in the root to its end, with a connection as its input and its output; the client asks and reads.
    pub(crate) fn run_on_connection(&mut self, arguments: &[&str], request: &str) {
        let (mut client, server) = connection();
        let input = OwnedFd::from(server);
        let output = input.try_clone().unwrap();
        let mut strace = self.strace(arguments);
        strace.env_clear().env("PATH", PATH).stdin(input).stdout(output).stderr(Stdio::null());
        let mut child = strace.spawn().expect("strace is installed");
        drop(strace);
        client.set_read_timeout(Some(LIMIT)).unwrap();
        client.write_all(request.as_bytes()).unwrap();
        _ = client.read_to_end(&mut Vec::new());
        drop(client);
        wait(&mut child);
    }

    /// Runs another program in the root to its end, with a text as its input; the program counts that this one starts.
    pub(crate) fn run_by(&mut self, other: &'static str, arguments: &[&str], input: &str) {
        let program = std::mem::replace(&mut self.started, other);
        self.run(arguments, input);
        self.started = program;
    }

    /// Starts another program in the root, which starts the program.
    pub(crate) fn start_by(&mut self, other: &'static str, arguments: &[&str]) -> Running {
        let program = std::mem::replace(&mut self.started, other);
        let running = self.start(arguments);
        self.started = program;
        running
    }

    /// Runs a client in the root, without strace, and returns what it prints.
    pub(crate) fn client(&self, user: &str, words: &[&str], input: &str) -> String {
        let mut client = Command::new("chroot");
        client.arg(format!("--userspec={user}")).arg(&self.root).args(words).env_clear().env("PATH", PATH);
        client.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = client.spawn().expect("chroot is installed");
        let mut to = child.stdin.take().unwrap();
        let input = input.to_owned();
        let writes = std::thread::spawn(move || _ = to.write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        writes.join().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
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

    /// The same on a terminal, where a person types one text after the other.
    pub(crate) fn run_on_terminal(&mut self, arguments: &[&str], input: &[&str]) {
        /// In which the program has read one and waits for the next one.
        const PAUSE: Duration = Duration::from_secs(1);
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
        for text in input {
            sleep(PAUSE);
            // It may have ended after the one before.
            _ = child.stdin.as_mut().unwrap().write_all(text.as_bytes());
        }
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
        if self.is_old_kernel {
            strace.arg(format!("--inject={SINCE_4_18}:error=ENOSYS"));
        }
        // As a person who is root has them, also more groups than one.
        strace.args(["chroot", "--groups=0,65534"]);
        strace.args(self.user.map(|it| format!("--userspec={it}")));
        strace.arg(&self.root).args([ENV, DEFAULT_SIGNALS]).args(&self.environment);
        strace.arg(self.started).args(arguments);
        strace
    }

    /// All calls that were made, with their arguments, without the execve that started the program: the runtime makes that
    /// one.
    pub(crate) fn end(mut self) -> Calls {
        self.cache_no_names();
        let mut found = Calls::default();
        for index in 1..=self.count {
            let text = fs::read(self.logs.join(index.to_string())).unwrap();
            // Lines are shortened by strace and escape what is not ASCII.
            let text = String::from_utf8_lossy(&text);
            let (mut reader, mut started) = (Reader::new(Architecture::X86_64), 0);
            let mut processes = Processes::default();
            for line in text.lines() {
                let is_other = processes.line(line, self.program);
                let Event::Call(call) = reader.line(line.as_bytes()) else { continue };
                // Of a process that is killed at this moment, strace shows an error as the number.
                if started == STARTS && !call.name.starts_with("syscall_0x") {
                    let by = if is_other { &mut found.others } else { &mut found.own };
                    by.insert(made(&call));
                } else if started < STARTS && call.name == "execve" {
                    started += 1;
                }
            }
            assert_eq!(started, STARTS, "the program was not started: {text}");
        }
        for place in self.mounts.iter().rev() {
            run(Command::new("umount").arg(place));
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

    /// Suspends the program and lets it go on, as a shell does, and whoever freezes a container.
    pub(crate) fn pause(&self) {
        pause(self.pid);
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

/// Suspends a process, and lets it go on.
pub(crate) fn pause(pid: u32) {
    signal(pid, "STOP");
    sleep(Duration::from_millis(200));
    signal(pid, "CONT");
    sleep(Duration::from_millis(50));
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
