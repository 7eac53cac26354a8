//! From the values that arguments are known to have to conditions of a profile.

use std::collections::{BTreeMap, BTreeSet};

use derive::{Call, FindingKind, Followed};
use serde_json::{Value, json};
use syscalls::{Architecture, Syscall};

/// How many rules a call can have: each compares up to two arguments, and a profile has at most 512 rules with 1,024
/// comparisons.
const RULES: usize = 32;
/// The bits that are compared: the kernel looks at no others of these arguments, or nothing is known of the others.
const MASK: u32 = u32::MAX;

/// The values that the arguments of a call have, by their places.
type Values = BTreeMap<u8, BTreeSet<u32>>;

/// Which values the arguments of calls have. A call that is not there is permitted with all arguments.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Conditions(BTreeMap<Syscall, Values>);

impl Conditions {
    /// Of all programs together: an argument counts if it is bounded in each program that makes the call.
    pub(super) fn of(followed: &Followed) -> Self {
        let mut known: BTreeMap<u32, Values> = BTreeMap::new();
        for call in followed.programs.iter().flat_map(|it| &it.derived.calls) {
            let bounded = bounded(call);
            let all = known.entry(call.number).or_insert_with(|| bounded.clone());
            all.retain(|index, _| bounded.contains_key(index));
            for (index, values) in all {
                values.extend(bounded.get(index).into_iter().flatten());
            }
        }
        let few = known.into_iter().filter_map(|(number, arguments)| {
            Some((Syscall::by_number(Architecture::X86_64, number)?, few(arguments)))
        });
        Self(few.filter(|(_, arguments)| !arguments.is_empty()).collect())
    }

    /// Forgets those of some calls, which are made with other arguments, too.
    pub(super) fn forget(&mut self, calls: &BTreeSet<Syscall>) {
        self.0.retain(|call, _| !calls.contains(call));
    }

    /// The calls that have conditions.
    pub(super) fn calls(&self) -> BTreeSet<Syscall> {
        self.0.keys().copied().collect()
    }

    /// The rules that permit those of some calls that have conditions. `alone` are calls that other rules permit, too: theirs
    /// compare one argument, because runtimes refuse a rule beside one that compares the same and more.
    pub(super) fn rules(&self, calls: &BTreeSet<Syscall>, alone: &BTreeSet<Syscall>) -> Vec<Value> {
        let wanted = self.0.iter().filter(|(call, _)| calls.contains(call));
        wanted
            .flat_map(|(call, arguments)| {
                let most = if alone.contains(call) { 1 } else { arguments.len() };
                let mut all = vec![Vec::new()];
                for (index, values) in arguments.iter().take(most) {
                    let extended = |rule: &Vec<Value>| -> Vec<Vec<Value>> {
                        let with = |value: &u32| [&rule[..], &[condition(*index, *value)]].concat();
                        values.iter().map(with).collect()
                    };
                    all = all.iter().flat_map(extended).collect();
                }
                all.into_iter()
                    .map(|args| json!({ "names": [call.name()], "action": "SCMP_ACT_ALLOW", "args": args }))
            })
            .collect()
    }
}

fn condition(index: u8, value: u32) -> Value {
    json!({ "index": index, "value": MASK, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ" })
}

fn bounded(call: &Call) -> Values {
    let bounded = call.arguments.iter().filter(|it| it.is_bounded());
    bounded.map(|it| (it.index, it.values.iter().map(|it| it.value).collect())).collect()
}

/// Leaves out the arguments with the most values until there are few combinations.
fn few(mut arguments: Values) -> Values {
    while arguments.values().map(BTreeSet::len).product::<usize>() > RULES {
        let most = arguments.iter().max_by_key(|(_, values)| values.len()).map(|(index, _)| *index);
        most.map(|index| arguments.remove(&index));
    }
    arguments
}

/// Code that may run and was not followed: it can make the same calls with other arguments.
pub(super) fn unknown(followed: &Followed) -> Vec<String> {
    let findings = followed.programs.iter().flat_map(|it| &it.derived.findings).filter(|it| {
        matches!(
            it.kind,
            FindingKind::OpenLibrary
                | FindingKind::AbsentLibrary(_)
                | FindingKind::UnreadableLibrary(_)
                | FindingKind::OpenSymbol
                | FindingKind::OpenProgram
        )
    });
    findings.map(ToString::to_string).chain(followed.notes.iter().map(ToString::to_string)).collect()
}
