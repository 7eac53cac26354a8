//! Tracks which parts of a program are not ready yet, and which hang.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long a step may take before its part counts as not ready. For an agent, the operator then reports that the node
/// has no working agent.
const SLOW: Duration = Duration::from_mins(1);

/// How long a step may take before the program counts as dead, and the kubelet restarts it.
///
/// It must be longer than every delay that ends by itself, because a restart does not make a slow disk faster: the
/// kernel gives up a command to a SCSI disk after 30 s and five repetitions and a lost iSCSI session after 120 s, and
/// reports a hung task after 120 s. A call that takes ten minutes will not return.
const HUNG: Duration = Duration::from_mins(10);

/// The parts that are not ready yet, and the parts that can hang. The program is ready once all parts are ready and
/// none hangs.
///
/// Each part has a [`ReadyHandle`] and calls [`ReadyHandle::ready`]. A part that ends before that stays in the set. A
/// part whose steps might hang has a [`Pulse`].
#[derive(Debug, Clone, Default)]
pub struct Readiness {
    parts: Arc<Mutex<Parts>>,
}

#[derive(Debug, Default)]
struct Parts {
    pending: BTreeSet<&'static str>,
    pulses: Vec<(&'static str, Pulse)>,
}

/// Marks one part as ready.
#[derive(Debug)]
#[must_use = "a part whose handle is dropped never becomes ready"]
pub struct ReadyHandle {
    part: &'static str,
    readiness: Readiness,
}

/// A part that may be ready at one time and not at another.
#[derive(Debug)]
pub struct Changeable {
    part: &'static str,
    readiness: Readiness,
}

/// The start of the current step of a part, if there is one.
#[derive(Debug, Clone, Default)]
pub struct Pulse {
    since: Arc<Mutex<Option<Instant>>>,
}

impl Readiness {
    /// Adds a part that is not ready.
    pub fn part(&self, part: &'static str) -> ReadyHandle {
        lock(&self.parts).pending.insert(part);
        ReadyHandle { part, readiness: self.clone() }
    }

    /// Adds a part that is not ready, and may change.
    #[must_use]
    pub fn changeable(&self, part: &'static str) -> Changeable {
        lock(&self.parts).pending.insert(part);
        Changeable { part, readiness: self.clone() }
    }

    /// Adds a part that works in steps.
    #[must_use]
    pub fn pulse(&self, part: &'static str) -> Pulse {
        let pulse = Pulse::default();
        lock(&self.parts).pulses.push((part, pulse.clone()));
        pulse
    }

    /// The names of the parts that are not ready at `now`, and the parts whose current step has taken more than a
    /// minute, with its duration.
    #[must_use]
    pub fn pending(&self, now: Instant) -> Vec<String> {
        let pending = lock(&self.parts).pending.iter().map(|part| (*part).to_owned()).collect::<Vec<_>>();
        pending.into_iter().chain(self.slower_than(SLOW, now)).collect()
    }

    /// The parts whose current step has taken ten minutes at `now` and will not end, with its duration.
    #[must_use]
    pub fn stuck(&self, now: Instant) -> Vec<String> {
        self.slower_than(HUNG, now)
    }

    fn slower_than(&self, limit: Duration, now: Instant) -> Vec<String> {
        let parts = lock(&self.parts);
        let of_each = parts.pulses.iter().map(|(part, pulse)| (part, pulse.step(now)));
        of_each
            .filter(|(_, step)| *step > limit)
            .map(|(part, step)| format!("{part} has done nothing for {} s", step.as_secs()))
            .collect()
    }
}

impl ReadyHandle {
    /// Marks the part as ready, permanently.
    pub fn ready(self) {
        lock(&self.readiness.parts).pending.remove(self.part);
    }
}

impl Changeable {
    /// Marks the part as ready, or as not.
    pub fn set(&self, ready: bool) {
        let mut parts = lock(&self.readiness.parts);
        let _ = if ready { parts.pending.remove(self.part) } else { parts.pending.insert(self.part) };
    }
}

impl Pulse {
    /// A step begins, and the previous one has ended.
    pub fn begins(&self) {
        *lock(&self.since) = Some(Instant::now());
    }

    /// The step has ended, and there is nothing to do.
    pub fn ends(&self) {
        *lock(&self.since) = None;
    }

    /// The duration of the current step.
    fn step(&self, now: Instant) -> Duration {
        lock(&self.since).map(|since| now.saturating_duration_since(since)).unwrap_or_default()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // The data is consistent after any panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pending(readiness: &Readiness) -> Vec<String> {
        readiness.pending(Instant::now())
    }

    #[test]
    fn a_program_is_ready_once_every_part_is_ready() {
        let readiness = Readiness::default();
        let (nodes, pods) = (readiness.part("nodes"), readiness.part("pods"));
        assert_eq!(pending(&readiness), ["nodes", "pods"]);
        pods.ready();
        assert_eq!(pending(&readiness), ["nodes"]);
        nodes.ready();
        assert!(pending(&readiness).is_empty());
    }

    #[test]
    fn a_part_that_ended_early_never_counts_as_ready() {
        let readiness = Readiness::default();
        drop(readiness.part("nodes"));
        assert_eq!(pending(&readiness), ["nodes"]);
    }

    #[test]
    fn a_part_that_changes_is_ready_when_it_was_last_set_so() {
        let readiness = Readiness::default();
        let certificate = readiness.changeable("certificate");
        assert_eq!(pending(&readiness), ["certificate"]);
        for ready in [true, true, false, true] {
            certificate.set(ready);
            assert_eq!(pending(&readiness).is_empty(), ready);
        }
    }

    #[test]
    fn many_slow_steps_do_not_count_as_a_hanging_one() {
        let readiness = Readiness::default();
        let disk = readiness.pulse("disk");
        let start = Instant::now();
        disk.begins();
        assert!(readiness.pending(start + Duration::from_secs(59)).is_empty());
        // The next step takes as long, and nothing is wrong with it.
        disk.begins();
        assert!(readiness.pending(start + SLOW).is_empty());
        assert_eq!(readiness.pending(start + SLOW * 2), ["disk has done nothing for 119 s"]);
        assert!(readiness.stuck(start + SLOW * 2).is_empty());
    }
}
