//! Which refused calls the kernel records, and how many of the records it writes to its log: as root, in the machine's
//! first network namespace, on a kernel with audit.

use std::fs::File;
use std::io::{ErrorKind, Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::{Duration, Instant};

use ::observer::audit_socket::{AuditSocket, Received};
use e2e::kernel_records;
use serde_json::{Value, json};
use xtask::file_lock::FileLock;

use crate::container::{Options, Root, Start};
use crate::installed::Installed;
use crate::several::{All, with_flags};

/// The kernel's records of calls of one user, who is no other test's.
struct Records {
    user: u32,
    texts: Receiver<String>,
    _alone: FileLock,
}

/// A record: the call's number, the signal, and what the filter returned.
type Record = (u32, u32, u32);

impl Records {
    fn of_user(user: u32) -> Self {
        let alone = kernel_records::alone().unwrap();
        let mut socket = AuditSocket::open().unwrap_or_else(|blind| panic!("{blind}"));
        let (sender, texts) = mpsc::channel();
        // It ends with the test's process at the latest.
        thread::spawn(move || {
            while let Ok(received) = socket.receive() {
                if let Received::Datagram(bytes) = received
                    && sender.send(String::from_utf8_lossy(bytes).into_owned()).is_err()
                {
                    break;
                }
            }
        });
        Self { user, texts, _alone: alone }
    }

    /// Starts a container of the user that makes these calls, and then one that ends its process and is recorded by all.
    fn start(&self, root: &Root, runtime: &Installed, profile: &Value, numbers: &[u32]) -> Start {
        let options = Options { user: self.user, ..Options::HARMLESS };
        let words: Vec<_> = numbers.iter().chain([&GETEGID]).map(|number| format!("0:{number:x}")).collect();
        root.start(runtime, options, Some(profile), &words)
    }

    /// The records until that of the call that ends the process.
    fn take(&self) -> Vec<Record> {
        let until = Instant::now() + Duration::from_secs(30);
        let mut records = Vec::new();
        loop {
            let left = until.saturating_duration_since(Instant::now());
            let text = self.texts.recv_timeout(left).unwrap_or_else(|e| panic!("{e} after {records:?}"));
            if !text.contains(&format!(" uid={} ", self.user)) {
                continue;
            }
            let field = |name: &str| text.split(&format!(" {name}=")).nth(1)?.split([' ', '\0']).next();
            let number = |name: &str| field(name).and_then(|text| text.parse().ok()).unwrap();
            let code = field("code").and_then(|text| text.strip_prefix("0x")).unwrap();
            let record = (number("syscall"), number("sig"), u32::from_str_radix(code, 16).unwrap());
            if record.0 == GETEGID {
                return records;
            }
            records.push(record);
        }
    }
}

const GETUID: u32 = 102;
const GETGID: u32 = 104;
const GETEUID: u32 = 107;
const GETEGID: u32 = 108;
const GETPPID: u32 = 110;

/// A rule for each action; the last one is for the call that ends every container here.
fn each_action() -> Value {
    let rule = |name: &str, action: &str| json!({ "names": [name], "action": format!("SCMP_ACT_{action}") });
    let rules = [
        rule("getppid", "ERRNO"),
        rule("getuid", "TRAP"),
        rule("getgid", "KILL_THREAD"),
        rule("geteuid", "LOG"),
        rule("getegid", "KILL_PROCESS"),
    ];
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": rules })
}

#[test]
fn a_call_that_fails_or_traps_is_recorded_only_with_the_flag_and_without_its_errno() {
    let records = Records::of_user(61_001);
    let (root, runc) = (Root::new(), Installed::runc());
    let mut profile = each_action();
    profile["syscalls"][0]["errnoRet"] = json!(7);
    let calls = [GETPPID, GETUID, GETGID, GETEUID];
    let start = records.start(&root, &runc, &profile, &calls);
    assert!(matches!(start, Start::Ran(_)), "{start:?}");
    let [killed, logged] = [(GETGID, 31, 0), (GETEUID, 0, 0x7ffc_0000)];
    assert_eq!(records.take(), [killed, logged]);

    let start = records.start(&root, &runc, &with_flags(&profile, &["LOG"]), &calls);
    assert!(matches!(start, Start::Ran(_)), "{start:?}");
    assert_eq!(records.take(), [(GETPPID, 0, 0x5_0000), (GETUID, 0, 0x3_0000), killed, logged]);
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn without_a_listener_crun_drops_all_flags_beside_wait_killable_recv() {
    let records = Records::of_user(61_002);
    let all = All::new();
    for runtime in all.crun() {
        for (flags, recorded) in [(&["LOG"][..], true), (&["LOG", "WAIT_KILLABLE_RECV"], false)] {
            let profile = with_flags(&each_action(), flags);
            let start = records.start(&all.root, runtime, &profile, &[GETPPID]);
            assert!(matches!(start, Start::Ran(_)), "{start:?}");
            assert_eq!(records.take().len(), usize::from(recorded), "{}: {flags:?}", runtime.name);
        }
    }
}

/// What the kernel's log has had since it was opened.
fn read_log(log: &mut File) -> Vec<String> {
    let mut lines = Vec::new();
    let mut line = [0; 8192];
    loop {
        match log.read(&mut line) {
            Ok(length) => lines.push(String::from_utf8_lossy(&line[..length]).into_owned()),
            // Older lines were overwritten.
            Err(error) if error.kind() == ErrorKind::BrokenPipe => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return lines,
            Err(error) => panic!("{error}"),
        }
    }
}

#[test]
fn without_an_audit_daemon_the_kernels_log_gets_ten_records_in_five_seconds() {
    const CALLS: usize = 60;
    let records = Records::of_user(61_003);
    let (root, runc) = (Root::new(), Installed::runc());
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut log = File::options().read(true).custom_flags(nonblocking).open("/dev/kmsg").unwrap();
    log.seek(SeekFrom::End(0)).unwrap();
    let begun = Instant::now();
    let profile = with_flags(&each_action(), &["LOG"]);
    let start = records.start(&root, &runc, &profile, &[GETPPID; CALLS]);
    assert!(matches!(start, Start::Ran(_)), "{start:?}");
    assert_eq!(records.take().len(), CALLS);
    // The first five seconds may have begun before.
    let periods = begun.elapsed().as_secs() / 5 + 2;
    let written = read_log(&mut log).iter().filter(|line| line.contains(" uid=61003 ")).count();
    println!("{written} of {CALLS} records are in the kernel's log, {periods}");
    assert!(u64::try_from(written).unwrap() <= 10 * periods, "{written} in {periods}");
}
