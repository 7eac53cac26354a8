//! Diagrams are exact: they agree with plain arithmetic, and their comparisons with brute force.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

use filter::diagram::{Field, Forest, Node, Relation, TooComplex, difference};
use filter::{Arguments, Condition, Verdict};
use profile::Comparison;
use proptest::prelude::*;
use proptest::sample::select;

const VERDICTS: [Verdict; 3] = [Verdict::Errno(1), Verdict::Log, Verdict::Allow];

fn comparison() -> impl Strategy<Value = Comparison> {
    select(vec![
        Comparison::NotEqual,
        Comparison::Less,
        Comparison::LessOrEqual,
        Comparison::Equal,
        Comparison::GreaterOrEqual,
        Comparison::Greater,
        Comparison::MaskedEqual,
    ])
}

/// Values whose halves are often the same, or next to each other.
fn value() -> impl Strategy<Value = u64> {
    prop_oneof![
        any::<u64>(),
        0..4_u64,
        (0..3_u64, 0..3_u64).prop_map(|(high, low)| high << 32 | low),
        Just(u64::MAX)
    ]
}

fn condition(index: impl Strategy<Value = u8>) -> impl Strategy<Value = Condition> {
    (index, comparison(), value(), value())
        .prop_map(|(index, op, one, two)| Condition::new(index, op, one, two).unwrap())
}

/// A list of which the first condition that holds decides.
type List = Vec<(Condition, Verdict)>;

/// Conditions with small values on two arguments, so that the arguments 0 to 15 show everything that a list does.
fn small_list() -> impl Strategy<Value = List> {
    let small = (0..2_u8, comparison(), 0..8_u64, 0..8_u64);
    let small = small.prop_map(|(index, op, one, two)| Condition::new(index, op, one, two).unwrap());
    prop::collection::vec((small, select(VERDICTS.to_vec())), 0..4)
}

fn decide(list: &List, arguments: &Arguments) -> Verdict {
    list.iter()
        .find(|(condition, _)| condition.holds(arguments))
        .map_or(Verdict::Trap, |(_, verdict)| *verdict)
}

fn diagram(list: &List, forest: &mut Forest) -> Node {
    let mut node = forest.verdict(Verdict::Trap);
    for (condition, verdict) in list.iter().rev() {
        let (condition, verdict) = (forest.condition(*condition, 64).unwrap(), forest.verdict(*verdict));
        node = forest.select(condition, verdict, node).unwrap();
    }
    node
}

proptest! {
    #[test]
    fn a_condition_is_true_of_the_same_arguments(condition in condition(0..6_u8), arguments: Arguments, near in value()) {
        let mut forest = Forest::default();
        let node = forest.condition(condition, 64).unwrap();
        let index = usize::from(condition.index());
        let value = condition.value();
        for argument in [arguments[index], near, value, value.wrapping_add(1), value.wrapping_sub(1), condition.value_two()] {
            let mut arguments = arguments;
            arguments[index] = argument;
            prop_assert_eq!(forest.holds(node, &arguments), condition.holds(&arguments));
        }
        prop_assert!(forest.size() <= 2 * 64);
    }

    #[test]
    fn a_half_is_compared_as_a_number_of_32_bits(
        index in 0..6_u8, upper: bool, mask: u32, near in 0..3_u32, value: u32, arguments: Arguments,
        relation in select(vec![Relation::Equal, Relation::Greater, Relation::GreaterOrEqual]),
    ) {
        let mut forest = Forest::default();
        let whole = Field::whole(index).unwrap();
        let (field, shift) = if upper { (whole.high(), 32) } else { (whole.low(), 0) };
        let node = forest.field(field, mask.into(), relation, value.into()).unwrap();
        let mut close = arguments;
        close[usize::from(index)] = u64::from(value.wrapping_add(near).wrapping_sub(1)) << shift;
        for arguments in [arguments, close] {
            let word = (arguments[usize::from(index)] >> shift) as u32 & mask;
            let holds = match relation {
                Relation::Equal => word == value,
                Relation::Greater => word > value,
                Relation::GreaterOrEqual => word >= value,
            };
            prop_assert_eq!(forest.holds(node, &arguments), holds);
        }
    }

    #[test]
    fn a_list_has_the_same_verdicts(
        list in prop::collection::vec((condition(0..6_u8), select(VERDICTS.to_vec())), 0..6), arguments: Arguments,
    ) {
        let mut forest = Forest::default();
        let node = diagram(&list, &mut forest);
        let near = list.iter().map(|(condition, _)| {
            let mut arguments = arguments;
            arguments[usize::from(condition.index())] = condition.value();
            arguments
        });
        for arguments in near.chain([arguments]) {
            prop_assert_eq!(forest.decide(node, &arguments), Some(decide(&list, &arguments)));
        }
    }

    #[test]
    fn a_difference_is_found_exactly_if_there_is_one(one in small_list(), other in small_list()) {
        let (mut ours, mut theirs) = (Forest::default(), Forest::default());
        let (one_node, other_node) = (diagram(&one, &mut ours), diagram(&other, &mut theirs));
        for sought in [|one, other| one != other, |one: Verdict, other: Verdict| one.permission() < other.permission()] {
            // Conditions compare with numbers below 8, or the lower three bits: 8 to 15 stand for all greater ones.
            let mut all = (0..16).flat_map(|first| (0..16).map(move |second| [first, second, 0, 0, 0, 0]));
            let expected = all.any(|arguments| sought(decide(&one, &arguments), decide(&other, &arguments)));
            let found = difference((&ours, one_node), (&theirs, other_node), sought).unwrap();
            prop_assert_eq!(found.is_some(), expected);
            if let Some(pair) = found {
                prop_assert_eq!(pair.first, decide(&one, &pair.arguments));
                prop_assert_eq!(pair.second, decide(&other, &pair.arguments));
                prop_assert!(sought(pair.first, pair.second));
            }
        }
    }

    #[test]
    fn equal_functions_are_one_node(one in small_list(), other in small_list()) {
        let mut forest = Forest::default();
        let (one, other) = (diagram(&one, &mut forest), diagram(&other, &mut forest));
        let found = difference((&forest, one), (&forest, other), |one, other| one != other).unwrap();
        prop_assert_eq!(one == other, found.is_none());
    }
}

/// "Some bit is set in both arguments": whatever the order of the bits, one argument has to be remembered as a whole.
#[test]
fn a_function_without_a_small_diagram_is_refused() {
    let mut forest = Forest::default();
    let mut any = Ok(Forest::always(false));
    for bit in (0..64).map(|power| 1 << power) {
        let set = |index, forest: &mut Forest| {
            forest.condition(Condition::new(index, Comparison::MaskedEqual, bit, bit).unwrap(), 64)
        };
        any = any.and_then(|any| {
            let (one, other) = (set(0, &mut forest)?, set(1, &mut forest)?);
            let both = forest.both(one, other)?;
            forest.select(both, Forest::always(true), any)
        });
    }
    assert_eq!(any, Err(TooComplex));
    assert!(forest.size() <= Forest::NODES);
}
