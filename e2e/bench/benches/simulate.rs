//! What it takes to decide about every call in a log of strace: `cargo bench -p bench --bench simulate`; it fails where a
//! million calls take more than the bar.
//!
//! The command line's own code is measured, from the options to the answer; the log is in a file in the page cache. The
//! verdict of one call in fifty depends on its arguments.

mod clock;

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::hint::black_box;
use std::time::Duration;

use clap::Parser;
use cli::options::Options;
use cli::run::without_cluster;
use cli::show::Paint;

const CALLS: usize = 1_000_000;
const BAR: Duration = Duration::from_millis(300);
const ROUNDS: usize = 5;

const PROFILE: &str = "\
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
  - names: [read, write, openat, close, mmap, futex, newfstatat, epoll_wait, rt_sigaction]
    action: SCMP_ACT_ALLOW
  - names: [socket]
    action: SCMP_ACT_ALLOW
    args: [{index: 0, op: SCMP_CMP_NE, value: 40}]
";

const LINES: [&str; 10] = [
    "read(3, \"\\177ELF\\2\\1\\1\\3\\0\\0\\0\\0\\0\\0\\0\\0\\3\\0>\\0\\1\\0\\0\\0P\\237\\2\\0\\0\\0\\0\\0\"..., 832) = 832",
    "openat(AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY|O_CLOEXEC) = 3",
    "mmap(NULL, 8192, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f3021254000",
    "close(3)                          = 0",
    "futex(0x7f49b8000bf8, FUTEX_WAKE_PRIVATE, 1) = 1",
    "newfstatat(3, \"\", {st_mode=S_IFREG|0644, st_size=33947, ...}, AT_EMPTY_PATH) = 0",
    "epoll_wait(5, [{events=EPOLLIN, data={u32=7, u64=7}}], 128, -1) = 1",
    "rt_sigaction(SIGINT, {sa_handler=SIG_DFL, sa_mask=[], sa_flags=0}, NULL, 8) = 0",
    "write(1, \"hello, world\\n\", 13)    = 13",
    "getrandom(\"\\x12\\x34\", 8, GRND_NONBLOCK) = 8",
];

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let [profile, log] = ["web.yaml", "trace.log"].map(|name| folder.path().join(name));
    fs::write(&profile, PROFILE)?;
    let mut text = String::new();
    for call in 0..CALLS {
        let line = match call % 50 {
            7 => "socket(AF_INET, SOCK_STREAM|SOCK_CLOEXEC, IPPROTO_TCP) = 7",
            other => LINES[other % LINES.len()],
        };
        writeln!(text, "[pid {:>5}] 03:09:31.{:06} {line}", 32_000 + call % 8, call)?;
    }
    fs::write(&log, &text)?;
    let arguments = ["kubectl-seccomp".as_ref(), "simulate".as_ref(), "--trace".as_ref(), log.as_os_str()];
    let options = Options::try_parse_from(arguments.into_iter().chain([profile.as_os_str()]))?;
    let mut answer = None;
    let time = clock::least(ROUNDS, 1, || {
        answer = black_box(without_cluster(&options.task, Paint::Plain)).ok().flatten();
    });
    let answer = answer.ok_or("no answer")?.text;
    let expected = format!("{CALLS} calls of 11 kinds: ");
    assert!(answer.contains(&expected), "{answer}");
    println!("{:<12}{:>8}{:>12}", "calls", "MB", "ms");
    println!("{CALLS:<12}{:>8}{:>12.0}", text.len() / 1_000_000, time.as_secs_f64() * 1e3);
    if time > BAR { Err("a million calls take more than the bar".into()) } else { Ok(()) }
}
