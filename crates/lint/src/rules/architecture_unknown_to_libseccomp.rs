//! # architecture-unknown-to-libseccomp
//!
//! Some libseccomp does not know a listed architecture, so that no container starts on its nodes.
//!
//! runc and crun refuse a profile that lists an architecture which their libseccomp does not know, whatever the node's own
//! architecture is. libseccomp 2.5.4, as in Debian 12, does not know `SCMP_ARCH_LOONGARCH64`; 2.6.0 does. State the
//! versions of your nodes to leave out what does not concern them. The fix removes the architecture; it is unsafe, because
//! programs of this architecture are then killed where it is not the node's own.
//!
//! ## Bad
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_LOONGARCH64]
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

use filter::Library;
use profile::{FieldPath, Segment};

use crate::finding::Found;
use crate::fix::{Edit, Fix, Safety};
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;

pub(super) static RULE: Rule = Rule {
    id: "architecture-unknown-to-libseccomp",
    severity: Severity::Warning,
    confidence: Confidence::Medium,
    summary: "Some libseccomp does not know a listed architecture, so that no container starts on its nodes.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let libraries = subject.nodes.libseccomps.iter().map(|libseccomp| Library::from(*libseccomp));
    let mut libraries: Vec<Library> = libraries.filter(|library| !library.lacks.is_empty()).collect();
    libraries.dedup();
    let mut found = Vec::new();
    for (index, architecture) in subject.profile.architectures().iter().enumerate() {
        let Some(library) = libraries.iter().find(|library| library.lacks.contains(architecture)) else { continue };
        let name = architecture.name();
        let path = FieldPath::from_iter([Segment::from("architectures"), Segment::from(index)]);
        let edit = Edit::Remove { path: path.clone() };
        let message = format!("{} does not know {name}, and no container starts with it", library.name);
        let fix = Fix::new(Safety::Unsafe, format!("Remove {name}"), edit);
        found.push(Found::new(path, message).with(fix));
    }
    found
}

#[cfg(test)]
mod tests {
    use profile::Profile;
    use serde_json::json;
    use syscalls::Libseccomp;

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::paths;

    #[test]
    fn an_architecture_that_an_older_libseccomp_lacks_is_found() {
        let alone = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_LOONGARCH64"] });
        assert_eq!(paths(&RULE, alone), ["architectures[0]"]);
        let last = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_LOONGARCH64"] });
        assert_eq!(paths(&RULE, last), ["architectures[1]"]);
    }

    #[test]
    fn known_ones_and_nodes_with_a_newer_libseccomp_are_not() {
        let known = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_RISCV64", "SCMP_ARCH_ARM"] });
        assert_eq!(paths(&RULE, known), Vec::<String>::new());
        let newer = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_LOONGARCH64"] });
        let nodes = Nodes { libseccomps: vec![Libseccomp::V2_6_0, Libseccomp::V2_6_1], ..Nodes::default() };
        assert!(RULE.findings(&Subject::of(&Profile::from_value(&newer).unwrap(), &nodes), true).is_empty());
    }
}
