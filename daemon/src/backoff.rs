//! How long to wait before something that failed is tried again.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use tokio::time::Instant;

/// The longest pause. An API server that is back is asked again within this time by everybody, so that what changed
/// meanwhile arrives within half a minute; while it is away, five thousand agents with two watches each are some seven
/// hundred requests a second, about as many as their kubelets send when all is well.
pub const LONGEST: Duration = Duration::from_secs(20);

/// The longest first pause.
const FIRST: Duration = Duration::from_millis(1600);

/// What has not failed for this long after a pause is well again.
const QUIET: Duration = Duration::from_secs(60);

/// The pauses of one thing that is tried again and again: from 0.8 s, doubling, to [`LONGEST`].
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
    /// When the last pause is over.
    over: Option<Instant>,
}

impl Backoff {
    /// It failed; how long to wait.
    pub fn failed(&mut self) -> Duration {
        let now = Instant::now();
        if self.over.is_some_and(|over| now > over + QUIET) {
            self.failures = 0;
        }
        let pause = after(self.failures, FIRST, LONGEST);
        self.failures = self.failures.saturating_add(1);
        self.over = Some(now + pause);
        pause
    }

    /// It works.
    pub fn succeeded(&mut self) {
        self.failures = 0;
    }
}

/// A pause after `failures` earlier ones: at most `first`, doubling, up to `longest`; and at least half of that, at
/// random, so that those that failed together do not come back together.
#[must_use]
pub fn after(failures: u32, first: Duration, longest: Duration) -> Duration {
    let most = first.saturating_mul(1 << failures.min(20)).min(longest);
    most.mul_f64(0.5 + 0.5 * random())
}

/// From 0 to 1.
fn random() -> f64 {
    f64::from((RandomState::new().hash_one(()) >> 32) as u32) / f64::from(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn pauses_double_up_to_the_longest_and_are_never_the_same_for_all() {
        let mut backoff = Backoff::default();
        for most in [1.6, 3.2, 6.4, 12.8, 20.0, 20.0] {
            let pause = backoff.failed();
            assert!((most / 2.0..=most).contains(&pause.as_secs_f64()), "{pause:?}");
            tokio::time::sleep(pause).await;
        }
        let pauses = [(); 20].map(|()| after(9, FIRST, LONGEST));
        assert!(pauses.iter().any(|pause| pause.abs_diff(pauses[0]) > Duration::from_secs(1)), "{pauses:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn what_works_or_has_not_failed_for_a_minute_starts_anew() {
        let mut backoff = Backoff::default();
        let mut failed_often = |then: &mut dyn FnMut(&mut Backoff)| {
            for _ in 0..8 {
                backoff.failed();
            }
            then(&mut backoff);
            backoff.failed()
        };
        assert!(failed_often(&mut Backoff::succeeded) <= FIRST);
        assert!(failed_often(&mut |_| ()) > FIRST);
        for _ in 0..8 {
            backoff.failed();
        }
        tokio::time::advance(LONGEST + QUIET + Duration::from_secs(1)).await;
        assert!(backoff.failed() <= FIRST);
    }
}
