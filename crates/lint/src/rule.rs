//! A rule: what is checked.

use crate::finding::{Finding, Found};
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

/// One thing that is checked about a profile.
#[derive(Debug)]
pub struct Rule {
    /// The name, which never changes: in kebab case.
    pub id: &'static str,
    /// How bad a finding is.
    pub severity: Severity,
    /// How sure it is that a finding is a mistake.
    pub confidence: Confidence,
    /// What a finding means, in one sentence.
    pub summary: &'static str,
    pub(crate) check: fn(&Subject<'_>) -> Vec<Found>,
}

impl Rule {
    /// What it finds; without what it finds on request only, unless it `is_requested`.
    pub(crate) fn findings(&'static self, subject: &Subject<'_>, is_requested: bool) -> Vec<Finding> {
        let found = (self.check)(subject).into_iter();
        found.filter(|found| is_requested || !found.is_on_request).map(|found| self.finding(found)).collect()
    }

    /// What it says of a profile.
    pub(crate) fn finding(&'static self, found: Found) -> Finding {
        Finding {
            rule: self.id,
            severity: self.severity,
            confidence: self.confidence,
            path: found.path,
            message: found.message,
            fix: found.fix,
        }
    }
}
