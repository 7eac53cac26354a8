//! Helpers of the rules' tests.

use profile::Profile;
use serde_json::Value;

use crate::finding::Finding;
use crate::nodes::Nodes;
use crate::rule::Rule;
use crate::subject::Subject;

/// What a rule finds in the contents of a profile.
pub(crate) fn findings(rule: &'static Rule, contents: Value) -> Vec<Finding> {
    let profile = Profile::from_value(&contents).unwrap();
    rule.findings(&Subject::of(&profile, &Nodes::default()), true)
}

/// The paths of what a rule finds.
pub(crate) fn paths(rule: &'static Rule, contents: Value) -> Vec<String> {
    findings(rule, contents).iter().map(|finding| finding.path.to_string()).collect()
}

/// The same on certain nodes.
pub(crate) fn paths_on(rule: &'static Rule, nodes: &Nodes, contents: Value) -> Vec<String> {
    let profile = Profile::from_value(&contents).unwrap();
    rule.findings(&Subject::of(&profile, nodes), true)
        .iter()
        .map(|finding| finding.path.to_string())
        .collect()
}
