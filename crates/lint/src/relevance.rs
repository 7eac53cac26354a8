//! Which findings to show where there is room for a few.

use std::collections::HashMap;

use crate::finding::Finding;
use crate::severity::{Confidence, Severity};

/// The most relevant findings, and how many there are.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Shown {
    /// How many errors there are.
    pub errors: usize,
    /// How many warnings there are.
    pub warnings: usize,
    /// The errors and warnings to show: errors first. The first finding of each rule comes before the second of any, so that
    /// no rule hides another.
    pub most_relevant: Vec<Finding>,
}

/// The `most` most relevant findings. What is only information has no effect on what a profile does, and would hide the
/// others, so that it is left out.
#[must_use]
pub fn most_relevant(found: Vec<Finding>, most: usize) -> Shown {
    let mut shown = Shown::default();
    let mut of_rule: HashMap<&str, usize> = HashMap::new();
    let mut relevant: Vec<(_, Finding)> = Vec::new();
    for finding in found {
        match finding.severity {
            Severity::Error => shown.errors += 1,
            Severity::Warning => shown.warnings += 1,
            Severity::Info => continue,
        }
        let earlier = of_rule.entry(finding.rule).or_default();
        if *earlier < most {
            let unsure = finding.confidence != Confidence::High;
            relevant.push(((finding.severity, *earlier, unsure), finding));
        }
        *earlier += 1;
    }
    relevant.sort_by_key(|(order, _)| *order);
    shown.most_relevant = relevant.into_iter().take(most).map(|(_, finding)| finding).collect();
    shown
}
