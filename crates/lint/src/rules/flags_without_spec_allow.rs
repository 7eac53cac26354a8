//! # flags-without-spec-allow
//!
//! The flags leave out the one that runtimes set by themselves.
//!
//! Without `flags`, runc and crun load the filter with `SECCOMP_FILTER_FLAG_SPEC_ALLOW`. As soon as a profile names any
//! flag, they use only those that it names (runc 1.3.6 and 1.5.2, crun 1.8.1 to 1.28). Without this flag the kernel turns
//! on mitigations of speculative execution for the process on some processors, which can make it slower; where that is
//! wanted, the finding can be ignored. The fix adds the flag; it is unsafe, because it changes how the filter is loaded.
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

use profile::Flag;

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
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
}
