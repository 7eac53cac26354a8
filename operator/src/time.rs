//! Arithmetic with times that objects state, which may be any.

use std::time::Duration;

use k8s_openapi::jiff::{SignedDuration, Timestamp};

/// `span` after `time`; the latest possible time if the sum would be later than that.
#[must_use]
pub fn after(time: Timestamp, span: Duration) -> Timestamp {
    let span = SignedDuration::try_from(span).ok();
    span.and_then(|span| time.checked_add(span).ok()).unwrap_or(Timestamp::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sum_is_at_most_the_latest_time() {
        let time = Timestamp::from_second(100).unwrap();
        assert_eq!(after(time, Duration::from_secs(5)), Timestamp::from_second(105).unwrap());
        for (time, span) in
            [(Timestamp::MAX, Duration::MAX), (Timestamp::MAX, Duration::from_secs(1)), (time, Duration::MAX)]
        {
            assert_eq!(after(time, span), Timestamp::MAX);
        }
    }
}
