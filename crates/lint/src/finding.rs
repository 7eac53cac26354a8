//! A finding: where a profile breaks a rule.

use profile::FieldPath;
use serde::Serialize;
use serde_json::Value;

use crate::fix::{Edit, Fix};
use crate::place::{as_text, written};
use crate::severity::{Confidence, Severity};

/// A place in a profile that breaks a rule.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// The rule's id.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// How sure it is that this is a mistake.
    pub confidence: Confidence,
    /// The field, from the top of the profile. A rule's calls are in its `names`; [`Finding::in_contents`] has the place
    /// where the author wrote the older `name`.
    #[serde(serialize_with = "as_text")]
    pub path: FieldPath,
    /// What is wrong there, and what would be right.
    pub message: String,
    /// A change after which the rule no longer finds this.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fix: Option<Fix>,
}

impl Finding {
    /// The same with the places in the contents that an author wrote, from which the profile was parsed. Where a fix would add
    /// to a list that they do not have, as to `names` beside the older `name`, there is none.
    #[must_use]
    pub fn in_contents(self, contents: &Value) -> Self {
        let path = written(self.path, contents);
        let fix = self.fix.and_then(|fix| Some(Fix { edit: fix.edit.in_contents(contents)?, ..fix }));
        Self { path, fix, ..self }
    }
}

impl Finding {
    /// Whether its fix has mended it, by what is found `before` the fix and `after` it: the rule finds fewer faults. After a fix
    /// that removes something, it may instead find another fault, which this one had hidden: every removal makes the profile
    /// smaller, so that a program which applies one fix after the other comes to an end.
    #[must_use]
    pub fn is_mended(&self, before: &[Self], after: &[Self]) -> bool {
        let of_the_rule = |list: &[Self]| list.iter().filter(|it| it.rule == self.rule).count();
        let removes = self.fix.as_ref().is_some_and(|fix| matches!(fix.edit, Edit::Remove { .. }));
        let is_this = |it: &Self| (it.rule, &it.message) == (self.rule, &self.message);
        let times = |list: &[Self]| list.iter().filter(|it| is_this(it)).count();
        of_the_rule(after) < of_the_rule(before) || removes && times(after) < times(before)
    }
}

/// What a rule's own code says of a finding.
pub(crate) struct Found {
    pub(crate) path: FieldPath,
    pub(crate) message: String,
    pub(crate) fix: Option<Fix>,
    /// Whether it is left out unless the rule is requested.
    pub(crate) is_on_request: bool,
}

impl Found {
    pub(crate) fn new(path: FieldPath, message: String) -> Self {
        Self { path, message, fix: None, is_on_request: false }
    }

    pub(crate) fn with(self, fix: Fix) -> Self {
        Self { fix: Some(fix), ..self }
    }
}
