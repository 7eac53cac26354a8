//! Requests for the webhook, one after the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use super::{Scene, sound};

/// Sends profiles until it is dropped; the API server refuses those that no replica answers for.
pub(super) struct Requests {
    stop: Arc<AtomicBool>,
    pub(super) sent: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<Vec<String>>,
}

impl Requests {
    pub(super) fn start(scene: &Arc<Scene>) -> Self {
        let (stop, sent) = (Arc::<AtomicBool>::default(), Arc::<AtomicUsize>::default());
        let (scene, ended, counted) = (scene.clone(), stop.clone(), sent.clone());
        let task = tokio::spawn(async move {
            let mut failures = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let number = counted.fetch_add(1, Ordering::Relaxed);
                let (code, _, answer) = scene.dry_run(&sound(number)).await;
                if code != 201 {
                    failures.push(format!("request {number}: {code} {}", answer["message"]));
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            failures
        });
        Self { stop, sent, task }
    }

    /// How many were sent, and those that failed.
    pub(super) async fn end(self) -> (usize, Vec<String>) {
        self.stop.store(true, Ordering::Relaxed);
        let failures = self.task.await.unwrap();
        (self.sent.load(Ordering::Relaxed), failures)
    }
}
