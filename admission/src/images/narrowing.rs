//! The threads that compute profiles.
//!
//! They are no others: each thread that computes one keeps the memory that this took, about a mebibyte, and tokio would
//! start more of them than work at once.

use std::io;
use std::sync::Arc;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;
use tokio::task::JoinError;

/// How many profiles are computed at once.
const THREADS: usize = 2;

/// Computes profiles, some at once. What is not waited for any more is not begun; what has begun uses a thread until it is
/// done.
#[derive(Debug)]
pub struct Narrowing {
    runtime: Option<Runtime>,
    /// A permit for each thread: the runtime itself would queue without end, also what nobody waits for any more.
    threads: Arc<Semaphore>,
}

impl Narrowing {
    /// With threads that are started when there is something to compute. If the system refuses to start one then, the
    /// program ends.
    ///
    /// # Errors
    /// The system does not give what the runtime needs.
    pub fn new() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().max_blocking_threads(THREADS).build()?;
        Ok(Self { runtime: Some(runtime), threads: Arc::new(Semaphore::new(THREADS)) })
    }

    /// Computes something as soon as a thread is free; `None` if that has panicked. Where a panic ends the program, as in the
    /// images, there is no answer.
    pub async fn compute<T: Send + 'static>(
        &self,
        compute: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let permit = self.threads.clone().acquire_owned().await.ok()?;
        let work = move || {
            let _permit = permit;
            compute()
        };
        let computed: Result<T, JoinError> = self.runtime.as_ref()?.spawn_blocking(work).await;
        computed.ok()
    }
}

impl Drop for Narrowing {
    fn drop(&mut self) {
        // A runtime that is dropped waits for its threads, which is not permitted where this is dropped.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc::{Receiver, Sender, channel};
    use std::thread::{self, ThreadId};
    use std::time::Duration;

    use futures::FutureExt;

    use super::*;

    /// After which a test fails that waits in vain.
    const LIMIT: Duration = Duration::from_mins(1);

    /// Work that says that it has begun, and on which thread, and waits for its end.
    struct Work {
        started: Sender<Begun>,
        end: Receiver<()>,
        number: usize,
    }

    impl Work {
        fn run(self) -> usize {
            self.started.send((self.number, thread::current().id())).unwrap();
            self.end.recv().unwrap();
            self.number
        }
    }

    /// Which work has begun, and on which thread.
    type Begun = (usize, ThreadId);

    /// So much work, where it says that it has begun, and what ends each.
    fn work(count: usize) -> (Vec<Work>, Receiver<Begun>, Vec<Sender<()>>) {
        let (started, starts) = channel();
        let (ends, end): (Vec<_>, Vec<_>) = (0..count).map(|_| channel::<()>()).unzip();
        let work = |(number, end)| Work { started: started.clone(), end, number };
        (end.into_iter().enumerate().map(work).collect(), starts, ends)
    }

    #[tokio::test]
    async fn as_many_work_at_once_as_there_are_threads_and_the_others_later() {
        let narrowing = Arc::new(Narrowing::new().unwrap());
        let (all, starts, ends) = work(2 * THREADS);
        let tasks = all.into_iter().map(|work| {
            let narrowing = narrowing.clone();
            tokio::spawn(async move { narrowing.compute(|| work.run()).await })
        });
        let tasks: Vec<_> = tasks.collect();
        tokio::task::yield_now().await;
        let first: Vec<_> = (0..THREADS).map(|_| starts.recv_timeout(LIMIT).unwrap()).collect();
        assert_eq!(narrowing.threads.available_permits(), 0, "no thread is left for the others");
        ends.iter().for_each(|end| end.send(()).unwrap());
        let done = futures::future::join_all(tasks).await;
        assert_eq!(done.into_iter().map(|it| it.unwrap().unwrap()).collect::<Vec<_>>(), [0, 1, 2, 3]);
        let threads: BTreeSet<_> =
            first.into_iter().chain(starts.try_iter()).map(|it| format!("{:?}", it.1)).collect();
        assert!(threads.len() <= THREADS, "{threads:?}");
    }

    #[tokio::test]
    async fn what_nobody_waits_for_any_more_is_not_begun() {
        let narrowing = Arc::new(Narrowing::new().unwrap());
        let (all, starts, ends) = work(THREADS);
        let busy = all.into_iter().map(|work| {
            let narrowing = narrowing.clone();
            tokio::spawn(async move { narrowing.compute(|| work.run()).await })
        });
        let busy: Vec<_> = busy.collect();
        tokio::task::yield_now().await;
        (0..THREADS).for_each(|_| _ = starts.recv_timeout(LIMIT).unwrap());
        let begun = Arc::new(AtomicUsize::new(0));
        for _ in 0..100 {
            let begun = begun.clone();
            let given_up = narrowing.compute(move || begun.fetch_add(1, Ordering::Relaxed)).now_or_never();
            assert_eq!(given_up, None);
        }
        ends.iter().for_each(|end| end.send(()).unwrap());
        futures::future::join_all(busy).await;
        // By the same threads, after all that was queued before.
        let last = (0..THREADS).map(|_| narrowing.compute(|| ()));
        futures::future::join_all(last).await;
        assert_eq!(begun.load(Ordering::Relaxed), 0);
    }

    #[tokio::test]
    async fn what_panics_has_no_result() {
        let narrowing = Narrowing::new().unwrap();
        assert_eq!(narrowing.compute(|| if true { panic!("it cannot be computed") } else { 1 }).await, None);
        assert_eq!(narrowing.compute(|| 2).await, Some(2));
    }
}
