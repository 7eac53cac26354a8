//! How long to wait before something that failed is tried again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

/// The longest pause. Every client sends a request within this time after an API server comes back, so that what
/// changed meanwhile arrives within half a minute. While the API server is away, five thousand agents with two watches
/// each send some seven hundred requests a second, about as many as their kubelets send in normal operation.
pub const MAX_PAUSE: Duration = Duration::from_secs(20);

/// The longest first pause.
const MAX_FIRST_PAUSE: Duration = Duration::from_millis(1600);

/// The longest first pause after an answer of 429. A thousand agents that start at once exceed
/// the queue in which an API server keeps the requests of one account (300 by default), and those that it refuses would
/// exceed it again if they all came back within a second.
const MAX_FIRST_PAUSE_AFTER_429: Duration = Duration::from_secs(8);

/// The shortest pause after an answer of 429: the shortest that the API server demands in `Retry-After`, a header that
/// kube does not expose.
const MIN_PAUSE_AFTER_429: Duration = Duration::from_secs(1);

/// After this long without a failure since the last pause, the back-off starts again.
const QUIET: Duration = Duration::from_mins(1);

/// Why something has to be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// The API server has too many requests (429), as a rule because many clients do the same at the same time.
    TooManyRequests,
    /// Anything else.
    Other,
}

impl From<&kube::Error> for Failure {
    fn from(error: &kube::Error) -> Self {
        match error {
            kube::Error::Api(status) if status.code == 429 => Self::TooManyRequests,
            _ => Self::Other,
        }
    }
}

/// The time over which many clients that failed together come back, which the caller knows: an API server that has
/// ended the watches of a thousand nodes cannot begin them again within a second. Clones share it.
#[derive(Debug, Clone, Default)]
pub struct Spread(Arc<AtomicU64>);

impl Spread {
    /// From now on, clients come back within this time.
    pub fn set(&self, spread: Duration) {
        self.0.store(u64::try_from(spread.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// The time.
    #[must_use]
    pub fn get(&self) -> Duration {
        Duration::from_millis(self.0.load(Ordering::Relaxed))
    }

    /// This client's pause, anywhere within the time.
    #[must_use]
    pub(crate) fn pause(&self) -> Duration {
        self.get().min(MAX_PAUSE).mul_f64(fastrand::f64())
    }
}

/// The back-off of one operation: the pauses begin with 0.8 s, after a 429 with 1 to 8 s, and double up to
/// [`MAX_PAUSE`]. They end anywhere within the [`Spread`], where that is longer.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    spread: Spread,
    /// When the last pause ends.
    over: Option<Instant>,
}

impl Backoff {
    /// A back-off whose pauses end within `spread`, where that is longer than they are.
    #[must_use]
    pub fn over(spread: Spread) -> Self {
        Self { spread, ..Self::default() }
    }

    /// The operation failed; returns how long to wait.
    pub fn failed(&mut self, failure: Failure) -> Duration {
        let now = Instant::now();
        if self.over.is_some_and(|over| now > over + QUIET) {
            self.failures = 0;
        }
        let pause = match failure {
            Failure::TooManyRequests => after_too_many_requests(self.failures, self.spread.get()),
            Failure::Other => spread_out(self.failures, MAX_FIRST_PAUSE, MAX_PAUSE, self.spread.get()),
        };
        self.failures = self.failures.saturating_add(1);
        self.over = Some(now + pause);
        pause
    }

    /// The operation succeeded.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// A pause after `failures` earlier ones: at most `first`, doubling, up to `longest`. Jitter makes it as short as half
/// of that, so that clients that failed together do not come back together.
#[must_use]
pub fn after(failures: u32, first: Duration, longest: Duration) -> Duration {
    spread_out(failures, first, longest, Duration::ZERO)
}

/// The same, but up to `spread` where that is longer.
fn spread_out(failures: u32, first: Duration, longest: Duration, spread: Duration) -> Duration {
    let most = doubled(first, failures).min(longest);
    between(most / 2, most.max(spread.min(longest)))
}

/// A pause after a 429 and `failures` earlier failures.
fn after_too_many_requests(failures: u32, spread: Duration) -> Duration {
    between(MIN_PAUSE_AFTER_429, doubled(MAX_FIRST_PAUSE_AFTER_429, failures).max(spread).min(MAX_PAUSE))
}

fn between(least: Duration, most: Duration) -> Duration {
    least + most.saturating_sub(least).mul_f64(fastrand::f64())
}

fn doubled(first: Duration, times: u32) -> Duration {
    first.saturating_mul(1 << times.min(20))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_are_never_the_same_for_all() {
        let mut backoff = Backoff::default();
        for most in [1.6, 3.2, 6.4, 12.8, 20.0, 20.0] {
            let pause = backoff.failed(Failure::Other);
            assert!((most / 2.0..=most).contains(&pause.as_secs_f64()), "{pause:?}");
            tokio::time::sleep(pause).await;
        }
        let pauses = [(); 20].map(|()| after(9, MAX_FIRST_PAUSE, MAX_PAUSE));
        assert!(pauses.iter().any(|pause| pause.abs_diff(pauses[0]) > Duration::from_secs(1)), "{pauses:?}");
    }

    #[test]
    fn only_an_answer_of_429_counts_as_too_many_requests() {
        for (code, failure) in [(429, Failure::TooManyRequests), (503, Failure::Other), (409, Failure::Other)]
        {
            let status = kube::core::Status { code, ..kube::core::Status::failure("no", "No") };
            assert_eq!(Failure::from(&kube::Error::Api(status.boxed())), failure, "{code}");
        }
    }

    #[test]
    fn clients_that_were_refused_for_too_many_requests_come_back_spread_over_seconds() {
        let mut seconds = [0; 8];
        for _ in 0..1000 {
            let pause = Backoff::default().failed(Failure::TooManyRequests).as_secs_f64();
            assert!((1.0..=8.0).contains(&pause), "{pause}");
            seconds[pause as usize % 8] += 1;
        }
        assert!(seconds[1..].iter().all(|count| (90..200).contains(count)), "{seconds:?}");
        let mut backoff = Backoff::default();
        assert!((0..20).map(|_| backoff.failed(Failure::TooManyRequests)).all(|pause| pause <= MAX_PAUSE));
    }

    #[test]
    fn in_a_large_cluster_clients_that_failed_together_come_back_spread_over_the_time_that_they_take() {
        let spread = Spread::default();
        spread.set(Duration::from_secs(12));
        for failure in [Failure::Other, Failure::TooManyRequests] {
            let mut seconds = [0; 12];
            for _ in 0..1200 {
                let pause = Backoff::over(spread.clone()).failed(failure).as_secs_f64();
                assert!((0.8..=12.0).contains(&pause), "{pause}");
                seconds[pause as usize % 12] += 1;
            }
            assert!(seconds[1..].iter().all(|count| (70..150).contains(count)), "{seconds:?}");
        }
        spread.set(Duration::from_hours(1));
        assert!(Backoff::over(spread.clone()).failed(Failure::Other) <= MAX_PAUSE);
        assert!(spread.pause() <= MAX_PAUSE);
    }

    #[tokio::test(start_paused = true)]
    async fn a_success_or_a_minute_without_failure_resets_the_back_off() {
        let mut backoff = Backoff::default();
        let mut failed_often = |then: &mut dyn FnMut(&mut Backoff)| {
            for _ in 0..8 {
                backoff.failed(Failure::Other);
            }
            then(&mut backoff);
            backoff.failed(Failure::Other)
        };
        assert!(failed_often(&mut Backoff::succeeded) <= MAX_FIRST_PAUSE);
        assert!(failed_often(&mut |_| ()) > MAX_FIRST_PAUSE);
        for _ in 0..8 {
            backoff.failed(Failure::Other);
        }
        tokio::time::advance(MAX_PAUSE + QUIET + Duration::from_secs(1)).await;
        assert!(backoff.failed(Failure::Other) <= MAX_FIRST_PAUSE);
    }
}
