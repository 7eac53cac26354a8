//! How runtimes differ in what they accept: the rows of `docs/explanation/runtimes.md` that no random profile shows.

use filter::Call;
use profile::Architecture::{self, X86, X86_64};
use serde_json::{Value, json};

use crate::calls;
use crate::container::{Options, Root, Start};
use crate::installed::Installed;
use crate::outcome::Outcome;

/// runc 1.5.2, runc 1.1.5 and crun 1.8.1.
struct Three {
    root: Root,
    runtimes: [Installed; 3],
}

const OPTIONS: Options = Options { no_new_privileges: true, capabilities: false, user: 0, seconds: 20 };

impl Three {
    fn new() -> Self {
        let [old_runc, crun] = Installed::of_debian();
        Self { root: Root::new(), runtimes: [Installed::runc(), old_runc, crun] }
    }

    /// For each runtime, why no container starts.
    fn refusals(&self, profile: &Value) -> [Option<String>; 3] {
        self.runtimes.each_ref().map(|runtime| match self.root.start(runtime, OPTIONS, Some(profile), &[]) {
            Start::Ran(_) => None,
            Start::Refused(why) => Some(why),
            Start::Late => panic!("{}: {profile}", runtime.name),
        })
    }

    /// Which of the runtimes start a container.
    fn start(&self, profile: &Value) -> [bool; 3] {
        self.refusals(profile).map(|refusal| refusal.is_none())
    }

    /// For each runtime, what becomes of calls without arguments.
    fn outcomes(&self, profile: &Value, made: &[(Architecture, u32)]) -> [Vec<Outcome>; 3] {
        let call = |(architecture, number): &_| Call {
            architecture: *architecture,
            number: *number,
            arguments: [0; 6],
        };
        let words: Vec<_> = made.iter().map(|it| calls::word(&call(it))).collect();
        self.runtimes.each_ref().map(|runtime| {
            let start = self.root.start(runtime, OPTIONS, Some(profile), &words);
            let Start::Ran(printed) = start else { panic!("{}: {start:?}", runtime.name) };
            Outcome::parse(&printed, made.len()).unwrap()
        })
    }
}

/// Permits everything but `getppid`, for which this is the rule.
fn with_rule(mut rule: Value) -> Value {
    rule["names"] = json!(["getppid"]);
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule] })
}

const GETPPID: (Architecture, u32) = (X86_64, 110);

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
        let starts = |profile: &Value| match root.start(&runtime, OPTIONS, Some(profile), &[]) {
            Start::Ran(_) => true,
            Start::Refused(_) => false,
            Start::Late => panic!("{}: {profile}", runtime.name),
        };
        let is_crun = runtime.name.starts_with("crun");
        assert!(starts(&errno("SCMP_ACT_ERRNO", 4094)), "{}", runtime.name);
        assert!(!starts(&errno("SCMP_ACT_ERRNO", 4095)), "{}", runtime.name);
        assert_eq!(starts(&errno("SCMP_ACT_ALLOW", 1)), !is_crun, "{}", runtime.name);
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

/// The kernel passes it around every filter, and ends a program that calls it without a probe.
#[test]
#[ignore = "long: needs Debian's runtimes"]
fn no_filter_decides_uretprobe() {
    let three = Three::new();
    let mut profile = with_rule(json!({ "action": "SCMP_ACT_ERRNO" }));
    profile["syscalls"][0]["names"] = json!(["uretprobe", "getppid"]);
    for outcomes in three.outcomes(&profile, &[GETPPID, (X86_64, 335)]) {
        assert_eq!(outcomes[0], Outcome::Returns(-1));
        assert!(matches!(outcomes[1], Outcome::Signal(_)), "{outcomes:?}");
    }
}
