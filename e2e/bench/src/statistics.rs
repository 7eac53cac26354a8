//! Quantiles of what was measured.

use std::time::Duration;

/// Times of one kind, in the order measured.
#[derive(Debug, Default)]
pub(crate) struct Times(Vec<Duration>);

impl Times {
    pub(crate) fn add(&mut self, time: Duration) {
        self.0.push(time);
    }

    /// The smallest time that at least `share` of all times do not exceed (nearest rank); zero of none.
    pub(crate) fn quantile(&self, share: f64) -> Duration {
        let mut sorted = self.0.clone();
        sorted.sort_unstable();
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a rank among some hundred times"
        )]
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
    }

    /// One row of a table: name, median, 90th and 99th percentile and maximum in milliseconds.
    pub(crate) fn row(&self, name: &str) -> String {
        let cell = |share| format!("{:>9.1}", self.quantile(share).as_secs_f64() * 1e3);
        format!("{name:<36}{}{}{}{}", cell(0.5), cell(0.9), cell(0.99), cell(1.0))
    }

    /// The heading over [`Self::row`]s.
    pub(crate) fn heading(count: usize) -> String {
        format!(
            "{:<36}{:>9}{:>9}{:>9}{:>9}",
            format!("milliseconds, n = {count}"),
            "p50",
            "p90",
            "p99",
            "max"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_times_that_were_measured() {
        let mut times = Times::default();
        assert_eq!(times.quantile(0.5), Duration::ZERO);
        for millis in [5, 1, 3, 2, 4] {
            times.add(Duration::from_millis(millis));
        }
        let at = |share| times.quantile(share).as_millis();
        assert_eq!((at(0.0), at(0.5), at(0.9), at(0.99), at(1.0)), (1, 3, 5, 5, 5));
    }
}
