//! Conditions on arguments.

use profile::Profile;
use serde_json::{Value, json};

use super::{DerivedText, args, derive, root};

/// socket(2, 1), socket(10, 1), exit.
const SOCKETS: &[u8] = &[
    0xb8, 41, 0, 0, 0, 0xbf, 2, 0, 0, 0, 0xbe, 1, 0, 0, 0, 0x0f,
    0x05, // mov eax; mov edi; mov esi; syscall
    0xb8, 41, 0, 0, 0, 0xbf, 10, 0, 0, 0, 0xbe, 1, 0, 0, 0, 0x0f, 0x05, //
    0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0xf4,
];
/// The same, with a type that nobody knows in the second call.
const ANY_TYPE: &[u8] = &[
    0xb8, 41, 0, 0, 0, 0xbf, 2, 0, 0, 0, 0xbe, 1, 0, 0, 0, 0x0f, 0x05, //
    0x0f, 0x31, 0x89, 0xc6, 0xb8, 41, 0, 0, 0, 0xbf, 10, 0, 0, 0, 0x0f, 0x05, // rdtsc; mov esi, eax
    0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0xf4,
];
/// prctl(38, ..), exit.
const PRCTL: &[u8] =
    &[0xb8, 157, 0, 0, 0, 0xbf, 38, 0, 0, 0, 0x0f, 0x05, 0xb8, 60, 0, 0, 0, 0x0f, 0x05, 0xf4];

fn run(code: &[u8], overrides: &str, more: &[&str], checked: Option<&Profile>) -> DerivedText {
    let root = root(code);
    let path = root.path().join("overrides.yaml");
    std::fs::write(&path, overrides).unwrap();
    let fixed = [root.path().to_str().unwrap(), "--program", "/bin/Some_Program", "-o", "json"];
    let overrides = ["--overrides", path.to_str().unwrap()];
    let overrides = if overrides_are(&path) { &overrides[..] } else { &[] };
    derive(&args(&[&fixed[..], overrides, more].concat()), checked).unwrap()
}

fn overrides_are(path: &std::path::Path) -> bool {
    std::fs::metadata(path).unwrap().len() > 0
}

fn rules(found: &DerivedText) -> Vec<Value> {
    let profile: Value = serde_json::from_str(&found.text).unwrap();
    profile["syscalls"].as_array().unwrap().clone()
}

/// A rule for a call, by its conditions: place and value.
fn rule(name: &str, conditions: &[(u8, u64)]) -> Value {
    let args: Vec<_> = conditions
        .iter()
        .map(|(index, value)| json!({ "index": index, "op": "SCMP_CMP_MASKED_EQ", "value": 0xffff_ffffu64, "valueTwo": value }))
        .collect();
    json!({ "action": "SCMP_ACT_ALLOW", "names": [name], "args": args })
}

const PROVEN: &[&str] = &["--runtime", "none", "--arguments", "proven"];

#[test]
fn what_is_proven_of_arguments_becomes_conditions_of_32_bits() {
    let found = run(SOCKETS, "", PROVEN, None);
    let exit = json!({ "action": "SCMP_ACT_ALLOW", "names": ["exit"] });
    let both = [rule("socket", &[(0, 2), (1, 1)]), rule("socket", &[(0, 10), (1, 1)])];
    assert_eq!(rules(&found), [&[exit.clone()][..], &both].concat());
    assert_eq!(found, run(SOCKETS, "", PROVEN, None));
    let found = run(ANY_TYPE, "", PROVEN, None);
    assert_eq!(rules(&found), [exit, rule("socket", &[(0, 2)]), rule("socket", &[(0, 10)])]);
    let any = run(SOCKETS, "", &["--runtime", "none"], None);
    assert_eq!(rules(&any), [json!({ "action": "SCMP_ACT_ALLOW", "names": ["exit", "socket"] })]);
}

#[test]
fn what_a_runtime_calls_has_no_conditions() {
    let own = run(PRCTL, "", &["--arguments", "proven", "--runtime", "crun"], None);
    assert!(rules(&own).contains(&rule("prctl", &[(0, 38)])), "{}", own.text);
    let with = ["--arguments", "proven", "--runtime", "crun", "--allow-privilege-escalation"];
    let shared = run(PRCTL, "", &with, None);
    let names = rules(&shared)[0]["names"].as_array().unwrap().clone();
    assert!(rules(&shared).len() == 1 && names.contains(&json!("prctl")), "{}", shared.text);
}

#[test]
fn overrides_widen_conditions_and_take_them_away() {
    let wide = run(SOCKETS, "allow:\n  - {names: [socket], reason: plugins}\n", PROVEN, None);
    assert_eq!(rules(&wide), [json!({ "action": "SCMP_ACT_ALLOW", "names": ["exit", "socket"] })]);
    assert!(wide.remarks.is_empty(), "{:?}", wide.remarks);
    let text =
        "allow:\n  - names: [socket]\n    reason: logs\n    args: [{index: 0, value: 1, op: SCMP_CMP_EQ}]\n";
    let more = run(SOCKETS, text, PROVEN, None);
    let of_socket: Vec<_> = rules(&more).into_iter().filter(|it| it["names"] == json!(["socket"])).collect();
    let local = json!({ "action": "SCMP_ACT_ALLOW", "names": ["socket"],
        "args": [{ "index": 0, "op": "SCMP_CMP_EQ", "value": 1 }] });
    assert_eq!(of_socket, [rule("socket", &[(0, 2)]), rule("socket", &[(0, 10)]), local]);
    let none = run(SOCKETS, "deny:\n  - {names: [socket], reason: offline}\n", PROVEN, None);
    assert_eq!(rules(&none), [json!({ "action": "SCMP_ACT_ALLOW", "names": ["exit"] })]);
}

#[test]
fn a_profile_is_checked_against_the_conditions() {
    let check = |contents: Value| {
        let profile = Profile::from_value(&contents).unwrap();
        let found = run(SOCKETS, "", PROVEN, Some(&profile));
        (found.success, found.text)
    };
    let with = |more: Value| {
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "action": "SCMP_ACT_ALLOW", "names": ["exit"] }, more] })
    };
    let wide = check(with(json!({ "action": "SCMP_ACT_ALLOW", "names": ["socket"] })));
    assert_eq!(wide, (false, "permitted for more arguments than it has to be (1): socket\n".to_owned()));
    let (is_equal, text) = check(with(rule("socket", &[(0, 2)])));
    assert!(!is_equal && text.contains("reached and refused for some arguments (1): socket"), "{text}");
    let own: Value = serde_json::from_str(&run(SOCKETS, "", PROVEN, None).text).unwrap();
    assert!(check(own).0);
}

#[test]
fn each_value_has_its_place_in_the_evidence_and_in_the_answer_to_why() {
    let root = root(SOCKETS);
    let path = root.path().join("evidence.json");
    let fixed = [
        root.path().to_str().unwrap(),
        "--program",
        "/bin/Some_Program",
        "--evidence",
        path.to_str().unwrap(),
    ];
    let found = derive(&args(&[&fixed, PROVEN].concat()), None).unwrap();
    let evidence: Value = serde_json::from_str(&found.evidence.unwrap()).unwrap();
    let calls = evidence["programs"][0]["calls"].as_array().unwrap();
    let family = &calls.iter().find(|it| it["name"] == "socket").unwrap()["arguments"][0];
    assert_eq!((&family["index"], &family["bounded"]), (&json!(0), &json!(true)));
    assert_eq!(family["values"][0]["value"], 2);
    assert_eq!(family["values"][0]["place"]["address"], "0x40007d");
    let why = run(SOCKETS, "", &["--arguments", "proven", "--why", "socket"], None).text;
    assert!(why.contains("argument 0     is 0x2 by Some_Program: 0x40007d"), "{why}");
    let why = run(ANY_TYPE, "", &["--arguments", "proven", "--why", "socket"], None).text;
    assert!(why.contains("argument 1     is not known: at Some_Program: 0x400089 it is calculated"), "{why}");
}
