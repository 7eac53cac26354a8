//! Finds what a valid profile does not do as its author probably meant.
//!
//! - [`RULES`]: what is checked. A rule is a file in `src/rules/`; the documentation of that file is the rule's page in
//!   the book, with an example that breaks the rule and one that does not. [`page`] returns it.
//! - [`check`]: the findings about a profile on certain [`Nodes`]. [`check_with`] adds those of rules [`ON_REQUEST`],
//!   [`check_plain`] has what is wrong only in a file that a runtime reads as it is, and [`check_loading`] has those alone
//!   that say why a filter may not be loaded.
//! - [`Finding`]: a rule, the field, and what is wrong there. [`Fix`]: a change of the profile after which the rule no
//!   longer finds it.
//! - [`most_relevant`]: which findings to show where there is room for a few.
//!
//! Facts about runtimes and libseccomp were measured; the page of a rule says with which versions. The rules are about
//! runc, crun and youki; gVisor interprets profiles differently, which one rule is about.
//!
//! The crate is pure: no Kubernetes, no async, no I/O.

#![forbid(unsafe_code)]

mod boundary;
mod families;
mod finding;
mod fix;
mod nodes;
mod overlap;
mod pages;
mod place;
mod register;
mod relevance;
mod rule;
mod rules;
mod severity;
mod subject;
#[cfg(test)]
mod testing;
mod wording;

use profile::Profile;
use serde_json::Value;

pub use finding::Finding;
pub use fix::{Edit, Fix, Safety};
pub use nodes::Nodes;
pub use pages::page;
pub use relevance::{Shown, most_relevant};
pub use rule::Rule;
pub use rules::RULES;
pub use severity::{Confidence, Severity};

use subject::Subject;

/// The rules that find more on request. [`check`] leaves out all but `int-compared-in-64-bits`, of which it leaves out what
/// usually has no consequence. `otherwise-under-gvisor` is about another kind of runtime. What
/// `weaker-than-runtime-default` finds is on purpose in many profiles, and it takes longer than all others together.
pub const ON_REQUEST: &[&str] =
    &["int-compared-in-64-bits", "otherwise-under-gvisor", "weaker-than-runtime-default"];

/// The rules that find nothing unless they are requested.
const ONLY_ON_REQUEST: &[&str] = &["otherwise-under-gvisor", "weaker-than-runtime-default"];

/// The rules that compute filters. What that takes grows steeply with the number of conditions about one call: with 32
/// rules with two arguments each it is several seconds.
const COMPUTING: &[&str] =
    &["cannot-be-compiled", "cannot-start", "compiled-otherwise", "merged-wrongly", "program-too-long"];

/// The rules that find why some versions of a runtime may not load a filter that the model has.
const LOADING: &[&str] =
    &["architecture-unknown-to-runtime", "flag-refused-with-listener", "program-too-long"];

/// What [`check_quickly`] finds.
#[derive(Debug, Clone, PartialEq)]
pub struct QuickCheck {
    /// The findings, in the order of [`RULES`] and then of the fields.
    pub findings: Vec<Finding>,
    /// The rules that would have taken too long, so that it is not known what they find.
    pub left_out: &'static [&'static str],
}

/// Like [`check`], for a program that must not spend seconds on any profile: without the rules that compute filters where
/// the conditions of the profile are too many. The defaults of the runtimes are far below that.
#[must_use]
pub fn check_quickly(profile: &Profile, nodes: &Nodes) -> QuickCheck {
    let subject = Subject::quickly(profile, nodes);
    let left_out = if subject.computes() { &[] } else { COMPUTING };
    let findings = findings(&subject, left_out, &[]);
    QuickCheck { findings, left_out }
}

/// The findings about a profile, in the order of [`RULES`] and then of the fields.
#[must_use]
pub fn check(profile: &Profile, nodes: &Nodes) -> Vec<Finding> {
    check_with(profile, nodes, &[])
}

/// The same with those rules of [`ON_REQUEST`] that are requested.
#[must_use]
pub fn check_with(profile: &Profile, nodes: &Nodes, requested: &[&str]) -> Vec<Finding> {
    findings(&Subject::of(profile, nodes), &[], requested)
}

/// What is wrong with contents if a runtime reads their file as it is. The file that is written of a `SeccompProfile` has no
/// empty list of flags, and neither has a [`Profile`].
#[must_use]
pub fn check_plain(contents: &Value, nodes: &Nodes) -> Option<Finding> {
    rules::empty_list(contents, nodes)
}

/// Why runtimes of these nodes may not load a filter although [`filter::Filter::new`] has it: one row of the model stands for
/// several versions, and the length of a program is an estimate.
#[must_use]
pub fn check_loading(profile: &Profile, nodes: &Nodes) -> Vec<Finding> {
    let subject = Subject::of(profile, nodes);
    let about_loading = RULES.iter().filter(|rule| LOADING.contains(&rule.id));
    about_loading.flat_map(|rule| rule.findings(&subject, false)).collect()
}

fn findings(subject: &Subject<'_>, left_out: &[&str], requested: &[&str]) -> Vec<Finding> {
    let is_requested = |rule: &&Rule| requested.contains(&rule.id);
    let wanted = |rule: &&&'static Rule| {
        !left_out.contains(&rule.id) && (!ONLY_ON_REQUEST.contains(&rule.id) || is_requested(rule))
    };
    RULES.iter().filter(wanted).flat_map(|rule| rule.findings(subject, is_requested(rule))).collect()
}
