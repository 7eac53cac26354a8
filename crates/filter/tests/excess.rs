//! What a filter permits beyond others.

#![allow(clippy::unwrap_used, reason = "this file is a test")]

use filter::{Dependence, Filter, Library, Runtime, RuntimeDefault, Setting, Verdict, numbers};
use profile::{Architecture, Profile};
use serde_json::{Value, json};
use syscalls::Libseccomp;

fn filter(profile: &Profile) -> Filter {
    let number = numbers(Libseccomp::V2_6_1);
    let native = Architecture::X86_64;
    let setting = Setting { runtime: Runtime::RUNC_1_2, library: Library::V2_6_1, native, number: &number };
    Filter::new(profile, &setting).unwrap()
}

fn of(rules: Value) -> Filter {
    filter(&Profile::from_value(&json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })).unwrap())
}

/// `socket`, if its domain is at least this.
fn sockets(from: u64) -> Filter {
    of(json!([
        { "names": ["bind", "fsmount"], "action": "SCMP_ACT_ALLOW" },
        { "names": ["socket"], "action": "SCMP_ACT_ALLOW",
          "args": [{ "index": 0, "value": from, "op": "SCMP_CMP_GE" }] },
    ]))
}

const SOCKET: u32 = 41;
const BIND: u32 = 49;

#[test]
fn a_call_must_be_permitted_more_than_by_each_of_the_others() {
    let (low, high) = (sockets(10), sockets(40));
    let found = |mine: &Filter, others: &[&Filter], number| {
        mine.exceeds(others, Architecture::X86_64, number).unwrap()
    };
    let witness = found(&low, &[&high], SOCKET).unwrap();
    assert!((10..40).contains(&witness.call.arguments[0]), "{witness:?}");
    assert_eq!((witness.first, witness.second), (Verdict::Allow, Verdict::Errno(1)));
    assert_eq!(witness.depends, Dependence::Arguments);
    assert_eq!(found(&high, &[&low], SOCKET), None);
    assert_eq!(found(&low, &[&high, &low], SOCKET), None);
    assert_eq!(found(&low, &[&high], BIND), None);
    assert_eq!(found(&low, &[], BIND), None);
    let none = of(json!([{ "names": ["fsmount"], "action": "SCMP_ACT_ALLOW" }]));
    assert_eq!(found(&low, &[&none], BIND).unwrap().depends, Dependence::Number);
    // Another errno permits as much, and so does permission that is logged.
    let logged = of(json!([{ "names": ["bind"], "action": "SCMP_ACT_LOG" }]));
    assert_eq!([found(&low, &[&logged], BIND), found(&logged, &[&low], BIND)], [None; 2]);
    assert!(found(&logged, &[&none], BIND).is_some());
    let enosys = of(json!([{ "names": ["bind"], "action": "SCMP_ACT_ERRNO", "errnoRet": 38 }]));
    assert_eq!(found(&enosys, &[&none], BIND), None);
}

/// Each permits calls that the other one does not.
#[test]
fn the_defaults_of_containerd_and_moby_differ() {
    let [containerd, moby] = [RuntimeDefault::CONTAINERD, RuntimeDefault::MOBY]
        .map(|default| filter(&default.profile(Architecture::X86_64).unwrap()));
    let exceeds = |one: &Filter, other: &Filter, name: &str| {
        let number =
            syscalls::Syscall::from_name(name).unwrap().number(syscalls::Architecture::X86_64).unwrap();
        one.exceeds(&[other], Architecture::X86_64, number).unwrap().map(|witness| witness.call.arguments[0])
    };
    assert_eq!(exceeds(&containerd, &moby, "lsm_list_modules"), Some(0));
    assert_eq!(exceeds(&moby, &containerd, "lsm_list_modules"), None);
    // A protocol family that no Linux has: moby permits all above 40.
    assert!(exceeds(&moby, &containerd, "socket").unwrap() > 45);
    assert_eq!(exceeds(&containerd, &moby, "socket"), None);
}
