//! # architecture-unknown-to-runtime
//!
//! An older runc does not know a listed architecture, so that no container starts on its nodes.
//!
//! runc has a list of its own of the words in a profile, and refuses the whole profile for one that it does not know,
//! whatever the node's architecture is. runc before 1.1.8 does not know `SCMP_ARCH_RISCV64` (measured with 1.1.5: "is not a
//! valid arch for seccomp"), and runc before 1.4.1 not `SCMP_ARCH_LOONGARCH64` (code). crun asks libseccomp, whose words
//! [architecture-unknown-to-libseccomp](architecture-unknown-to-libseccomp.md) is about. Every other architecture, and every
//! action and operator that a profile may have, is known to runc since 1.1.3.
//!
//! State the runtimes of your nodes with `--runtime` to leave out what does not concern them. The fix removes the
//! architecture; it is unsafe, because programs of this architecture are then killed where it is not the node's own.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_RISCV64]
//! syscalls:
//!   - names: [add_key]
//!     action: SCMP_ACT_ERRNO
//! ```
//!
//! ## Good
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [add_key]
//!     action: SCMP_ACT_ERRNO
//! ```

use filter::Runtime;
use profile::{Architecture, FieldPath, Segment};

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "architecture-unknown-to-runtime",
    severity: Severity::Info,
    confidence: Confidence::Medium,
    summary: "An older runc does not know a listed architecture, so that no container starts on its nodes.",
    check,
};

/// Which versions do not know an architecture, and the runtimes of the model that are or contain such a version
/// (`archs` in libcontainer/seccomp/config.go of each release of runc).
const UNKNOWN: [(Architecture, &str, &[Runtime]); 2] = [
    (Architecture::Riscv64, "runc before 1.1.8", &[Runtime::RUNC_1_1]),
    (
        Architecture::Loongarch64,
        "runc before 1.4.1",
        &[Runtime::RUNC_1_1, Runtime::RUNC_1_1_15, Runtime::RUNC_1_2],
    ),
];

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let mut found = Vec::new();
    for (index, architecture) in subject.profile.architectures().iter().enumerate() {
        let of_it = UNKNOWN.iter().find(|(unknown, _, runtimes)| {
            unknown == architecture && runtimes.iter().any(|runtime| subject.nodes.runtimes.contains(runtime))
        });
        let Some((_, versions, _)) = of_it else { continue };
        let name = architecture.name();
        let path = FieldPath::from_iter([Segment::from("architectures"), Segment::from(index)]);
        let fix = Fix::new(Safety::Unsafe, format!("Remove {name}"), Edit::Remove { path: path.clone() });
        let message = format!("{versions} does not know {name}, and starts no container with it");
        found.push(Found::new(path, message).with(fix));
    }
    found
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::{findings, paths_on};

    fn profile(architectures: &[&str]) -> serde_json::Value {
        json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": architectures })
    }

    fn on(runtimes: &[Runtime], architectures: &[&str]) -> Vec<String> {
        paths_on(&RULE, &Nodes { runtimes: runtimes.to_vec(), ..Nodes::default() }, profile(architectures))
    }

    #[test]
    fn an_architecture_that_some_runc_lacks_is_found() {
        assert_eq!(on(&[Runtime::RUNC_1_1, Runtime::CRUN], &["SCMP_ARCH_X86", "SCMP_ARCH_RISCV64"]), ["architectures[1]"]);
        assert_eq!(on(&[Runtime::RUNC_1_2], &["SCMP_ARCH_LOONGARCH64"]), ["architectures[0]"]);
        let message = &findings(&RULE, profile(&["SCMP_ARCH_LOONGARCH64"]))[0].message;
        assert_eq!(message, "runc before 1.4.1 does not know SCMP_ARCH_LOONGARCH64, and starts no container with it");
    }

    #[test]
    fn newer_runtimes_and_other_architectures_are_not() {
        let none = Vec::<String>::new();
        assert_eq!(on(&[Runtime::RUNC_1_1_15, Runtime::RUNC_1_2, Runtime::CRUN], &["SCMP_ARCH_RISCV64"]), none);
        assert_eq!(on(&[Runtime::CRUN], &["SCMP_ARCH_RISCV64", "SCMP_ARCH_LOONGARCH64"]), none);
        assert_eq!(on(&Runtime::ALL, &["SCMP_ARCH_X86_64", "SCMP_ARCH_PPC64LE", "SCMP_ARCH_MIPSEL"]), none);
    }
}
