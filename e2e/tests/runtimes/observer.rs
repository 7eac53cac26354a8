//! The observer's way from the kernel's records to counts by container, with real containers: as root, in the machine's
//! first network namespace, on a kernel with audit.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use ::observer::audit_socket::{AuditSocket, Blind};
use ::observer::metrics::Metrics;
use ::observer::observation::{Observation, Shared, read};
use ::observer::process::Processes;
use ::observer::{log_links, report};
use api::{ObservationReport, ObservedContainer};
use prometheus::Registry;
use serde_json::{Value, json};

use crate::container::{Container, Options, Root, Start};
use crate::installed::Installed;

const LIMIT: Duration = Duration::from_secs(30);
/// The pod of every container here.
const POD: &str = "9f3b8a52-0c8d-4b7e-9d4f-5a1f2e3d4c5b";

/// Refuses some calls with an error and a record, ends the process for one, and logs one.
fn profile() -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "flags": ["SECCOMP_FILTER_FLAG_LOG"],
        "syscalls": [
            { "names": ["getppid", "sync"], "action": "SCMP_ACT_ERRNO", "errnoRet": 1 },
            { "names": ["getpgrp"], "action": "SCMP_ACT_KILL_PROCESS" },
            { "names": ["getuid"], "action": "SCMP_ACT_LOG" },
        ],
    })
}

/// The number of a container that ends with this one.
fn id(number: usize) -> String {
    format!("{number:064x}")
}

/// An observer without an API server, and the kubelet's links.
pub(crate) struct Watching {
    shared: Shared,
    links: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// Keeps other tests from reading the kernel's records until it is dropped: what one test makes fills the buffers of
/// another, and its containers have the same ids.
pub(crate) fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Watching {
    pub(crate) fn begin() -> Self {
        let alone = alone();
        let socket = AuditSocket::open().unwrap_or_else(|blind| panic!("{blind}"));
        let shared = Shared::new(Observation::default());
        let metrics = Metrics::new(&Registry::new()).unwrap();
        let processes = Processes::new(Path::new("/proc")).unwrap();
        // Its receiver may go: nobody waits for the thread's end.
        drop(read(socket, processes, shared.clone(), metrics).unwrap());
        Self { shared, links: tempfile::tempdir().unwrap(), _alone: alone }
    }

    /// Starts a container that makes these calls.
    pub(crate) fn container(&self, root: &Root, number: usize, calls: &[String]) {
        let id = id(number);
        let target = format!("/var/log/pods/shop_web-{number}_{POD}/main/0.log");
        symlink(target, self.links.path().join(format!("web-{number}_shop_main-{id}.log"))).unwrap();
        let group = format!("kubepods/besteffort/pod{POD}/{id}");
        let (seccomp, options) = (profile(), Options { seconds: 30, ..Options::HARMLESS });
        let container = Container {
            options,
            seccomp: Some(&seccomp),
            arguments: calls,
            group: Some(&group),
            ..Container::default()
        };
        let start = root.run(&Installed::runc(), &container);
        assert!(matches!(start, Start::Ran(_)), "{start:?}");
    }

    pub(crate) fn report(&self) -> ObservationReport {
        let mut seen = self.shared.lock();
        for (id, name) in log_links::containers(self.links.path()).unwrap() {
            seen.tally.name(id, name);
        }
        seen.serials.settle();
        report::of(&seen, None, "boot")
    }

    /// The report once it is as wanted, or the last one after the limit.
    fn until(&self, wanted: impl Fn(&ObservationReport) -> bool) -> ObservationReport {
        self.until_within(LIMIT, wanted)
    }

    /// The same with another limit.
    pub(crate) fn until_within(
        &self,
        limit: Duration,
        wanted: impl Fn(&ObservationReport) -> bool,
    ) -> ObservationReport {
        let begun = Instant::now();
        loop {
            let report = self.report();
            if wanted(&report) || begun.elapsed() > limit {
                return report;
            }
            std::thread::yield_now();
        }
    }
}

/// How often each call was refused or logged in a container.
fn counts(container: &ObservedContainer) -> BTreeMap<(&str, &str, &str), i64> {
    let calls = container.calls.iter();
    calls.map(|it| ((it.architecture.as_str(), it.name.as_str(), it.action.as_str()), it.count)).collect()
}

fn sum(report: &ObservationReport) -> i64 {
    report.containers.iter().flat_map(|it| &it.calls).map(|it| it.count).sum()
}

#[test]
fn each_refused_call_of_a_container_is_counted_for_it_by_name_and_action() {
    let watching = Watching::begin();
    let root = Root::new();
    // A process of its own makes each, and stays for a quarter of a second: getppid of x86_64, i386 and x32, sync, getuid,
    // and one that is allowed. That of getpgrp is ended at once.
    let calls = ["2:6e", "2:6e", "3:40", "2:4000006e", "2:a2", "2:66", "2:6b", "0:6f"];
    let calls = calls.map(|call| format!("{call}:0:0:0:0:0:0"));
    for number in 1..=3 {
        watching.container(&root, number, &calls);
    }
    let report = watching.until(|report| sum(report) + report.unknown >= 3 * 7);
    let expected = BTreeMap::from([
        (("x86_64", "getppid", "SCMP_ACT_ERRNO"), 2),
        (("i386", "getppid", "SCMP_ACT_ERRNO"), 1),
        (("x32", "getppid", "SCMP_ACT_ERRNO"), 1),
        (("x86_64", "sync", "SCMP_ACT_ERRNO"), 1),
        (("x86_64", "getuid", "SCMP_ACT_LOG"), 1),
    ]);
    let ended = ("x86_64", "getpgrp", "SCMP_ACT_KILL_PROCESS");
    let found: Vec<_> = report.containers.iter().filter(|it| it.namespace == "shop").collect();
    assert_eq!(found.len(), 3, "{report:?}");
    // A process that is ended may be gone before its control groups are read, and its call is then unknown.
    for container in &found {
        let mut counts = counts(container);
        assert!(counts.remove(&ended).is_none_or(|count| count == 1));
        assert_eq!((container.pod_uid.as_str(), counts), (POD, expected.clone()));
    }
    let shown: i64 = found.iter().flat_map(|it| &it.calls).map(|it| it.count).sum();
    eprintln!("{} of 3 calls of processes that were ended were attributed", shown - 18);
    assert!(shown + report.unknown >= 21, "{report:?}");
    assert!(found.iter().flat_map(|it| &it.calls).all(|it| it.program == "/probe"), "{found:?}");
}

#[test]
fn in_another_network_namespace_the_group_can_be_joined_and_the_observer_says_that_nothing_arrives() {
    // The test itself is started again there.
    if std::env::var_os("OTHER_NAMESPACE").is_some() {
        assert_eq!(AuditSocket::open().err(), Some(Blind::OtherNetworkNamespace));
        return;
    }
    again("OTHER_NAMESPACE", &["unshare", "--net"], "in_another_network_namespace");
}

#[test]
fn without_the_capability_the_observer_says_so() {
    if std::env::var_os("NO_CAPABILITY").is_some() {
        assert_eq!(AuditSocket::open().err(), Some(Blind::NoAuditRead));
        return;
    }
    again(
        "NO_CAPABILITY",
        &["setpriv", "--bounding-set=-audit_read", "--inh-caps=-audit_read"],
        "without_the_cap",
    );
}

/// Starts the tests whose names contain `test` again with the variable set, by another program.
fn again(variable: &str, by: &[&str], test: &str) {
    let this = fs::read_link("/proc/self/exe").unwrap();
    let mut command = Command::new(by[0]);
    command.args(&by[1..]).arg(this).arg(test).env(variable, "1");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}
