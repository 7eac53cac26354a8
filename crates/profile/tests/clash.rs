//! Rules that libseccomp refuses to load together (EEXIST) are rejected, and others are accepted.

use profile::{ParseError, PlainProfile, Profile};
use serde_json::{Value, json};

fn compare(index: u8, value: u64) -> Value {
    json!({ "index": index, "value": value, "op": "SCMP_CMP_EQ" })
}

/// Rules for `clone`, each with an action and comparisons.
fn parse(rules: &[(&str, &[Value])]) -> Result<Profile, ParseError> {
    let rules: Vec<_> = rules
        .iter()
        .map(|(action, args)| json!({ "names": ["brk", "clone"], "action": action, "args": args }))
        .collect();
    let document = json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules });
    let (text, parsed) = (document.to_string(), Profile::from_value(&document));
    assert_eq!(serde_json::from_str::<PlainProfile<'_>>(&text).is_ok(), parsed.is_ok(), "{text}");
    parsed
}

const ALLOW: &str = "SCMP_ACT_ALLOW";
const LOG: &str = "SCMP_ACT_LOG";

#[test]
fn two_actions_for_the_same_comparisons_are_refused() {
    let (a, b) = (compare(0, 5), compare(1, 6));
    insta::assert_snapshot!(parse(&[(ALLOW, &[]), (LOG, &[])]).map_or_else(|e| e.to_string(), |_| "ok".into()), @"ok");
    insta::assert_snapshot!(
        parse(&[(ALLOW, &[a.clone(), b.clone()]), (ALLOW, &[compare(0, 6)]), (LOG, &[b, a])]).unwrap_err(),
        @"syscalls[2]: brk with the same comparisons has another action in syscalls[0], and no container starts under both; leave one out");
}

#[test]
fn another_errno_is_another_action() {
    let rule = |errno: Option<u16>| {
        let mut rule = json!({ "name": "clone", "action": "SCMP_ACT_ERRNO", "args": [compare(0, 5)] });
        if let Some(errno) = errno {
            rule["errnoRet"] = errno.into();
        }
        rule
    };
    let parse = |rules: &[Value]| Profile::from_value(&json!({ "defaultAction": ALLOW, "syscalls": rules }));
    assert!(parse(&[rule(Some(1)), rule(Some(2))]).is_err());
    // EPERM is the errno of a rule without one.
    assert!(parse(&[rule(Some(1)), rule(None)]).is_ok());
}

#[test]
fn fewer_comparisons_after_more_are_refused() {
    let (a, b) = (compare(0, 5), compare(1, 6));
    insta::assert_snapshot!(parse(&[(ALLOW, &[a.clone(), b]), (LOG, &[a])]).unwrap_err(),
        @"syscalls[1]: brk with these comparisons and more has another action in syscalls[0], and no container starts under both; leave one out");
}

#[test]
fn bits_that_a_comparison_ignores_make_no_difference() {
    let equal = |second: u64| json!({ "index": 0, "value": 5, "valueTwo": second, "op": "SCMP_CMP_EQ" });
    assert!(parse(&[(ALLOW, &[equal(1)]), (LOG, &[equal(2)])]).is_err());
    let masked =
        |second: u64| json!({ "index": 0, "value": 0xff, "valueTwo": second, "op": "SCMP_CMP_MASKED_EQ" });
    assert!(parse(&[(ALLOW, &[masked(5)]), (LOG, &[masked(0x105)])]).is_err());
    assert!(parse(&[(ALLOW, &[masked(5)]), (LOG, &[masked(6)])]).is_ok());
}

#[test]
fn rules_that_libseccomp_accepts_are_accepted() {
    let (a, b) = (compare(0, 5), compare(1, 6));
    let (one, two): (&[Value], &[Value]) = (std::slice::from_ref(&a), &[a.clone(), b.clone()]);
    for rules in [
        // The same action, also by its older name.
        &[(ALLOW, one), (ALLOW, one)][..],
        &[("SCMP_ACT_KILL", one), ("SCMP_ACT_KILL_THREAD", one)],
        // Runtimes skip rules that repeat the default.
        &[("SCMP_ACT_KILL_PROCESS", one), (ALLOW, one)],
        // The second adds nothing to the first.
        &[(ALLOW, one), (LOG, two)],
        &[(ALLOW, one), (LOG, two), (ALLOW, two)],
        // A rule without comparisons replaces all others, before and after it.
        &[(LOG, &[]), (ALLOW, one), (LOG, one)],
        &[(ALLOW, one), (LOG, &[]), (LOG, one)],
        // Other arguments.
        &[(ALLOW, two), (LOG, std::slice::from_ref(&b))],
    ] {
        if let Err(error) = parse(rules) {
            panic!("{rules:?}: {error}");
        }
    }
}

#[test]
fn the_most_rules_that_share_their_names_are_accepted() {
    // Every rule shares its eight names with every other, and none clash.
    let names: Vec<_> = (0..8).map(|i| format!("call_{i}")).collect();
    let rules: Vec<_> = (0..512)
        .map(|i| json!({ "names": names, "action": if i % 2 == 0 { ALLOW } else { LOG }, "args": [compare(0, i), compare(1, i)] }))
        .collect();
    let profile = json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules });
    assert!(Profile::from_value(&profile).is_ok());
}
