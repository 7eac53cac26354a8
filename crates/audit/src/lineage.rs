//! Whose child each process is, and in which container: remembered, because a process may be gone before anybody can read
//! it.
//!
//! Times are milliseconds of any one clock.

use crate::cgroup::ContainerId;

/// How many processes are remembered. Their numbers are given one after the other, so that a process is forgotten once so
/// many others have started.
pub const PROCESSES_KEPT: usize = 16_384;

/// How much later than its event a process may seem to have started: clocks differ, and are not read at once. Milliseconds.
const TOLERANCE: u64 = 1000;

/// A process that was started.
#[derive(Debug, Clone, Copy)]
struct Known {
    /// 0 for none.
    process: u32,
    /// Whose child it is; 0 where nobody said.
    parent: u32,
    /// When it started, or a time at which it was there.
    since: u64,
    container: Option<ContainerId>,
}

/// The processes of the machine that have started lately. Of fixed size.
///
/// It is right only as long as it is told of every process that starts: a number may be another process's later.
#[derive(Debug, Clone)]
pub struct Lineage {
    places: Box<[Known]>,
    /// Since when it is told of every process.
    complete_since: u64,
}

impl Lineage {
    /// Nothing is known yet. From `now` on it is told of every process that starts.
    #[must_use]
    pub fn new(now: u64) -> Self {
        let nothing = Known { process: 0, parent: 0, since: 0, container: None };
        Self { places: vec![nothing; PROCESSES_KEPT].into(), complete_since: now }
    }

    /// A process was started at this time. It is in its parent's container, if that is known. Returns whether it is.
    pub fn started(&mut self, parent: u32, process: u32, since: u64) -> bool {
        let container = self.known(parent, since).and_then(|it| it.container);
        *self.place(process) = Known { process, parent, since, container };
        container.is_some()
    }

    /// The container of the process that has had this number since `time` or before.
    #[must_use]
    pub fn container(&self, process: u32, time: u64) -> Option<ContainerId> {
        self.known(process, time)?.container
    }

    /// Whose child the process was that had this number at `time`, and when it was started.
    #[must_use]
    pub fn parent(&self, process: u32, time: u64) -> Option<(u32, u64)> {
        self.known(process, time).filter(|it| it.parent != 0).map(|it| (it.parent, it.since))
    }

    /// The process that has this number now, and had it at `time`, is in this container.
    pub fn found(&mut self, process: u32, time: u64, container: ContainerId) {
        let place = self.place(process);
        if place.since > time {
            return;
        }
        if place.process != process {
            *place = Known { process, parent: 0, since: time, container: None };
        }
        place.container = Some(container);
    }

    /// Whether it was not told of this process, which started at `since` although it ought to be told of all: no process
    /// that is as young, this one or another, has its place.
    #[must_use]
    pub fn misses(&self, process: u32, since: u64) -> bool {
        let started_before = |time: u64| time.saturating_add(TOLERANCE) < since;
        started_before(self.complete_since) && started_before(self.places[index(process)].since)
    }

    /// Forgets everything: processes have started of which nobody told. From `now` on it is told of every one.
    pub fn forget(&mut self, now: u64) {
        *self = Self::new(now);
    }

    fn known(&self, process: u32, time: u64) -> Option<&Known> {
        let it = &self.places[index(process)];
        (process != 0 && it.process == process && it.since <= time).then_some(it)
    }

    fn place(&mut self, process: u32) -> &mut Known {
        &mut self.places[index(process)]
    }
}

fn index(process: u32) -> usize {
    process as usize % PROCESSES_KEPT
}

#[cfg(test)]
mod tests {
    use super::*;

    fn container(digit: char) -> ContainerId {
        digit.to_string().repeat(64).parse().unwrap()
    }

    #[test]
    fn the_children_of_a_containers_process_are_in_it_too() {
        let (a, b) = (container('a'), container('b'));
        let mut lineage = Lineage::new(0);
        lineage.found(10, 5, a);
        lineage.found(11, 5, b);
        assert!(lineage.started(10, 20, 6) && lineage.started(20, 21, 7) && lineage.started(11, 22, 8));
        assert_eq!([20, 21, 22].map(|process| lineage.container(process, 9)), [Some(a), Some(a), Some(b)]);
        // The runtime's own children are nobody's until they are found.
        assert!(!lineage.started(1, 30, 9) && !lineage.started(30, 31, 10));
        assert_eq!((lineage.container(31, 11), lineage.parent(31, 11)), (None, Some((30, 10))));
        lineage.found(31, 11, a);
        assert_eq!((lineage.container(31, 11), lineage.container(30, 11)), (Some(a), None));
    }

    #[test]
    fn a_number_that_is_given_again_is_another_process() {
        let (a, b) = (container('a'), container('b'));
        let mut lineage = Lineage::new(0);
        lineage.found(10, 5, a);
        assert!(lineage.started(10, 20, 6));
        // Its number is another's since 50, of which nothing is known, and neither is of what had it before.
        assert!(!lineage.started(1, 20, 50));
        assert_eq!([49, 50].map(|time| lineage.container(20, time)), [None, None]);
        assert_eq!([49, 50].map(|time| lineage.parent(20, time)), [None, Some((1, 50))]);
        // What is found out about an earlier process of this number is not true of this one.
        lineage.found(20, 49, a);
        assert_eq!(lineage.container(20, 60), None);
        lineage.found(20, 50, b);
        assert_eq!([49, 50].map(|time| lineage.container(20, time)), [None, Some(b)]);
        // A parent that has had its number only since the child started is not the child's.
        assert!(!lineage.started(20, 21, 49));
    }

    #[test]
    fn as_many_processes_are_remembered_as_there_is_room_for() {
        let mut lineage = Lineage::new(0);
        lineage.found(1, 0, container('a'));
        let kept = u32::try_from(PROCESSES_KEPT).unwrap();
        for process in 2..kept {
            assert!(lineage.started(process - 1, process, process.into()));
        }
        assert!(
            lineage.container(1, kept.into()).is_some() && lineage.container(kept - 1, kept.into()).is_some()
        );
        assert!(lineage.started(kept - 1, kept + 1, kept.into()));
        assert!(
            lineage.container(1, kept.into()).is_none() && lineage.container(kept + 1, kept.into()).is_some()
        );
        lineage.forget(0);
        assert!((0..2 * kept).all(|process| lineage.container(process, u64::MAX).is_none()));
    }

    #[test]
    fn a_process_of_which_nobody_told_shows_once_all_are_told() {
        let mut lineage = Lineage::new(10_000);
        lineage.found(20, 10_500, container('a'));
        assert!(!lineage.misses(20, 11_000) && !lineage.misses(30, 11_000), "it may have started before");
        assert!(lineage.misses(20, 12_000), "it is not the one that was found");
        assert!(lineage.misses(30, 12_000));
        lineage.started(1, 20, 12_003);
        assert!(!lineage.misses(20, 12_000) && !lineage.misses(20, 12_010));
        // One that has the same place, and is younger.
        lineage.started(1, 20 + u32::try_from(PROCESSES_KEPT).unwrap(), 20_000);
        assert!(!lineage.misses(20, 12_000));
        assert!(lineage.misses(20, 30_000));
        // An older one does not get the place: it would look as if nobody had told of the younger one.
        lineage.found(20, 13_000, container('a'));
        assert!(!lineage.misses(20 + u32::try_from(PROCESSES_KEPT).unwrap(), 20_000));
        lineage.forget(40_000);
        assert!(!lineage.misses(20, 30_000) && lineage.misses(20, 42_000));
    }
}
