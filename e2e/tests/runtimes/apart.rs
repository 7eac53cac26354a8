//! An observer in a process of its own, with the processor time and the memory that the chart gives its container.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use api::ObservationReport;
use cluster::wait::{self, WaitError};

use crate::observer::{observe, report_of};

/// Where the process of the observer finds the links, and writes its reports.
const LINKS: &str = "OBSERVER_LINKS";
const REPORT: &str = "OBSERVER_REPORT";
/// How often it looks at the links, as the observer does.
const TICK: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

/// `observer.resources` of the chart: as the kubelet writes a request of 5 millicores, and the limits.
const QUOTA: &str = "50000";
pub(crate) const MEMORY: u64 = 32 << 20;

/// Control groups of version 1 as the kubelet makes them on a node of two processors, and removed when this is dropped: the
/// observer's is one of a pod with requests, and that of others is one of pods without.
pub(crate) struct Pods {
    cpu: PathBuf,
    memory: PathBuf,
}

impl Pods {
    const WEIGHTS: [(&'static str, &'static str); 5] = [
        ("", "2048"),
        ("burstable", "1029"),
        ("burstable/observer", "5"),
        ("burstable/bystander", "1024"),
        ("besteffort", "2"),
    ];

    pub(crate) fn new() -> Self {
        let group = |controller| {
            Path::new("/sys/fs/cgroup").join(controller).join(format!("spe2e-pods-{}", std::process::id()))
        };
        let pods = Self { cpu: group("cpu"), memory: group("memory") };
        for (name, weight) in Self::WEIGHTS {
            fs::create_dir(pods.cpu.join(name)).unwrap();
            fs::write(pods.cpu.join(name).join("cpu.shares"), weight).unwrap();
        }
        fs::write(pods.cpu.join("burstable/observer/cpu.cfs_quota_us"), QUOTA).unwrap();
        fs::create_dir(&pods.memory).unwrap();
        fs::write(pods.memory.join("memory.limit_in_bytes"), MEMORY.to_string()).unwrap();
        pods
    }

    /// From now on this thread, and what it starts, is in the group.
    pub(crate) fn join(&self, name: &str) {
        let thread = rustix::thread::gettid().as_raw_nonzero();
        fs::write(self.cpu.join(name).join("tasks"), thread.to_string()).unwrap();
    }
}

impl Drop for Pods {
    fn drop(&mut self) {
        let groups =
            Self::WEIGHTS.iter().rev().map(|(name, _)| self.cpu.join(name)).chain([self.memory.clone()]);
        for group in groups {
            // This process's own threads may be in it.
            let tasks = fs::read_to_string(group.join("tasks")).unwrap_or_default();
            for task in tasks.lines() {
                _ = fs::write(group.parent().unwrap().join("tasks"), task);
            }
            _ = wait::until("the group being empty", LIMIT, || {
                Ok::<_, WaitError>(fs::remove_dir(&group).ok())
            });
        }
    }
}

/// In the process of an observer: observes until it is killed. In others, this does nothing.
pub(crate) fn observe_if_apart() {
    let [Some(links), Some(report)] = [LINKS, REPORT].map(std::env::var_os) else { return };
    let (links, report) = (PathBuf::from(links), PathBuf::from(report));
    let shared = observe();
    loop {
        let text = serde_json::to_string(&report_of(&shared, &links)).unwrap();
        let next = report.with_extension("next");
        fs::write(&next, text).unwrap();
        fs::rename(&next, &report).unwrap();
        thread::sleep(TICK);
    }
}

/// An observer, killed when this is dropped.
pub(crate) struct Apart {
    child: Child,
    report: PathBuf,
}

impl Apart {
    /// Starts the test of this name, which calls [`observe_if_apart`], as an observer; `folder` gets its reports.
    pub(crate) fn start(test: &str, pods: &Pods, links: &Path, folder: &Path) -> Self {
        let report = folder.join("report.json");
        _ = fs::remove_file(&report);
        // It ends with the thread that starts it.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(fs::read_link("/proc/self/exe").unwrap());
        command.args([test, "--exact", "--include-ignored", "--nocapture"]);
        command.env(LINKS, links).env(REPORT, &report).stdout(Stdio::null());
        let child = command.spawn().unwrap();
        let apart = Self { child, report };
        for group in [pods.cpu.join("burstable/observer"), pods.memory.clone()] {
            fs::write(group.join("cgroup.procs"), apart.child.id().to_string()).unwrap();
        }
        let first = apart.report.clone();
        until("the observer's first report", || fs::read(&first).ok());
        apart
    }

    /// Its last report.
    pub(crate) fn report(&self) -> ObservationReport {
        serde_json::from_slice(&fs::read(&self.report).unwrap()).unwrap()
    }

    /// The processor time that it has used, in seconds.
    pub(crate) fn processor(&self) -> f64 {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields: Vec<_> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        // utime and stime are the fields 14 and 15; the state, field 3, is the first here.
        let ticks: u64 = fields[11..13].iter().map(|it| it.parse::<u64>().unwrap()).sum();
        ticks as f64 / 100.0
    }

    /// The most memory that it has had, in bytes.
    pub(crate) fn peak_memory(&self) -> u64 {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
        line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
    }
}

impl Drop for Apart {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

/// What there is, as soon as there is something.
pub(crate) fn until<T>(what: &str, found: impl Fn() -> Option<T>) -> T {
    wait::until(what, LIMIT, || Ok::<_, WaitError>(found())).unwrap_or_else(|error| panic!("{error}"))
}
