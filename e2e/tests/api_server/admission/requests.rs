//! Requests that the webhook answers, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Scene, sound};

/// How long it waits between two requests.
const PAUSE: Duration = Duration::from_millis(20);

/// Sends requests until it is ended.
pub(super) struct Requests {
    stop: Arc<AtomicBool>,
    pub(super) sent: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Vec<(usize, String)>>,
}

impl Requests {
    /// Sends profiles; the API server refuses those that no replica answers for.
    pub(super) fn start(scene: &Arc<Scene>) -> Self {
        let scene = scene.clone();
        Self::sending(move |number| {
            let scene = scene.clone();
            async move {
                let (code, _, answer) = scene.dry_run(&sound(number)).await;
                if code == 201 { Ok(()) } else { Err(format!("{code} {}", answer["message"])) }
            }
        })
    }

    /// Sends what this sends, which says what is wrong with the answer.
    pub(super) fn sending<F>(mut send: impl FnMut(usize) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), String>> + Send,
    {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (ended, counted) = (stop.clone(), sent.clone());
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let number = counted.fetch_add(1, Ordering::Relaxed);
                if let Err(fault) = send(number).await {
                    failures.push((number, fault));
                }
                tokio::time::sleep(PAUSE).await;
            }
            failures
        });
        Self { stop, sent, task }
    }

    /// How many were sent, and those that failed, by their numbers.
    pub(super) async fn end(self) -> (usize, Vec<(usize, String)>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.task.await.unwrap();
        (self.sent.load(Ordering::Relaxed), failures)
    }
}
