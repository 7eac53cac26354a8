//! # not-yet-known-syscall
//!
//! Some of the nodes' libseccomps do not know a name, so that their runtimes ignore it.
//!
//! A rule for a name that the node's libseccomp does not know is skipped without a message. The default then applies to
//! the call, and one profile is two filters in a cluster with different nodes. Under runc a node with the newer library
//! also answers other calls differently, because a known name moves the boundary above which runc answers with ENOSYS (see
//! [moves-enosys-boundary](moves-enosys-boundary.md)).
//!
//! The names were asked of libseccomp 2.5.4 as upstream released it, 2.5.4-1+deb12u1 of Debian 12, 2.6.0 and 2.6.1.
//! `kubectl seccomp lint --libseccomp 2.6.0` checks only for the versions that your nodes have. 2.5.0 to 2.5.3, 2.5.5 and
//! 2.5.6 were not measured: for nodes with 2.5.5 or 2.5.6 state both 2.5.4 and 2.6.0, between which they are; 2.5.4 is the
//! oldest version to state. There is no fix: the rule has its effect as soon as the nodes have a newer library. If a denied
//! call must be denied before, the default must deny it.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [listns]
//!     action: SCMP_ACT_ERRNO
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [kexec_load, kexec_file_load]
//!     action: SCMP_ACT_ERRNO
//! ```

use syscalls::Syscall;

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "not-yet-known-syscall",
    severity: Severity::Info,
    confidence: Confidence::High,
    summary: "Some of the nodes' libseccomps do not know a name, so that their runtimes ignore it.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (index, rule) in subject.rules().filter(|(_, rule)| !subject.skips(rule)) {
        let calls: Vec<_> = rule
            .names()
            .iter()
            .enumerate()
            .filter_map(|(at, name)| Some((at, Syscall::from_name(name.as_str())?)))
            .collect();
        let unknown = |library| calls.iter().filter(move |(_, call)| !call.known_to(library));
        // Most libraries lack different names; those that lack the same stand in one sentence.
        let mut sentences: Vec<(Vec<&str>, String)> = Vec::new();
        for library in &subject.nodes.libseccomps {
            let names = wording::names(unknown(*library).map(|(_, call)| call.name()));
            match sentences.last_mut() {
                _ if names.is_empty() => {}
                Some((libraries, same)) if *same == names => libraries.push(library.name()),
                _ => sentences.push((vec![library.name()], names)),
            }
        }
        let sentences: Vec<_> = sentences
            .into_iter()
            .map(|(libraries, names)| format!("{names} (unknown to libseccomp {})", libraries.join(", ")))
            .collect();
        let first = calls
            .iter()
            .find(|(_, call)| subject.nodes.libseccomps.iter().any(|library| !call.known_to(*library)));
        if let Some((at, _)) = first {
            let message = format!("runtimes with an older libseccomp ignore {}", sentences.join(", and "));
            found.push(Found::new(place::name(index, *at), message));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use syscalls::Libseccomp;

    use super::*;
    use crate::testing::{findings, paths};

    #[test]
    fn names_that_some_library_does_not_know_are_found_once_a_rule() {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["read", "cachestat", "mseal"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["listns"], "action": "SCMP_ACT_LOG" },
        ] });
        assert_eq!(paths(&RULE, profile.clone()), ["syscalls[0].names[1]", "syscalls[1].names[0]"]);
        let message = &findings(&RULE, profile)[0].message;
        assert_eq!(
            message,
            "runtimes with an older libseccomp ignore cachestat, mseal (unknown to libseccomp 2.5.4), and mseal (unknown \
             to libseccomp 2.5.4 of Debian 12)"
        );
    }

    #[test]
    fn names_that_every_library_of_the_nodes_knows_and_skipped_rules_are_not() {
        let profile = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["read", "quotactl_fd"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["listns"], "action": "SCMP_ACT_ERRNO" },
        ] });
        assert_eq!(paths(&RULE, profile), Vec::<String>::new());
        let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
            { "names": ["cachestat"], "action": "SCMP_ACT_ALLOW" },
        ] });
        let profile = profile::Profile::from_value(&contents).unwrap();
        let nodes = crate::Nodes { libseccomps: vec![Libseccomp::V2_6_0], ..crate::Nodes::default() };
        assert!(check(&Subject::of(&profile, &nodes)).is_empty());
    }
}
