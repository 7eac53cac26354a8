//! # reaches-past-the-filter
//!
//! A permitted call has effects that no rule of a filter limits: on the kernel, on the whole node or on other containers.
//!
//! A filter decides calls, one by one. What some calls set up works without further calls, or is not the container's own:
//!
//! - `bpf` loads programs into the kernel, which run there without any filter.
//! - `init_module`, `finit_module`, `delete_module`, `kexec_load` and `kexec_file_load` change or replace the kernel.
//! - `userfaultfd` lets a program hold up the kernel in the middle of an access to the program's memory, which makes faults
//!   of the kernel easier to use.
//! - `perf_event_open` observes other programs and the kernel.
//! - `add_key`, `keyctl` and `request_key` use keys, which the kernel keeps by user and not by container.
//! - `open_by_handle_at` opens files by number, whatever the container has mounted.
//!
//! The kernel checks capabilities or settings for most of these, so that the filter is a second line of defence; containerd's
//! and Docker's defaults deny all of them. The rule finds names that a profile with a default that denies permits without
//! conditions. The fix removes the name, or the rule if it has no other; it is unsafe, because a program may need it.
//!
//! Three kinds of calls belong here and are not found by this rule:
//!
//! - io_uring has a rule of its own: [io-uring-permitted](io-uring-permitted.md).
//! - `ptrace` and `process_vm_writev` let a process change others. Both defaults permit them, because since Linux 4.8 a filter
//!   also decides about a call that a tracer has changed: a traced process is never less restricted than its own filter.
//!   Another process is: containers of a pod with `shareProcessNamespace` may trace those of the same user, under whatever
//!   filter these run. Deny `ptrace` in such pods.
//! - `socket` for every address family. Most lists of permitted calls have it, and the families that both defaults deny are
//!   few. [weaker-than-runtime-default](weaker-than-runtime-default.md), which is checked on request, finds it.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [read, write, exit_group, perf_event_open]
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

use crate::finding::Found;
use crate::fix::{Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::{Subject, permits};

pub(super) static RULE: Rule = Rule {
    id: "reaches-past-the-filter",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "A permitted call has effects that no rule of a filter limits: on the kernel, on the whole node or on other \
              containers.",
    check,
};

/// Calls, and what they do.
const CALLS: &[(&[&str], &str)] = &[
    (&["bpf"], "loads programs into the kernel, which run there without any filter"),
    (&["init_module", "finit_module", "delete_module"], "changes the kernel's modules"),
    (&["kexec_load", "kexec_file_load"], "replaces the running kernel"),
    (&["userfaultfd"], "lets the program hold up the kernel in the middle of an access to the program's memory"),
    (&["perf_event_open"], "observes other programs and the kernel"),
    (&["add_key", "keyctl", "request_key"], "uses keys, which the kernel keeps by user and not by container"),
    (&["open_by_handle_at"], "opens files by number, whatever the container has mounted"),
];

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let profile = subject.profile;
    // To permit everything but a few calls is on purpose.
    if permits(profile.default_effect()) {
        return Vec::new();
    }
    let found = CALLS.iter().flat_map(|(names, does)| names.iter().map(move |name| (*name, *does)));
    let mut found: Vec<_> = found
        .filter_map(|(name, does)| {
            let permitted = subject.treatment(name)?.unconditional.filter(|mention| permits(mention.effect))?;
            let place = place::name(permitted.rule, permitted.name);
            let found = Found::new(place, format!("{name} is permitted, which {does}"));
            let named = profile.rules().iter().flat_map(|rule| rule.names()).filter(|it| it.as_str() == name);
            let found = if named.count() > 1 {
                found
            } else {
                found.with(Fix::without_name(Safety::Unsafe, profile, permitted))
            };
            Some(((permitted.rule, permitted.name), found))
        })
        .collect();
    found.sort_by_key(|(place, _)| *place);
    found.into_iter().map(|(_, found)| found).collect()
}

#[cfg(test)]
mod tests {
    use filter::RuntimeDefault;
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{findings, paths};

    fn permitting(names: &[&str], args: Value) -> Value {
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": names, "action": "SCMP_ACT_ALLOW", "args": args },
        ] })
    }

    #[test]
    fn calls_with_effects_outside_the_filter_are_found_in_the_order_of_the_profile() {
        let contents = permitting(&["read", "keyctl", "write", "bpf"], json!([]));
        assert_eq!(paths(&RULE, contents.clone()), ["syscalls[0].names[1]", "syscalls[0].names[3]"]);
        let first = &findings(&RULE, contents)[0];
        assert!(first.message.ends_with("by user and not by container"), "{}", first.message);
        assert!(first.fix.is_some());
        let alone = findings(&RULE, permitting(&["bpf"], json!([])));
        assert_eq!(alone[0].fix.as_ref().unwrap().title, "Remove the rule");
        let logged = json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": [
            { "names": ["userfaultfd"], "action": "SCMP_ACT_LOG" },
        ] });
        assert_eq!(paths(&RULE, logged), ["syscalls[0].names[0]"]);
    }

    #[test]
    fn denied_and_conditional_ones_and_defaults_that_permit_are_not() {
        let none = Vec::<String>::new();
        assert_eq!(paths(&RULE, permitting(&["read", "ptrace", "socket", "io_uring_setup"], json!([]))), none);
        let when = json!([{ "index": 0, "value": 5, "op": "SCMP_CMP_EQ" }]);
        assert_eq!(paths(&RULE, permitting(&["keyctl"], when)), none);
        let denied = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["bpf"], "action": "SCMP_ACT_TRAP" }, { "names": ["bpf"], "action": "SCMP_ACT_ALLOW" },
        ] });
        assert_eq!(paths(&RULE, denied), none);
        assert_eq!(paths(&RULE, json!({ "defaultAction": "SCMP_ACT_ALLOW" })), none);
    }

    #[test]
    fn no_call_is_one_that_a_runtimes_default_permits() {
        for default in [RuntimeDefault::CONTAINERD, RuntimeDefault::MOBY] {
            for native in [profile::Architecture::X86_64, profile::Architecture::Aarch64] {
                let contents = default.profile(native).unwrap();
                let contents = serde_json::from_slice(contents.canonical().bytes()).unwrap();
                assert_eq!(paths(&RULE, contents), Vec::<String>::new(), "{}", default.name);
            }
        }
        for name in CALLS.iter().flat_map(|(names, _)| names.iter()) {
            assert!(syscalls::Syscall::from_name(name).is_some(), "{name}");
        }
    }
}
