//! # condition-of-multiplexed-call
//!
//! A condition on an argument does not hold for programs that make the call through `socketcall` or `ipc`.
//!
//! On 32-bit x86, S/390, PowerPC and 32-bit MIPS, calls about sockets and System V IPC can also be made through one call,
//! `socketcall` or `ipc`, whose first argument says which call is meant; the arguments of the call are in memory, where a
//! filter cannot read them. libseccomp adds each rule for such a call to the multiplexer, too, but without a condition on
//! the first argument, and with conditions on others, although these are not the same there (measured with 2.5.4 and
//! 2.6.1). A rule that is meant for some arguments therefore applies to others, too.
//!
//! This rule finds conditions if the profile lists such an architecture, except where another rule denies the multiplexer
//! altogether. It also finds those of a profile that permits the multiplexer to all programs, as profiles for old 32-bit
//! programs do: there the conditions only hold for 64-bit programs. There is no fix, because only the author knows whether
//! such programs must run.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [shmget]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 1, value: 4096, op: SCMP_CMP_EQ}]
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [shmget]
//!     action: SCMP_ACT_ERRNO
//!     args: [{index: 1, value: 4096, op: SCMP_CMP_EQ}]
//!   - names: [ipc]
//!     action: SCMP_ACT_ERRNO
//!     errnoRet: 38
//! ```

use std::collections::BTreeSet;

use filter::multiplexer;

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Subject, permits};

pub(super) static RULE: Rule = Rule {
    id: "condition-of-multiplexed-call",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "A condition on an argument does not hold for programs that make the call through `socketcall` or `ipc`.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    // Each call once, at its first condition.
    let mut seen = BTreeSet::new();
    for (index, rule) in subject.rules().filter(|(_, rule)| !subject.skips(rule) && !rule.arguments().is_empty()) {
        let multiplexed = rule.names().iter().enumerate().find_map(|(at, name)| {
            // Where the call has a rule without conditions, that one wins.
            subject.treatment(name.as_str()).filter(|treatment| treatment.unconditional.is_none())?;
            let through = subject.profile.architectures().iter().find_map(|architecture| {
                Some((multiplexer(name.as_str(), *architecture)?, architecture.name()))
            });
            through.map(|(through, architecture)| (at, name.as_str(), through, architecture))
        });
        let Some((at, name, through, architecture)) = multiplexed else { continue };
        if !seen.insert(name) {
            continue;
        }
        let denied = subject.treatment(through).and_then(|treatment| treatment.unconditional);
        if denied.is_some_and(|mention| !permits(mention.effect)) {
            continue;
        }
        let message = format!(
            "programs of {architecture} can also make {name} through {through}, where its conditions do not hold"
        );
        found.push(Found::new(place::name(index, at), message));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::paths;

    fn found(architectures: &[&str], rules: Value) -> Vec<String> {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": rules });
        paths(&RULE, profile)
    }

    fn when(names: &[&str]) -> Value {
        let args = json!([{ "index": 0, "value": 4, "op": "SCMP_CMP_NE" }]);
        json!({ "names": names, "action": "SCMP_ACT_ALLOW", "args": args })
    }

    #[test]
    fn conditions_of_calls_about_sockets_and_ipc_are_found() {
        let x86 = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
        assert_eq!(found(&x86, json!([when(&["ioctl", "socket"])])), ["syscalls[0].names[1]"]);
        assert_eq!(found(&["SCMP_ARCH_S390X"], json!([when(&["shmget"])])), ["syscalls[0].names[0]"]);
        let all = json!([{ "names": ["socketcall"], "action": "SCMP_ACT_ALLOW" }, when(&["bind"])]);
        assert_eq!(found(&x86, all), ["syscalls[1].names[0]"]);
    }

    #[test]
    fn other_architectures_other_calls_and_a_denied_multiplexer_are_not() {
        let none = Vec::<String>::new();
        let x86 = ["SCMP_ARCH_X86"];
        assert_eq!(found(&["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM"], json!([when(&["socket"])])), none);
        assert_eq!(found(&x86, json!([when(&["ioctl"])])), none);
        let denied = json!({ "names": ["socketcall"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 });
        assert_eq!(found(&x86, json!([when(&["socket"]), denied])), none);
        let always = json!({ "names": ["socket"], "action": "SCMP_ACT_ALLOW" });
        assert_eq!(found(&x86, json!([when(&["socket"]), always])), none);
    }
}
