//! Which of several rules for one syscall decides, in libseccomp.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail")]

use filter::tree::{CallRule, Merging, Program, Refusal, Tree, Width};
use filter::{Arguments, Condition, Verdict};
use profile::Comparison::{self, Equal, Greater, GreaterOrEqual, Less, LessOrEqual, MaskedEqual, NotEqual};
use proptest::prelude::*;
use proptest::sample::select;

const ONE: Verdict = Verdict::Errno(1);
const TWO: Verdict = Verdict::Errno(2);

fn rule(verdict: Verdict, conditions: &[(u8, Comparison, u64, u64)]) -> CallRule {
    let condition =
        |(index, op, one, two): &(u8, Comparison, u64, u64)| Condition::new(*index, *op, *one, *two).unwrap();
    CallRule { verdict, conditions: conditions.iter().map(condition).collect() }
}

fn tree(rules: &[CallRule], merging: Merging) -> Result<Tree, Refusal> {
    Tree::new(rules, Width::Bits64, merging)
}

fn decide(rules: &[CallRule], arguments: Arguments) -> Verdict {
    let tree = tree(rules, Merging::Since2_6_1).unwrap();
    Program::new([&tree], Verdict::Allow).decide(0, &arguments).unwrap()
}

/// The verdict for arguments that both rules are about, if the order of the rules does not matter.
#[track_caller]
fn decides_in_both_orders(rules: [CallRule; 2], arguments: Arguments, expected: Verdict) {
    let [one, two] = rules;
    assert_eq!(decide(&[one.clone(), two.clone()], arguments), expected);
    assert_eq!(decide(&[two, one], arguments), expected);
}

#[test]
fn the_rule_on_the_later_argument_decides() {
    let rules = [rule(ONE, &[(0, Equal, 5, 0)]), rule(TWO, &[(1, Equal, 5, 0)])];
    decides_in_both_orders(rules, [5, 5, 0, 0, 0, 0], TWO);
}

#[test]
fn the_rule_on_the_later_argument_decides_even_if_the_other_one_has_more_conditions() {
    let rules = [rule(ONE, &[(0, Equal, 5, 0), (1, Equal, 5, 0)]), rule(TWO, &[(1, Equal, 5, 0)])];
    decides_in_both_orders(rules, [5, 5, 0, 0, 0, 0], TWO);
    let rules = [rule(ONE, &[(0, Equal, 5, 0), (1, Equal, 5, 0)]), rule(TWO, &[(2, Less, 5, 0)])];
    decides_in_both_orders(rules, [5, 5, 0, 0, 0, 0], TWO);
}

#[test]
fn on_one_argument_equality_decides_before_a_bound() {
    let rules = [rule(ONE, &[(0, GreaterOrEqual, 3, 0)]), rule(TWO, &[(0, Equal, 5, 0)])];
    decides_in_both_orders(rules, [5, 0, 0, 0, 0, 0], TWO);
    let rules = [rule(ONE, &[(0, LessOrEqual, 7, 0)]), rule(TWO, &[(0, Equal, 5, 0)])];
    decides_in_both_orders(rules, [5, 0, 0, 0, 0, 0], TWO);
}

#[test]
fn of_two_bounds_the_tighter_one_decides() {
    let rules = [rule(ONE, &[(0, Greater, 3, 0)]), rule(TWO, &[(0, GreaterOrEqual, 5, 0)])];
    decides_in_both_orders(rules, [6, 0, 0, 0, 0, 0], TWO);
    let rules = [rule(ONE, &[(0, Less, 9, 0)]), rule(TWO, &[(0, LessOrEqual, 5, 0)])];
    decides_in_both_orders(rules, [4, 0, 0, 0, 0, 0], TWO);
}

#[test]
fn an_upper_bound_decides_before_a_lower_one() {
    let rules = [rule(ONE, &[(0, Greater, 3, 0)]), rule(TWO, &[(0, Less, 9, 0)])];
    decides_in_both_orders(rules, [5, 0, 0, 0, 0, 0], TWO);
}

#[test]
fn of_equality_and_equality_under_a_mask_the_first_in_the_profile_decides() {
    let (equal, masked) = (rule(ONE, &[(0, Equal, 5, 0)]), rule(TWO, &[(0, MaskedEqual, 1, 1)]));
    assert_eq!(decide(&[equal.clone(), masked.clone()], [5, 0, 0, 0, 0, 0]), ONE);
    assert_eq!(decide(&[masked, equal], [5, 0, 0, 0, 0, 0]), TWO);
}

#[test]
fn of_two_equalities_with_different_upper_halves_the_greater_one_decides() {
    let value = 1 << 32 | 5;
    let rules = [rule(ONE, &[(0, MaskedEqual, 1, 1)]), rule(TWO, &[(0, Equal, value, 0)])];
    decides_in_both_orders(rules, [value, 0, 0, 0, 0, 0], TWO);
}

#[test]
fn a_rule_without_conditions_replaces_all_others() {
    let always = rule(TWO, &[]);
    let rules = [rule(ONE, &[(0, Equal, 5, 0)]), always.clone()];
    decides_in_both_orders(rules, [5, 0, 0, 0, 0, 0], TWO);
    assert_eq!(decide(&[always.clone(), rule(ONE, &[])], [0; 6]), TWO);
    assert_eq!(decide(&[rule(ONE, &[]), always], [0; 6]), ONE);
    let without_a_bit = rule(TWO, &[(3, MaskedEqual, 0, 7)]);
    assert_eq!(decide(&[without_a_bit], [0; 6]), TWO);
}

#[test]
fn a_condition_alone_after_a_rule_that_begins_with_it_is_refused() {
    let (both, alone) = (rule(ONE, &[(0, Equal, 5, 0), (1, Equal, 6, 0)]), rule(TWO, &[(0, Equal, 5, 0)]));
    let refused = tree(&[both.clone(), alone.clone()], Merging::Since2_6_1).unwrap_err();
    assert_eq!(refused, Refusal::Clash { rule: 1 });
    // In the other order it swallows the longer rule.
    assert_eq!(decide(&[alone, both], [5, 6, 0, 0, 0, 0]), TWO);
}

#[test]
fn until_2_6_0_the_first_of_two_upper_bounds_with_the_same_upper_half_keeps_the_smaller_upper_halves() {
    let bound = |verdict, low: u64| rule(verdict, &[(0, Less, 1 << 32 | low, 0)]);
    let rules = [bound(ONE, 9), bound(TWO, 5)];
    let decide = |merging, argument| {
        let tree = tree(&rules, merging).unwrap();
        Program::new([&tree], Verdict::Allow).decide(0, &[argument, 0, 0, 0, 0, 0]).unwrap()
    };
    assert_eq!(decide(Merging::Until2_6_0, 3), ONE);
    assert_eq!(decide(Merging::Since2_6_1, 3), TWO);
    for merging in [Merging::Until2_6_0, Merging::Since2_6_1] {
        assert_eq!(decide(merging, 1 << 32 | 3), TWO);
        assert_eq!(decide(merging, 1 << 32 | 7), ONE);
        assert_eq!(decide(merging, 1 << 32 | 9), Verdict::Allow);
    }
}

#[test]
fn a_32_bit_architecture_compares_the_lower_halves() {
    let rules = [rule(ONE, &[(0, Equal, 1 << 32 | 5, 0)])];
    let decide = |width, argument| {
        let tree = Tree::new(&rules, width, Merging::Since2_6_1).unwrap();
        Program::new([&tree], Verdict::Allow).decide(0, &[argument, 0, 0, 0, 0, 0]).unwrap()
    };
    assert_eq!(decide(Width::Bits32, 5), ONE);
    assert_eq!(decide(Width::Bits64, 5), Verdict::Allow);
}

/// Rules with six different numbers each, none of which another rule has.
fn rules_with_six_numbers(rules: u64) -> Vec<CallRule> {
    let conditions =
        |rule: u64| (0..6).map(move |index| (index, Equal, (rule + 1) << 32 | u64::from(index), 0));
    (0..rules).map(|at| rule(ONE, &conditions(at).collect::<Vec<_>>())).collect()
}

#[test]
fn hundreds_of_rules_with_six_arguments_are_worked_out() {
    let rules = rules_with_six_numbers(300);
    let tree = tree(&rules, Merging::Since2_6_1).unwrap();
    let program = Program::new([&tree], Verdict::Allow);
    let mut arguments: Arguments = std::array::from_fn(|index| 200 << 32 | index as u64);
    assert_eq!(program.decide(0, &arguments), Some(ONE));
    arguments[5] += 1;
    assert_eq!(program.decide(0, &arguments), Some(Verdict::Allow));
}

#[test]
fn what_would_take_too_long_is_no_statement_about_libseccomp() {
    let refused = tree(&rules_with_six_numbers(5000), Merging::Since2_6_1).unwrap_err();
    assert!(matches!(refused, Refusal::TooMany { rule } if rule > 300), "{refused:?}");
}

fn any_rule() -> impl Strategy<Value = CallRule> {
    let comparison = select(vec![NotEqual, Less, LessOrEqual, Equal, GreaterOrEqual, Greater, MaskedEqual]);
    let value =
        || prop_oneof![0..4_u64, (0..3_u64, 0..3_u64).prop_map(|(high, low)| high << 32 | low), any::<u64>()];
    let conditions = prop::collection::btree_map(0..6_u8, (comparison, value(), value()), 0..4);
    (select(vec![ONE, TWO, Verdict::Log]), conditions).prop_map(|(verdict, conditions)| {
        let condition = |(index, (op, one, two))| Condition::new(index, op, one, two).unwrap();
        CallRule { verdict, conditions: conditions.into_iter().map(condition).collect() }
    })
}

proptest! {
    /// Whatever the rules are: no panic, no endless loop, and both ways to read a program agree.
    #[test]
    fn the_diagram_says_what_the_program_does(rules in prop::collection::vec(any_rule(), 0..9), arguments: Arguments) {
        for width in [Width::Bits32, Width::Bits64] {
            let Ok(tree) = Tree::new(&rules, width, Merging::Until2_6_0) else { continue };
            let program = Program::new([&tree], Verdict::Trap);
            let mut forest = filter::diagram::Forest::default();
            let node = program.diagram(0, &mut forest).unwrap().unwrap();
            let near = rules.iter().flat_map(|rule| &rule.conditions).flat_map(|condition| {
                [0, 1, u64::MAX].map(|by| {
                    let mut arguments = arguments;
                    arguments[usize::from(condition.index())] = condition.value().wrapping_add(by);
                    arguments
                })
            });
            for arguments in near.chain([arguments, [0; 6]]) {
                prop_assert_eq!(program.decide(0, &arguments), forest.decide(node, &arguments));
            }
        }
    }

    /// With one rule nothing can be merged: it means what it says.
    #[test]
    fn one_rule_applies_where_all_its_conditions_are_true(rule in any_rule(), arguments: Arguments) {
        let tree = tree(std::slice::from_ref(&rule), Merging::Until2_6_0).unwrap();
        let program = Program::new([&tree], Verdict::Trap);
        let mut met = arguments;
        for condition in &rule.conditions {
            met[usize::from(condition.index())] = match condition.comparison() {
                MaskedEqual => condition.value_two(),
                _ => condition.value(),
            };
        }
        for arguments in [arguments, met] {
            let applies = rule.conditions.iter().all(|condition| condition.holds(&arguments));
            let expected = if applies { rule.verdict } else { Verdict::Trap };
            prop_assert_eq!(program.decide(0, &arguments), Some(expected));
        }
    }
}
