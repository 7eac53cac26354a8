//! The time, which never goes back while the process runs.

use std::time::Duration;

/// Seconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct UnixTime(pub i64);

impl UnixTime {
    /// This much later.
    #[must_use]
    pub fn plus(self, duration: Duration) -> Self {
        Self(self.0.saturating_add(seconds(duration)))
    }

    /// This much earlier.
    #[must_use]
    pub fn minus(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub(seconds(duration)))
    }
}

fn seconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_secs()).unwrap_or(i64::MAX)
}

/// A clock that follows the wall clock, but goes on at the speed of the monotonic clock where somebody sets the wall
/// clock back: a certificate of a time that has passed already would have expired for the API server.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// The wall clock, and the monotonic clock, at the same moment.
    base: (UnixTime, Duration),
}

impl Clock {
    /// A clock that starts at `wall`, when the monotonic clock shows `monotonic`.
    #[must_use]
    pub fn new(wall: UnixTime, monotonic: Duration) -> Self {
        Self { base: (wall, monotonic) }
    }

    /// The time, when the clocks show this.
    pub fn at(&mut self, wall: UnixTime, monotonic: Duration) -> UnixTime {
        let (base, began) = self.base;
        let continued = base.plus(monotonic.saturating_sub(began));
        if wall <= continued {
            return continued;
        }
        self.base = (wall, monotonic);
        wall
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_clock_that_is_set_forward_is_followed_and_one_that_is_set_back_is_not() {
        let second = Duration::from_secs;
        let mut clock = Clock::new(UnixTime(1000), second(5));
        assert_eq!(clock.at(UnixTime(1002), second(7)), UnixTime(1002));
        assert_eq!(clock.at(UnixTime(9000), second(8)), UnixTime(9000));
        assert_eq!(clock.at(UnixTime(1004), second(9)), UnixTime(9001));
        assert_eq!(clock.at(UnixTime(0), second(20)), UnixTime(9012));
        assert_eq!(clock.at(UnixTime(9100), second(21)), UnixTime(9100));
    }

    proptest! {
        #[test]
        fn time_never_goes_back_and_never_stands_still(steps in prop::collection::vec((-100_000..100_000_i64, 0..5000_u64), 1..50)) {
            let (mut clock, mut monotonic) = (Clock::new(UnixTime(0), Duration::ZERO), Duration::ZERO);
            let (mut last, mut at) = (UnixTime(0), Duration::ZERO);
            for (wall, step) in steps {
                monotonic += Duration::from_millis(step);
                let now = clock.at(UnixTime(wall), monotonic);
                prop_assert!(now >= last);
                prop_assert!(now.0 >= (monotonic - at).as_secs() as i64 + last.0 - 1);
                prop_assert!(now >= UnixTime(wall));
                (last, at) = (now, monotonic);
            }
        }
    }
}
