//! auditd of Debian 12 beside the observer: each has all records, and neither takes any from the other.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;

use xtask::command::output;
use xtask::workspace::repository;

use crate::apart::until;
use crate::container::Root;
use crate::flood::audit_daemon;
use crate::observer::{Watching, of_shop, sum};

/// auditd, and all that it loads, of Debian's own release.
const PACKAGES: [&str; 12] = [
    "auditd",
    "auditd=1:3.0.9-1",
    "libaudit1",
    "libauparse0",
    "libcap-ng0",
    "libcom-err2",
    "libgssapi-krb5-2",
    "libk5crypto3",
    "libkeyutils1",
    "libkrb5-3",
    "libkrb5support0",
    "libwrap0",
];
/// How many containers run, and how many calls each makes, in processes of 5 ms.
const CONTAINERS: usize = 5;
const CALLS: usize = 40;

/// auditd, ended when this is dropped: the kernel then has no daemon again.
struct Auditd(Child);

impl Auditd {
    /// Starts it with this directory as that of its configuration and its log, and waits until the kernel knows it.
    fn start(directory: &Path) -> Self {
        assert_eq!(audit_daemon(), 0, "another auditd runs");
        let mut unpack = Command::new(repository().join("e2e/debian-packages.sh"));
        let unpacked = output(unpack.args(PACKAGES)).unwrap_or_else(|error| panic!("{error}"));
        let root = Path::new(unpacked.trim());
        fs::create_dir(directory.join("plugins")).unwrap();
        let configuration = format!(
            "log_file = {0}/audit.log\nplugin_dir = {0}/plugins\nlog_format = RAW\nflush = NONE\nmax_log_file = 100\n\
             space_left = 75\nadmin_space_left = 50\n",
            directory.display()
        );
        fs::write(directory.join("auditd.conf"), configuration).unwrap();
        fs::set_permissions(directory.join("auditd.conf"), fs::Permissions::from_mode(0o640)).unwrap();
        let libraries =
            ["usr/lib", "lib"].map(|it| root.join(it).join("x86_64-linux-gnu").display().to_string());
        // It ends with the thread that starts it, so that a run that is killed leaves none, whose directory is gone.
        let mut auditd = Command::new("setpriv");
        auditd.args(["--pdeathsig", "KILL", "env"]).arg(format!("LD_LIBRARY_PATH={}", libraries.join(":")));
        // Not in the background; whether the kernel audits calls by rules stays as it is.
        auditd.arg(root.join("sbin/auditd")).arg("-n").arg("-c").arg(directory).args(["-s", "nochange"]);
        auditd.stdin(Stdio::null());
        let auditd = Self(auditd.spawn().unwrap());
        until("the kernel knowing auditd", || (audit_daemon() == auditd.0.id()).then_some(()));
        auditd
    }

    /// Lets it write what it has, and end.
    fn end(mut self) {
        let pid = rustix::process::Pid::from_child(&self.0);
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        self.0.wait().unwrap();
        until("the kernel having no daemon", || (audit_daemon() == 0).then_some(()));
    }
}

impl Drop for Auditd {
    fn drop(&mut self) {
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
#[ignore = "long: downloads auditd, and makes it the machine's for a moment"]
fn beside_auditd_both_have_all_records() {
    let watching = Watching::begin();
    let directory = tempfile::tempdir().unwrap();
    let auditd = Auditd::start(directory.path());
    let root = Root::new();
    let calls = vec!["8:6e:0:0:0:0:0:0".to_owned(); CALLS];
    thread::scope(|scope| {
        for number in 1..=CONTAINERS {
            let (watching, root, calls) = (&watching, &root, &calls);
            scope.spawn(move || watching.container(root, number, calls));
        }
    });
    let made = CONTAINERS * CALLS;
    let report = watching.until(|report| sum(&of_shop(report)) >= i64::try_from(made).unwrap());
    auditd.end();
    let log = fs::read_to_string(directory.path().join("audit.log")).unwrap();
    let is_ours = |line: &&str| line.starts_with("type=SECCOMP ") && line.contains(" exe=\"/probe\" ");
    let logged = log.lines().filter(is_ours).filter(|line| line.contains(" syscall=110 ")).count();
    let shown = sum(&of_shop(&report));
    eprintln!(
        "of {made} calls the observer shows {shown}, and auditd has logged {logged}; lost {}",
        report.lost
    );
    assert_eq!((usize::try_from(shown).unwrap(), logged, report.lost), (made, made, 0));
}
