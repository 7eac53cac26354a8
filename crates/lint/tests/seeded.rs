//! Each rule finds two seeded faults and is silent about a near miss (`seeded.yaml`).

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::{BTreeMap, BTreeSet};
use std::iter::repeat_n;
use std::path::Path;

use lint::{Nodes, RULES, check_with};
use profile::Profile;
use serde::Deserialize;
use serde_json::{Value, json};
use syscalls::{Architecture, Syscall};

/// What a rule is tried on.
#[derive(Deserialize)]
struct Seeded {
    faults: Vec<Value>,
    near: Value,
    #[serde(default)]
    architectures: Vec<String>,
}

/// A filter of many calls, too long for the kernel, or nearly so.
fn long(architectures: &[&str]) -> Value {
    let of_x86_64 = |call: &Syscall| call.number(Architecture::X86_64).is_some_and(|number| number <= 435);
    let names: Vec<_> = Syscall::all().filter(of_x86_64).map(Syscall::name).collect();
    json!({
        "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
        "architectures": architectures.iter().map(|name| format!("SCMP_ARCH_{name}")).collect::<Vec<_>>(),
    })
}

/// A filter of many conditions.
fn conditional(rules: u64) -> Value {
    let rule = |at: u64| {
        let args: Vec<_> = (0..6)
            .map(|index| json!({ "index": index, "value": at * 7 + index, "op": "SCMP_CMP_EQ" }))
            .collect();
        json!({ "names": ["ioctl"], "action": "SCMP_ACT_ALLOW", "args": args })
    };
    json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
        "syscalls": (0..rules).map(rule).collect::<Vec<_>>(),
    })
}

fn seeded() -> BTreeMap<String, Seeded> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/seeded.yaml");
    let mut all: BTreeMap<String, Seeded> =
        serde_saphyr::from_str(&std::fs::read_to_string(file).unwrap()).unwrap();
    // Too long to be written down.
    let ten =
        ["X86_64", "X86", "X32", "AARCH64", "ARM", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC64LE", "RISCV64"];
    let too_long = Seeded {
        faults: vec![long(&ten), conditional(170)],
        near: long(&ten[..8]),
        architectures: Vec::new(),
    };
    assert!(all.insert("program-too-long".to_owned(), too_long).is_none());
    all
}

#[test]
fn each_rule_finds_two_seeded_faults_and_is_silent_about_a_near_miss() {
    let all = seeded();
    let ids: BTreeSet<&str> = RULES.iter().map(|rule| rule.id).collect();
    assert_eq!(all.keys().map(String::as_str).collect::<BTreeSet<_>>(), ids);
    for (id, Seeded { faults, near, architectures }) in &all {
        let known = |name: &String| Architecture::ALL.into_iter().find(|it| it.name() == name).unwrap();
        let nodes = Nodes { architectures: architectures.iter().map(known).collect(), ..Nodes::default() };
        let finds = |contents: &Value| {
            let profile = Profile::from_value(contents).unwrap_or_else(|fault| panic!("{id}: {fault}"));
            check_with(&profile, &nodes, &[id.as_str()]).iter().any(|finding| finding.rule == id)
        };
        assert_eq!(
            faults.iter().map(finds).collect::<Vec<_>>(),
            repeat_n(true, 2).collect::<Vec<_>>(),
            "{id}"
        );
        assert_ne!(faults[0], faults[1], "{id}");
        assert!(!finds(near), "{id}: the near miss is found");
    }
}
