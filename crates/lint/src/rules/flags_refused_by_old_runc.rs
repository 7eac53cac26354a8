//! # flags-refused-by-old-runc
//!
//! runc before 1.2 starts no container under a profile with flags.
//!
//! Debian 12 and 13 have such a runc (1.1.5 and 1.1.15); it refuses every flag with "seccomp flags are not yet supported by
//! runc". The kubelet then reports that the container cannot be created. If the only flag is
//! `SECCOMP_FILTER_FLAG_SPEC_ALLOW`, which runtimes also set without any flag, the fix removes the field and is safe.
//! `spec.report: true` of a `SeccompProfile` adds `SECCOMP_FILTER_FLAG_LOG`, so that it has the same consequence: turn it
//! on once every node has a newer runc or crun.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! flags: [SECCOMP_FILTER_FLAG_SPEC_ALLOW]
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

use filter::{Flags, Runtime};
use profile::Flag;

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "flags-refused-by-old-runc",
    severity: Severity::Info,
    confidence: Confidence::Medium,
    summary: "runc before 1.2 starts no container under a profile with flags.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let flags = subject.profile.flags();
    let refuses = |runtime: &Runtime| runtime.flags == Flags::Refused;
    if flags.is_empty() || !subject.nodes.runtimes.iter().any(refuses) {
        return Vec::new();
    }
    let path = place::field("flags");
    let found = Found::new(path.clone(), "runc before 1.2 starts no container under a profile with flags".to_owned());
    let is_default = flags.iter().all(|flag| *flag == Flag::SpecAllow);
    vec![if is_default {
        found.with(Fix::new(Safety::Safe, "Remove the flags", Edit::Remove { path }))
    } else {
        found
    }]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::{findings, paths, paths_on};

    #[test]
    fn any_flag_is_found_and_only_the_one_that_runtimes_set_is_removed() {
        let profile = |flags: &[&str]| json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": flags });
        let fixed = |flags| findings(&RULE, profile(flags))[0].fix.is_some();
        assert!(fixed(&["SECCOMP_FILTER_FLAG_SPEC_ALLOW"]));
        assert!(!fixed(&["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"]));
        assert_eq!(paths(&RULE, profile(&["SECCOMP_FILTER_FLAG_TSYNC"])), ["flags"]);
        assert_eq!(paths(&RULE, profile(&[])), Vec::<String>::new());
        let newer = Nodes { runtimes: vec![Runtime::RUNC_1_2, Runtime::CRUN], ..Nodes::default() };
        assert_eq!(paths_on(&RULE, &newer, profile(&["SECCOMP_FILTER_FLAG_LOG"])), Vec::<String>::new());
    }
}
