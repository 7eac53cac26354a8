//! The counts, under whatever comes.

#![allow(clippy::unwrap_used, reason = "this file is a test")]

use audit::{
    Action, Arch, Call, ContainerId, ContainerName, MAX_CALLS, MAX_CALLS_OF_CONTAINER, Record, Tally,
};
use proptest::prelude::*;

fn id(number: u8) -> ContainerId {
    format!("{number:064x}").parse().unwrap()
}

fn record(number: u32, time: u64) -> Record {
    let call = Call { arch: Arch(0xc000_003e), number, action: Action::Errno };
    Record { serial: 0, time, pid: 1, program: format!("/p{time}"), call }
}

fn name(pod: &str) -> ContainerName {
    ContainerName { namespace: "shop".into(), pod: pod.into(), uid: String::new(), container: "main".into() }
}

fn shown(tally: &Tally) -> u64 {
    tally.named().map(|(_, _, container)| container.total()).sum()
}

#[test]
fn a_call_has_its_first_and_last_time_and_the_program_that_made_it_last() {
    let mut tally = Tally::default();
    for time in [5, 9, 7] {
        tally.count(id(1), record(110, time));
    }
    assert!(tally.wants_names());
    assert_eq!((shown(&tally), tally.unknown_count()), (0, 3));
    tally.name(id(1), name("web"));
    tally.name(id(2), name("other"));
    assert!(!tally.wants_names());
    let (_, found, container) = tally.named().next().unwrap();
    let count = container.calls.values().next().unwrap();
    assert_eq!((found.pod.as_str(), count.count, count.first, count.last), ("web", 3, 5, 9));
    assert_eq!(count.program, "/p9");
    assert_eq!(tally.unknown_count(), 0);
}

#[test]
fn the_calls_of_a_container_that_gets_no_name_in_time_stay_unknown_whatever_is_named_later() {
    let mut tally = Tally::default();
    for (container, time) in [(1, 10), (1, 30), (2, 20), (3, 10)] {
        tally.count(id(container), record(110, time));
    }
    tally.name(id(3), name("web"));
    assert_eq!(tally.give_up_names_before(10), []);
    assert_eq!((tally.unknown_count(), tally.unnamed_count()), (3, 3));
    let before = tally.revision();
    let given_up: Vec<_> =
        tally.give_up_names_before(20).into_iter().map(|(id, it)| (id, it.total())).collect();
    assert_eq!(given_up, [(id(1), 2)], "so that it can be said whose they were");
    assert_eq!((tally.unknown_count(), tally.unnamed_count()), (3, 1), "since 10, and since 20");
    assert_ne!(tally.revision(), before);
    (1..3).for_each(|container| tally.name(id(container), name("late")));
    assert_eq!((shown(&tally), tally.unknown_count(), tally.unnamed_count()), (2, 2, 0));
    tally.count(id(1), record(110, 40));
    tally.name(id(1), name("late"));
    assert_eq!((shown(&tally), tally.unknown_count()), (3, 2), "what it does from then on is its own");
    // They leave their room to others.
    let containers = (MAX_CALLS / MAX_CALLS_OF_CONTAINER) as u8;
    for first in [10, 10 + containers] {
        for container in first..first + containers {
            (0..MAX_CALLS_OF_CONTAINER as u32).for_each(|call| tally.count(id(container), record(call, 50)));
        }
        tally.give_up_names_before(60);
    }
    assert_eq!(tally.forgotten_count(), 0);
}

#[test]
fn a_container_that_makes_every_call_takes_no_room_of_others() {
    let mut tally = Tally::default();
    tally.count(id(1), record(1, 1));
    (0..100_000).for_each(|number| tally.count(id(2), record(number, 2)));
    tally.name(id(1), name("web"));
    tally.name(id(2), name("hostile"));
    let of: Vec<_> = tally.named().map(|(_, _, it)| (it.calls.len(), it.total())).collect();
    assert_eq!(of, [(1, 1), (MAX_CALLS_OF_CONTAINER, 100_000)]);
    assert_eq!(tally.forgotten_count(), 0);
}

#[test]
fn the_container_that_was_quiet_for_the_longest_time_makes_room() {
    let mut tally = Tally::default();
    let containers = (MAX_CALLS / MAX_CALLS_OF_CONTAINER + 1) as u8;
    for container in 0..containers {
        (0..MAX_CALLS_OF_CONTAINER as u32)
            .for_each(|call| tally.count(id(container), record(call, u64::from(container) + 1)));
    }
    assert_eq!(tally.forgotten_count(), MAX_CALLS_OF_CONTAINER as u64);
    (0..containers).for_each(|container| tally.name(id(container), name("p")));
    assert!(tally.named().all(|(it, ..)| it != id(0)));
}

#[test]
fn what_is_old_is_forgotten() {
    let mut tally = Tally::default();
    tally.count(id(1), record(1, 10));
    tally.count(id(1), record(2, 20));
    tally.count(id(2), record(1, 10));
    (1..3).for_each(|container| tally.name(id(container), name("p")));
    let before = tally.revision();
    tally.forget_before(10);
    assert_eq!((tally.revision(), shown(&tally)), (before, 3));
    tally.forget_before(11);
    assert_eq!(tally.named().map(|(it, ..)| it).collect::<Vec<_>>(), [id(1)]);
    assert_eq!(shown(&tally), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    /// Every call is in exactly one count, and the memory is bounded.
    #[test]
    fn nothing_is_counted_twice_or_not_at_all(
        calls in proptest::collection::vec((0_u8..40, 0_u32..100, 0_u64..50), 0..4000),
        named in proptest::collection::btree_set(0_u8..40, 0..40),
        given_up in 0_u64..50,
        strangers in (0_u64..5, 0_u64..5),
    ) {
        let mut tally = Tally::default();
        for (container, call, time) in &calls {
            tally.count(id(*container), record(*call, *time));
        }
        (0..strangers.0).for_each(|_| tally.outside());
        (0..strangers.1).for_each(|_| tally.unknown());
        named.iter().for_each(|container| tally.name(id(*container), name("p")));
        tally.give_up_names_before(given_up);
        let all = |tally: &Tally| {
            shown(tally) + tally.unknown_count() + tally.outside_count() + tally.forgotten_count()
        };
        let made = calls.len() as u64 + strangers.0 + strangers.1;
        prop_assert_eq!(all(&tally), made);
        prop_assert_eq!(tally.outside_count(), strangers.0);
        let kept: usize = tally.named().map(|(_, _, it)| it.calls.len()).sum();
        prop_assert!(kept <= MAX_CALLS);
        // What a report has is what a restart begins with.
        let saved: Vec<_> = tally.named().map(|(id, _, container)| (id, container.clone())).collect();
        let again = Tally::restored(saved.clone(), tally.outside_count(), tally.unknown_count(), tally.forgotten_count());
        prop_assert_eq!(all(&again), made);
        prop_assert!(again.named().map(|(id, _, container)| (id, container.clone())).eq(saved));
    }
}
