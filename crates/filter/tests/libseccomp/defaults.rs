//! Profiles that clusters really use, name by name.

use std::fmt::Write;
use std::path::Path;

use filter::diagram::{Forest, difference};
use filter::{Condition, Filter, Library, Setting, Verdict, most_instructions, numbers};
use profile::{Architecture, Profile};
use syscalls::Libseccomp;

use crate::bpf;
use crate::length::runtime;
use crate::library::{Exporter, Outcome};
use crate::sets::Set;

/// The profiles, the architecture of the node, and all architectures with the values of libseccomp.
type Case = (&'static str, Architecture, &'static [(Architecture, u32)]);

const AMD64: &[(Architecture, u32)] = &[
    (Architecture::X86_64, 0xc000_003e),
    (Architecture::X86, 0x4000_0003),
    (Architecture::X32, 0x4000_003e),
];
const ARM64: &[(Architecture, u32)] =
    &[(Architecture::Aarch64, 0xc000_00b7), (Architecture::Arm, 0x4000_0028)];

const CASES: [Case; 6] = [
    ("data/moby-amd64.json", Architecture::X86_64, AMD64),
    ("data/moby-arm64.json", Architecture::Aarch64, ARM64),
    ("data/containerd-amd64.json", Architecture::X86_64, AMD64),
    ("data/containerd-arm64.json", Architecture::Aarch64, ARM64),
    ("tests/profiles/containers-common-amd64.json", Architecture::X86_64, AMD64),
    ("tests/profiles/containers-common-arm64.json", Architecture::Aarch64, ARM64),
];

fn profile(name: &str) -> Profile {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    Profile::from_slice(&std::fs::read(path).unwrap()).unwrap()
}

/// The line that `export.c` reads for a profile.
fn line(profile: &Profile, architectures: &[(Architecture, u32)], sorted: bool) -> String {
    let tokens: Vec<_> = architectures.iter().map(|(_, token)| format!("{token:x}")).collect();
    let default = Verdict::from(profile.default_effect());
    let mut line = format!("{} {:x} 0 {}", tokens.join(","), bpf::value(default), 1 + u8::from(sorted));
    for rule in profile.rules().iter().filter(|rule| rule.effect() != profile.default_effect()) {
        let verdict = Verdict::from(rule.effect());
        let conditions = rule.arguments().iter().map(Condition::from).collect();
        let conditions = Set::conditions(&filter::tree::CallRule { verdict, conditions });
        for name in rule.names() {
            write!(line, " r {:x} n {}{conditions}", bpf::value(verdict), name.as_str()).unwrap();
        }
    }
    line
}

#[test]
#[ignore = "long: needs the libseccomp of this machine"]
fn the_default_profiles_of_moby_containerd_and_podman_mean_what_libseccomp_compiles() {
    let cases: Vec<_> = CASES.into_iter().flat_map(|case| [(case, false), (case, true)]).collect();
    let lines =
        cases.iter().map(|((name, _, architectures), sorted)| line(&profile(name), architectures, *sorted));
    let (version, outcomes) = Exporter::new().outcomes(lines);
    let libseccomp = match version.as_str() {
        "2.5.4" => Libseccomp::V2_5_4Debian12,
        "2.6.0" => Libseccomp::V2_6_0,
        _ => Libseccomp::V2_6_1,
    };
    let (library, number) = (Library::from(libseccomp), numbers(libseccomp));
    for (((name, native, architectures), sorted), outcome) in cases.into_iter().zip(outcomes) {
        let Outcome::Program(program) = Outcome::parse(&outcome) else { panic!("{name}: {outcome}") };
        let setting = Setting { runtime: runtime(sorted), library, native, number: &number };
        let filter = Filter::new(&profile(name), &setting).unwrap();
        let most = most_instructions(&profile(name), &setting).unwrap();
        assert!(
            (program.len()..=program.len() * 11 / 10).contains(&most),
            "{name}: {most} of {}",
            program.len()
        );
        let mut calls = 0;
        for (architecture, token) in architectures {
            let (bit, token) = match architecture {
                Architecture::X32 => (1 << 30, 0xc000_003e),
                _ => (0, *token),
            };
            for number in 0..1200 {
                let number = number | bit;
                let (mut ours, mut theirs) = (Forest::default(), Forest::default());
                let ours_node = filter.verdicts(*architecture, number, &mut ours).unwrap();
                let theirs_node = bpf::Run::new(&program, token, number).diagram(&mut theirs);
                let found = difference((&ours, ours_node), (&theirs, theirs_node), |one, other| one != other);
                assert_eq!(found, Ok(None), "{name}, {} {number}", architecture.name());
                calls += 1;
            }
        }
        println!(
            "libseccomp {version}, {name}, sorted {sorted}: {calls} calls, {} instructions, at most {most} estimated",
            program.len()
        );
    }
}
