//! CPU time and memory from `/proc`.

use rustix::param::clock_ticks_per_second;

use crate::BenchError;

/// CPU seconds of a process so far.
pub(super) fn cpu_seconds(id: u32) -> Result<f64, BenchError> {
    let path = format!("/proc/{id}/stat");
    let text = std::fs::read_to_string(&path).map_err(BenchError::io(&path))?;
    // proc_pid_stat(5): utime and stime are the 14th and 15th, in ticks; the second may hold spaces.
    let fields = text.rsplit(')').next().unwrap_or_default().split_ascii_whitespace();
    Ok(seconds(fields.skip(11).take(2)))
}

/// CPU seconds of the whole machine so far.
pub(super) fn machine() -> Result<f64, BenchError> {
    let text = std::fs::read_to_string("/proc/stat").map_err(BenchError::io("/proc/stat"))?;
    // proc_stat(5): user, nice and system come first, then idle and waiting, then interrupts, hard and soft, whose time
    // the kernel may count as a process's as well.
    let fields: Vec<_> = text.lines().next().unwrap_or_default().split_ascii_whitespace().skip(1).collect();
    Ok(seconds([0, 1, 2, 5, 6].iter().filter_map(|field| fields.get(*field).copied())))
}

fn seconds<'a>(ticks: impl Iterator<Item = &'a str>) -> f64 {
    let ticks: u64 = ticks.filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    #[expect(clippy::cast_precision_loss, reason = "ticks of some hours")]
    let seconds = ticks as f64 / clock_ticks_per_second() as f64;
    seconds
}

/// The largest resident size of a process, in KiB.
pub(super) fn peak(id: u32) -> Result<u64, BenchError> {
    let path = format!("/proc/{id}/status");
    let text = std::fs::read_to_string(&path).map_err(BenchError::io(&path))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    Ok(line.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok()).unwrap_or_default())
}
