//! The findings of `lint` about an explained profile, each with the group of calls that it is about.

use std::collections::BTreeSet;

use lint::{Finding, Severity};
use profile::{FieldPath, Profile, Segment};
use serde::Serialize;
use syscalls::{Group, Syscall};

use crate::manifest::{FileProfile, Position};

/// A finding of `lint`.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingView {
    /// The rule.
    pub rule: &'static str,
    /// How bad it is.
    pub severity: Severity,
    /// The field.
    pub path: String,
    /// Where it stands in the file.
    #[serde(flatten)]
    pub position: Position,
    /// What is wrong.
    pub message: String,
    /// The group of calls that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<&'static str>,
}

impl FindingView {
    pub(super) fn of(finding: &Finding, of: &FileProfile) -> Self {
        Self {
            rule: finding.rule,
            severity: finding.severity,
            path: finding.path.to_string(),
            position: of.position(&finding.path),
            message: finding.message.clone(),
            group: group(&finding.path, &of.profile).map(Group::name),
        }
    }
}

/// The group of the calls that a field is about, if all are of one.
fn group(path: &FieldPath, profile: &Profile) -> Option<Group> {
    let (rule, name) = match path.segments() {
        [_, Segment::Index(rule), _, Segment::Index(name), ..] if is_names(path) => (*rule, Some(*name)),
        [_, Segment::Index(rule), ..] => (*rule, None),
        _ => return None,
    };
    let names = profile.rules().get(rule)?.names();
    let named = match name {
        Some(name) => names.get(name..=name)?,
        None => names,
    };
    let groups: BTreeSet<_> =
        named.iter().map(|name| Syscall::from_name(name.as_str()).map(Syscall::group)).collect();
    match groups.into_iter().collect::<Vec<_>>()[..] {
        [only] => only,
        _ => None,
    }
}

fn is_names(path: &FieldPath) -> bool {
    matches!(path.segments().get(2), Some(Segment::Key(key)) if &**key == "names")
}
