//! # kill-thread-default
//!
//! The default ends only the thread that made the call, and the rest of the process goes on.
//!
//! `SCMP_ACT_KILL` and `SCMP_ACT_KILL_THREAD` are the same: the kernel ends the calling thread. In a program with several
//! threads the others wait for it, with its locks still held; the container hangs instead of failing, and nothing restarts
//! it. `SCMP_ACT_KILL_PROCESS` ends the whole process. The fix replaces the action; it is unsafe, because it changes what
//! happens. gVisor starts no container under either action (runsc 2024-07-29).
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_KILL
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_KILL_PROCESS
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//! ```

use profile::Action;

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "kill-thread-default",
    severity: Severity::Warning,
    confidence: Confidence::High,
    summary: "The default ends only the thread that made the call, and the rest of the process goes on.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    if subject.profile.default_effect().action() != Action::KillThread {
        return Vec::new();
    }
    let path = place::field("defaultAction");
    let edit = Edit::Set { path: path.clone(), value: Action::KillProcess.name().into() };
    let message = format!(
        "{} ends one thread, and the others of the process go on; {} ends the process",
        subject.profile.default_action().name(),
        Action::KillProcess.name()
    );
    let fix = Fix::new(Safety::Unsafe, format!("Replace it by {}", Action::KillProcess.name()), edit);
    vec![Found::new(path, message).with(fix)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::paths;

    #[test]
    fn both_names_of_the_action_are_found_and_no_other_action() {
        for action in ["SCMP_ACT_KILL", "SCMP_ACT_KILL_THREAD"] {
            assert_eq!(paths(&RULE, json!({ "defaultAction": action })), ["defaultAction"]);
        }
        for action in ["SCMP_ACT_KILL_PROCESS", "SCMP_ACT_TRAP", "SCMP_ACT_ERRNO"] {
            assert_eq!(paths(&RULE, json!({ "defaultAction": action })), Vec::<String>::new());
        }
        let rule = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["mount"], "action": "SCMP_ACT_KILL_THREAD" },
        ] });
        assert_eq!(paths(&RULE, rule), Vec::<String>::new());
    }
}
