//! The dialect of Docker and Podman.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeSet;

use convert::dialect::convert;
use convert::{Capabilities, ConvertError, Converted, Machine, Target};
use filter::{Filter, Runtime, Setting, numbers};
use profile::Profile;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Map, Value, json};
use syscalls::Libseccomp;

const MOBY: &str = include_str!("profiles/moby.json");
const CONTAINERS_COMMON: &str = include_str!("profiles/containers-common.json");

/// The capabilities on which rules of the two profiles depend.
const CAPABILITIES: [&str; 15] = [
    "CAP_AUDIT_WRITE",
    "CAP_BPF",
    "CAP_DAC_READ_SEARCH",
    "CAP_PERFMON",
    "CAP_SYSLOG",
    "CAP_SYS_ADMIN",
    "CAP_SYS_BOOT",
    "CAP_SYS_CHROOT",
    "CAP_SYS_MODULE",
    "CAP_SYS_NICE",
    "CAP_SYS_PACCT",
    "CAP_SYS_PTRACE",
    "CAP_SYS_RAWIO",
    "CAP_SYS_TIME",
    "CAP_SYS_TTY_CONFIG",
];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

fn capabilities(held: &[&str]) -> Capabilities {
    let add: Vec<_> = held.iter().map(|name| (*name).to_owned()).collect();
    Capabilities::new(&add, &["ALL".to_owned()]).unwrap()
}

/// What Docker and Podman document, stated without looking at the converter: which rules apply to a container with
/// these capabilities, on a node whose architecture has this name in `arches`, on a new kernel.
fn stated(profile: &Value, held: &[&str], arch: &str, oci: &str) -> Value {
    let has = |list: &Value, word: &str| list.as_array().is_some_and(|it| it.contains(&json!(word)));
    let applies = |rule: &Value| {
        let (yes, no) = (&rule["includes"], &rule["excludes"]);
        let needed = yes["caps"]
            .as_array()
            .is_none_or(|all| all.iter().all(|it| held.contains(&it.as_str().unwrap())));
        let forbidden = no["caps"]
            .as_array()
            .is_some_and(|any| any.iter().any(|it| held.contains(&it.as_str().unwrap())));
        let here = yes["arches"].is_null() || has(&yes["arches"], arch);
        assert!(no["minKernel"].is_null(), "no rule ends with a kernel");
        needed && !forbidden && here && !has(&no["arches"], arch)
    };
    let rules = profile["syscalls"].as_array().unwrap().iter().filter(|rule| applies(rule)).map(|rule| {
        let known = ["names", "action", "errnoRet", "args"];
        let fields = known.into_iter().map(|key| (key.to_owned(), rule[key].clone()));
        fields.filter(|(_, value)| !value.is_null()).collect::<Map<_, _>>()
    });
    let entry =
        profile["archMap"].as_array().unwrap().iter().find(|entry| entry["architecture"] == oci).unwrap();
    let mut architectures = vec![entry["architecture"].clone()];
    architectures.extend(entry["subArchitectures"].as_array().into_iter().flatten().cloned());
    json!({
        "defaultAction": profile["defaultAction"],
        "defaultErrnoRet": profile["defaultErrnoRet"],
        "architectures": architectures,
        "syscalls": rules.collect::<Vec<_>>(),
    })
}

/// Fails unless both profiles are the same filter on nodes with this architecture, whatever the runtime and libseccomp.
fn assert_same(first: &Profile, second: &Profile, machine: Machine) {
    for libseccomp in [Libseccomp::V2_5_4, Libseccomp::V2_6_1] {
        for runtime in [Runtime::RUNC_1_2, Runtime::CRUN] {
            let number = numbers(libseccomp);
            let setting =
                Setting { runtime, library: libseccomp.into(), native: machine.native(), number: &number };
            let [first, second] = [first, second].map(|profile| Filter::new(profile, &setting).unwrap());
            assert_eq!(first.unequal(&second).unwrap(), None, "{machine}, {}", runtime.name);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn the_rules_that_apply_are_those_of_docker_and_podman(
        text in select(&[MOBY, CONTAINERS_COMMON][..]),
        held in subsequence(&CAPABILITIES[..], 0..=CAPABILITIES.len()),
        one in any::<bool>(),
    ) {
        let profile = json(text);
        let both = [(Machine::Amd64, "SCMP_ARCH_X86_64"), (Machine::Arm64, "SCMP_ARCH_AARCH64")];
        let machines = if one { vec![Machine::Arm64] } else { vec![Machine::Amd64, Machine::Arm64] };
        let target = Target { capabilities: capabilities(&held), machines: machines.clone(), kernel: None };
        let converted = convert(&profile, &target).unwrap().profile;
        for (machine, oci) in both.into_iter().filter(|(machine, _)| machines.contains(machine)) {
            let stated = Profile::from_value(&stated(&profile, &held, machine.name(), oci)).unwrap();
            assert_same(&converted, &stated, machine);
        }
    }
}

#[test]
fn other_architectures_are_converted_alone() {
    let profile = json(MOBY);
    for (machine, arch, oci) in
        [(Machine::S390x, "s390x", "SCMP_ARCH_S390X"), (Machine::Riscv64, "riscv64", "SCMP_ARCH_RISCV64")]
    {
        let target = Target { capabilities: capabilities(&[]), machines: vec![machine], kernel: None };
        let converted = convert(&profile, &target).unwrap().profile;
        assert_same(&converted, &Profile::from_value(&stated(&profile, &[], arch, oci)).unwrap(), machine);
    }
}

#[test]
fn the_default_profiles_are_those_that_others_have_extracted() {
    let amd64 = Target { machines: vec![Machine::Amd64], ..Target::default() };
    let expected = include_str!("../../filter/data/moby-amd64.json");
    let expected = Profile::from_slice(expected.as_bytes()).unwrap();
    assert_same(&convert(&json(MOBY), &amd64).unwrap().profile, &expected, Machine::Amd64);
}

/// In containers/common, `setns` is both in the rule that allows calls to all containers and in the one that denies calls
/// without `CAP_SYS_ADMIN`.
#[test]
fn what_comes_out_is_a_profile_without_errors_but_those_of_the_source() {
    let errors = |text: &str| {
        let converted = convert(&json(text), &Target::default()).unwrap().profile;
        let findings = lint::check(&converted, &lint::Nodes::default()).into_iter();
        let errors = findings.filter(|it| it.severity == lint::Severity::Error);
        errors.map(|it| format!("{}: {}", it.rule, it.message)).collect::<Vec<_>>()
    };
    assert_eq!(errors(MOBY), [""; 0]);
    let [error] = &errors(CONTAINERS_COMMON)[..] else { panic!("one error") };
    assert!(error.starts_with("shadowed-rule: setns never gets SCMP_ACT_ERRNO"), "{error}");
}

fn said(converted: &Converted) -> String {
    converted.remarks.iter().map(|remark| format!("{remark}\n")).collect()
}

#[test]
fn everything_that_is_left_out_is_said() {
    insta::assert_snapshot!("moby", said(&convert(&json(MOBY), &Target::default()).unwrap()));
    let converted = convert(&json(CONTAINERS_COMMON), &Target::default()).unwrap();
    insta::assert_snapshot!("containers-common", said(&converted));
    let odd = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrno": "EACCES",
        "syscalls": [
            {"name": "read", "action": "SCMP_ACT_ALLOW", "comment": "files", "errnoRet": 0},
            {"names": ["mount"], "action": "SCMP_ACT_ERRNO", "errno": "ENOSYS", "errnoRet": 1},
            {"names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [
                {"index": 0, "value": 1, "op": "SCMP_CMP_EQ"}, {"index": 0, "value": 2, "op": "SCMP_CMP_EQ"}]},
        ],
    });
    let all = Target {
        capabilities: capabilities(&[]),
        machines: vec![Machine::Amd64],
        kernel: Some("6.1".parse().unwrap()),
    };
    let converted = convert(&odd, &all).unwrap();
    insta::assert_snapshot!(
        "odd",
        said(&converted) + &serde_json::to_string_pretty(&converted.profile).unwrap()
    );
}

#[test]
fn a_profile_of_the_specification_stays_what_it_is() {
    let plain = include_str!("../../filter/data/containerd-amd64.json");
    let converted = convert(&json(plain), &Target::default()).unwrap();
    assert_eq!(converted.profile, Profile::from_slice(plain.as_bytes()).unwrap());
    assert_eq!(converted.remarks, []);
}

#[test]
fn what_is_absent_in_go_is_absent() {
    let rule = json!({"name": "read", "names": [], "action": "SCMP_ACT_ALLOW", "args": [
        {"index": 0, "value": 1, "valueTwo": null, "op": "SCMP_CMP_EQ"}]});
    let profile = convert(&one_rule(&rule), &Target::default()).unwrap().profile;
    assert_eq!(profile.rules()[0].names()[0].as_str(), "read");
    assert_eq!(profile.rules()[0].arguments()[0].value_two(), 0);
}

fn refused(profile: &Value, target: &Target) -> ConvertError {
    convert(profile, target).unwrap_err()
}

fn one_rule(rule: &Value) -> Value {
    json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["read"], "action": "SCMP_ACT_ALLOW", "includes": {"caps": ["CAP_SYS_ADMIN"]}}, rule]})
}

#[test]
fn mistakes_are_refused_at_their_place() {
    let rule = |extra: Value| {
        let mut rule = json!({"names": ["mount"], "action": "SCMP_ACT_ALLOW"});
        rule.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        refused(&one_rule(&rule), &Target::default()).to_string()
    };
    let messages = [
        rule(json!({"include": {}})),
        rule(json!({"includes": {"cap": []}})),
        rule(json!({"includes": {"caps": ["SYS_ADMIN"]}})),
        rule(json!({"includes": {"arches": ["x86_64"]}})),
        rule(json!({"includes": {"minKernel": "4.8.0"}})),
        rule(json!({"excludes": {"minKernel": ""}})),
        rule(json!({"action": "SCMP_ACT_ERRNO", "errno": "ENOSYSS"})),
        rule(json!({"action": "SCMP_ACT_ALOW", "excludes": {"caps": ["CAP_CHOWN"]}})),
        rule(json!({"name": "umount"})),
        refused(&json!([]), &Target::default()).to_string(),
        refused(&json!({"syscalls": {}}), &Target::default()).to_string(),
        refused(
            &json!({"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"],
                    "archMap": [{"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X68"]}, {}]}),
            &Target::default(),
        )
        .to_string(),
    ];
    insta::assert_snapshot!(messages.join("\n"));
}

#[test]
fn what_no_single_profile_can_say_is_refused() {
    let by_arch = one_rule(&json!({"names": ["mount", "s390_pci_mmio_read"], "action": "SCMP_ACT_ALLOW",
        "includes": {"arches": ["amd64"]}}));
    let later =
        one_rule(&json!({"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"minKernel": "6.10"}}));
    let both = Target { machines: vec![Machine::Amd64, Machine::S390x], ..Target::default() };
    let only_s390x =
        json!({"defaultAction": "SCMP_ACT_LOG", "archMap": [{"architecture": "SCMP_ARCH_S390X"}]});
    let errors = [
        refused(&by_arch, &Target::default()),
        refused(&later, &Target::default()),
        refused(&json(MOBY), &both),
        refused(&only_s390x, &Target::default()),
    ];
    let reasons: BTreeSet<_> = errors.iter().map(ConvertError::reason).collect();
    assert_eq!(reasons.len(), errors.len());
    insta::assert_snapshot!(errors.map(|error| error.to_string()).join("\n"));
}

#[test]
fn a_rule_for_one_architecture_is_kept_where_it_changes_nothing_elsewhere() {
    let same = json!({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        {"names": ["mount", "arch_prctl"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["amd64"]}},
        {"names": ["mount"], "action": "SCMP_ACT_ALLOW", "includes": {"arches": ["arm64"]}},
    ]});
    assert_eq!(convert(&same, &Target::default()).unwrap().profile.rules().len(), 2);
    let mut other = same;
    other["syscalls"][1]["action"] = json!("SCMP_ACT_LOG");
    assert_eq!(refused(&other, &Target::default()).reason(), "DependsOnArchitecture");
}

#[test]
fn the_kernel_decides_what_depends_on_it() {
    let rule = |key: &str| {
        one_rule(&json!({"names": ["mount"], "action": "SCMP_ACT_ALLOW", key: {"minKernel": "5.15"}}))
    };
    let rules = |key: &str, kernel: &str| {
        let target = Target { kernel: Some(kernel.parse().unwrap()), ..Target::default() };
        convert(&rule(key), &target).unwrap().profile.rules().len()
    };
    assert_eq!(
        [
            rules("includes", "5.15"),
            rules("includes", "5.14"),
            rules("excludes", "5.15"),
            rules("excludes", "5.14")
        ],
        [1, 0, 0, 1]
    );
}
