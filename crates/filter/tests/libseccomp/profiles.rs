//! Random profiles for several calls and architectures, which libseccomp compiles into one program.

use filter::tree::CallRule;
use filter::{Condition, Filter, Library, Setting, Unloadable, Verdict, most_instructions};
use profile::{Architecture, Argument, Effect, Profile};
use serde_json::{Value, json};

use crate::bpf;
use crate::length::runtime;
use crate::sets::{Random, Set};

/// Calls with and without multiplexer, and with a number on some architectures only: the numbers of x86_64, x86 and
/// aarch64.
const CALLS: [(&str, [Option<u32>; 3]); 9] = [
    ("getpid", [Some(39), Some(20), Some(172)]),
    ("getppid", [Some(110), Some(64), Some(173)]),
    ("gettid", [Some(186), Some(224), Some(178)]),
    ("sched_yield", [Some(24), Some(158), Some(124)]),
    ("pause", [Some(34), Some(29), None]),
    ("socket", [Some(41), Some(359), Some(198)]),
    ("shmget", [Some(29), Some(395), Some(194)]),
    ("semop", [Some(65), None, Some(193)]),
    ("accept", [Some(43), None, Some(202)]),
];
const MULTIPLEXERS: [(&str, u32); 2] = [("socketcall", 102), ("ipc", 117)];

pub(crate) const X86_64: (Architecture, u32) = (Architecture::X86_64, 0xc000_003e);
const X86: (Architecture, u32) = (Architecture::X86, 0x4000_0003);
const X32: (Architecture, u32) = (Architecture::X32, 0x4000_003e);
const AARCH64: (Architecture, u32) = (Architecture::Aarch64, 0xc000_00b7);

pub(crate) fn number(name: &str, architecture: Architecture) -> Option<u32> {
    if architecture == Architecture::X86
        && let Some((_, number)) = MULTIPLEXERS.iter().find(|(known, _)| *known == name)
    {
        return Some(*number);
    }
    let (_, [x86_64, x86, aarch64]) = CALLS.into_iter().find(|(known, _)| *known == name)?;
    match architecture {
        Architecture::X86_64 => x86_64,
        Architecture::X32 => x86_64.map(|number| number | 1 << 30),
        Architecture::X86 => x86,
        Architecture::Aarch64 => aarch64,
        _ => None,
    }
}

/// A profile, and the line that `export.c` reads for it.
pub(crate) struct Whole {
    pub(crate) profile: Value,
    pub(crate) line: String,
    /// Whether libseccomp is asked for a binary tree of the calls.
    pub(crate) sorted: bool,
}

impl Whole {
    /// Rules for some calls.
    pub(crate) fn new(random: &mut Random) -> Self {
        let mut architectures = vec![X86_64];
        architectures.extend([X86, X32, AARCH64].into_iter().filter(|_| random.below(2) == 0));
        let sorted = random.below(2) == 0;
        let Set { default, .. } = random.set(0);
        let mut line = head(&architectures, default, sorted);
        let mut rules = Vec::new();
        let calls = 1 + random.below(6);
        // The rules may be those of several calls, so that their blocks are the same.
        let sets: Vec<_> = (0..3).map(|_| random.alike()).collect();
        for _ in 0..calls {
            let (name, _) = CALLS[random.below(CALLS.len())];
            let set = &sets[random.below(sets.len())];
            for rule in set {
                if rule.verdict == default {
                    continue;
                }
                line += &of_call(name, rule);
                let effect = Effect::from(rule.verdict);
                let args = rule.conditions.iter().map(|it| {
                    json!({"index": it.index(), "op": it.comparison().name(), "value": it.value(), "valueTwo": it.value_two()})
                });
                rules.push(action(effect, json!({"names": [name], "args": args.collect::<Vec<_>>()})));
            }
        }
        let names: Vec<_> = architectures.iter().map(|(architecture, _)| architecture.name()).collect();
        let effect = Effect::from(default);
        let mut profile =
            json!({"defaultAction": effect.action().name(), "architectures": names, "syscalls": rules});
        if let Some(errno) = effect.errno() {
            profile["defaultErrnoRet"] = errno.into();
        }
        Self { profile, line, sorted }
    }

    /// A profile for calls and architectures of these tests.
    pub(crate) fn of(profile: &Profile, sorted: bool) -> Self {
        let known = [X86_64, X86, X32, AARCH64];
        let architectures: Vec<_> =
            known.into_iter().filter(|(known, _)| profile.architectures().contains(known)).collect();
        let default = Verdict::from(profile.default_effect());
        let mut line = head(&architectures, default, sorted);
        for rule in profile.rules().iter().filter(|rule| rule.effect() != profile.default_effect()) {
            let condition = |it: &Argument| {
                Condition::new(it.index(), it.comparison(), it.value(), it.value_two()).unwrap()
            };
            let conditions = rule.arguments().iter().map(condition).collect();
            let rule_for_call = CallRule { verdict: Verdict::from(rule.effect()), conditions };
            line.extend(rule.names().iter().map(|name| of_call(name.as_str(), &rule_for_call)));
        }
        Self { profile: serde_json::from_slice(profile.canonical().bytes()).unwrap(), line, sorted }
    }

    /// `None` if the parser of profiles refuses it.
    pub(crate) fn filter(&self, library: Library) -> Option<Result<Filter, Unloadable>> {
        let profile = Profile::from_value(&self.profile).ok()?;
        Some(Filter::new(&profile, &self.setting(library)))
    }

    /// The estimate of the program's length, if there is a filter.
    pub(crate) fn most_instructions(&self, library: Library) -> Option<usize> {
        most_instructions(&Profile::from_value(&self.profile).ok()?, &self.setting(library)).ok()
    }

    pub(crate) fn setting(&self, library: Library) -> Setting<'static> {
        Setting { runtime: runtime(self.sorted), library, native: Architecture::X86_64, number: &number }
    }

    /// Every call with rules, one without, and one of another architecture.
    pub(crate) fn calls(&self) -> Vec<(Architecture, u32, u32)> {
        let mut found = vec![(Architecture::Arm, 0x4000_0028, 20)];
        for (architecture, token) in [X86_64, X86, X32, AARCH64] {
            let token = if architecture == Architecture::X32 { X86_64.1 } else { token };
            let multiplexers = MULTIPLEXERS.iter().map(|(name, _)| *name);
            let names = CALLS.iter().map(|(name, _)| *name).chain(multiplexers);
            found.extend(names.filter_map(|name| Some((architecture, token, number(name, architecture)?))));
            let bit = if architecture == Architecture::X32 { 1 << 30 } else { 0 };
            found.extend([7, 999].map(|number| (architecture, token, number | bit)));
        }
        found.push((Architecture::X86_64, X86_64.1, u32::MAX));
        found
    }
}

/// What comes before the rules.
fn head(architectures: &[(Architecture, u32)], default: Verdict, sorted: bool) -> String {
    let tokens: Vec<_> = architectures.iter().map(|(_, token)| format!("{token:x}")).collect();
    format!("{} {:x} 0 {}", tokens.join(","), bpf::value(default), 1 + u8::from(sorted))
}

/// A rule for a call, by its number on x86_64.
fn of_call(name: &str, rule: &CallRule) -> String {
    let number = number(name, Architecture::X86_64).unwrap();
    format!(" r {:x} s {number:x}{}", bpf::value(rule.verdict), Set::conditions(rule))
}

fn action(effect: Effect, mut rule: Value) -> Value {
    rule["action"] = effect.action().name().into();
    if let Some(errno) = effect.errno() {
        rule["errnoRet"] = errno.into();
    }
    rule
}
