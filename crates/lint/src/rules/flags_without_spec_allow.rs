//! # flags-without-spec-allow
//!
//! The flags leave out the one that runtimes set by themselves.
//!
//! Without `flags`, runc and crun load the filter with `SECCOMP_FILTER_FLAG_SPEC_ALLOW`. As soon as a profile names any
//! flag, they use only those that it names (runc 1.3.6 and 1.5.2, crun 1.8.1 to 1.28). Without this flag the kernel turns
//! on mitigations of speculative execution for the process on some processors, which can make it slower; where that is
//! wanted, the finding can be ignored. The fix adds the flag; it is unsafe, because it changes how the filter is loaded.
//!
//! An empty list, `flags: []`, is not the same as none to these runtimes: they then set no flag at all. That is found in a
//! profile in the runtimes' format, which a runtime reads as it is, and the fix removes the list. A SeccompProfile with an
//! empty list has none in the nodes' file. Every other command counts an empty list as none.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! flags: [SECCOMP_FILTER_FLAG_LOG]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```

use filter::Flags;
use profile::Flag;
use serde_json::Value;

use crate::finding::{Finding, Found};
use crate::fix::{Edit, Fix, Safety};
use crate::nodes::Nodes;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "flags-without-spec-allow",
    severity: Severity::Info,
    confidence: Confidence::Medium,
    summary: "The flags leave out the one that runtimes set by themselves.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let flags = subject.profile.flags();
    if flags.is_empty() || flags.contains(&Flag::SpecAllow) {
        return Vec::new();
    }
    let path = place::field("flags");
    let edit = Edit::Append { path: path.clone(), values: vec![Flag::SpecAllow.name().into()] };
    let message = format!("without flags runtimes set {}; with these they do not", Flag::SpecAllow.name());
    vec![Found::new(path, message).with(Fix::new(
        Safety::Unsafe,
        format!("Add {}", Flag::SpecAllow.name()),
        edit,
    ))]
}

/// What is wrong with an empty list of flags in a file that runtimes read as it is.
pub(crate) fn empty_list(contents: &Value, nodes: &Nodes) -> Option<Finding> {
    let is_empty = contents.get("flags")?.as_array()?.is_empty();
    // Older runc sets no flag in either case.
    let matters = nodes.runtimes.iter().any(|runtime| runtime.flags != Flags::Refused);
    if !is_empty || !matters {
        return None;
    }
    let path = place::field("flags");
    let message =
        format!("without flags runtimes set {}; with an empty list they set none", Flag::SpecAllow.name());
    let fix = Fix::new(Safety::Unsafe, "Remove the empty list", Edit::Remove { path: path.clone() });
    Some(RULE.finding(Found::new(path, message).with(fix)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::paths;

    #[test]
    fn flags_without_it_are_found() {
        let profile = |flags: &[&str]| json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": flags });
        assert_eq!(paths(&RULE, profile(&["SECCOMP_FILTER_FLAG_LOG"])), ["flags"]);
        assert_eq!(paths(&RULE, profile(&["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"])), ["flags"]);
        assert_eq!(paths(&RULE, profile(&["SECCOMP_FILTER_FLAG_SPEC_ALLOW"])), Vec::<String>::new());
        assert_eq!(paths(&RULE, profile(&[])), Vec::<String>::new());
    }

    #[test]
    fn an_empty_list_is_found_in_a_file_that_runtimes_read() {
        let nodes = Nodes::default();
        let mut contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": [] });
        let found = empty_list(&contents, &nodes).unwrap();
        assert_eq!((found.rule, &*found.path.to_string()), (RULE.id, "flags"));
        assert!(found.fix.unwrap().apply(&mut contents));
        assert_eq!(contents, json!({ "defaultAction": "SCMP_ACT_ERRNO" }));
        assert_eq!(empty_list(&contents, &nodes), None);
        assert_eq!(empty_list(&json!({ "flags": ["SECCOMP_FILTER_FLAG_LOG"] }), &nodes), None);
        let old = Nodes { runtimes: vec![filter::Runtime::RUNC_1_1], ..Nodes::default() };
        assert_eq!(empty_list(&json!({ "flags": [] }), &old), None);
    }
}
