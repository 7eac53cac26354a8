//! Intersections and unions of random profiles, as libseccomp compiles them.

use std::array::from_fn;

use filter::diagram::{Forest, difference};
use filter::{Combined, Library, Operation, Uncombinable, Verdict};
use profile::{Architecture, Profile};

use crate::difference_of;
use crate::library::{Exporter, Outcome};
use crate::profiles::Whole;
use crate::sets::Random;
use crate::{bpf, model};

const PAIRS: usize = 2_000;

/// Two profiles and their combination.
struct Case {
    operation: Operation,
    sides: [Whole; 2],
    both: Whole,
    is_exact: bool,
}

/// A pair of profiles that can be loaded and combined.
fn case(random: &mut Random, library: Library) -> Option<Case> {
    let operation = if random.below(2) == 0 { Operation::Intersection } else { Operation::Union };
    let sides: [Whole; 2] = from_fn(|_| Whole::new(random));
    // A runtime asks for the binary tree or does not, and what the combination is compared with is the same runtime's.
    let sorted = sides[0].sorted;
    if sides[1].sorted != sorted || sides.iter().any(|side| !matches!(side.filter(library), Some(Ok(_)))) {
        return None;
    }
    let [one, two] = sides.each_ref().map(|side| Profile::from_value(&side.profile).unwrap());
    // On nodes with either version.
    let settings = [Library::V2_5_4, Library::V2_6_1].map(|library| sides[0].setting(library));
    match operation.combine(&one, &two, &settings) {
        Ok(Combined { profile, narrower }) => {
            let both = Whole::of(&profile, sorted);
            Some(Case { operation, sides, both, is_exact: narrower.is_empty() })
        }
        Err(Uncombinable::Looser { .. } | Uncombinable::Unloadable { .. }) => None,
        Err(fault) => panic!("{fault}"),
    }
}

impl Case {
    /// A call for which libseccomp's program of the combination is looser than its programs of the two, or another one
    /// although it is said to be exact.
    fn fault(&self, programs: [&[bpf::Instruction]; 3]) -> Option<String> {
        // The combination is made for nodes of x86_64, which make no other calls.
        let runs = |architecture| {
            matches!(architecture, Architecture::X86_64 | Architecture::X86 | Architecture::X32)
        };
        let mut calls = self.both.calls().into_iter().filter(|(architecture, ..)| runs(*architecture));
        calls.find_map(|(architecture, token, number)| {
            let mut forest = Forest::default();
            let [one, two, both] =
                programs.map(|program| bpf::Run::new(program, token, number).diagram(&mut forest));
            let exact = forest.combine(one, two, |one, two| self.operation.of(one, two)).unwrap();
            let is_exact = self.is_exact;
            let wrong = move |found: Verdict, exact: Verdict| {
                found.permission() > exact.permission()
                    || is_exact && found.permission() != exact.permission()
            };
            let pair = difference((&forest, both), (&forest, exact), wrong).unwrap()?;
            let (found, exact) = (pair.first, pair.second);
            Some(format!("{architecture:?} {number:x} {:x?}: {found} instead of {exact}", pair.arguments))
        })
    }
}

#[test]
#[ignore = "long: thousands of filters of the libseccomp of this machine"]
fn combinations_of_random_profiles_permit_what_both_compiled_profiles_permit_together() {
    let (version, _) = Exporter::new().outcomes(std::iter::empty());
    let library = model(&version);
    let mut random = Random(21);
    let cases: Vec<Case> =
        std::iter::repeat_with(|| case(&mut random, library)).flatten().take(PAIRS).collect();
    let lines =
        cases.iter().flat_map(|case| case.sides.iter().chain([&case.both])).map(|whole| whole.line.clone());
    let (_, outcomes) = Exporter::new().outcomes(lines);
    let outcomes: Vec<Outcome> = outcomes.iter().map(|line| Outcome::parse(line)).collect();
    let (mut faults, mut exact) = (Vec::new(), 0);
    for (case, outcomes) in cases.iter().zip(outcomes.as_chunks::<3>().0) {
        exact += usize::from(case.is_exact);
        let fault = match outcomes {
            [Outcome::Program(one), Outcome::Program(two), Outcome::Program(both)] => {
                case.fault([one, two, both])
            }
            others => Some(format!("libseccomp made {others:.40?}")),
        };
        let fault = fault.or_else(|| difference_of(&case.both, library, &outcomes[2]));
        faults.extend(fault.map(|fault| format!("{}\n    {fault}\n", case.both.profile)));
    }
    println!("libseccomp {version}, combinations: {PAIRS}, {exact} exact, {} differ", faults.len());
    assert!(exact > PAIRS / 2);
    let examples = faults.iter().take(5).cloned().collect::<String>();
    assert!(faults.is_empty(), "{examples}");
}
