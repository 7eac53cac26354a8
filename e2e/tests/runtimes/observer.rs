//! The observer's way from the kernel's records to counts by container, with real containers: as root, in the machine's
//! first network namespace, on a kernel with audit.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use ::observer::audit_socket::{AuditSocket, Blind};
use ::observer::callers::Callers;
use ::observer::metrics::Metrics;
use ::observer::observation::{Observation, Shared, read};
use ::observer::process::Processes;
use ::observer::process_events::ProcessEvents;
use ::observer::{log_links, report};
use api::{ObservationReport, ObservedContainer};
use cluster::wait::{self, WaitError};
use e2e::kernel_records;
use prometheus::Registry;
use serde_json::{Value, json};
use xtask::file_lock::FileLock;

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
    _alone: FileLock,
}

/// Starts a container that makes these calls, and returns what it has printed.
pub(crate) fn run_container(
    root: &Root,
    links: &Path,
    number: usize,
    calls: &[String],
    options: Options,
) -> String {
    let id = id(number);
    let target = format!("/var/log/pods/shop_web-{number}_{POD}/main/0.log");
    symlink(target, links.join(format!("web-{number}_shop_main-{id}.log"))).unwrap();
    let group = format!("kubepods/besteffort/pod{POD}/{id}");
    let seccomp = profile();
    let container = Container {
        options,
        seccomp: Some(&seccomp),
        arguments: calls,
        group: Some(&group),
        ..Container::default()
    };
    match root.run(&Installed::runc(), &container) {
        Start::Ran(printed) => printed,
        start => panic!("{start:?}"),
    }
}

/// What an observer would report.
pub(crate) fn report_of(shared: &Shared, links: &Path) -> ObservationReport {
    let mut seen = shared.lock();
    for (id, name) in log_links::containers(links).unwrap() {
        seen.tally.name(id, name);
    }
    seen.serials.settle();
    report::of(&seen, None, "boot")
}

/// Counts from now on, as the observer does.
pub(crate) fn observe() -> Shared {
    let socket = AuditSocket::open().unwrap_or_else(|blind| panic!("{blind}"));
    let shared = Shared::new(Observation::default());
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let processes = Processes::new(Path::new("/proc")).unwrap();
    let node = "node-1".parse().unwrap();
    let callers = Callers::new(node, processes, ProcessEvents::open(), metrics.clone());
    // Its receiver may go: nobody waits for the thread's end.
    drop(read(socket, callers, shared.clone(), metrics).unwrap());
    shared
}

impl Watching {
    pub(crate) fn begin() -> Self {
        // Its containers have the same ids as those of other tests here, too.
        let alone = kernel_records::alone().unwrap();
        let shared = observe();
        Self { shared, links: tempfile::tempdir().unwrap(), _alone: alone }
    }

    /// Starts a container that makes these calls.
    pub(crate) fn container(&self, root: &Root, number: usize, calls: &[String]) {
        run_container(root, self.links.path(), number, calls, Options::HARMLESS);
    }

    pub(crate) fn report(&self) -> ObservationReport {
        report_of(&self.shared, self.links.path())
    }

    /// The report once it is as wanted, or the last one after the limit.
    pub(crate) fn until(&self, wanted: impl Fn(&ObservationReport) -> bool) -> ObservationReport {
        self.until_within(LIMIT, wanted)
    }

    /// The same with another limit.
    pub(crate) fn until_within(
        &self,
        limit: Duration,
        wanted: impl Fn(&ObservationReport) -> bool,
    ) -> ObservationReport {
        let report = wait::until("the report as wanted", limit, || {
            Ok::<_, WaitError>(Some(self.report()).filter(&wanted))
        });
        report.unwrap_or_else(|_| self.report())
    }
}

/// How often each call was refused or logged in a container.
pub(crate) fn counts(container: &ObservedContainer) -> BTreeMap<(&str, &str, &str), i64> {
    let calls = container.calls.iter();
    calls.map(|it| ((it.architecture.as_str(), it.name.as_str(), it.action.as_str()), it.count)).collect()
}

/// The containers of the tests; the machine may have others.
pub(crate) fn of_shop(report: &ObservationReport) -> Vec<&ObservedContainer> {
    report.containers.iter().filter(|it| it.namespace == "shop").collect()
}

pub(crate) fn sum(containers: &[&ObservedContainer]) -> i64 {
    containers.iter().flat_map(|it| &it.calls).map(|it| it.count).sum()
}

#[test]
fn each_refused_call_of_a_container_is_counted_for_it_by_name_and_action() {
    let watching = Watching::begin();
    let root = Root::new();
    // A process of its own makes each, and stays for two seconds: getppid of x86_64, i386 and x32, sync, getuid, and one that
    // is allowed. That of getpgrp is ended at once.
    let calls = ["20:6e", "20:6e", "21:40", "20:4000006e", "20:a2", "20:66", "20:6b", "0:6f"];
    let calls = calls.map(|call| format!("{call}:0:0:0:0:0:0"));
    thread::scope(|scope| {
        for number in 1..=3 {
            let (watching, root, calls) = (&watching, &root, &calls);
            scope.spawn(move || watching.container(root, number, calls));
        }
    });
    let expected = BTreeMap::from([
        (("x86_64", "getppid", "SCMP_ACT_ERRNO"), 2),
        (("i386", "getppid", "SCMP_ACT_ERRNO"), 1),
        (("x32", "getppid", "SCMP_ACT_ERRNO"), 1),
        (("x86_64", "sync", "SCMP_ACT_ERRNO"), 1),
        (("x86_64", "getuid", "SCMP_ACT_LOG"), 1),
    ]);
    let ended = ("x86_64", "getpgrp", "SCMP_ACT_KILL_PROCESS");
    // A process that is ended may be gone before its control groups are read, and its call is then unknown, as are calls of
    // the machine's other containers.
    let report = watching.until(|report| {
        let found = of_shop(report);
        let all_shown = found.iter().all(|container| {
            let mut counts = counts(container);
            counts.remove(&ended);
            counts == expected
        });
        found.len() == 3 && all_shown && sum(&found) + report.unknown >= 3 * 7
    });
    let found = of_shop(&report);
    assert_eq!(found.len(), 3, "{report:?}");
    for container in &found {
        let mut counts = counts(container);
        assert!(counts.remove(&ended).is_none_or(|count| count == 1));
        assert_eq!((container.pod_uid.as_str(), counts), (POD, expected.clone()));
    }
    let shown = sum(&found);
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

#[test]
fn where_the_kernel_has_no_audit_the_observer_says_so() {
    if std::env::var_os("NO_AUDIT").is_some() {
        assert_eq!(AuditSocket::open().err(), Some(Blind::NoAudit));
        return;
    }
    // As a kernel answers that is compiled without it: every call for a socket of the process.
    let refused = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", "inject=socket:error=EPROTONOSUPPORT"];
    again("NO_AUDIT", &refused, "where_the_kernel_has_no_audit");
}

/// Starts the only test whose name contains `test` again with the variable set, by another program.
pub(crate) fn again(variable: &str, by: &[&str], test: &str) {
    let this = fs::read_link("/proc/self/exe").unwrap();
    let mut command = Command::new(by[0]);
    command.args(&by[1..]).arg(this).args([test, "--include-ignored", "--nocapture"]).env(variable, "1");
    let output = command.output().unwrap();
    eprint!("{}", String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    assert!(String::from_utf8_lossy(&output.stdout).contains("1 passed"), "{output:?}");
}
