//! The model of libseccomp against filters that libseccomp made, for all arguments.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail")]

mod bpf;
mod combined;
mod defaults;
mod length;
mod library;
mod merged;
mod profiles;
mod sets;

use std::collections::{BTreeMap, BTreeSet};

use filter::diagram::{Forest, difference};
use filter::tree::{Merging, Program, Refusal, Tree};
use filter::{Library, Unloadable};

use library::{CLASH, Exporter, Outcome};
use profiles::Whole;
use sets::{Random, Set};

/// The version of a library, as it prints it.
fn merging(version: &str) -> Merging {
    let numbers: Vec<u32> = version.split('.').map(|it| it.parse().unwrap()).collect();
    if numbers >= vec![2, 6, 1] { Merging::Since2_6_1 } else { Merging::Until2_6_0 }
}

/// The library of the model that is this version.
fn model(version: &str) -> Library {
    if merging(version) == Merging::Since2_6_1 { Library::V2_6_1 } else { Library::V2_5_4 }
}

/// How the model and libseccomp differ, if they do.
fn disagreement(set: &Set, merging: Merging, outcome: &Outcome) -> Option<String> {
    let tree = Tree::new(&set.rules, set.width, merging);
    match (tree, outcome) {
        (Err(Refusal::Clash { .. }), Outcome::Error(CLASH))
        | (Err(Refusal::Unpredictable { .. }), Outcome::Lost) => None,
        (Ok(tree), Outcome::Program(program)) => {
            let (architecture, number) = set.target();
            let (mut ours, mut theirs) = (Forest::default(), Forest::default());
            let ours_node = Program::new([&tree], set.default).diagram(0, &mut ours).unwrap().unwrap();
            let theirs_node = bpf::Run::new(program, architecture, number).diagram(&mut theirs);
            let found =
                difference((&ours, ours_node), (&theirs, theirs_node), |one, other| one != other).unwrap();
            found.map(|pair| format!("{:x?} ours {} theirs {}", pair.arguments, pair.first, pair.second))
        }
        (tree, outcome) => Some(match outcome {
            Outcome::Program(_) => format!("ours {:?}, theirs a program", tree.err()),
            outcome => format!("ours {:?}, theirs {outcome:?}", tree.err()),
        }),
    }
}

/// Prints what was compared, and fails if anything differs.
fn compare(what: &str, sets: &[Set]) {
    let (version, outcomes) = Exporter::new().outcomes(sets.iter().map(Set::line));
    let merging = merging(&version);
    let (mut programs, mut refused, mut lost, mut differ) = (0, 0, 0, Vec::new());
    for (set, line) in sets.iter().zip(outcomes) {
        let outcome = Outcome::parse(&line);
        match &outcome {
            Outcome::Program(_) => programs += 1,
            Outcome::Error(_) => refused += 1,
            Outcome::Lost => lost += 1,
        }
        if let Some(how) = disagreement(set, merging, &outcome) {
            differ.push(format!("{}\n    {how}", set.line()));
        }
    }
    println!(
        "libseccomp {version}, {what}: {} sets, {programs} programs, {refused} refused, {lost} lost, {} differ",
        sets.len(),
        differ.len()
    );
    let examples = differ.iter().take(5).map(|it| format!("{it}\n")).collect::<String>();
    assert!(differ.is_empty(), "{examples}");
}

/// Sets and what libseccomp 2.5.4 made of them, a pair of lines each: none on which it does not return.
const RECORDED: &str = include_str!("recorded/2.5.4.txt");
/// Those of which libseccomp 2.6.1 makes something else.
const RECORDED_2_6_1: &str = include_str!("recorded/2.6.1.txt");

/// What a version made of the recorded sets.
fn recorded(version: &str) -> BTreeMap<&'static str, &'static str> {
    let newer = if merging(version) == Merging::Since2_6_1 { RECORDED_2_6_1 } else { "" };
    let lines: Vec<_> = RECORDED.lines().chain(newer.lines()).collect();
    lines.as_chunks().0.iter().map(|[set, made]| (*set, *made)).collect()
}

fn recorded_sets() -> Vec<Set> {
    // Two upper bounds whose upper halves are the same.
    let bounds = "c000003e 7fff0000 27 1 r 50001 c 0 2 100000005 0 r 50002 c 0 2 100000001 0";
    let merged = merged::SETS.iter().map(|(set, ..)| Set::parse(set));
    let (mut three, mut eight) = (Random(3), Random(9));
    let random = (0..120).map(|_| three.set(3)).chain((0..10).map(|_| eight.set(8)));
    sets::pairs().step_by(479).chain([Set::parse(bounds)]).chain(merged).chain(random).collect()
}

#[test]
fn the_model_is_what_libseccomp_compiled() {
    for version in ["2.5.4", "2.6.1"] {
        let recorded = recorded(version);
        assert!(recorded.len() > 200);
        for (set, made) in recorded {
            let disagreement = disagreement(&Set::parse(set), merging(version), &Outcome::parse(made));
            assert_eq!(disagreement, None, "libseccomp {version}: {set}");
            if let Outcome::Program(program) = Outcome::parse(made) {
                assert!(program.len() <= length::most_of(&Set::parse(set)), "libseccomp {version}: {set}");
            }
        }
    }
}

#[test]
fn what_was_recorded_is_what_the_tests_make() {
    let lines: BTreeSet<_> = recorded_sets().iter().map(Set::line).collect();
    for (set, made) in recorded("2.6.1") {
        assert!(lines.contains(set), "{set}");
        assert_ne!(Outcome::parse(made), Outcome::Lost);
        assert_eq!(Set::parse(set).line(), set);
    }
}

/// With `UPDATE_RECORDED=1` the file of this version is written.
#[test]
#[ignore = "long: needs the libseccomp of this machine"]
fn what_was_recorded_is_what_this_libseccomp_makes() {
    let sets = recorded_sets();
    let (version, outcomes) = Exporter::new().outcomes(sets.iter().map(Set::line));
    let made =
        sets.iter().map(Set::line).zip(outcomes).filter(|(_, made)| Outcome::parse(made) != Outcome::Lost);
    let made: Vec<_> = made.collect();
    if std::env::var_os("UPDATE_RECORDED").is_some() {
        let older = recorded("2.5.4");
        let new = |set: &str, made: &str| version == "2.5.4" || older.get(set) != Some(&made);
        let lines =
            made.iter().filter(|(set, made)| new(set, made)).map(|(set, made)| format!("{set}\n{made}\n"));
        let file = format!("{}/tests/libseccomp/recorded/{version}.txt", env!("CARGO_MANIFEST_DIR"));
        std::fs::write(file, lines.collect::<String>()).unwrap();
    }
    let recorded = recorded(&version);
    for (set, made) in &made {
        assert_eq!(recorded.get(set.as_str()), Some(&made.as_str()), "libseccomp {version}: {set}");
    }
}

#[test]
#[ignore = "long: 48,400 filters of the libseccomp of this machine"]
fn two_conditions_on_two_arguments_mean_what_libseccomp_compiles() {
    compare("pairs", &sets::pairs().collect::<Vec<_>>());
}

#[test]
#[ignore = "long: 20,000 filters of the libseccomp of this machine"]
fn three_random_rules_mean_what_libseccomp_compiles() {
    let mut random = Random(17);
    compare("triples", &(0..20_000).map(|_| random.set(3)).collect::<Vec<_>>());
}

#[test]
#[ignore = "long: 5,000 filters of the libseccomp of this machine"]
fn eight_random_rules_mean_what_libseccomp_compiles() {
    let mut random = Random(8);
    compare("sets of eight", &(0..5_000).map(|_| random.set(8)).collect::<Vec<_>>());
}

/// How a filter of our own and libseccomp's program differ, if they do.
fn difference_of(whole: &Whole, library: Library, outcome: &Outcome) -> Option<String> {
    match (whole.filter(library), outcome) {
        (
            None | Some(Err(Unloadable::Rules { refusal: Refusal::Clash { .. }, .. })),
            Outcome::Error(CLASH),
        ) => None,
        (Some(Err(Unloadable::Rules { refusal: Refusal::Unpredictable { .. }, .. })), Outcome::Lost) => None,
        (Some(Ok(filter)), Outcome::Program(program)) => {
            whole.calls().into_iter().find_map(|(architecture, token, number)| {
                let (mut ours, mut theirs) = (Forest::default(), Forest::default());
                let ours_node = filter.verdicts(architecture, number, &mut ours).unwrap();
                let theirs_node = bpf::Run::new(program, token, number).diagram(&mut theirs);
                let found = difference((&ours, ours_node), (&theirs, theirs_node), |one, other| one != other)
                    .unwrap();
                found.map(|pair| {
                    format!(
                        "{architecture:?} {number:x} {:x?} ours {} theirs {}",
                        pair.arguments, pair.first, pair.second
                    )
                })
            })
        }
        (None, _) => Some("the parser refuses it".to_owned()),
        (Some(ours), outcome) => {
            Some(format!("ours {:?}, theirs {:.20}", ours.err(), format!("{outcome:?}")))
        }
    }
}

#[test]
#[ignore = "long: 5,000 filters of the libseccomp of this machine"]
fn random_profiles_for_several_calls_and_architectures_mean_what_libseccomp_compiles() {
    let mut random = Random(4);
    let wholes: Vec<_> = (0..5_000).map(|_| Whole::new(&mut random)).collect();
    let (version, outcomes) = Exporter::new().outcomes(wholes.iter().map(|whole| whole.line.clone()));
    let library = model(&version);
    let mut differ = Vec::new();
    let mut programs = 0;
    for (whole, line) in wholes.iter().zip(outcomes) {
        let outcome = Outcome::parse(&line);
        if let Outcome::Program(program) = &outcome {
            programs += 1;
            let most = whole.most_instructions(library);
            assert!(most.is_none_or(|most| program.len() <= most), "{most:?}: {}", whole.line);
        }
        if let Some(how) = difference_of(whole, library, &outcome) {
            differ.push(format!("{}\n    {how}\n    {}\n", whole.line, whole.profile));
        }
    }
    println!(
        "libseccomp {version}, profiles: {}, {programs} programs, {} differ",
        wholes.len(),
        differ.len()
    );
    let examples = differ.iter().take(5).cloned().collect::<String>();
    assert!(differ.is_empty(), "{examples}");
}
