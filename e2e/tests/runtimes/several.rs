//! The runtimes that the rows of `docs/explanation/runtimes.md` compare, and profiles for them.

use filter::Call;
use profile::Architecture::{self, X86_64};
use serde_json::{Value, json};

use crate::calls;
use crate::container::{Options, Root, Start};
use crate::installed::Installed;
use crate::outcome::Outcome;

/// runc 1.5.2, runc 1.1.5 and crun 1.8.1.
pub(crate) struct Three {
    pub(crate) root: Root,
    pub(crate) runtimes: [Installed; 3],
}

impl Three {
    pub(crate) fn new() -> Self {
        let [old_runc, crun] = Installed::of_debian();
        Self { root: Root::new(), runtimes: [Installed::runc(), old_runc, crun] }
    }

    /// For each runtime, why no container starts.
    pub(crate) fn refusals(&self, profile: &Value) -> [Option<String>; 3] {
        self.runtimes.each_ref().map(|runtime| {
            match self.root.start(runtime, Options::HARMLESS, Some(profile), &[]) {
                Start::Ran(_) => None,
                Start::Refused(why) => Some(why),
                Start::Late => panic!("{}: {profile}", runtime.name),
            }
        })
    }

    /// Which of the runtimes start a container.
    pub(crate) fn start(&self, profile: &Value) -> [bool; 3] {
        self.refusals(profile).map(|refusal| refusal.is_none())
    }

    /// For each runtime, what becomes of calls without arguments.
    pub(crate) fn outcomes(&self, profile: &Value, made: &[(Architecture, u32)]) -> [Vec<Outcome>; 3] {
        let call = |(architecture, number): &_| Call {
            architecture: *architecture,
            number: *number,
            arguments: [0; 6],
        };
        let words: Vec<_> = made.iter().map(|it| calls::word(&call(it))).collect();
        self.runtimes.each_ref().map(|runtime| {
            let start = self.root.start(runtime, Options::HARMLESS, Some(profile), &words);
            let Start::Ran(printed) = start else { panic!("{}: {start:?}", runtime.name) };
            Outcome::parse(&printed, made.len()).unwrap()
        })
    }
}

/// These three, and the other versions of each.
pub(crate) struct All {
    pub(crate) root: Root,
    runtimes: Vec<Installed>,
}

impl All {
    pub(crate) fn new() -> Self {
        let mut runtimes = vec![Installed::runc()];
        runtimes.extend(Installed::of_debian());
        runtimes.extend(Installed::other_runc());
        runtimes.extend(Installed::other_crun());
        Self { root: Root::new(), runtimes }
    }

    /// What becomes of a container that makes these calls under the profile, with each of them.
    pub(crate) fn start(&self, profile: &Value, words: &[String]) -> Vec<(&Installed, Start)> {
        let start = |runtime| self.root.start(runtime, Options::HARMLESS, Some(profile), words);
        self.runtimes.iter().map(|runtime| (runtime, start(runtime))).collect()
    }

    /// All of them.
    pub(crate) fn runtimes(&self) -> &[Installed] {
        &self.runtimes
    }

    /// Every version of crun.
    pub(crate) fn crun(&self) -> impl Iterator<Item = &Installed> {
        self.runtimes.iter().filter(|runtime| runtime.is_crun())
    }

    /// With every runtime these calls have these outcomes.
    pub(crate) fn expect(&self, profile: &Value, expected: &[(Call, Outcome)]) {
        let words: Vec<_> = expected.iter().map(|(call, _)| calls::word(call)).collect();
        let expected: Vec<_> = expected.iter().map(|(_, outcome)| *outcome).collect();
        for (runtime, start) in self.start(profile, &words) {
            let Start::Ran(printed) = start else { panic!("{}: {start:?}", runtime.name) };
            assert_eq!(
                Outcome::parse(&printed, words.len()).unwrap(),
                expected,
                "{}: {profile}",
                runtime.name
            );
        }
    }
}

/// A call of `getppid`, which has no arguments, with this one.
pub(crate) fn getppid_with(argument: u64) -> Call {
    let (architecture, number) = GETPPID;
    Call { architecture, number, arguments: [argument, 0, 0, 0, 0, 0] }
}

/// The profile with another value for one of its keys.
pub(crate) fn with(profile: &Value, key: &str, value: Value) -> Value {
    let mut profile = profile.clone();
    profile[key] = value;
    profile
}

/// The profile with these flags alone, without their common prefix.
pub(crate) fn with_flags(profile: &Value, names: &[&str]) -> Value {
    let names = names.iter().map(|name| format!("SECCOMP_FILTER_FLAG_{name}")).collect();
    with(profile, "flags", names)
}

/// Permits everything but `getppid`, for which this is the rule.
pub(crate) fn with_rule(mut rule: Value) -> Value {
    rule["names"] = json!(["getppid"]);
    json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"], "syscalls": [rule] })
}

pub(crate) const GETPPID: (Architecture, u32) = (X86_64, 110);
