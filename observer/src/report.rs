//! The observation as the custom resource has it, and back.

use api::{
    MAX_OBSERVED_CALLS, MAX_OBSERVED_CONTAINERS, ObservationReport, ObservedCall, ObservedContainer,
    ObserverState,
};
use audit::{
    Call, Container, ContainerId, ContainerName, Count, MAX_CALLS, MAX_CALLS_OF_CONTAINER, Serials, Tally,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use crate::audit_socket::Blind;
use crate::observation::Observation;

// What is counted fits into a report.
const _: () = assert!(MAX_CALLS <= MAX_OBSERVED_CONTAINERS && MAX_CALLS_OF_CONTAINER <= MAX_OBSERVED_CALLS);

/// The report on `seen` of an observer that is blind for the reason given, in the node's run `boot`. Where the observer is,
/// it adds itself.
#[must_use]
pub fn of(seen: &Observation, blind: Option<Blind>, boot: &str) -> ObservationReport {
    let state = if blind.is_some() { ObserverState::Blind } else { ObserverState::Observing };
    ObservationReport {
        observer_version: env!("CARGO_PKG_VERSION").to_owned(),
        namespace: String::new(),
        state: state.into(),
        reason: blind.map(|blind| blind.reason().to_owned()).unwrap_or_default(),
        message: blind.map(|blind| blind.to_string()).unwrap_or_default(),
        containers: seen.tally.named().map(|(id, name, calls)| container(id, name, calls)).collect(),
        outside: number(seen.tally.outside_count()),
        unknown: number(seen.tally.unknown_count()),
        unnamed: number(seen.tally.unnamed_count()),
        forgotten: number(seen.tally.forgotten_count()),
        lost: number(seen.serials.lost()),
        boot: boot.to_owned(),
        last_serial: seen.serials.last().map(i64::from),
    }
}

/// What an earlier observer reported, to count on from. Entries that no observer writes are left out.
#[must_use]
pub fn restored(report: ObservationReport, boot: &str) -> Observation {
    let last = report.last_serial.filter(|_| report.boot == boot).and_then(|last| u32::try_from(last).ok());
    let containers =
        report.containers.into_iter().filter_map(|it| Some((it.container_id.parse().ok()?, counted(it))));
    Observation {
        tally: Tally::restored(
            containers,
            count(report.outside),
            count(report.unknown),
            count(report.forgotten),
        ),
        serials: Serials::after(last, count(report.lost)),
    }
}

/// Whether `new` says something that `old` does not. The calls outside of all pods and the serial numbers alone are no
/// news: they change although nobody in the cluster is concerned.
#[must_use]
pub fn is_news(new: &ObservationReport, old: &ObservationReport) -> bool {
    let quiet = ObservationReport { outside: old.outside, last_serial: old.last_serial, ..new.clone() };
    quiet != *old
}

fn container(id: ContainerId, name: &ContainerName, counted: &Container) -> ObservedContainer {
    ObservedContainer {
        namespace: name.namespace.clone(),
        pod: name.pod.clone(),
        pod_uid: name.uid.clone(),
        container: name.container.clone(),
        container_id: id.to_string(),
        calls: counted.calls.iter().map(|(call, count)| observed(call, count)).collect(),
        further: number(counted.further),
    }
}

fn observed(call: &Call, count: &Count) -> ObservedCall {
    ObservedCall {
        architecture: call.architecture_name(),
        number: call.number.into(),
        name: call.name(),
        action: call.action.to_string(),
        count: number(count.count),
        first: Some(time(count.first)),
        last: Some(time(count.last)),
        program: count.program.clone(),
    }
}

fn counted(observed: ObservedContainer) -> Container {
    let calls = observed.calls.into_iter().filter_map(|it| {
        let call = Call::of(&it.architecture, u32::try_from(it.number).ok()?, &it.action)?;
        let last = it.last.map(millis).unwrap_or_default();
        let first = it.first.map_or(last, millis);
        Some((call, Count { count: count(it.count), first, last, program: it.program }))
    });
    let mut container = Container {
        name: Some(ContainerName {
            namespace: observed.namespace,
            pod: observed.pod,
            uid: observed.pod_uid,
            container: observed.container,
        }),
        calls: calls.collect(),
        further: count(observed.further),
        last: 0,
    };
    container.last = container.calls.values().map(|it| it.last).max().unwrap_or_default();
    container
}

fn number(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn count(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}

fn time(millis: u64) -> Time {
    let second = i64::try_from(millis / 1000).unwrap_or(i64::MAX);
    Time(Timestamp::from_second(second).unwrap_or(Timestamp::UNIX_EPOCH))
}

fn millis(time: Time) -> u64 {
    count(time.0.as_second()).saturating_mul(1000)
}

#[cfg(test)]
mod tests {
    use audit::{Action, Arch, Record};

    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn seen() -> Observation {
        let mut seen = Observation::default();
        let id: ContainerId = ID.parse().unwrap();
        let record = |serial, time, number| Record {
            serial,
            time,
            pid: 1,
            program: "/bin/sh".to_owned(),
            call: Call { arch: Arch(0xc000_003e), number, action: Action::Errno },
        };
        for (serial, number) in [(7, 110), (9, 110), (10, 0x4000_006e), (11, 5000)] {
            seen.serials.saw(serial);
            seen.tally.count(id, record(serial, 1_795_945_277_000 + u64::from(serial) * 1000, number));
        }
        seen.tally.name(
            id,
            ContainerName {
                namespace: "shop".into(),
                pod: "web-1".into(),
                uid: "u".into(),
                container: "main".into(),
            },
        );
        seen.tally.outside();
        seen.tally.unknown();
        seen.serials.settle();
        seen
    }

    #[test]
    fn a_report_names_the_pod_the_call_and_what_was_missed() {
        let report = of(&seen(), None, "boot");
        assert_eq!(report.state, ObserverState::Observing);
        assert_eq!((report.outside, report.unknown, report.lost), (1, 1, 1));
        let container = &report.containers[0];
        assert_eq!((container.pod.as_str(), container.calls.len()), ("web-1", 3));
        let call = container.calls.iter().find(|call| call.name == "getppid" && call.count == 2).unwrap();
        assert_eq!((call.architecture.as_str(), call.action.as_str()), ("x86_64", "SCMP_ACT_ERRNO"));
        assert_eq!(call.last.as_ref().unwrap().0.as_second() - call.first.as_ref().unwrap().0.as_second(), 2);
    }

    #[test]
    fn unknown_calls_of_containers_that_may_still_be_named_are_told_from_the_others() {
        let mut seen = seen();
        let id: ContainerId = ID.replace('0', "f").parse().unwrap();
        let call = Call { arch: Arch(0xc000_003e), number: 110, action: Action::Log };
        seen.tally.count(id, Record { serial: 12, time: 5, pid: 1, program: "/bin/sh".to_owned(), call });
        let report = of(&seen, None, "boot");
        assert_eq!((report.unknown, report.unnamed), (2, 1));
        // Whose they are is not in the report, from which the next observer goes on.
        let again = of(&restored(report, "boot"), None, "boot");
        assert_eq!((again.unknown, again.unnamed), (2, 0));
        seen.tally.give_up_names_before(6);
        let report = of(&seen, None, "boot");
        assert_eq!((report.unknown, report.unnamed), (2, 0));
    }

    #[test]
    fn counts_survive_a_restart_and_what_passed_meanwhile_was_lost() {
        let first = of(&seen(), None, "boot");
        let mut again = restored(first.clone(), "boot");
        assert_eq!(of(&again, None, "boot"), first);
        again.serials.saw(15);
        again.serials.settle();
        assert_eq!(of(&again, None, "boot").lost, first.lost + 3);
        // After a start of the node, serials begin again.
        let mut rebooted = restored(first.clone(), "other");
        rebooted.serials.saw(2);
        rebooted.serials.settle();
        assert_eq!(of(&rebooted, None, "other").lost, first.lost);
        assert_eq!(of(&rebooted, None, "other").containers, first.containers);
    }

    #[test]
    fn a_blind_observer_says_why_and_keeps_what_is_known() {
        let report = of(&seen(), Some(Blind::NoAuditRead), "boot");
        assert_eq!(report.state, ObserverState::Blind);
        assert_eq!(report.reason, "NoAuditRead");
        assert!(report.message.contains("AUDIT_READ") && report.containers.len() == 1, "{report:?}");
    }

    #[test]
    fn calls_outside_of_pods_are_no_news() {
        let mut seen = seen();
        let old = of(&seen, None, "boot");
        seen.tally.outside();
        seen.serials.saw(12);
        let new = of(&seen, None, "boot");
        assert!(new != old && !is_news(&new, &old));
        seen.tally.unknown();
        assert!(is_news(&of(&seen, None, "boot"), &old));
        assert!(is_news(&of(&seen, Some(Blind::NoAudit), "boot"), &new));
    }
}
