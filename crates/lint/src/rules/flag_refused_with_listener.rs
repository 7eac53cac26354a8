//! # flag-refused-with-listener
//!
//! Some runtime refuses a flag of a profile with a seccomp agent, and starts no container.
//!
//! `SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV` makes sense only with an agent. runc before 1.5 does not know it (code), and
//! later versions refuse it on libseccomp before 2.6 ("requires libseccomp >= 2.6.0"). `SECCOMP_FILTER_FLAG_TSYNC` has no
//! effect under runc; crun sets it, and the kernel refuses it together with a listener (EINVAL). The fix removes the flag;
//! it is unsafe, because it changes how the filter is loaded.
//!
//! State the runtimes and the versions of libseccomp of your nodes to leave out what does not concern them.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! flags: [SECCOMP_FILTER_FLAG_SPEC_ALLOW, SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV]
//! listenerPath: /run/agent.sock
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//!   - names: [mkdir]
//!     action: SCMP_ACT_NOTIFY
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ERRNO
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! listenerPath: /run/agent.sock
//! syscalls:
//!   - names: [read, write, exit_group]
//!     action: SCMP_ACT_ALLOW
//!   - names: [mkdir]
//!     action: SCMP_ACT_NOTIFY
//! ```

use filter::Runtime;
use profile::Flag;
use syscalls::Libseccomp;

use crate::finding::Found;
use crate::fix::Fix;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "flag-refused-with-listener",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "Some runtime refuses a flag of a profile with a seccomp agent, and starts no container.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    if subject.profile.listener().is_none() {
        return Vec::new();
    }
    let flags = subject.profile.flags().iter().enumerate();
    let refused = flags.filter_map(|(index, flag)| Some((index, *flag, why(subject, *flag)?)));
    refused
        .map(|(index, flag, why)| Found::new(place::flag(index), why).with(Fix::without_flag(subject.profile, index, flag)))
        .collect()
}

/// Which runtime of the nodes refuses a flag beside a listener.
fn why(subject: &Subject<'_>, flag: Flag) -> Option<String> {
    let nodes = subject.nodes;
    let name = flag.name();
    match flag {
        // Older versions refuse every flag, which another rule finds.
        Flag::WaitKillableRecv if nodes.runtimes.contains(&Runtime::RUNC_1_2) => {
            let old = nodes.libseccomps.iter().any(|libseccomp| *libseccomp < Libseccomp::V2_6_0);
            let and = if old { ", and later versions refuse it with libseccomp before 2.6" } else { "" };
            Some(format!("runc before 1.5 does not know {name}{and}: no container starts"))
        }
        Flag::Tsync if nodes.runtimes.contains(&Runtime::CRUN) => {
            Some(format!("crun sets {name}, which the kernel refuses beside a listener: no container starts"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::{findings, paths, paths_on};

    fn profile(flags: &[&str]) -> Value {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW", "flags": flags, "listenerPath": "/run/agent.sock",
            "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_NOTIFY" }],
        })
    }

    const WAIT: &str = "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV";
    const TSYNC: &str = "SECCOMP_FILTER_FLAG_TSYNC";

    #[test]
    fn a_flag_that_some_runtime_refuses_is_found() {
        assert_eq!(paths(&RULE, profile(&[WAIT, TSYNC])), ["flags[0]", "flags[1]"]);
        assert!(findings(&RULE, profile(&[WAIT]))[0].message.contains("with libseccomp before 2.6"));
        let newer = Nodes { libseccomps: vec![Libseccomp::V2_6_1], ..Nodes::default() };
        assert_eq!(paths_on(&RULE, &newer, profile(&[WAIT])), ["flags[0]"]);
    }

    #[test]
    fn other_runtimes_other_flags_and_profiles_without_an_agent_are_not() {
        let none = Vec::<String>::new();
        let on = |runtime| Nodes { runtimes: vec![runtime], ..Nodes::default() };
        assert_eq!(paths_on(&RULE, &on(Runtime::CRUN), profile(&[WAIT])), none);
        assert_eq!(paths_on(&RULE, &on(Runtime::RUNC_1_2), profile(&[TSYNC])), none);
        assert_eq!(paths(&RULE, profile(&["SECCOMP_FILTER_FLAG_LOG"])), none);
        assert_eq!(paths(&RULE, json!({ "defaultAction": "SCMP_ACT_ALLOW", "flags": [TSYNC] })), none);
    }
}
