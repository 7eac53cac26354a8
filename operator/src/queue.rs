//! A work queue of keys: each key waits at most once, is worked on by one worker at a time, and may be due at a later
//! time.
//!
//! A key stands for an object and carries nothing of it, so that a burst of a thousand reports about twenty profiles is
//! twenty keys: memory stays bounded however far the workers fall behind. Plain, synchronous state over any clock;
//! [`controller`](crate::controller) runs it.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// Keys in lanes: the keys of one lane do not wait for those of another.
pub trait Lanes: Clone + Ord {
    /// How many lanes there are.
    const LANES: usize;

    /// The lane of this key, below [`Self::LANES`].
    fn lane(&self) -> usize;
}

/// The queue of keys `K` by a clock `T`.
#[derive(Debug)]
pub struct WorkQueue<K, T> {
    keys: BTreeMap<K, Phase<T>>,
    /// The keys of each lane that are due, first come, first served.
    due: Vec<VecDeque<K>>,
    /// The keys that wait for their time.
    timers: BTreeSet<(T, K)>,
    /// How many keys of each lane are being worked on.
    running: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase<T> {
    Due,
    WaitingUntil(T),
    /// A worker has it.
    Running {
        /// It was added meanwhile, so that the state which the worker has read may be stale.
        again: bool,
    },
}

impl<K: Lanes, T> Default for WorkQueue<K, T> {
    fn default() -> Self {
        let due = (0..K::LANES).map(|_| VecDeque::new()).collect();
        Self { keys: BTreeMap::new(), due, timers: BTreeSet::new(), running: vec![0; K::LANES] }
    }
}

impl<K: Lanes, T: Copy + Ord> WorkQueue<K, T> {
    /// Makes `key` due now. One that a worker has is due again once that is done.
    pub fn add(&mut self, key: K) {
        match self.keys.get_mut(&key) {
            Some(Phase::Due) => {}
            Some(Phase::Running { again }) => *again = true,
            Some(phase @ Phase::WaitingUntil(_)) => {
                if let Phase::WaitingUntil(time) = std::mem::replace(phase, Phase::Due) {
                    self.timers.remove(&(time, key.clone()));
                }
                self.due[key.lane()].push_back(key);
            }
            None => {
                self.keys.insert(key.clone(), Phase::Due);
                self.due[key.lane()].push_back(key);
            }
        }
    }

    /// The next key to work on, until [`Self::done`]; `None` if none is due at `now` in a lane that has fewer than
    /// `most` running.
    pub fn take(&mut self, now: T, most: usize) -> Option<K> {
        while self.next_timer().is_some_and(|time| time <= now)
            && let Some((_, key)) = self.timers.pop_first()
        {
            self.keys.insert(key.clone(), Phase::Due);
            self.due[key.lane()].push_back(key);
        }
        let lanes = self.due.iter_mut().zip(&mut self.running);
        let (key, running) = lanes
            .filter(|(_, running)| **running < most)
            .find_map(|(due, running)| Some((due.pop_front()?, running)))?;
        *running += 1;
        self.keys.insert(key.clone(), Phase::Running { again: false });
        Some(key)
    }

    /// The work on `key`, which [`Self::take`] gave out, is done. It is due again at `requeue_at`, or at once if it was
    /// added meanwhile.
    pub fn done(&mut self, key: K, requeue_at: Option<T>) {
        let Some(Phase::Running { again }) = self.keys.remove(&key) else { return };
        self.running[key.lane()] -= 1;
        if again {
            self.add(key);
        } else if let Some(time) = requeue_at {
            self.keys.insert(key.clone(), Phase::WaitingUntil(time));
            self.timers.insert((time, key));
        }
    }

    /// When the first of the waiting keys becomes due.
    #[must_use]
    pub fn next_timer(&self) -> Option<T> {
        self.timers.first().map(|(time, _)| *time)
    }

    /// How many keys are being worked on.
    #[must_use]
    pub fn running(&self) -> usize {
        self.running.iter().sum()
    }

    /// The keys that wait for their time, and that time.
    #[cfg(test)]
    pub(crate) fn timers(&self) -> impl Iterator<Item = (&K, T)> {
        self.timers.iter().map(|(time, key)| (key, *time))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Lanes for &'static str {
        const LANES: usize = 2;

        fn lane(&self) -> usize {
            usize::from(self.starts_with("node"))
        }
    }

    fn take_all(queue: &mut WorkQueue<&'static str, u32>, now: u32) -> Vec<&'static str> {
        std::iter::from_fn(|| queue.take(now, usize::MAX)).collect()
    }

    #[test]
    fn a_crowd_of_keys_in_one_lane_leaves_room_for_another_lane() {
        let mut queue = WorkQueue::<_, u32>::default();
        for key in ["node-1", "node-2", "node-3", "profile"] {
            queue.add(key);
        }
        let taken: Vec<_> = std::iter::from_fn(|| queue.take(0, 2)).collect();
        assert_eq!(taken, ["profile", "node-1", "node-2"]);
        queue.done("node-1", None);
        assert_eq!(queue.take(0, 2), Some("node-3"));
    }

    #[test]
    fn a_burst_about_one_key_is_worked_on_once_and_keys_come_in_the_order_in_which_they_were_added() {
        let mut queue = WorkQueue::default();
        for key in ["b", "a", "b", "c", "a"] {
            queue.add(key);
        }
        assert_eq!(take_all(&mut queue, 0), ["b", "a", "c"]);
    }

    #[test]
    fn a_key_that_is_added_while_it_is_worked_on_is_due_again_afterwards_and_not_before() {
        let mut queue = WorkQueue::default();
        queue.add("a");
        assert_eq!(queue.take(0, 9), Some("a"));
        queue.add("a");
        queue.add("b");
        assert_eq!((take_all(&mut queue, 0), queue.running()), (vec!["b"], 2));
        queue.done("a", Some(100));
        assert_eq!(
            (queue.take(0, 9), queue.next_timer()),
            (Some("a"), None),
            "what is due now needs no timer"
        );
        queue.done("a", None);
        queue.done("b", None);
        assert_eq!((queue.take(0, 9), queue.running()), (None, 0));
    }

    #[test]
    fn a_key_with_a_time_is_due_then_or_as_soon_as_it_is_added() {
        let mut queue = WorkQueue::default();
        for (key, time) in [("late", 20), ("soon", 10), ("added", 30)] {
            queue.add(key);
            assert_eq!(queue.take(0, 9), Some(key));
            queue.done(key, Some(time));
        }
        assert_eq!((queue.take(9, 9), queue.next_timer()), (None, Some(10)));
        queue.add("added");
        assert_eq!(take_all(&mut queue, 9), ["added"]);
        assert_eq!(take_all(&mut queue, 20), ["soon", "late"]);
        assert_eq!(queue.next_timer(), None, "one time each");
    }

    #[test]
    fn a_key_that_is_done_with_leaves_nothing_behind() {
        let mut queue = WorkQueue::<_, u32>::default();
        for key in ["a", "node-b"] {
            queue.add(key);
            let key = queue.take(0, 9).unwrap();
            queue.done(key, None);
        }
        let WorkQueue { keys, due, timers, running } = queue;
        assert!(keys.is_empty() && due.iter().all(VecDeque::is_empty) && timers.is_empty());
        assert_eq!(running, [0, 0]);
    }
}
