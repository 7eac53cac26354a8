//! Checks the contents of a profile before its status is decided, so that the findings cost no write of their own.
//!
//! The check runs in a thread of its own, one at a time: with the largest contents it takes longer than everything else
//! that one reconciliation computes, and the operator has a single thread for the rest.

use std::sync::Arc;
use std::time::Duration;

use api::Text;
use link::chain;
use profile::ContentHash;
use syscalls::Architecture;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::warn;

use super::Context;
use crate::findings::{Checked, Findings};
use crate::index::WorkKey;

/// How long a status waits for its check.
const LIMIT: Duration = Duration::from_secs(10);
/// How long until contents that could not be read are read again.
const READ_AGAIN: Duration = Duration::from_secs(30);

/// Checks run one at a time.
#[derive(Debug)]
pub(super) struct Checks(Arc<Semaphore>);

impl Default for Checks {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(1)))
    }
}

/// Checks the contents of the profile of `key`, unless that has been done. Returns how long until the next try if they
/// could not be read; until then its status keeps the findings that it has.
pub(super) async fn check(key: &WorkKey, context: &Context) -> Option<Duration> {
    let WorkKey::Profile(name) = key else { return None };
    let shared = &context.shared;
    // Before every kind has been listed, not every architecture is known.
    if !shared.is_complete() {
        return None;
    }
    // Again if the contents change meanwhile.
    loop {
        let check = shared.read(|index| index.check(name))?;
        let spec = match &check.spec {
            Some(spec) => spec.clone(),
            None => match context.writer.profile(name).await {
                Ok(object) if ContentHash::of(object.spec.as_bytes()) == check.text => Arc::new(object.spec),
                // The watch delivers the other contents.
                Ok(_) => return None,
                Err(error) => {
                    warn!(profile = name, error = %chain(&error), "profile not read: its findings stay as they are");
                    return Some(READ_AGAIN);
                }
            },
        };
        let checked = context.checks.run(spec, check.architectures.clone()).await;
        if checked == Checked::TooLong {
            warn!(profile = name, "check takes too long");
        }
        shared.change(|index| index.checked(name, check, checked));
    }
}

impl Checks {
    async fn run(&self, spec: Arc<Text>, architectures: Vec<Architecture>) -> Checked {
        let checks = self.0.clone();
        let check = async {
            // It is never closed.
            let permit = checks.acquire_owned().await.ok();
            let work = spawn_blocking(move || {
                let findings = Findings::in_spec(&spec, &architectures);
                drop(permit);
                findings
            });
            // The runtime ends only with the process.
            work.await.map_or(Checked::TooLong, Checked::Findings)
        };
        timeout(LIMIT, check).await.unwrap_or(Checked::TooLong)
    }
}
