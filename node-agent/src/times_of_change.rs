//! Whether reports state since when files have had their bytes.
//!
//! The definition of the custom resource in an earlier release has no such field, and server-side apply refuses a whole
//! report because of a field that the definition lacks. An earlier definition remains where somebody manages the
//! definitions apart from the chart, and for some seconds of an upgrade, because the API server takes up a new one with a
//! delay. So after a refusal the agent reports without the times. It tries again once by itself, and later only with a
//! report that is due anyway, with another object of the node, and in another process.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

/// After the first refusal the agent tries again after this time, also if nothing has changed. The API server takes up a
/// new definition within five seconds; an upgrade that replaces agents before definitions is over by then, too.
const FIRST_PAUSE: Duration = Duration::from_mins(1);
/// After further refusals no report within this time has the field.
const PAUSE: Duration = Duration::from_mins(10);

/// Whether the API server takes the times of change. Pure: every time is an argument.
#[derive(Debug, Default)]
pub(crate) struct TimesOfChange {
    refused: Option<Refusal>,
}

/// The latest refusal since the API server took the times.
#[derive(Debug)]
struct Refusal {
    /// The uid of the object whose report was refused.
    object: Box<str>,
    /// Reports before this time do without the times.
    until: Instant,
    /// Whether a report is due then although nothing has changed.
    is_due: bool,
}

impl TimesOfChange {
    /// Whether a report to the object of this uid has to do without the times at `now`.
    pub(crate) fn are_left_out(&self, object: &str, now: Instant) -> bool {
        self.refused.as_ref().is_some_and(|refusal| *refusal.object == *object && now < refusal.until)
    }

    /// When a report is due only to try the times again.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.refused.as_ref().filter(|refusal| refusal.is_due).map(|refusal| refusal.until)
    }

    /// The report that was due to try the times again is under way.
    pub(crate) fn begun(&mut self) {
        if let Some(refusal) = &mut self.refused {
            refusal.is_due = false;
        }
    }

    /// The API server refused a report with times to the object of this uid at `now`. Returns whether that is the first
    /// refusal.
    pub(crate) fn refused(&mut self, object: &str, now: Instant) -> bool {
        let is_first = self.refused.is_none();
        let until = now + if is_first { FIRST_PAUSE } else { PAUSE };
        self.refused = Some(Refusal { object: object.into(), until, is_due: is_first });
        is_first
    }

    /// The API server took a report with times.
    pub(crate) fn accepted(&mut self) {
        self.refused = None;
    }
}

/// Removes the times from a report.
pub(crate) fn leave_out(report: &mut Value) {
    if let Some(fields) = report.as_object_mut() {
        fields.remove("changed");
    }
}

/// Whether this is how the API server refuses the field. The text comes from `sigs.k8s.io/structured-merge-diff`
/// (`typed/validate.go`). The code with which the API server sends it has changed between its releases.
pub(crate) fn is_refusal(message: &str) -> bool {
    message.contains(".status.report.changed: field not declared in schema")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn after_a_refusal_the_times_are_tried_once_more_and_then_only_with_a_report() {
        let start = Instant::now();
        let mut times = TimesOfChange::default();
        assert!(!times.are_left_out("1", start) && times.due().is_none());
        assert!(times.refused("1", start));
        assert!(times.are_left_out("1", start + Duration::from_secs(59)));
        assert_eq!(times.due(), Some(start + FIRST_PAUSE));
        let again = start + FIRST_PAUSE;
        times.begun();
        assert_eq!(times.due(), None, "whatever becomes of that report");
        assert!(!times.are_left_out("1", again));
        assert!(!times.refused("1", again), "it is logged once");
        assert_eq!(times.due(), None);
        assert!(times.are_left_out("1", again + Duration::from_mins(9)));
        assert!(!times.are_left_out("1", again + PAUSE));
        times.accepted();
        assert!(!times.are_left_out("1", again) && times.due().is_none());
    }

    #[test]
    fn another_object_of_the_node_gets_the_times() {
        let start = Instant::now();
        let mut times = TimesOfChange::default();
        times.refused("1", start);
        assert!(!times.are_left_out("2", start));
    }
}
