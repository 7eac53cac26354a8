use filter::{Filter, RuntimeDefault, Verdict};
use proptest::collection::vec;
use proptest::prelude::*;

use super::*;
use crate::setting::SettingOptions;

fn profile(contents: Value) -> Profile {
    Profile::from_value(&contents).unwrap()
}

fn rules(profile: &Profile) -> Value {
    serde_json::to_value(profile).unwrap()["syscalls"].clone()
}

fn filter(profile: &Profile) -> Option<Filter> {
    SettingOptions::default().apply(|setting| Filter::new(profile, setting)).ok()
}

#[test]
fn what_the_present_profile_permits_is_logged_until_it_is_known_and_what_it_refuses_stays_as_it_is() {
    let base = profile(json!({
        "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 38,
        "syscalls": [
            { "names": ["read", "write", "fsync"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": [{ "index": 0, "value": 38, "op": "SCMP_CMP_LT" }] },
            { "names": ["bind"], "action": "SCMP_ACT_LOG" },
            { "names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS" },
        ],
    }));
    let known = BTreeSet::from(["read", "socket", "ptrace", "mount"]);
    let socket = json!([{ "index": 0, "value": 38, "op": "SCMP_CMP_LT" }]);
    let learning = learning(&base, &known).unwrap();
    assert_eq!(
        rules(&learning),
        json!([
            { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["write", "fsync"], "action": "SCMP_ACT_LOG" },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": socket },
            { "names": ["bind"], "action": "SCMP_ACT_LOG" },
            { "names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS" },
        ])
    );
    let learned = learned(&base, &known).unwrap();
    assert_eq!((learned.default_action(), learned.default_errno_ret()), (Action::Errno, Some(38)));
    assert_eq!(
        rules(&learned),
        json!([
            { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["socket"], "action": "SCMP_ACT_ALLOW", "args": socket },
            { "names": ["ptrace"], "action": "SCMP_ACT_KILL_PROCESS" },
        ])
    );
}

#[test]
fn under_a_default_that_permits_everything_else_is_logged_and_then_refused() {
    let base = profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [
            { "names": ["mount"], "action": "SCMP_ACT_ERRNO" },
            { "names": ["bpf"], "action": "SCMP_ACT_KILL_PROCESS" },
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97, "args": [{ "index": 0, "value": 16, "op": "SCMP_CMP_EQ" }] },
            { "names": ["socket"], "action": "SCMP_ACT_ERRNO", "errnoRet": 97, "args": [{ "index": 0, "value": 38, "op": "SCMP_CMP_EQ" }] },
            { "names": ["prctl"], "action": "SCMP_ACT_ERRNO", "args": [{ "index": 0, "value": 7, "op": "SCMP_CMP_EQ" }] },
        ],
    }));
    let known = BTreeSet::from(["read", "socket", "mount", "prctl"]);
    let learning = learning(&base, &known).unwrap();
    assert_eq!(learning.default_action(), Action::Log);
    let learned = learned(&base, &known).unwrap();
    assert!(
        learned
            .rules()
            .iter()
            .any(|rule| { rule.arguments().iter().any(|it| it.comparison() == Comparison::NotEqual) })
    );
    let (logs, refuses) = (filter(&learning).unwrap(), filter(&learned).unwrap());
    let decide = |filter: &Filter, name: &str, first| {
        let number = syscalls::Syscall::from_name(name).unwrap().number(syscalls::Architecture::X86_64);
        let architecture = profile::Architecture::X86_64;
        filter.decide(&Call { architecture, number: number.unwrap(), arguments: [first, 0, 0, 0, 0, 0] })
    };
    for (name, first, logged, refused) in [
        ("read", 0, Verdict::Allow, Verdict::Allow),
        ("write", 0, Verdict::Log, Verdict::Errno(1)),
        ("mount", 0, Verdict::Errno(1), Verdict::Errno(1)),
        ("bpf", 0, Verdict::KillProcess, Verdict::KillProcess),
        // Permitted with other families: it stays logged, and is in the result.
        ("socket", 16, Verdict::Errno(97), Verdict::Errno(97)),
        ("socket", 38, Verdict::Errno(97), Verdict::Errno(97)),
        ("socket", 2, Verdict::Log, Verdict::Allow),
        ("prctl", 7, Verdict::Errno(1), Verdict::Errno(1)),
        ("prctl", 8, Verdict::Log, Verdict::Allow),
    ] {
        assert_eq!(decide(&logs, name, first), logged, "{name} {first}");
        assert_eq!(decide(&refuses, name, first), refused, "{name} {first}");
    }
}

#[test]
fn beside_a_default_that_kills_what_was_not_seen_fails() {
    let base = profile(json!({
        "defaultAction": "SCMP_ACT_KILL_PROCESS",
        "syscalls": [{ "names": ["read", "write"], "action": "SCMP_ACT_ALLOW" }],
    }));
    let learned = learned(&base, &BTreeSet::from(["read"])).unwrap();
    assert_eq!(
        rules(&learned),
        json!([
            { "names": ["read"], "action": "SCMP_ACT_ALLOW" },
            { "names": ["write"], "action": "SCMP_ACT_ERRNO" },
        ])
    );
}

#[test]
fn a_listener_stays_as_long_as_a_rule_asks_it() {
    let base = profile(json!({
        "defaultAction": "SCMP_ACT_ALLOW", "listenerPath": "/run/a.sock",
        "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_NOTIFY" }],
    }));
    let learned = learned(&base, &BTreeSet::from(["read"])).unwrap();
    assert!(learned.listener().is_some());
}

#[test]
fn containerds_default_with_everything_known_is_what_it_was_and_with_nothing_it_logs_all() {
    let base = RuntimeDefault::CONTAINERD.profile(profile::Architecture::X86_64).unwrap();
    let all = permitted_by_rule(&base);
    let (logs, same) = (learning(&base, &BTreeSet::new()).unwrap(), learned(&base, &all).unwrap());
    let base = filter(&base).unwrap();
    assert_eq!(filter(&same).unwrap().unequal(&base).unwrap(), None);
    let logs = filter(&logs).unwrap();
    assert!(logs.changes(&base).unwrap().len() > 300);
    assert_eq!(logs.more_permissive(&base).unwrap(), None);
}

/// Profiles with few names, so that rules for the same call meet.
fn any_profile() -> impl Strategy<Value = Profile> {
    let action = prop_oneof![
        Just("SCMP_ACT_ALLOW"),
        Just("SCMP_ACT_LOG"),
        Just("SCMP_ACT_ERRNO"),
        Just("SCMP_ACT_KILL_PROCESS"),
    ];
    let names = vec(prop_oneof![Just("read"), Just("write"), Just("socket"), Just("mount")], 1..4);
    let comparison =
        (0_u8..2, 0_u64..3, prop_oneof![Just("SCMP_CMP_EQ"), Just("SCMP_CMP_NE"), Just("SCMP_CMP_LT")]);
    let rule = (names, action.clone(), proptest::option::of(comparison)).prop_map(|(names, action, arg)| {
        let args = arg.map(|(index, value, op)| json!({ "index": index, "value": value, "op": op }));
        json!({ "names": names, "action": action, "args": Vec::from_iter(args) })
    });
    (action, vec(rule, 0..5)).prop_filter_map("it is valid and starts", |(default, rules)| {
        let profile = Profile::from_value(&json!({ "defaultAction": default, "syscalls": rules })).ok()?;
        filter(&profile).map(|_| profile)
    })
}

proptest! {
    #[test]
    fn nothing_that_is_refused_is_permitted_by_learning_and_what_was_permitted_and_seen_stays_permitted(
        base in any_profile(),
        known in proptest::sample::subsequence(vec!["read", "write", "socket", "mount"], 0..4),
    ) {
        let known = BTreeSet::from_iter(known);
        let before = filter(&base).unwrap();
        let permits = |verdict| matches!(verdict, Verdict::Allow | Verdict::Log);
        let (Ok(learning), Ok(learned)) =
            (learning(&base, &known), learned(&base, &known)) else {
            // Some contradict themselves in ways that no other rules can say.
            return Ok(());
        };
        let (Some(logs), Some(result)) = (filter(&learning), filter(&learned)) else { return Ok(()) };
        for name in ["read", "write", "socket", "mount", "fsync"] {
            let number = syscalls::Syscall::from_name(name).unwrap().number(syscalls::Architecture::X86_64).unwrap();
            for arguments in (0..4).flat_map(|a| (0..4).map(move |b| [a, b, 0, 0, 0, 0])) {
                let call = Call { architecture: profile::Architecture::X86_64, number, arguments };
                let [was, now, then] = [&before, &logs, &result].map(|it| it.decide(&call));
                if permits(was) {
                    prop_assert!(permits(now), "{call:?} is refused while learning");
                    prop_assert!(now == Verdict::Log || known.contains(name), "{call:?} is not logged");
                    // Not the reverse: rules for a call may be such that no others say all but them.
                    prop_assert!(!permits(then) || known.contains(name), "{call:?}");
                } else {
                    prop_assert_eq!(now, was, "{:?}", call);
                    prop_assert!(!permits(then), "{:?}", call);
                }
            }
        }
    }
}
