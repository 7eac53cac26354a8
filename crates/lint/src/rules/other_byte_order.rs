//! # other-byte-order
//!
//! The profile lists architectures of another byte order than some node has, so that no container starts there.
//!
//! A filter covers the node's own architecture and those that the profile lists, and libseccomp puts no architectures of
//! different byte orders into one filter (EDOM; 2.5.4 to 2.6.1, runc, crun and youki). A profile that lists
//! `SCMP_ARCH_X86_64` therefore starts no container on a node with S/390 or another big-endian architecture. A profile that
//! lists both byte orders is refused everywhere, and the API server does not accept it.
//!
//! The rule needs the architectures of the nodes: the operator knows them, and `lint --architecture` states them. There is
//! no fix: write a profile for each byte order, and have pods of each select the right nodes, or list no architectures.
//!
//! ## Bad
//!
//! On nodes with x86-64 and S/390:
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
//! syscalls:
//!   - names: [add_key]
//!     action: SCMP_ACT_ERRNO
//! ```
//!
//! ## Good
//!
//! On nodes with S/390 alone:
//!
//! ```yaml
//! defaultAction: SCMP_ACT_ALLOW
//! architectures: [SCMP_ARCH_S390X, SCMP_ARCH_S390]
//! syscalls:
//!   - names: [add_key]
//!     action: SCMP_ACT_ERRNO
//! ```

use profile::Architecture;

use crate::finding::Found;
use crate::place;
use crate::rule::Rule;
use crate::severity::{Confidence, Severity};
use crate::subject::Subject;
use crate::wording;

pub(super) static RULE: Rule = Rule {
    id: "other-byte-order",
    severity: Severity::Warning,
    confidence: Confidence::High,
    summary: "The profile lists architectures of another byte order than some node has, so that no container starts there.",
    check,
};

fn check(subject: &Subject<'_>) -> Vec<Found> {
    let Some(listed) = subject.profile.architectures().first() else { return Vec::new() };
    let own = subject.nodes.architectures.iter();
    let own = own.filter(|own| {
        let own = Architecture::from_name(own.oci_name());
        own.is_some_and(|own| own.is_big_endian() != listed.is_big_endian())
    });
    let own: Vec<&str> = own.map(|own| own.name()).collect();
    if own.is_empty() {
        return Vec::new();
    }
    let message = format!(
        "no container starts on nodes with {}, whose byte order is not that of {}",
        wording::names(own),
        listed.name()
    );
    vec![Found::new(place::field("architectures"), message)]
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use syscalls::Architecture::{Aarch64, S390x, X86_64};

    use super::*;
    use crate::nodes::Nodes;
    use crate::testing::{paths, paths_on};

    fn on(architectures: &[syscalls::Architecture], listed: &[&str]) -> Vec<String> {
        let nodes = Nodes { architectures: architectures.to_vec(), ..Nodes::default() };
        let profile = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": listed });
        paths_on(&RULE, &nodes, profile)
    }

    #[test]
    fn a_node_of_the_other_byte_order_is_found_either_way() {
        assert_eq!(on(&[X86_64, S390x], &["SCMP_ARCH_X86_64"]), ["architectures"]);
        assert_eq!(on(&[Aarch64], &["SCMP_ARCH_MIPS64"]), ["architectures"]);
    }

    #[test]
    fn nodes_of_one_byte_order_and_profiles_without_a_list_are_not() {
        let none = Vec::<String>::new();
        assert_eq!(on(&[X86_64, Aarch64], &["SCMP_ARCH_X86_64", "SCMP_ARCH_MIPSEL"]), none);
        assert_eq!(on(&[X86_64, S390x], &[]), none);
        // Nothing is known of the nodes.
        let any = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_S390X"] });
        assert_eq!(paths(&RULE, any), none);
    }
}
