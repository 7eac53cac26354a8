//! What holds for every profile: no panic, places that exist, fixes that mend.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use filter::{Filter, Library, Runtime, Setting, numbers};
use lint::{Finding, Nodes, Safety, check, check_quickly};
use profile::{Architecture, FieldPath, Profile, Segment};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use serde_json::{Value, json};
use syscalls::{Libseccomp, Syscall};

const ACTIONS: [&str; 7] = [
    "SCMP_ACT_KILL",
    "SCMP_ACT_KILL_PROCESS",
    "SCMP_ACT_TRAP",
    "SCMP_ACT_ERRNO",
    "SCMP_ACT_TRACE",
    "SCMP_ACT_ALLOW",
    "SCMP_ACT_LOG",
];
const ARCHITECTURES: [&str; 5] =
    ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM", "SCMP_ARCH_MIPSEL"];
const FLAGS: [&str; 2] = ["SECCOMP_FILTER_FLAG_LOG", "SECCOMP_FILTER_FLAG_SPEC_ALLOW"];
/// Names about which rules know something.
const NAMES: [&str; 14] = [
    "read",
    "open",
    "openat",
    "openat2",
    "clone",
    "clone3",
    "io_uring_setup",
    "mseal",
    "listns",
    "mmap2",
    "dup2",
    "kexec_load",
    "opnat",
    "no_such_call",
];

fn effect() -> impl Strategy<Value = (&'static str, Option<u16>)> {
    (select(&ACTIONS[..]), select(&[None, Some(0), Some(1), Some(5), Some(38)][..])).prop_map(
        |(action, errno)| {
            let takes = matches!(action, "SCMP_ACT_ERRNO" | "SCMP_ACT_TRACE");
            (action, errno.filter(|_| takes))
        },
    )
}

fn name() -> impl Strategy<Value = &'static str> {
    let any = (0..Syscall::all().len()).prop_map(|at| Syscall::all().nth(at).unwrap().name());
    prop_oneof![4 => select(&NAMES[..]), 1 => any]
}

fn rule() -> impl Strategy<Value = Value> {
    (vec(name(), 1..5), effect(), proptest::option::of(0_u64..3)).prop_map(
        |(names, (action, errno), value)| {
            let mut rule = json!({ "action": action });
            match names[..] {
                [name] => rule["name"] = name.into(),
                _ => rule["names"] = json!(names),
            }
            if let Some(errno) = errno {
                rule["errnoRet"] = errno.into();
            }
            if let Some(value) = value {
                rule["args"] = json!([{ "index": 0, "value": value, "op": "SCMP_CMP_EQ" }]);
            }
            rule
        },
    )
}

fn contents() -> impl Strategy<Value = Value> {
    let architectures = subsequence(&ARCHITECTURES[..], 0..=ARCHITECTURES.len());
    let flags = subsequence(&FLAGS[..], 0..=FLAGS.len());
    (effect(), architectures, flags, vec(rule(), 0..6)).prop_map(
        |((action, errno), architectures, flags, rules)| {
            let mut contents = json!({
                "defaultAction": action, "architectures": architectures, "flags": flags, "syscalls": rules,
            });
            if let Some(errno) = errno {
                contents["defaultErrnoRet"] = errno.into();
            }
            contents
        },
    )
}

fn findings(contents: &Value) -> Option<Vec<Finding>> {
    let found = check(&Profile::from_value(contents).ok()?, &Nodes::default());
    Some(found.into_iter().map(|finding| finding.in_contents(contents)).collect())
}

fn exists(contents: &Value, path: &FieldPath) -> bool {
    let step = |value, segment: &Segment| match segment {
        Segment::Key(key) => Value::get(value, &**key),
        Segment::Index(index) => Value::get(value, *index),
    };
    path.segments().iter().try_fold(contents, step).is_some()
}

/// What one profile does differently from another under crun, where no stub answers calls.
fn changes(one: &Profile, other: &Profile) -> Vec<filter::CallChange> {
    let filter = |profile: &Profile, native| {
        let number = numbers(Libseccomp::V2_6_1);
        let library = Library::V2_6_1;
        Filter::new(profile, &Setting { runtime: Runtime::CRUN, library, native, number: &number }).ok()
    };
    let natives = [Architecture::X86_64, Architecture::Aarch64];
    let compared = natives.into_iter().filter_map(|native| {
        let (one, other) = (filter(one, native)?, filter(other, native)?);
        Some(one.changes(&other).unwrap())
    });
    compared.flatten().collect()
}

proptest! {
    #[test]
    fn every_finding_is_at_a_field_that_exists(contents in contents()) {
        for finding in findings(&contents).unwrap_or_default() {
            prop_assert!(exists(&contents, &finding.path), "{finding:?}");
            prop_assert!(!finding.message.is_empty());
        }
    }

    /// Also one that names the same call in several rules, of which one may only win without another.
    #[test]
    fn a_fix_mends_its_finding_beside_rules_for_the_same_call(
        default in effect(), rules in vec((select(&["clone", "clone3"][..]), effect()), 1..4),
    ) {
        let with = |mut object: Value, errno: &str, value: Option<u16>| {
            if let Some(value) = value {
                object[errno] = value.into();
            }
            object
        };
        let rules = rules.into_iter().map(|(name, (action, errno))| {
            with(json!({ "names": [name], "action": action }), "errnoRet", errno)
        });
        let rules: Vec<_> = rules.collect();
        let contents = with(json!({ "defaultAction": default.0, "syscalls": rules }), "defaultErrnoRet", default.1);
        for finding in findings(&contents).unwrap_or_default() {
            let Some(fix) = &finding.fix else { continue };
            let mut fixed = contents.clone();
            prop_assert!(fix.apply(&mut fixed), "{finding:?}");
            let Some(after) = findings(&fixed) else { continue };
            prop_assert!(finding.is_mended(&findings(&contents).unwrap(), &after), "{finding:?}");
        }
    }

    #[test]
    fn a_fix_mends_its_finding_and_a_safe_one_changes_no_call(contents in contents()) {
        for finding in findings(&contents).unwrap_or_default() {
            let Some(fix) = &finding.fix else { continue };
            let mut fixed = contents.clone();
            prop_assert!(fix.apply(&mut fixed), "{finding:?}");
            // A fix may bring two rules together that clash; then it is not applied.
            let Some(after) = findings(&fixed) else {
                prop_assert_eq!(fix.safety, Safety::Unsafe, "{:?}", finding);
                continue;
            };
            prop_assert!(finding.is_mended(&findings(&contents).unwrap(), &after), "{finding:?}");
            if fix.safety == Safety::Safe {
                let profile = |contents| Profile::from_value(contents).unwrap();
                let changes = changes(&profile(&contents), &profile(&fixed));
                prop_assert!(changes.is_empty(), "{finding:?}: {changes:?}");
            }
        }
    }
}

/// Without the first name, of which the second rule permits more, the two others are alike: of 32-bit x86 all are the same call
/// of `ipc`.
#[test]
fn what_was_behind_a_mended_finding_may_be_found_next() {
    let when = json!([{ "index": 0, "value": 1, "op": "SCMP_CMP_EQ" }]);
    let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": ["SCMP_ARCH_X86"], "syscalls": [
        { "names": ["semop", "ipc", "ipc"], "action": "SCMP_ACT_ALLOW", "args": when },
        { "names": ["semop"], "action": "SCMP_ACT_ALLOW" },
    ] });
    let before = findings(&contents).unwrap();
    let redundant = |list: &[Finding]| list.iter().filter(|it| it.rule == "redundant-name").count();
    let finding = before.iter().find(|it| it.rule == "redundant-name").unwrap();
    let mut fixed = contents;
    assert!(finding.fix.as_ref().unwrap().apply(&mut fixed));
    let after = findings(&fixed).unwrap();
    assert_eq!((redundant(&before), redundant(&after)), (1, 1));
    assert!(finding.is_mended(&before, &after));
    assert!(!finding.is_mended(&before, &before));
}

#[test]
fn a_finding_is_at_the_older_field_where_the_author_wrote_that() {
    let contents = |rule: Value| json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] });
    let place = |rule: Value| {
        let found = findings(&contents(rule)).unwrap();
        found.iter().find(|finding| finding.rule == "unknown-syscall").unwrap().path.to_string()
    };
    assert_eq!(place(json!({ "name": "opnat", "action": "SCMP_ACT_TRAP" })), "syscalls[0].name");
    assert_eq!(place(json!({ "names": ["opnat"], "action": "SCMP_ACT_TRAP" })), "syscalls[0].names[0]");
    assert_eq!(
        place(json!({ "name": "", "names": ["opnat"], "action": "SCMP_ACT_TRAP" })),
        "syscalls[0].names[0]"
    );
    let mut written = contents(json!({ "name": "opnat", "action": "SCMP_ACT_TRAP" }));
    let found = findings(&written).unwrap();
    let fix =
        found.iter().find_map(|finding| finding.fix.as_ref().filter(|_| finding.rule == "unknown-syscall"));
    assert!(fix.unwrap().apply(&mut written));
    assert_eq!(written["syscalls"][0]["name"], "openat");
    // There is no list to which a name could be added.
    let twin = |rule: Value| {
        let found = findings(&contents(rule)).unwrap();
        found.into_iter().find(|finding| finding.rule == "forgotten-twin").unwrap().fix
    };
    assert_eq!(twin(json!({ "name": "open", "action": "SCMP_ACT_TRAP" })), None);
    assert!(twin(json!({ "names": ["open"], "action": "SCMP_ACT_TRAP" })).is_some());
}

/// The operator checks every profile, so that a rule must not compare everything with everything.
#[test]
fn the_largest_profiles_are_checked() {
    let names: Vec<&str> = Syscall::all().map(Syscall::name).collect();
    let rule = |at: usize, action: &str| {
        let names: Vec<_> = (0..8).map(|of| names[(at * 8 + of) % names.len()]).collect();
        json!({ "names": names, "action": action })
    };
    let profile = |action: &str| {
        let rules: Vec<_> = (0..512).map(|at| rule(at, action)).collect();
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules })
    };
    for action in ["SCMP_ACT_ERRNO", "SCMP_ACT_ALLOW", "SCMP_ACT_TRAP"] {
        assert!(findings(&profile(action)).is_some_and(|found| found.len() <= 5_000));
    }
    let mut unknown = profile("SCMP_ACT_ALLOW");
    for (at, rule) in unknown["syscalls"].as_array_mut().unwrap().iter_mut().enumerate() {
        rule["names"] = (0..8).map(|of| format!("no_such_call_with_a_long_name_{at}_{of}")).collect();
    }
    assert_eq!(findings(&unknown).unwrap().iter().filter(|it| it.rule == "unknown-syscall").count(), 4096);
}

/// The operator's limit: filters of such a profile take seconds, and those of every real one do not count as costly.
#[test]
fn a_quick_check_leaves_out_filters_of_hundreds_of_conditions_and_nothing_else() {
    let rules = |count: u64| -> Vec<Value> {
        let rule = |at: u64| {
            json!({ "names": ["execve", "no_such_call"], "action": "SCMP_ACT_ALLOW", "args": [
                { "index": at % 6, "value": at, "op": "SCMP_CMP_GE" },
                { "index": (at + 1) % 6, "value": at * 7, "op": "SCMP_CMP_NE" },
            ] })
        };
        (0..count).map(rule).collect()
    };
    let profile = |count| {
        let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": rules(count) });
        Profile::from_value(&contents).unwrap()
    };
    let found = |profile: &Profile| -> std::collections::BTreeSet<&str> {
        check_quickly(profile, &Nodes::default()).findings.iter().map(|finding| finding.rule).collect()
    };
    assert!(found(&profile(3)).contains("cannot-start"));
    let many = found(&profile(512));
    assert!(many.contains("unknown-syscall") && !many.contains("cannot-start"), "{many:?}");
    let real: Value = serde_json::from_str(include_str!("../../filter/data/moby-amd64.json")).unwrap();
    let real = Profile::from_value(&real).unwrap();
    let quick = check_quickly(&real, &Nodes::default());
    assert_eq!((quick.findings, quick.left_out), (check(&real, &Nodes::default()), &[][..]));
}
