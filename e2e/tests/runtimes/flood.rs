//! Containers that make refused calls as fast as the kernel lets them: every call is shown, unknown or lost, and what is
//! remembered stays small.

use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use ::observer::audit_socket::AuditSocket;
use api::ObservationReport;
use cluster::wait::{self, WaitError};
use e2e::kernel_records;
use rustix::net::netlink::{AUDIT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};
use rustix::thread::{CpuSet, sched_setaffinity};
use xtask::file_lock::FileLock;

use crate::apart::{Apart, MEMORY, Pods, observe_if_apart, until};
use crate::container::{Options, Root};
use crate::observer::{Watching, again, of_shop, run_container};

/// How often a process of the probe makes a call that it repeats.
const TIMES: i64 = 10_000;
/// The most that the observer's memory may grow, in bytes.
const GROWTH: u64 = 16 << 20;

/// How long a call may take to be counted before another one is made.
const PATIENCE: Duration = Duration::from_secs(3);
/// How long the whole test may take until every call is counted.
const LIMIT: Duration = Duration::from_mins(2);

/// How many records the kernel says it has lost since it started (`struct audit_status` of `linux/audit.h`). It counts those
/// that it drops before they have a serial, and also some that its multicast group has received and auditd has not.
fn lost_by_kernel() -> i64 {
    audit_status()[6].into()
}

/// The process that the kernel takes for its audit daemon; 0 for none.
pub(crate) fn audit_daemon() -> u32 {
    audit_status()[3]
}

/// `struct audit_status`: mask, enabled, failure, pid, rate limit, backlog limit, lost.
fn audit_status() -> [u32; 7] {
    const AUDIT_GET: u16 = 1000;
    let socket =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(AUDIT)).unwrap();
    let mut request = 16u32.to_ne_bytes().to_vec();
    // NLM_F_REQUEST, and a number of the request.
    request.extend(
        AUDIT_GET.to_ne_bytes().into_iter().chain(1u16.to_ne_bytes()).chain([1, 0, 0, 0, 0, 0, 0, 0]),
    );
    sendto(&socket, &request, SendFlags::empty(), &SocketAddrNetlink::new(0, 0)).unwrap();
    let mut answer = [0; 1024];
    let (length, _) = recv(&socket, &mut answer, RecvFlags::empty()).unwrap();
    assert!(length >= 16 + 28 && answer[4..6] == AUDIT_GET.to_ne_bytes(), "{:?}", &answer[..length]);
    std::array::from_fn(|at| u32::from_ne_bytes(answer[16 + 4 * at..20 + 4 * at].try_into().unwrap()))
}

/// The memory of this process, in bytes. No other test must run in it.
fn memory() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() << 10
}

fn flood(containers: usize) {
    let watching = Watching::begin();
    let root = Root::new();
    let (lost_before, memory_before, begun) = (lost_by_kernel(), memory(), Instant::now());
    // getppid is refused with an error, and recorded because of the flag.
    thread::scope(|scope| {
        for number in 1..=containers {
            let (watching, root) = (&watching, &root);
            scope.spawn(move || watching.container(root, number, &["12:6e:0:0:0:0:0:0".to_owned()]));
        }
    });
    let seconds = begun.elapsed().as_secs_f64();
    let flooded = TIMES * i64::try_from(containers).unwrap();
    let lost_by_kernel = || lost_by_kernel() - lost_before;
    // A gap shows with the next record that arrives: without one, the loss of the last ones is not known.
    let mut one_more = 0;
    let mut report = watching.report();
    for number in containers + 1.. {
        watching.container(&root, number, &["2:6e:0:0:0:0:0:0".to_owned()]);
        one_more += 1;
        let is_counted = |report: &ObservationReport| {
            shown(report) + report.unknown + report.lost + lost_by_kernel() >= flooded + one_more
        };
        report = watching.until_within(PATIENCE, is_counted);
        if is_counted(&report) || begun.elapsed() > LIMIT {
            break;
        }
    }
    let made = flooded + one_more;
    let (shown, unknown, lost) = (shown(&report), report.unknown, report.lost);
    let (dropped, growth) = (lost_by_kernel(), memory().saturating_sub(memory_before));
    eprintln!(
        "{containers} containers, {made} calls in {seconds:.1} s: shown {shown}, unknown {unknown}, lost {lost}; the kernel \
         counts {dropped} as lost; memory grew by {growth} bytes"
    );
    assert!(
        shown + unknown + lost + dropped >= made,
        "{} calls are missing",
        made - shown - unknown - lost - dropped
    );
    for container in report.containers.iter().filter(|it| it.namespace == "shop") {
        let [call] = &container.calls[..] else { panic!("{container:?}") };
        assert!(call.name == "getppid" && call.action == "SCMP_ACT_ERRNO" && call.count <= TIMES, "{call:?}");
    }
    assert!(growth <= GROWTH, "{growth} bytes");
}

/// Floods in a process of its own, whose memory is that of the observer alone. `test` is what calls this.
fn flood_alone(containers: usize, test: &str) {
    const ALONE: &str = "FLOOD_ALONE";
    if std::env::var_os(ALONE).is_some() {
        flood(containers);
    } else {
        // It ends with this thread.
        again(ALONE, &["setpriv", "--pdeathsig", "KILL"], test);
    }
}

#[test]
fn every_call_of_containers_that_make_them_as_fast_as_they_can_is_shown_unknown_or_lost() {
    // Without it, nothing below would be about the kernel.
    drop(AuditSocket::open().unwrap_or_else(|blind| panic!("{blind}")));
    flood_alone(4, "every_call_of_containers_that_make");
}

/// Fifty containers that make calls for so often ten seconds, as fast as the kernel lets them, and count them themselves.
struct Fifty {
    root: Root,
    links: tempfile::TempDir,
    reports: tempfile::TempDir,
    pods: Pods,
    _alone: FileLock,
}

impl Fifty {
    const CONTAINERS: usize = 50;

    fn new() -> Self {
        // Without it, nothing below would be about the kernel.
        drop(AuditSocket::open().unwrap_or_else(|blind| panic!("{blind}")));
        let alone = kernel_records::alone().unwrap();
        let folder = || tempfile::tempdir().unwrap();
        Self { root: Root::new(), links: folder(), reports: folder(), pods: Pods::new(), _alone: alone }
    }

    fn observer(&self, test: &str) -> Apart {
        Apart::start(&format!("flood::{test}"), &self.pods, self.links.path(), self.reports.path())
    }

    /// How many calls they have made.
    fn run(&self, times: usize) -> i64 {
        let calls = vec!["80:6e:0:0:0:0:0:0".to_owned(); times];
        let options = Options { seconds: 250, ..Options::HARMLESS };
        thread::scope(|scope| {
            let one = |number| {
                let (calls, options) = (&calls, &options);
                scope.spawn(move || {
                    self.pods.join("besteffort");
                    let printed = run_container(&self.root, self.links.path(), number, calls, *options);
                    // A line for each: its index, `returns`, and how often.
                    let counts = printed
                        .lines()
                        .filter_map(|line| line.split_once(" returns ")?.1.parse::<i64>().ok());
                    let counts: Vec<_> = counts.collect();
                    assert_eq!(counts.len(), times, "{printed}");
                    counts.iter().sum::<i64>()
                })
            };
            let started: Vec<_> = (1..=Self::CONTAINERS).map(one).collect();
            started.into_iter().map(|it| it.join().unwrap()).sum()
        })
    }
}

#[test]
#[ignore = "long: fifty containers for ten seconds"]
fn every_call_of_fifty_containers_in_ten_seconds_is_shown_unknown_or_lost() {
    observe_if_apart();
    let fifty = Fifty::new();
    let observer = fifty.observer("every_call_of_fifty_containers_in_ten_seconds_is_shown_unknown_or_lost");
    let (dropped_before, processor_before, begun) = (lost_by_kernel(), observer.processor(), Instant::now());
    let flooded = fifty.run(1);
    let (seconds, processor) = (begun.elapsed().as_secs_f64(), observer.processor() - processor_before);
    eprintln!("{flooded} calls in {seconds:.1} s");
    // A gap shows with the next record that arrives.
    let (mut made, mut report) = (flooded, observer.report());
    let all = |report: &ObservationReport| shown(report) + report.unknown + report.lost;
    for number in Fifty::CONTAINERS + 1.. {
        let one = ["2:6e:0:0:0:0:0:0".to_owned()];
        run_container(&fifty.root, fifty.links.path(), number, &one, Options::HARMLESS);
        made += 1;
        let dropped = lost_by_kernel() - dropped_before;
        let known = wait::until("the calls being counted", 2 * PATIENCE, || {
            report = observer.report();
            Ok::<_, WaitError>((all(&report) + dropped >= made).then_some(()))
        });
        if known.is_ok() || begun.elapsed() > LIMIT {
            break;
        }
    }
    let dropped = lost_by_kernel() - dropped_before;
    let (shown, unknown, lost) = (shown(&report), report.unknown, report.lost);
    let memory = observer.peak_memory();
    eprintln!(
        "{made} calls: shown {shown}, unknown {unknown}, lost {lost}; dropped by the kernel before they had a serial: \
         {dropped}; the observer used {:.2} of a processor and {:.1} MiB",
        processor / seconds,
        memory as f64 / f64::from(1 << 20)
    );
    assert!(shown + unknown + lost + dropped >= made);
    // Whatever else the machine recorded meanwhile is at most a few.
    assert!(shown + unknown + lost <= made + made / 100, "more than were made");
    assert!(processor <= seconds * 0.55 && memory <= MEMORY, "more than the limit");
}

#[test]
#[ignore = "long: fifty containers for a minute"]
fn a_bystander_on_another_processor_does_not_notice_the_observer_of_a_flood() {
    const TEST: &str = "a_bystander_on_another_processor_does_not_notice_the_observer_of_a_flood";
    const PAIRS: usize = 16;
    observe_if_apart();
    let fifty = Fifty::new();
    let is_over = AtomicBool::new(false);
    let mut ratios = thread::scope(|scope| {
        let flood = scope.spawn(|| {
            // What this thread starts stays there, too.
            pin(0);
            // More than the pairs take.
            let made = fifty.run(12);
            is_over.store(true, Ordering::Relaxed);
            made
        });
        let first = fifty.observer(TEST);
        until("all containers making calls", || {
            let making = of_shop(&first.report()).iter().filter(|it| !it.calls.is_empty()).count();
            (making == Fifty::CONTAINERS).then_some(())
        });
        drop(first);
        pin(1);
        fifty.pods.join("burstable/bystander");
        work();
        let mut ratios = Vec::new();
        for pair in 0..PAIRS {
            let with = || {
                let observer = fifty.observer(TEST);
                // It has taken what had waited.
                work();
                let done = work();
                until("the observer's counts", || (shown(&observer.report()) > 0).then_some(()));
                done
            };
            let without = || {
                work();
                work()
            };
            let (on, off) = if pair % 2 == 0 {
                let on = with();
                (on, without())
            } else {
                let off = without();
                (with(), off)
            };
            assert!(!is_over.load(Ordering::Relaxed), "the flood has ended too early");
            eprintln!("with the observer {on}, without {off}: {:.3}", on / off);
            ratios.push(on / off);
        }
        eprintln!("the containers made {} calls", flood.join().unwrap());
        ratios
    });
    ratios.sort_by(f64::total_cmp);
    let median = f64::midpoint(ratios[PAIRS / 2 - 1], ratios[PAIRS / 2]);
    eprintln!("median {median:.3} of {PAIRS} pairs");
    assert!(median >= 0.95, "{ratios:?}");
}

/// Lets this thread, and what it starts, run on one processor only.
fn pin(processor: usize) {
    let mut set = CpuSet::new();
    set.set(processor);
    sched_setaffinity(None, &set).unwrap();
}

/// How much a program does in a second.
fn work() -> f64 {
    let begun = Instant::now();
    let (mut rounds, mut value) = (0_u64, 1_u64);
    while begun.elapsed() < Duration::from_secs(1) {
        for _ in 0..10_000 {
            value = std::hint::black_box(value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1));
        }
        rounds += 1;
    }
    rounds as f64
}

/// How many calls are shown for the containers.
fn shown(report: &ObservationReport) -> i64 {
    of_shop(report).iter().flat_map(|it| &it.calls).map(|it| it.count).sum()
}
