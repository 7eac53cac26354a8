//! How many records were lost between the kernel and the reader.

use std::collections::VecDeque;

/// How many serials are kept of which some may still be missing.
///
/// Records come in almost the order of their serials: each processor takes a serial before it queues its record, so that
/// a later one may be queued before it.
pub const SERIALS_KEPT: usize = 4096;

/// The serials that were seen, and those that were not.
///
/// An event may have several records, with one serial; a record without an event of its own does not exist. A serial that
/// is not seen is therefore an event of which no record arrived, of whatever type: nothing says what it was about.
#[derive(Debug, Clone, Default)]
pub struct Serials {
    /// The next serial that was not seen and none after it; `None` before the first.
    next: Option<u32>,
    /// Whether each of the latest serials was seen, the oldest first.
    kept: VecDeque<bool>,
    /// The first of `kept` for which it is too early to count them as lost.
    settled: usize,
    /// How many older ones were lost.
    lost: u64,
}

impl Serials {
    /// The serials after `last`, which was seen in an earlier run, with what was `lost` until then.
    #[must_use]
    pub fn after(last: Option<u32>, lost: u64) -> Self {
        Self { next: last.map(|last| last.wrapping_add(1)), lost, ..Self::default() }
    }

    /// A record with this serial arrived.
    pub fn saw(&mut self, serial: u32) {
        let next = *self.next.get_or_insert(serial);
        // Serials begin again at 0 after the last number: what is less than half of all numbers away is later.
        let ahead = serial.wrapping_sub(next);
        if ahead <= u32::MAX / 2 {
            self.skip(ahead);
            self.push(true);
            self.next = Some(serial.wrapping_add(1));
            return;
        }
        let behind = next.wrapping_sub(serial) as usize;
        match self.kept.len().checked_sub(behind) {
            Some(place) => self.kept[place] = true,
            // It was counted as lost. Of several records of one event that come so late, each is subtracted: the count
            // is not below zero, and may be too low by these.
            None => self.lost = self.lost.saturating_sub(1),
        }
    }

    /// From now on, what is missing among the serials up to the latest one counts as lost. Called from time to time, so
    /// that a record on its way has the time between two calls to arrive.
    pub fn settle(&mut self) {
        self.settled = self.kept.len();
    }

    /// How many were lost, as far as it is settled.
    #[must_use]
    pub fn lost(&self) -> u64 {
        self.lost + self.kept.iter().take(self.settled).filter(|seen| !**seen).count() as u64
    }

    /// The latest serial that was seen.
    #[must_use]
    pub fn last(&self) -> Option<u32> {
        self.next.map(|next| next.wrapping_sub(1))
    }

    /// The next `count` serials were not seen.
    fn skip(&mut self, count: u32) {
        // Those that would not stay are counted at once.
        let at_once = (count as usize).saturating_sub(SERIALS_KEPT);
        if at_once > 0 {
            self.lost += self.kept.drain(..).filter(|seen| !seen).count() as u64 + at_once as u64;
            self.settled = 0;
        }
        for _ in at_once..count as usize {
            self.push(false);
        }
    }

    fn push(&mut self, seen: bool) {
        if self.kept.len() == SERIALS_KEPT {
            self.lost += u64::from(self.kept.pop_front() == Some(false));
            self.settled = self.settled.saturating_sub(1);
        }
        self.kept.push_back(seen);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn lost(serials: impl IntoIterator<Item = u32>) -> u64 {
        let mut seen = Serials::default();
        serials.into_iter().for_each(|serial| seen.saw(serial));
        seen.settle();
        seen.lost()
    }

    #[test]
    fn a_gap_is_what_was_lost() {
        assert_eq!(lost([]), 0);
        assert_eq!(lost([7, 8, 9]), 0);
        assert_eq!(lost([7, 9, 12]), 3);
        // Several records of one event.
        assert_eq!(lost([7, 7, 7, 8]), 0);
        assert_eq!(lost([0, 1_000_000]), 999_999);
        assert_eq!(lost([u32::MAX, 0, 2]), 1);
    }

    #[test]
    fn what_comes_late_was_not_lost() {
        assert_eq!(lost([7, 9, 8, 10]), 0);
        let mut late: Vec<_> = (0..20_000).filter(|serial| *serial != 5).collect();
        late.push(5);
        assert_eq!(lost(late), 0);
    }

    #[test]
    fn a_gap_counts_once_there_was_time_for_the_record() {
        let mut serials = Serials::default();
        serials.saw(1);
        serials.saw(3);
        assert_eq!(serials.lost(), 0);
        serials.settle();
        assert_eq!(serials.lost(), 1);
        serials.saw(5);
        assert_eq!(serials.lost(), 1);
        serials.saw(2);
        assert_eq!(serials.lost(), 0);
    }

    #[test]
    fn what_passed_between_two_runs_was_lost() {
        let mut serials = Serials::after(Some(10), 4);
        assert_eq!((serials.lost(), serials.last()), (4, Some(10)));
        serials.saw(13);
        serials.settle();
        assert_eq!((serials.lost(), serials.last()), (6, Some(13)));
        let mut first = Serials::after(None, 0);
        first.saw(99);
        assert_eq!(first.lost(), 0);
    }

    proptest! {
        /// Nothing but the order of arrival differs from counting the numbers that are missing.
        #[test]
        fn everything_between_the_first_and_the_last_is_seen_or_lost(
            begin: u32,
            kept in proptest::collection::vec(proptest::bool::weighted(0.7), 1..10_000),
            swaps in proptest::collection::vec(1_usize..10_000, 0..200),
        ) {
            let mut seen: Vec<_> = kept.iter().enumerate().filter(|(_, kept)| **kept).map(|(at, _)| at as u32).collect();
            prop_assume!(!seen.is_empty());
            let missing = seen[seen.len() - 1] - seen[0] + 1 - seen.len() as u32;
            let last = seen.len();
            for at in swaps {
                // Not the first, which is where counting begins.
                if at > 0 && at + 1 < last {
                    seen.swap(at, at + 1);
                }
            }
            prop_assert_eq!(lost(seen.into_iter().map(|at| begin.wrapping_add(at))), u64::from(missing));
        }
    }
}
