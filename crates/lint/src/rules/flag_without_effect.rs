//! # flag-without-effect
//!
//! `SECCOMP_FILTER_FLAG_TSYNC` changes nothing for a container.
//!
//! The flag extends a filter to the other threads of the process that loads it. A runtime loads the filter shortly before it
//! starts the program with `execve`, which ends all other threads. runc therefore ignores the flag; crun sets it. The fix
//! removes it, with the whole list if it has no other flag; it is unsafe, because it changes the flags with which crun loads
//! the filter, and without `flags` runtimes set `SECCOMP_FILTER_FLAG_SPEC_ALLOW`.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! flags: [SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_TSYNC]
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
use crate::fix::Fix;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "flag-without-effect",
    severity: Severity::Info,
    confidence: Confidence::High,
    summary: "`SECCOMP_FILTER_FLAG_TSYNC` changes nothing for a container.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let flags = subject.profile.flags().iter().enumerate();
    let flags = flags.filter(|(_, flag)| **flag == Flag::Tsync);
    let message = || "the filter is loaded before execve, which ends all other threads".to_owned();
    flags
        .map(|(index, flag)| {
            let fix = Fix::without_flag(subject.profile, index, *flag);
            Found::new(place::flag(index), message()).with(fix)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{findings, paths};

    #[test]
    fn the_flag_is_found_alone_and_beside_others() {
        let profile = |flags: &[&str]| json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": flags });
        assert_eq!(paths(&RULE, profile(&["SECCOMP_FILTER_FLAG_TSYNC"])), ["flags[0]"]);
        assert_eq!(paths(&RULE, profile(&["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"])), ["flags[1]"]);
    }

    /// runc and crun set no flag at all for an empty list, and `SECCOMP_FILTER_FLAG_SPEC_ALLOW` if there is none.
    #[test]
    fn the_fix_leaves_no_empty_list() {
        let fixed = |flags: &[&str]| {
            let mut contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": flags });
            assert!(findings(&RULE, contents.clone())[0].fix.as_ref().unwrap().apply(&mut contents));
            contents
        };
        assert_eq!(fixed(&["SECCOMP_FILTER_FLAG_TSYNC"]), json!({ "defaultAction": "SCMP_ACT_ERRNO" }));
        assert_eq!(
            fixed(&["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_TSYNC"])["flags"],
            json!(["SECCOMP_FILTER_FLAG_LOG"])
        );
    }

    #[test]
    fn other_flags_are_not() {
        let flags = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "flags": flags });
        assert_eq!(paths(&RULE, profile), Vec::<String>::new());
    }
}
