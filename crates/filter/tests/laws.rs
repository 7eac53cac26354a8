//! The laws of intersection and union, decided for all calls and all arguments: of profiles with conditions on two
//! arguments, for several architectures, and with calls that can also be made through a multiplexer.
//!
//! Not every combination is a profile, so each law has two parts. Where all combinations in it are exact, both sides
//! permit the same. Elsewhere they are still never looser than the exact combination.

#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may fail")]

mod arbitrary;

use arbitrary::Shape;
use filter::diagram::{Forest, Pair, difference};
use filter::{Call, Combined, Filter, Library, Operation, Runtime, Setting, Uncombinable, Verdict, numbers};
use profile::{Architecture, Profile};
use proptest::prelude::*;
use proptest::sample::select;
use syscalls::Libseccomp;

use Operation::{Intersection, Union};

/// On 32-bit x86, `socket` can be made through `socketcall`, and `shmget` through `ipc`. 32-bit x86 alone has `waitpid`,
/// and 64-bit ARM has no `mkdir`.
const NAMES: [&str; 7] = ["getpid", "socket", "shmget", "mkdir", "openat2", "waitpid", "socketcall"];

fn number(name: &str, architecture: Architecture) -> Option<u32> {
    numbers(Libseccomp::V2_6_1)(name, architecture)
}

/// Nodes of two architectures, with both kinds of runtime and both ways in which versions of libseccomp merge rules.
fn settings() -> Vec<Setting<'static>> {
    let of = |runtime, library, native| Setting { runtime, library, native, number: &number };
    vec![
        of(Runtime::RUNC_1_2, Library::V2_5_4, Architecture::X86_64),
        of(Runtime::RUNC_1_2, Library::V2_6_1, Architecture::X86_64),
        of(Runtime::CRUN, Library::V2_6_1, Architecture::X86_64),
        of(Runtime::RUNC_1_2, Library::V2_6_1, Architecture::Aarch64),
    ]
}

/// Profiles that can be loaded.
fn any_profile() -> impl Strategy<Value = Profile> {
    let shape = Shape {
        indexes: &[0, 2],
        values: vec![0, 1, 2, 3, u64::from(u32::MAX), 1 << 32, (1 << 32) + 1, u64::MAX],
        architectures: &["SCMP_ARCH_X86", "SCMP_ARCH_X32", "SCMP_ARCH_ARM"],
    };
    // Few names, so that several rules are for one call.
    let contents = prop::sample::subsequence(&NAMES[..], 2..=3)
        .prop_flat_map(move |names| arbitrary::contents_with(&names, &shape));
    contents.prop_filter_map("a profile that can be loaded", |contents| {
        let profile = Profile::from_value(&contents).ok()?;
        settings().iter().all(|setting| Filter::new(&profile, setting).is_ok()).then_some(profile)
    })
}

fn any_operation() -> impl Strategy<Value = Operation> {
    select(vec![Intersection, Union])
}

/// The numbers that these filters can tell from each other: those of the names, those beside them where stubs begin, and
/// the ends of what x86_64 and x32 have.
fn every_number(setting: &Setting<'_>) -> Vec<(Architecture, u32)> {
    let architectures: &[Architecture] = match setting.native {
        Architecture::X86_64 => &[Architecture::X86_64, Architecture::X86],
        _ => &[Architecture::Aarch64, Architecture::Arm],
    };
    let mut found = Vec::new();
    for architecture in architectures {
        let tables =
            [Some(*architecture), (*architecture == Architecture::X86_64).then_some(Architecture::X32)];
        let named = tables
            .into_iter()
            .flatten()
            .flat_map(|table| NAMES.into_iter().chain(["ipc"]).map(move |name| number(name, table)));
        let near = named.flatten().flat_map(|number| [number.saturating_sub(1), number, number + 1]);
        let mut all: Vec<u32> = near.chain([0, 1 << 30, u32::MAX]).collect();
        all.sort_unstable();
        all.dedup();
        found.extend(all.into_iter().map(|number| (*architecture, number)));
    }
    found
}

/// How profiles are put together.
enum Exact<'p> {
    Of(&'p Profile),
    Both(Operation, Box<[Exact<'p>; 2]>),
}

impl Exact<'_> {
    fn of(operation: Operation, one: impl Into<Self>, two: impl Into<Self>) -> Self {
        Self::Both(operation, Box::new([one.into(), two.into()]))
    }

    /// The filters, in the same order.
    fn load(&self, setting: &Setting<'_>) -> Loaded {
        match self {
            Self::Of(profile) => Loaded::Filter(Box::new(Filter::new(profile, setting).unwrap())),
            Self::Both(operation, sides) => {
                Loaded::Both(*operation, Box::new(sides.each_ref().map(|side| side.load(setting))))
            }
        }
    }
}

impl<'p> From<&'p Profile> for Exact<'p> {
    fn from(profile: &'p Profile) -> Self {
        Self::Of(profile)
    }
}

/// The filters of an [`Exact`] on a node.
enum Loaded {
    Filter(Box<Filter>),
    Both(Operation, Box<[Loaded; 2]>),
}

impl Loaded {
    fn verdicts(
        &self,
        architecture: Architecture,
        number: u32,
        forest: &mut Forest,
    ) -> filter::diagram::Node {
        match self {
            Self::Filter(filter) => filter.verdicts(architecture, number, forest).unwrap(),
            Self::Both(operation, sides) => {
                let [one, two] = sides.each_ref().map(|side| side.verdicts(architecture, number, forest));
                forest.combine(one, two, |one, two| operation.of(one, two)).unwrap()
            }
        }
    }
}

/// A call and its verdicts in two filters that are in this relation.
fn find<'p>(
    one: impl Into<Exact<'p>>,
    two: impl Into<Exact<'p>>,
    sought: fn(Verdict, Verdict) -> bool,
) -> Option<(Call, [Verdict; 2])> {
    let (one, two) = (one.into(), two.into());
    for setting in settings() {
        let (one, two) = (one.load(&setting), two.load(&setting));
        for (architecture, number) in every_number(&setting) {
            let mut forest = Forest::default();
            let first = one.verdicts(architecture, number, &mut forest);
            let second = two.verdicts(architecture, number, &mut forest);
            let found = difference((&forest, first), (&forest, second), sought).unwrap();
            if let Some(Pair { arguments, first, second }) = found {
                return Some((Call { architecture, number, arguments }, [first, second]));
            }
        }
    }
    None
}

/// Whether a verdict permits more than the exact one, or differs from it in whether another process is asked.
fn is_looser(found: Verdict, exact: Verdict) -> bool {
    let asks = found.is_delegated() || exact.is_delegated() && found.permission() == exact.permission();
    permits_more(found, exact) || asks && found != exact
}

/// Whether a verdict permits more.
fn permits_more(found: Verdict, exact: Verdict) -> bool {
    found.permission() > exact.permission()
}

/// Whether verdicts differ by more than the errno.
fn is_other(one: Verdict, two: Verdict) -> bool {
    one != two && ![one, two].iter().all(|verdict| matches!(verdict, Verdict::Errno(_)))
}

/// The combination of two profiles, if there is one, and whether it is exact.
fn combined(operation: Operation, one: &Profile, two: &Profile) -> Option<(Profile, bool)> {
    match operation.combine(one, two, &settings()) {
        Ok(Combined { profile, narrower }) => Some((profile, narrower.is_empty())),
        Err(Uncombinable::Looser { .. }) => None,
        Err(fault) => panic!("{fault}"),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn a_combination_is_never_looser_and_exact_unless_it_says_so(
        one in any_profile(), two in any_profile(), operation in any_operation(),
    ) {
        let Some((found, is_exact)) = combined(operation, &one, &two) else { return Ok(()) };
        let exact = || Exact::of(operation, &one, &two);
        prop_assert_eq!(find(&found, exact(), is_looser), None);
        if is_exact {
            prop_assert_eq!(find(&found, exact(), is_other), None);
        }
    }

    #[test]
    fn a_profile_combined_with_itself_is_the_same(one in any_profile(), operation in any_operation()) {
        let Combined { profile, narrower } = operation.combine(&one, &one, &settings()).unwrap();
        prop_assert_eq!(narrower, []);
        prop_assert_eq!(find(&profile, &one, is_other), None);
    }

    #[test]
    fn the_order_of_two_profiles_does_not_matter(
        one in any_profile(), two in any_profile(), operation in any_operation(),
    ) {
        let (there, back) = (combined(operation, &one, &two), combined(operation, &two, &one));
        prop_assert_eq!(there.is_some(), back.is_some());
        if let (Some((there, true)), Some((back, true))) = (there, back) {
            prop_assert_eq!(find(&there, &back, is_other), None);
        }
    }

    #[test]
    fn three_profiles_can_be_combined_in_any_grouping(
        one in any_profile(), two in any_profile(), three in any_profile(), operation in any_operation(),
    ) {
        let exact = || Exact::of(operation, &one, Exact::of(operation, &two, &three));
        let left = combined(operation, &one, &two)
            .and_then(|(both, first)| combined(operation, &both, &three).map(|(all, second)| (all, first && second)));
        let right = combined(operation, &two, &three)
            .and_then(|(both, first)| combined(operation, &one, &both).map(|(all, second)| (all, first && second)));
        for (found, is_exact) in left.iter().chain(&right) {
            // A process is asked where the first two permit less than the exact combination of them, and the third one asks.
            let sought = if *is_exact { is_looser } else { permits_more };
            prop_assert_eq!(find(found, exact(), sought), None);
        }
        if let (Some((left, true)), Some((right, true))) = (left, right) {
            prop_assert_eq!(find(&left, &right, is_other), None);
        }
    }

    #[test]
    fn a_profile_absorbs_its_intersection_and_its_union_with_any_other(
        one in any_profile(), two in any_profile(), outer in any_operation(),
    ) {
        let inner = if outer == Union { Intersection } else { Union };
        // Also where the inner combination is not exact, since it is never looser: so it is on the same side of the profile.
        let Some((within, first)) = combined(inner, &one, &two) else { return Ok(()) };
        if first || inner == Intersection {
            let (found, is_exact) = combined(outer, &one, &within).unwrap();
            prop_assert!(is_exact);
            prop_assert_eq!(find(&found, &one, is_other), None);
        }
    }
}
