//! How a pod of one container ended.

use std::fmt;
use std::time::Duration;

use cluster::wait;
use cluster::{Client, ClusterError};
use serde_json::Value;

/// How a pod of one container ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodEnd {
    /// `status.phase`: `Succeeded` or `Failed`.
    pub phase: String,
    /// Why its container ended: `Completed`, `Error`, `StartError`.
    pub reason: String,
}

impl PodEnd {
    /// Waits until the pod in the namespace `default` has ended.
    ///
    /// # Errors
    /// When kubectl fails or it takes longer than `limit`.
    pub fn wait(client: &Client, name: &str, limit: Duration) -> Result<Self, ClusterError> {
        wait::until(&format!("the end of pod {name}"), limit, || {
            let shown = client.kubectl(["get", "pod", name, "-o", "json"])?;
            Ok(Self::of(&serde_json::from_str(&shown).unwrap_or_default()))
        })
    }

    fn of(pod: &Value) -> Option<Self> {
        let phase = pod["status"]["phase"].as_str()?;
        let terminated = &pod["status"]["containerStatuses"][0]["state"]["terminated"];
        let reason = terminated["reason"].as_str()?;
        ["Succeeded", "Failed"]
            .contains(&phase)
            .then(|| PodEnd { phase: phase.to_owned(), reason: reason.to_owned() })
    }
}

impl fmt::Display for PodEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.reason, self.phase)
    }
}
