//! Rules that a runtime cannot load together.
//!
//! libseccomp keeps the conditional rules of a syscall as a tree of comparisons, in the order of the arguments, with
//! the action at the end of a path. It fails with EEXIST, and no container starts, if a rule has another action than an
//! earlier rule and the same comparisons, or only the first of them. It ignores a rule that begins with all comparisons
//! of an earlier one, and a rule without comparisons replaces all others. (Source: `_db_tree_add` and `db_col_rule_add`
//! in libseccomp's src/db.c; compared with libseccomp 2.5.4 on random rules.)

use std::collections::{BTreeSet, HashMap};

use crate::{Argument, Effect, Profile};

/// A rule that clashes with an earlier one.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Clash<'a> {
    /// Index of the rule.
    pub(crate) rule: usize,
    /// Index of the earlier rule.
    pub(crate) earlier: usize,
    /// Whether the earlier one has more comparisons.
    pub(crate) longer: bool,
    /// A syscall that both name.
    pub(crate) name: &'a str,
}

/// A node in the tree of one syscall, at a path of comparisons.
#[derive(Default)]
struct Place {
    ends: Option<(Effect, usize)>,
    /// Rules with further comparisons: the first one, and the first one with another action.
    goes_on: [Option<(Effect, usize)>; 2],
}

impl Place {
    fn pass(&mut self, effect: Effect, rule: usize) {
        match &mut self.goes_on {
            [first @ None, _] => *first = Some((effect, rule)),
            [Some((other, _)), second @ None] if *other != effect => *second = Some((effect, rule)),
            _ => {}
        }
    }
}

/// The rules that clash with an earlier one, in order; one syscall for each two rules.
pub(crate) fn clashes<N: AsRef<str>>(profile: &Profile<N>) -> Vec<Clash<'_>> {
    let default = profile.default_effect();
    // Runtimes skip a rule that repeats the default.
    let rules: Vec<_> = profile.syscalls.iter().map(|rule| (rule.effect(), rule.comparisons())).collect();
    let loaded: Vec<_> = (0..rules.len()).filter(|rule| rules[*rule].0 != default).collect();
    let names = |rule: usize| profile.syscalls[rule].names.iter().map(AsRef::as_ref);
    // Only rules with comparisons clash, and most names are in none of them.
    let compared: BTreeSet<_> =
        loaded.iter().filter(|rule| !rules[**rule].1.is_empty()).flat_map(|rule| names(*rule)).collect();
    let uses = loaded.iter().flat_map(|rule| names(*rule).map(move |name| (name, *rule)));
    let mut uses: Vec<_> = uses.filter(|(name, _)| compared.contains(name)).collect();
    uses.sort_unstable();
    uses.dedup();

    let mut found = BTreeSet::new();
    let mut pairs = BTreeSet::new();
    for uses in uses.chunk_by(|(one, _), (other, _)| one == other).filter(|uses| uses.len() > 1) {
        // Most rules about one call have one action.
        if uses.iter().all(|(_, rule)| rules[*rule].0 == rules[uses[0].1].0) {
            continue;
        }
        let mut tree: HashMap<&[Argument], Place> = HashMap::new();
        for &(name, rule) in uses {
            let (effect, path) = &rules[rule];
            if path.is_empty() {
                break;
            }
            let ends = |path| tree.get(path).is_some_and(|place: &Place| place.ends.is_some());
            if (1..path.len()).any(|length| ends(&path[..length])) {
                continue;
            }
            let place = tree.entry(path).or_default();
            let same = place.ends.iter().map(|end| (end, false));
            let longer = place.goes_on.iter().flatten().map(|end| (end, true));
            let clash = same.chain(longer).find(|((other, _), _)| other != effect);
            if let Some(((_, earlier), longer)) = clash {
                if pairs.insert((rule, *earlier)) {
                    found.insert(Clash { rule, earlier: *earlier, longer, name });
                }
                continue;
            }
            place.ends.get_or_insert((*effect, rule));
            for length in 1..path.len() {
                tree.entry(&path[..length]).or_default().pass(*effect, rule);
            }
        }
    }
    found.into_iter().collect()
}
