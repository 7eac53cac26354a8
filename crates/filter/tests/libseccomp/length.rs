//! The estimate of a program's length against programs that libseccomp wrote.

use std::fmt::Write;

use filter::{Flags, Library, Runtime, Setting, Stub, most_instructions, numbers};
use profile::{Architecture, Effect, Profile};
use serde_json::{Value, json};
use syscalls::{Libseccomp, Syscall};

use crate::bpf;
use crate::library::{Exporter, Outcome};
use crate::sets::{Random, Set};

/// Little-endian architectures, with the values of libseccomp. The model has no numbers for MIPS.
const ARCHITECTURES: [(Architecture, u32); 10] = [
    (Architecture::X86_64, 0xc000_003e),
    (Architecture::X86, 0x4000_0003),
    (Architecture::X32, 0x4000_003e),
    (Architecture::Aarch64, 0xc000_00b7),
    (Architecture::Arm, 0x4000_0028),
    (Architecture::Mipsel, 0x4000_0008),
    (Architecture::Mipsel64, 0xc000_0008),
    (Architecture::Mipsel64n32, 0xe000_0008),
    (Architecture::Ppc64le, 0xc000_0015),
    (Architecture::Riscv64, 0xc000_00f3),
];

/// A runtime that does nothing but to ask for a binary tree, or not.
pub(crate) fn runtime(sorted: bool) -> Runtime {
    Runtime { name: "export.c", stub: Stub::Absent, flags: Flags::Set, sorted_from: sorted.then_some(0) }
}

impl Set {
    /// The set as a profile for one architecture.
    pub(crate) fn profile(&self) -> (Profile, Architecture) {
        let (token, _) = self.target();
        let architecture = if token == 0xc000_003e { Architecture::X86_64 } else { Architecture::X86 };
        let rules: Vec<_> = self.rules.iter().map(|rule| json_rule(rule, &["getpid"])).collect();
        (profile(self.default, &[architecture], rules).unwrap(), architecture)
    }
}

fn json_rule(rule: &filter::tree::CallRule, names: &[&str]) -> Value {
    let args = rule.conditions.iter().map(|it| {
        json!({"index": it.index(), "op": it.comparison().name(), "value": it.value(), "valueTwo": it.value_two()})
    });
    let effect = Effect::from(rule.verdict);
    let mut rule =
        json!({ "names": names, "action": effect.action().name(), "args": args.collect::<Vec<_>>() });
    if let Some(errno) = effect.errno() {
        rule["errnoRet"] = errno.into();
    }
    rule
}

/// `None` if the parser refuses it.
fn profile(default: filter::Verdict, architectures: &[Architecture], rules: Vec<Value>) -> Option<Profile> {
    let effect = Effect::from(default);
    let names: Vec<_> = architectures.iter().map(|it| it.name()).collect();
    let mut contents =
        json!({ "defaultAction": effect.action().name(), "architectures": names, "syscalls": rules });
    if let Some(errno) = effect.errno() {
        contents["defaultErrnoRet"] = errno.into();
    }
    Profile::from_value(&contents).ok()
}

/// The estimate for a set alone.
pub(crate) fn most_of(set: &Set) -> usize {
    let (profile, native) = set.profile();
    let number = numbers(Libseccomp::V2_5_4);
    let setting =
        Setting { runtime: runtime(set.optimized), library: Library::V2_5_4, native, number: &number };
    most_instructions(&profile, &setting).unwrap()
}

/// Many names on one to ten architectures, of which some have conditions that others share.
#[test]
#[ignore = "long: 400 filters of the libseccomp of this machine"]
fn no_program_is_longer_than_the_estimate_and_few_are_much_shorter() {
    let mut random = Random(11);
    let names: Vec<&str> = Syscall::all().map(Syscall::name).collect();
    let mut cases = Vec::new();
    while cases.len() < 400 {
        let count = 1 + random.below(ARCHITECTURES.len());
        let architectures = &ARCHITECTURES[..count];
        let sorted = random.below(2) == 0;
        let default = random.set(0).default;
        let plain = 1 + random.below(names.len());
        let first = random.below(names.len());
        let mut rules: Vec<(filter::tree::CallRule, Vec<&str>)> = Vec::new();
        let allow = filter::tree::CallRule { verdict: filter::Verdict::Log, conditions: Vec::new() };
        rules.push((allow, (0..plain).map(|at| names[(first + at) % names.len()]).collect()));
        for _ in 0..random.below(4) {
            let size = 1 + random.below(12);
            let start = random.below(names.len());
            let named: Vec<&str> =
                (0..=random.below(6)).map(|at| names[(start + at) % names.len()]).collect();
            let set = random.set(size);
            rules.extend(set.rules.into_iter().map(|rule| (rule, named.clone())));
        }
        rules.retain(|(rule, _)| rule.verdict != default);
        let listed: Vec<_> = architectures.iter().map(|(architecture, _)| *architecture).collect();
        let values = rules.iter().map(|(rule, names)| json_rule(rule, names)).collect();
        let Some(profile) = profile(default, &listed, values) else { continue };
        let tokens: Vec<_> = architectures.iter().map(|(_, token)| format!("{token:x}")).collect();
        let mut line = format!("{} {:x} 0 {}", tokens.join(","), bpf::value(default), 1 + u8::from(sorted));
        for (rule, names) in &rules {
            let conditions = Set::conditions(rule);
            for name in names {
                write!(line, " r {:x} n {name}{conditions}", bpf::value(rule.verdict)).unwrap();
            }
        }
        if line.len() < 60_000 {
            cases.push((profile, sorted, line));
        }
    }
    let (version, outcomes) = Exporter::new().outcomes(cases.iter().map(|(.., line)| line.clone()));
    let libseccomp = if version == "2.5.4" { Libseccomp::V2_5_4Debian12 } else { Libseccomp::V2_6_1 };
    let (library, number) = (Library::from(libseccomp), numbers(libseccomp));
    let (mut compared, mut most, mut ratios) = (0, 0, Vec::new());
    for ((profile, sorted, line), outcome) in cases.iter().zip(outcomes) {
        let Outcome::Program(program) = Outcome::parse(&outcome) else { continue };
        let setting =
            Setting { runtime: runtime(*sorted), library, native: Architecture::X86_64, number: &number };
        let Ok(estimate) = most_instructions(profile, &setting) else { continue };
        assert!(estimate >= program.len(), "{estimate} < {}: {line}", program.len());
        compared += 1;
        most = most.max(program.len());
        ratios.push(estimate * 1000 / program.len());
    }
    ratios.sort_unstable();
    println!(
        "libseccomp {version}: {compared} programs of up to {most} instructions, estimates {} (median), {} and at most {} \
         thousandths",
        ratios[ratios.len() / 2],
        ratios[ratios.len() * 9 / 10],
        ratios[ratios.len() - 1]
    );
    assert!(compared > 200, "{compared}");
}
