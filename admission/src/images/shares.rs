//! Shares of what all use, so that nobody takes all of it.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Semaphore;

/// Lets so many at once work for each key.
#[derive(Debug)]
pub struct Shares<K> {
    each: usize,
    /// The keys that somebody works for or waits for.
    used: Mutex<HashMap<K, Arc<Semaphore>>>,
}

impl<K: Hash + Eq + Clone> Shares<K> {
    /// One with so many for each key.
    #[must_use]
    pub fn new(each: usize) -> Self {
        Self { each, used: Mutex::default() }
    }

    /// Does some work, as soon as fewer than the share are at work for the key. Those who wait are served in their order.
    pub async fn within<T>(&self, key: K, work: impl Future<Output = T>) -> T {
        let semaphore =
            self.used().entry(key.clone()).or_insert_with(|| Semaphore::new(self.each).into()).clone();
        let share = Share { shares: self, key, semaphore };
        // It is never closed.
        let _permit = share.semaphore.acquire().await;
        work.await
    }

    fn used(&self) -> MutexGuard<'_, HashMap<K, Arc<Semaphore>>> {
        // No code that can panic runs while it is locked.
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One who works or waits. The last one takes the key away.
struct Share<'a, K: Hash + Eq + Clone> {
    shares: &'a Shares<K>,
    key: K,
    semaphore: Arc<Semaphore>,
}

impl<K: Hash + Eq + Clone> Drop for Share<'_, K> {
    fn drop(&mut self) {
        let mut used = self.shares.used();
        // The map's and this one: others are made only while the map is locked.
        if Arc::strong_count(&self.semaphore) == 2 {
            used.remove(&self.key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use futures::poll;
    use tokio::sync::oneshot;

    use super::*;

    #[tokio::test]
    async fn one_key_has_its_share_and_leaves_the_others_theirs() {
        let shares = Shares::new(2);
        let (first, second) = (oneshot::channel::<()>(), oneshot::channel::<()>());
        let mut one = pin!(shares.within("a", first.1));
        let mut two = pin!(shares.within("a", second.1));
        let mut three = pin!(shares.within("a", async {}));
        assert!(
            poll!(&mut one).is_pending() && poll!(&mut two).is_pending() && poll!(&mut three).is_pending()
        );
        assert!(poll!(pin!(shares.within("b", async {}))).is_ready());
        first.0.send(()).unwrap();
        assert!(poll!(&mut one).is_ready() && poll!(&mut three).is_ready());
        assert!(poll!(&mut two).is_pending());
    }

    #[tokio::test]
    async fn nothing_is_left_of_a_key_when_the_last_one_has_ended_or_given_up() {
        let shares = Shares::new(1);
        {
            let mut works = pin!(shares.within("a", std::future::pending::<()>()));
            let mut waits = pin!(shares.within("a", async {}));
            assert!(poll!(&mut works).is_pending() && poll!(&mut waits).is_pending());
            assert_eq!(shares.used().len(), 1);
        }
        shares.within("b", async {}).await;
        assert!(shares.used().is_empty());
    }
}
