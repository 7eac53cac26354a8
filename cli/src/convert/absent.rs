//! Names of calls that none of a profile's architectures has.
//!
//! A profile of Docker names the calls of all architectures. Those that the converted profile does not list are covered on no
//! node for which it was converted, so that the filter is the same without names that only they have.

use std::collections::BTreeSet;

use filter::multiplexer;
use profile::Profile;
use serde_json::Value;
use syscalls::{Architecture, Syscall};

/// The profile without such names, and the names. It stays as it is if it lists no architectures, or one of which no calls
/// are known. Names that no kernel has stay, because they may be misspelt or newer.
pub(super) fn without_absent(profile: Profile) -> (Profile, Vec<String>) {
    let listed = profile.architectures();
    let tables: Vec<_> = listed.iter().filter_map(|it| Architecture::from_oci_name(it.name())).collect();
    if tables.is_empty() || tables.len() < listed.len() {
        return (profile, Vec::new());
    }
    let is_absent = |name: &str| {
        let has = |call: Syscall| tables.iter().any(|table| call.number(*table).is_some());
        Syscall::from_name(name).is_some_and(|call| !has(call))
            && listed.iter().all(|architecture| multiplexer(name, *architecture).is_none())
    };
    let names = profile.rules().iter().flat_map(|rule| rule.names()).map(|name| name.as_str());
    let absent: BTreeSet<String> = names.filter(|name| is_absent(name)).map(str::to_owned).collect();
    if absent.is_empty() {
        return (profile, Vec::new());
    }
    let without = serde_json::from_slice(profile.canonical().bytes()).ok().and_then(|mut value: Value| {
        let rules = value.get_mut("syscalls")?.as_array_mut()?;
        for rule in rules.iter_mut() {
            let names = rule.get_mut("names")?.as_array_mut()?;
            names.retain(|name| name.as_str().is_none_or(|name| !absent.contains(name)));
        }
        rules.retain(|rule| rule.get("names").and_then(Value::as_array).is_some_and(|it| !it.is_empty()));
        Profile::from_value(&value).ok()
    });
    match without {
        Some(without) => (without, absent.into_iter().collect()),
        None => (profile, Vec::new()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn without(architectures: &[&str], rules: &[&[&str]]) -> (Vec<Vec<String>>, Vec<String>) {
        let rules: Vec<_> =
            rules.iter().map(|names| json!({ "names": names, "action": "SCMP_ACT_ALLOW" })).collect();
        let contents =
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": rules });
        let (profile, absent) = without_absent(Profile::from_value(&contents).unwrap());
        let names = |rule: &profile::Rule| rule.names().iter().map(|it| it.as_str().to_owned()).collect();
        (profile.rules().iter().map(names).collect(), absent)
    }

    #[test]
    fn names_that_only_other_architectures_have_are_left_out() {
        let (rules, absent) =
            without(&["SCMP_ARCH_X86_64"], &[&["read", "riscv_hwprobe"], &["s390_pci_mmio_read"]]);
        assert_eq!(rules, [["read"]]);
        assert_eq!(absent, ["riscv_hwprobe", "s390_pci_mmio_read"]);
    }

    #[test]
    fn what_a_listed_architecture_has_or_nobody_knows_stays() {
        let x86 = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
        let names: &[&[&str]] = &[&["read", "waitpid", "recv", "no_such_call"]];
        assert_eq!(
            without(&x86, names),
            (vec![["read", "waitpid", "recv", "no_such_call"].map(str::to_owned).to_vec()], vec![])
        );
        assert_eq!(without(&[], &[&["riscv_hwprobe"]]).1, Vec::<String>::new());
        assert_eq!(
            without(&["SCMP_ARCH_X86_64", "SCMP_ARCH_MIPSEL"], &[&["riscv_hwprobe"]]).1,
            Vec::<String>::new()
        );
    }

    #[test]
    fn everything_may_be_absent() {
        assert_eq!(
            without(&["SCMP_ARCH_X86_64"], &[&["riscv_hwprobe"]]),
            (vec![], vec!["riscv_hwprobe".to_owned()])
        );
    }
}
