//! A profile as runtimes and libseccomp use it: which rules apply to each call.

use std::cell::OnceCell;
use std::collections::BTreeMap;

use filter::{ENOSYS, Permission, Setting, Verdict};
use profile::{Argument, Effect, Profile, Rule};
use syscalls::Architecture;

use crate::nodes::Nodes;
use crate::overlap::{Overlaps, settings};

/// The cost above which filters are not computed; see [`Subject::computes`].
const MOST_COST: usize = 32 * 1024;

/// What is checked: a profile, and the nodes on which it is used.
pub(crate) struct Subject<'p> {
    pub(crate) profile: &'p Profile,
    pub(crate) nodes: &'p Nodes,
    treatments: BTreeMap<&'p str, Treatment>,
    /// Whether what takes long is left out.
    is_quick: bool,
    refused: OnceCell<BTreeMap<(usize, usize), String>>,
    overlaps: OnceCell<Overlaps>,
}

/// The rules for one call, without those that runtimes skip because they repeat the default.
#[derive(Default)]
pub(crate) struct Treatment {
    /// The first rule without arguments. libseccomp lets it win over every rule with arguments and over every later one
    /// without (measured with 2.5.4 and 2.6.1).
    pub(crate) unconditional: Option<Mention>,
    /// The rules with arguments.
    pub(crate) conditional: Vec<Mention>,
}

/// Where a rule names a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mention {
    /// The index of the rule.
    pub(crate) rule: usize,
    /// The index of the name in it.
    pub(crate) name: usize,
    pub(crate) effect: Effect,
}

impl<'p> Subject<'p> {
    pub(crate) fn of(profile: &'p Profile, nodes: &'p Nodes) -> Self {
        let mut treatments: BTreeMap<&str, Treatment> = BTreeMap::new();
        for (index, rule) in profile.rules().iter().enumerate() {
            let effect = rule.effect();
            if effect == profile.default_effect() {
                continue;
            }
            for (name, called) in rule.names().iter().enumerate() {
                let treatment = treatments.entry(called.as_str()).or_default();
                let mention = Mention { rule: index, name, effect };
                if !rule.arguments().is_empty() {
                    treatment.conditional.push(mention);
                } else if treatment.unconditional.is_none() {
                    treatment.unconditional = Some(mention);
                }
            }
        }
        let (refused, overlaps) = (OnceCell::new(), OnceCell::new());
        Self { profile, nodes, treatments, is_quick: false, refused, overlaps }
    }

    /// The same for a check that must not take seconds.
    pub(crate) fn quickly(profile: &'p Profile, nodes: &'p Nodes) -> Self {
        Self { is_quick: true, ..Self::of(profile, nodes) }
    }

    /// Whether to compute what libseccomp makes of the rules.
    pub(crate) fn computes(&self) -> bool {
        !(self.is_quick && self.is_costly())
    }

    /// The calls for which several rules have conditions: none if that takes too long to compute.
    pub(crate) fn overlaps(&self) -> &Overlaps {
        self.overlaps.get_or_init(|| match self.computes() {
            true => Overlaps::of(self.profile, &self.nodes.libseccomps, &self.natives()),
            false => Overlaps::default(),
        })
    }

    /// Calls `visit` for the nodes' settings that differ in how rules are merged.
    pub(crate) fn settings(&self, visit: impl FnMut(&Setting<'_>)) {
        settings(&self.nodes.libseccomps, &self.natives(), visit);
    }

    /// Whether to compute filters takes too long. The cost grows with the cube of the number of comparisons about one call,
    /// and with the number of ways in which their outcomes combine.
    fn is_costly(&self) -> bool {
        let cost = |treatment: &Treatment| {
            let mut of_argument = [0_usize; 6];
            let rules = treatment.conditional.iter().map(|mention| &self.profile.rules()[mention.rule]);
            for argument in rules.flat_map(Rule::arguments) {
                if let Some(number) = of_argument.get_mut(usize::from(argument.index())) {
                    *number += 1;
                }
            }
            let combinations =
                of_argument.iter().fold(4, |all: usize, number| all.saturating_mul(number + 1));
            of_argument.iter().sum::<usize>().saturating_pow(3).max(combinations)
        };
        let conditional = self.treatments.values().filter(|treatment| !treatment.conditional.is_empty());
        conditional.map(cost).fold(0, usize::saturating_add) > MOST_COST
    }

    /// The rules that libseccomp refuses, by rule and name, with what `find` says of them. That is computed once.
    pub(crate) fn refused(
        &self,
        find: impl FnOnce(&Self) -> BTreeMap<(usize, usize), String>,
    ) -> &BTreeMap<(usize, usize), String> {
        self.refused.get_or_init(|| find(self))
    }

    /// The rules, with their indexes.
    pub(crate) fn rules(&self) -> impl Iterator<Item = (usize, &'p Rule)> {
        self.profile.rules().iter().enumerate()
    }

    /// Every comparison of the rules that runtimes do not skip, with the index of its rule and its own in the rule.
    pub(crate) fn comparisons(&self) -> impl Iterator<Item = (usize, &'p Rule, usize, &'p Argument)> {
        let rules = self.rules().filter(|(_, rule)| !self.skips(rule));
        rules.flat_map(|(index, rule)| {
            rule.arguments().iter().enumerate().map(move |(at, argument)| (index, rule, at, argument))
        })
    }

    /// Whether runtimes skip a rule, because it repeats the default.
    pub(crate) fn skips(&self, rule: &Rule) -> bool {
        rule.effect() == self.profile.default_effect()
    }

    /// Every mention of a call that has a rule without arguments, with the call's name and the mention in that rule, which
    /// wins. Mentions in rules that runtimes skip are left out.
    pub(crate) fn decided(&self) -> impl Iterator<Item = (Mention, &'p str, Mention)> {
        self.rules().filter(|(_, rule)| !self.skips(rule)).flat_map(move |(index, rule)| {
            rule.names().iter().enumerate().filter_map(move |(at, name)| {
                let winner = self.treatment(name.as_str())?.unconditional?;
                Some((Mention { rule: index, name: at, effect: rule.effect() }, name.as_str(), winner))
            })
        })
    }

    /// The rules for a call, if one applies to it.
    pub(crate) fn treatment(&self, name: &str) -> Option<&Treatment> {
        self.treatments.get(name)
    }

    /// What happens to every call of this name; `None` if it depends on the arguments.
    pub(crate) fn effect(&self, name: &str) -> Option<Effect> {
        match self.treatments.get(name) {
            None => Some(self.profile.default_effect()),
            Some(Treatment { unconditional: Some(mention), .. }) => Some(mention.effect),
            Some(_) => None,
        }
    }

    /// The architectures that the profile names and that have a table.
    pub(crate) fn architectures(&self) -> impl Iterator<Item = Architecture> {
        self.profile.architectures().iter().filter_map(|named| Architecture::from_oci_name(named.name()))
    }

    /// Whether it is known on which architectures the filter is loaded.
    pub(crate) fn is_for_known_architectures(&self) -> bool {
        !self.profile.architectures().is_empty() || !self.nodes.architectures.is_empty()
    }

    /// The nodes' own architectures; of unknown nodes the first that the profile lists, because every filter also covers the
    /// node's own.
    pub(crate) fn natives(&self) -> Vec<profile::Architecture> {
        let own = self.nodes.architectures.iter();
        let own: Vec<_> = own.filter_map(|own| profile::Architecture::from_name(own.oci_name())).collect();
        let first = self.profile.architectures().first().copied();
        if own.is_empty() { vec![first.unwrap_or(profile::Architecture::X86_64)] } else { own }
    }

    /// The architectures of the filters on the nodes: those that the profile names and that some node runs, and the
    /// nodes' own, which every filter covers. If nothing is known of the nodes, those that the profile names, or all if
    /// it names none.
    pub(crate) fn covered(&self) -> Vec<Architecture> {
        let own = &self.nodes.architectures;
        if self.profile.architectures().is_empty() {
            return if own.is_empty() { Architecture::ALL.to_vec() } else { own.clone() };
        }
        let mut covered: Vec<_> = self.architectures().filter(|named| self.nodes.may_run(*named)).collect();
        let unnamed: Vec<_> = own.iter().copied().filter(|own| !covered.contains(own)).collect();
        covered.extend(unnamed);
        covered
    }
}

/// Whether an action lets a call happen. A tracer or a seccomp agent may permit it.
pub(crate) fn permits(effect: Effect) -> bool {
    Verdict::from(effect).permission() >= Permission::Log
}

/// Whether an action makes the kernel behave as if it had no such call. Programs then use an older one.
pub(crate) fn is_enosys(effect: Effect) -> bool {
    Verdict::from(effect) == ENOSYS
}
