//! # missing-sub-architecture
//!
//! The filter kills every 32-bit program.
//!
//! A filter covers the node's own architecture and those that the profile lists. A call of another one ends the thread
//! with SIGSYS, also in a profile that otherwise permits or logs everything (runc 1.1.5 to 1.5.2, crun 1.8.1 to 1.28). On
//! x86-64 and on 64-bit ARM this is every 32-bit program, which finds nothing about it in its own logs. The fix adds the
//! architecture. It is unsafe, because it permits 32-bit programs, and with them 32-bit system calls, which an attacker may
//! prefer: to leave the architecture out can be right. A profile without any `architectures` has no fix.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64]
//! syscalls:
//!   - names: [kexec_load, kexec_file_load]
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

use profile::FieldPath;
use syscalls::Architecture;

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "missing-sub-architecture",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "The filter kills every 32-bit program.",
    check,
};

/// A 64-bit architecture, and that of the 32-bit programs on its nodes.
const PAIRS: [(Architecture, Architecture); 2] =
    [(Architecture::X86_64, Architecture::I386), (Architecture::Aarch64, Architecture::Arm)];

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let pairs = PAIRS.into_iter().filter(|(large, _)| subject.nodes.may_be(*large));
    if subject.profile.architectures().is_empty() {
        let message = "the profile lists no architectures: on 64-bit nodes the filter kills every 32-bit program";
        return pairs.map(|_| Found::new(FieldPath::default(), message.to_owned())).take(1).collect();
    }
    let listed: Vec<_> = subject.architectures().collect();
    let nodes_are = |architecture| subject.nodes.architectures.contains(&architecture);
    pairs
        .filter(|(large, small)| (listed.contains(large) || nodes_are(*large)) && !listed.contains(small))
        .map(|(large, small)| {
            let how = if listed.contains(&large) { "is listed" } else { "is the architecture of nodes, and covered" };
            let (large, small) = (large.oci_name(), small.oci_name());
            let path = place::field("architectures");
            let edit = Edit::Append { path: path.clone(), values: vec![small.into()] };
            let message = format!("{large} {how} without {small}: the filter kills every 32-bit program on these nodes");
            Found::new(path, message).with(Fix::new(Safety::Unsafe, format!("Add {small}"), edit))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Nodes;
    use crate::testing::{paths, paths_on};

    #[test]
    fn a_64_bit_architecture_without_its_32_bit_one_is_found() {
        let profile = |architectures: &[&str]| json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures });
        assert_eq!(paths(&RULE, profile(&["SCMP_ARCH_X86_64", "SCMP_ARCH_X32"])), ["architectures"]);
        assert_eq!(paths(&RULE, profile(&["SCMP_ARCH_X86_64", "SCMP_ARCH_AARCH64"])), ["architectures"; 2]);
        assert_eq!(paths(&RULE, profile(&[])), [""]);
        assert_eq!(paths(&RULE, profile(&["SCMP_ARCH_X86", "SCMP_ARCH_X86_64"])), Vec::<String>::new());
        assert_eq!(paths(&RULE, profile(&["SCMP_ARCH_RISCV64"])), Vec::<String>::new());
    }

    #[test]
    fn only_the_architectures_of_the_nodes_count_where_they_are_known() {
        let profile = |architectures: &[&str]| json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures });
        let on = |architectures: &[Architecture], listed: &[&str]| {
            let nodes = Nodes { architectures: architectures.to_vec(), ..Nodes::default() };
            paths_on(&RULE, &nodes, profile(listed))
        };
        let x86 = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64"];
        assert_eq!(on(&[Architecture::X86_64], &x86), Vec::<String>::new());
        assert_eq!(on(&[Architecture::X86_64, Architecture::Aarch64], &x86), ["architectures"]);
        assert_eq!(on(&[Architecture::X86_64], &["SCMP_ARCH_AARCH64"]), ["architectures"]);
        assert_eq!(on(&[Architecture::Riscv64], &[]), Vec::<String>::new());
        assert_eq!(on(&[Architecture::Riscv64, Architecture::Aarch64], &[]), [""]);
    }
}
