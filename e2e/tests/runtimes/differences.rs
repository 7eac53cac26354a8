//! How runtimes differ in what they accept: the rows of `docs/explanation/runtimes.md` that no random profile shows.

use profile::Architecture::{X86, X86_64};
use serde_json::{Value, json};

use crate::calls;
use crate::container::{Options, Root, Start};
use crate::installed::Installed;
use crate::outcome::Outcome;
use crate::several::{All, GETPPID, Three, getppid_with, with_rule};

#[test]
#[ignore = "long: needs Debian's runtimes"]
fn an_errno_above_4094_is_refused_by_all() {
    let three = Three::new();
    let errno = |errno: u32| with_rule(json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": errno }));
    assert_eq!(three.start(&errno(4094)), [true; 3]);
    assert_eq!(three.start(&errno(4095)), [false; 3]);
}

#[test]
#[ignore = "long: needs Debian's runtimes"]
fn flags_are_refused_by_old_runc_alone() {
    let three = Three::new();
    let mut profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    profile["flags"] = json!(["SECCOMP_FILTER_FLAG_LOG"]);
    let [new, old, crun] = three.refusals(&profile);
    assert!(old.unwrap().contains("seccomp flags are not yet supported by runc"));
    assert_eq!((new, crun), (None, None));
}

#[test]
#[ignore = "long: needs Debian's runtimes"]
fn an_errno_beside_an_action_that_takes_none_is_refused_by_crun_alone() {
    let three = Three::new();
    for action in ["SCMP_ACT_ALLOW", "SCMP_ACT_KILL_PROCESS"] {
        let profile = with_rule(json!({ "action": action, "errnoRet": 1 }));
        assert_eq!(three.start(&profile), [true, true, false], "{action}");
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn other_versions_refuse_the_same_but_for_flags_and_riscv64() {
    let root = Root::new();
    let riscv64 = {
        let mut profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
        profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_RISCV64"]);
        profile
    };
    let flags = {
        let mut profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
        profile["flags"] = json!(["SECCOMP_FILTER_FLAG_LOG"]);
        profile
    };
    let errno = |action: &str, errno: u32| with_rule(json!({ "action": action, "errnoRet": errno }));
    for runtime in Installed::other_runc().into_iter().chain(Installed::other_crun()) {
        let starts = |profile: &Value| match root.start(&runtime, Options::HARMLESS, Some(profile), &[]) {
            Start::Ran(_) => true,
            Start::Refused(_) => false,
            Start::Late => panic!("{}: {profile}", runtime.name),
        };
        assert!(starts(&errno("SCMP_ACT_ERRNO", 4094)), "{}", runtime.name);
        assert!(!starts(&errno("SCMP_ACT_ERRNO", 4095)), "{}", runtime.name);
        assert_eq!(starts(&errno("SCMP_ACT_ALLOW", 1)), !runtime.is_crun(), "{}", runtime.name);
        assert_eq!(starts(&flags), runtime.name != "runc-1.1.15", "{}", runtime.name);
        assert!(starts(&riscv64), "{}", runtime.name);
    }
}

#[test]
#[ignore = "long: needs Debian's runtimes"]
fn architectures_of_both_byte_orders_are_refused_by_all() {
    let three = Three::new();
    let mut profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_S390X"]);
    assert_eq!(three.start(&profile), [false; 3]);
    profile["architectures"] = json!(["SCMP_ARCH_X86_64", "SCMP_ARCH_PPC64LE"]);
    assert_eq!(three.start(&profile), [true; 3]);
}

#[test]
#[ignore = "long: needs Debian's runtimes"]
fn ten_architectures_make_a_filter_too_long_for_runc_and_old_runc_does_not_know_the_tenth() {
    let three = Three::new();
    let names: Vec<_> = syscalls::Syscall::all()
        .filter(|call| call.number(syscalls::Architecture::X86_64).is_some_and(|number| number <= 435))
        .map(|call| call.name())
        .chain(["close_range", "openat2"])
        .collect();
    let architectures =
        ["X86_64", "X86", "X32", "AARCH64", "ARM", "MIPSEL", "MIPSEL64", "MIPSEL64N32", "PPC64LE", "RISCV64"];
    let profile = |count: usize| {
        let architectures: Vec<_> =
            architectures[..count].iter().map(|name| format!("SCMP_ARCH_{name}")).collect();
        let rule = json!({ "names": names, "action": "SCMP_ACT_ALLOW" });
        json!({ "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures, "syscalls": [rule] })
    };
    assert_eq!(three.start(&profile(5)), [true; 3]);
    let [new, old, crun] = three.refusals(&profile(10));
    assert!(new.unwrap().contains("error loading seccomp filter: invalid argument"));
    // The tenth architecture is one that this runc refuses by its name.
    assert!(old.unwrap().contains("string SCMP_ARCH_RISCV64 is not a valid arch for seccomp"));
    assert_eq!(crun, None);
}

#[test]
#[ignore = "long: needs Debian's runtimes"]
fn a_call_of_an_unlisted_architecture_ends_the_thread_whatever_the_default_is() {
    let three = Three::new();
    // getppid of 32-bit x86 and of x32.
    let made = [GETPPID, (X86, 64), (X86_64, (1 << 30) + 110)];
    for default in ["SCMP_ACT_ALLOW", "SCMP_ACT_LOG"] {
        for architectures in [json!(["SCMP_ARCH_X86_64"]), json!([])] {
            let profile = json!({
                "defaultAction": default, "architectures": architectures,
                "syscalls": [{ "names": ["mkdir"], "action": "SCMP_ACT_ERRNO" }],
            });
            for outcomes in three.outcomes(&profile, &made) {
                assert!(matches!(outcomes[0], Outcome::Returns(parent) if parent > 0));
                assert_eq!(outcomes[1..], [Outcome::Thread; 2], "{profile}");
            }
        }
    }
}

#[test]
#[ignore = "long: needs Debian's runtimes"]
fn a_rule_without_errno_gives_eperm_whatever_the_default_errno_is() {
    let three = Three::new();
    let mut profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    profile["defaultAction"] = "SCMP_ACT_ERRNO".into();
    profile["defaultErrnoRet"] = 5.into();
    let permitted: Vec<_> = syscalls::Syscall::all()
        .map(|call| call.name())
        .filter(|name| !["getppid", "getuid"].contains(name))
        .collect();
    profile["syscalls"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "names": permitted, "action": "SCMP_ACT_ALLOW" }));
    for outcomes in three.outcomes(&profile, &[GETPPID, (X86_64, 102)]) {
        assert_eq!(outcomes, [Outcome::Returns(-1), Outcome::Returns(-5)]);
    }
}

/// The kernel passes both around every filter, and ends a program that calls uretprobe without a probe.
#[test]
#[ignore = "long: needs Debian's runtimes"]
fn no_filter_decides_uretprobe_or_uprobe() {
    let three = Three::new();
    let mut profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    profile["syscalls"][0]["names"] = json!(["uretprobe", "uprobe", "getppid"]);
    for outcomes in three.outcomes(&profile, &[GETPPID, (X86_64, 335), (X86_64, 336)]) {
        assert_eq!(outcomes[0], Outcome::Returns(-1));
        assert!(matches!(outcomes[1], Outcome::Signal(_)), "{outcomes:?}");
        assert!(matches!(outcomes[2], Outcome::Returns(error) if error != -1), "{outcomes:?}");
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn bits_outside_the_mask_are_dropped() {
    // 16 under the mask 15.
    let condition = json!({ "index": 0, "value": 15, "valueTwo": 16, "op": "SCMP_CMP_MASKED_EQ" });
    let profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": 5, "args": [condition] }));
    let all = All::new();
    let refused = [0, 16, 32].map(|argument| (getppid_with(argument), Outcome::Returns(-5)));
    all.expect(&profile, &refused);
    let words = [1, 17].map(|argument| calls::word(&getppid_with(argument)));
    for (runtime, start) in all.start(&profile, &words) {
        let Start::Ran(printed) = start else { panic!("{}: {start:?}", runtime.name) };
        let outcomes = Outcome::parse(&printed, words.len()).unwrap();
        assert!(
            outcomes.iter().all(|it| matches!(it, Outcome::Returns(parent) if *parent > 0)),
            "{outcomes:?}"
        );
    }
}

#[test]
#[ignore = "long: builds or downloads other versions"]
fn with_errno_zero_a_call_seems_to_succeed() {
    let profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": 0 }));
    All::new().expect(&profile, &[(getppid_with(0), Outcome::Returns(0))]);
}

#[test]
fn of_two_filters_the_errno_of_the_later_one_counts() {
    let (root, runc) = (Root::new(), Installed::runc());
    let profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO", "errnoRet": 5 }));
    // getppid without a filter of the program's own and with two such filters, and getuid, which the profile permits.
    let words = ["0:6e", "4:6e:7", "4:6e:0", "4:66:7"].map(|call| call.to_owned());
    let Start::Ran(printed) = root.start(&runc, Options::HARMLESS, Some(&profile), &words) else {
        panic!("no start")
    };
    let expected = [-5, -7, 0, -7].map(Outcome::Returns);
    assert_eq!(Outcome::parse(&printed, words.len()).unwrap(), expected);
}
