//! Pods run under the profiles, and the kernel allows or blocks their calls.

use std::time::Duration;

use cluster::ClusterError;

use super::{Demo, folder};
use crate::view::PodEnd;

/// How long a pod may take from its creation to its end; some seconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(90);

/// The project's pods, and how each must end.
const PODS: [(&str, &str, &str); 4] = [
    ("audit-pod", "Succeeded", "Completed"),
    ("fine-grained-pod", "Succeeded", "Completed"),
    ("runtime-default-pod", "Succeeded", "Completed"),
    ("violation-pod", "Failed", "StartError"),
];

impl Demo<'_> {
    pub(super) fn pods_run_under_them(&mut self) -> Result<(), ClusterError> {
        self.story.section("Pods name the profiles, and the kernel obeys");
        self.kubectl(&["apply", "-f", &folder("pods")])?;
        for (name, phase, reason) in PODS {
            let end = PodEnd::wait(self.client, name, LIMIT)?;
            let wanted = PodEnd { phase: phase.to_owned(), reason: reason.to_owned() };
            self.story.claim(&format!("{name} ends as {wanted}"), end == wanted, || end.to_string());
        }
        self.kubectl(&["get", "pods"])?;
        for name in ["audit-pod", "fine-grained-pod", "runtime-default-pod"] {
            let printed = self.kubectl(&["logs", name])?;
            let said = printed == "making some syscalls\n";
            self.story.claim(&format!("{name} did its work"), said, || format!("it printed {printed:?}"));
        }
        Ok(())
    }
}
