//! How long something takes, on a machine that does other things, too.

use std::env;
use std::process::Command;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// CPU time of this thread so far: others on the machine do not count.
fn thread_cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        u64::try_from(time.tv_sec).unwrap_or_default(),
        u32::try_from(time.tv_nsec).unwrap_or_default(),
    )
}

/// The CPU time of `work`.
pub(crate) fn cpu_time(work: impl FnOnce()) -> Duration {
    let start = thread_cpu_time();
    work();
    thread_cpu_time() - start
}

/// The least CPU time of one piece of work, of `rounds` rounds of `pieces` each: what disturbs only adds.
#[allow(dead_code, reason = "each benchmark is a crate of its own and takes what it needs")]
pub(crate) fn least(rounds: usize, pieces: u32, mut work: impl FnMut()) -> Duration {
    (0..rounds).map(|_| cpu_time(&mut work) / pieces).min().unwrap_or_default()
}

/// Instructions that this program takes with `arguments`, as valgrind's callgrind counts them: the same each time.
/// `None` without valgrind.
#[allow(dead_code, reason = "each benchmark is a crate of its own and takes what it needs")]
pub(crate) fn instructions(arguments: &[String]) -> Option<u64> {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=callgrind", "--callgrind-out-file=/dev/null"]);
    let output = valgrind.arg(env::current_exe().ok()?).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stderr).ok()?;
    text.lines().find_map(|line| line.split_once("Collected : ")?.1.trim().parse().ok())
}
