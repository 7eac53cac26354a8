//! Runs the work queue: several keys at once, none of them twice at a time.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use futures::stream::FuturesUnordered;
use futures::{FutureExt, StreamExt};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until};

use crate::queue::{Lanes, WorkQueue};

/// The work queue of keys `K` among the tasks that share it: watches fill it, one controller empties it.
#[derive(Debug)]
pub struct Controller<K> {
    queue: Mutex<WorkQueue<K, Instant>>,
    added: Notify,
    /// How many keys are being reconciled.
    running: watch::Sender<usize>,
}

impl<K: Lanes> Default for Controller<K> {
    fn default() -> Self {
        Self { queue: Mutex::default(), added: Notify::new(), running: watch::Sender::new(0) }
    }
}

impl<K: Lanes> Controller<K> {
    /// Makes keys due now.
    pub fn add(&self, keys: impl IntoIterator<Item = K>) {
        let mut keys = keys.into_iter().peekable();
        if keys.peek().is_none() {
            return;
        }
        let mut queue = self.lock();
        keys.for_each(|key| queue.add(key));
        drop(queue);
        self.added.notify_one();
    }

    /// Reconciles every key when it is due, for ever, `concurrency` keys of each lane at once. `reconcile` gives how
    /// long until the key is due again if it is not added before.
    pub async fn run<F>(&self, concurrency: usize, mut reconcile: impl FnMut(K) -> F)
    where
        F: Future<Output = Option<Duration>>,
    {
        let mut running = FuturesUnordered::new();
        loop {
            while let Some(key) = self.take(Instant::now(), concurrency) {
                running.push(reconcile(key.clone()).map(|requeue_after| (key, requeue_after)));
            }
            let next = self.lock().next_timer();
            tokio::select! {
                Some((key, requeue_after)) = running.next(), if !running.is_empty() => {
                    self.done(key, requeue_after.map(|after| Instant::now() + after));
                }
                () = self.added.notified() => {}
                () = sleep_until(next.unwrap_or_else(Instant::now)), if next.is_some() => {}
            }
        }
    }

    /// The next key to reconcile, if one is due in a lane that has fewer than `most` running.
    fn take(&self, now: Instant, most: usize) -> Option<K> {
        let mut queue = self.lock();
        let key = queue.take(now, most);
        self.running.send_replace(queue.running());
        key
    }

    fn done(&self, key: K, requeue_at: Option<Instant>) {
        let mut queue = self.lock();
        queue.done(key, requeue_at);
        self.running.send_replace(queue.running());
    }

    /// Waits until no key is being reconciled.
    pub async fn idle(&self) {
        // It fails only when the sender is gone, which is in `self`.
        let _ = self.running.subscribe().wait_for(|running| *running == 0).await;
    }

    fn lock(&self) -> MutexGuard<'_, WorkQueue<K, Instant>> {
        // A panic in the few lines under the lock ends the process but in tests.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::timeout;

    use super::*;
    use crate::index::WorkKey;

    fn profile(name: &str) -> WorkKey {
        WorkKey::Profile(name.to_owned())
    }

    /// Runs for some seconds of a paused clock; what was reconciled, and in which second.
    async fn run(
        controller: &Controller<WorkKey>,
        again: Option<Duration>,
        seconds: u64,
    ) -> Vec<(WorkKey, u64)> {
        let (start, seen) = (Instant::now(), RefCell::new(Vec::new()));
        let reconcile = async |key: WorkKey| {
            seen.borrow_mut().push((key, start.elapsed().as_secs()));
            again
        };
        let end = controller.run(2, reconcile);
        assert!(timeout(Duration::from_secs(seconds), end).await.is_err(), "it runs for ever");
        seen.into_inner()
    }

    #[tokio::test(start_paused = true)]
    async fn a_key_comes_back_at_its_time_and_no_other_does() {
        let controller = Controller::default();
        controller.add([profile("a")]);
        let seen = run(&controller, Some(Duration::from_secs(4)), 10).await;
        assert_eq!(seen, [0, 4, 8].map(|second| (profile("a"), second)));
    }

    #[tokio::test(start_paused = true)]
    async fn more_keys_than_workers_are_all_reconciled_and_never_more_of_them_at_once() {
        let controller = Controller::default();
        controller.add((0..10).map(|number| WorkKey::Node(format!("n{number}"))));
        let (now, most, all) = (Cell::new(0), Cell::new(0), Cell::new(0));
        let reconcile = async |_| {
            now.update(|now| now + 1);
            most.set(most.get().max(now.get()));
            tokio::time::sleep(Duration::from_secs(1)).await;
            now.update(|now| now - 1);
            all.update(|all| all + 1);
            None
        };
        let _ = timeout(Duration::from_secs(6), controller.run(2, reconcile)).await;
        assert_eq!((most.get(), all.get()), (2, 10));
        assert!(controller.idle().now_or_never().is_some());
    }

    #[tokio::test(start_paused = true)]
    async fn it_is_idle_only_when_the_last_worker_is_done() {
        let controller = Controller::default();
        controller.add([profile("a")]);
        let work = controller.run(1, async |_| {
            tokio::time::sleep(Duration::from_secs(3)).await;
            None
        });
        let start = Instant::now();
        let idle = async {
            // Not before the first key is taken.
            tokio::task::yield_now().await;
            controller.idle().await;
            start.elapsed()
        };
        let waited =
            tokio::select! { biased; () = work => panic!("it runs for ever"), waited = idle => waited };
        assert_eq!(waited, Duration::from_secs(3));
    }
}
