//! Containers that make refused calls as fast as the kernel lets them: every call is shown, unknown or lost, and what is
//! remembered stays small.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use ::observer::audit_socket::AuditSocket;
use api::ObservationReport;
use rustix::net::netlink::{AUDIT, SocketAddrNetlink};
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with};

use crate::container::Root;
use crate::observer::{Watching, again};

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
    // mask, enabled, failure, pid, rate_limit, backlog_limit, lost
    u32::from_ne_bytes(answer[16 + 24..16 + 28].try_into().unwrap()).into()
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
    let all_calls = |report: &ObservationReport| {
        let calls = report.containers.iter().filter(|it| it.namespace == "shop").flat_map(|it| &it.calls);
        calls.map(|it| it.count).sum::<i64>()
    };
    // A gap shows with the next record that arrives: without one, the loss of the last ones is not known.
    let mut one_more = 0;
    let mut report = watching.report();
    for number in containers + 1.. {
        watching.container(&root, number, &["2:6e:0:0:0:0:0:0".to_owned()]);
        one_more += 1;
        let is_counted = |report: &ObservationReport| {
            all_calls(report) + report.unknown + report.lost + lost_by_kernel() >= flooded + one_more
        };
        report = watching.until_within(PATIENCE, is_counted);
        if is_counted(&report) || begun.elapsed() > LIMIT {
            break;
        }
    }
    let made = flooded + one_more;
    let (shown, unknown, lost) = (all_calls(&report), report.unknown, report.lost);
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

#[test]
#[ignore = "long: half a million records"]
fn every_call_of_fifty_containers_is_shown_unknown_or_lost() {
    flood_alone(50, "every_call_of_fifty_containers");
}
