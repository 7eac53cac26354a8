//! What people add to a derived profile, and take from it.

use profile::Profile;

use super::{DeriveCommandError, DerivedText, TWO, args, derive, root};

fn with(overrides: &str, more: &[&str]) -> Result<DerivedText, DeriveCommandError> {
    compared(overrides, more, None)
}

fn compared(
    overrides: &str,
    more: &[&str],
    checked: Option<&Profile>,
) -> Result<DerivedText, DeriveCommandError> {
    let root = root(TWO);
    let path = root.path().join("overrides.yaml");
    std::fs::write(&path, overrides).unwrap();
    let fixed =
        [root.path().to_str().unwrap(), "--program", "/bin/Some_Program", "--runtime", "none", "-o", "json"];
    derive(&args(&[&fixed[..], &["--overrides", path.to_str().unwrap()], more].concat()), checked)
}

fn permitted(found: &DerivedText) -> Vec<String> {
    let profile = Profile::from_slice(found.text.as_bytes()).unwrap();
    let rules = profile.rules().iter().filter(|it| it.arguments().is_empty());
    rules.flat_map(profile::Rule::names).map(|it| it.as_str().to_owned()).collect()
}

#[test]
fn a_call_is_added_or_taken_away_and_what_contradicts_the_evidence_is_named() {
    let found = with(
        "allow:\n  - names: [ptrace]\n    reason: crash handler\ndeny:\n  - names: [getpid, bpf]\n    reason: not ours\n",
        &[],
    )
    .unwrap();
    assert_eq!(permitted(&found), ["exit", "ptrace"]);
    assert_eq!(
        found.remarks,
        [
            "deny[0]: getpid: is refused, and the program reaches it (--why getpid); the reason that is given: not ours",
            "deny[0]: bpf: is refused without it; the reason that is given: not ours"
        ]
    );
}

#[test]
fn an_override_for_another_architecture_changes_nothing() {
    let text = "allow:\n  - {names: [ptrace], reason: x, architectures: [arm64]}\n  - {names: [bpf], reason: x, architectures: [arm64, amd64]}\n";
    assert_eq!(permitted(&with(text, &[]).unwrap()), ["bpf", "exit", "getpid"]);
}

#[test]
fn arguments_limit_what_is_permitted_and_what_is_refused() {
    let condition = "args: [{index: 0, value: 16, op: SCMP_CMP_EQ}]";
    let found = with(
        &format!("allow:\n  - {{names: [socket, getpid], reason: x, {condition}}}\ndeny:\n  - {{names: [exit], reason: y, {condition}}}\n"),
        &[],
    )
    .unwrap();
    let profile = Profile::from_slice(found.text.as_bytes()).unwrap();
    let filter = crate::setting::SettingOptions::default()
        .apply(|setting| filter::Filter::new(&profile, setting))
        .unwrap();
    let permits = |name: &str, first: u64| {
        let number =
            syscalls::Syscall::from_name(name).unwrap().number(syscalls::Architecture::X86_64).unwrap();
        let call = filter::Call {
            architecture: profile::Architecture::X86_64,
            number,
            arguments: [first, 0, 0, 0, 0, 0],
        };
        filter.decide(&call).permission() >= filter::Permission::Log
    };
    assert!(permits("socket", 16) && !permits("socket", 2));
    assert!(permits("exit", 2) && !permits("exit", 16));
    assert!(permits("getpid", 2) && permits("getpid", 16));
    assert_eq!(found.remarks.len(), 2, "{:?}", found.remarks);
    assert!(found.remarks[0].starts_with("allow[0]: getpid: is permitted without it"), "{:?}", found.remarks);
}

#[test]
fn a_deny_counts_more_than_an_allow_with_arguments() {
    let found = with(
        "allow:\n  - {names: [socket, bpf], reason: x, args: [{index: 0, value: 1, op: SCMP_CMP_EQ}]}\ndeny:\n  - {names: [socket], reason: y}\n",
        &[],
    )
    .unwrap();
    assert!(!found.text.contains("socket") && found.text.contains("bpf"), "{}", found.text);
    assert_eq!(
        found.remarks,
        ["deny[0]: socket: is refused, and another override permits it; the reason that is given: y"]
    );
}

#[test]
fn an_override_that_is_wrong_is_an_error_that_names_the_field() {
    for (text, message) in [
        ("deny:\n  - {names: [exit], reason: ' '}", "deny[0].reason: is empty; say why"),
        ("allow:\n  - {names: [], reason: x}", "allow[0].names: is empty; name the calls"),
        (
            "allow:\n  - {names: [open, no_call], reason: x}",
            "allow[0].names[1]: is \"no_call\", which is no system call",
        ),
        (
            "allow:\n  - {names: [open], reason: x, architectures: [pdp11]}",
            "allow[0].architectures[0]: is \"pdp11\"",
        ),
        (
            "allow:\n  - {names: [open], reason: x, args: [{index: 9, value: 1, op: SCMP_CMP_EQ}]}",
            "allow[0]: ",
        ),
        ("allow:\n  - {names: [open]}", "reason"),
        ("permit: []", "permit"),
    ] {
        let error = with(text, &[]).unwrap_err();
        assert!(error.to_string().contains(message), "{text}: {error}");
        assert!(matches!(error.reason(), "Override" | "Overrides"), "{}", error.reason());
    }
}

#[test]
fn a_profile_is_compared_with_what_is_derived_with_the_overrides() {
    let overrides = "allow:\n  - {names: [ptrace], reason: crash handler}\n  \
                     - {names: [socket], reason: x, args: [{index: 0, value: 1, op: SCMP_CMP_EQ}]}\n\
                     deny:\n  - {names: [getpid], reason: not ours}\n";
    let derived = with(overrides, &[]).unwrap();
    let equal = Profile::from_slice(derived.text.as_bytes()).unwrap();
    let found = compared(overrides, &[], Some(&equal)).unwrap();
    assert!(found.success, "{}", found.text);
    let other = serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
        { "names": ["getpid", "socket", "bpf"], "action": "SCMP_ACT_ALLOW" },
    ] });
    let found = compared(overrides, &[], Some(&Profile::from_value(&other).unwrap())).unwrap();
    assert_eq!(
        found.text,
        "reached and refused (1): exit\npermitted by the overrides and refused (1): ptrace\npermitted and not reached (1): bpf\n\
         permitted and refused by the overrides (1): getpid\npermitted for more arguments than it has to be (1): socket\n"
    );
    assert!(!found.success);
}
