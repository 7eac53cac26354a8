//! Which rules apply.

use profile::Architecture;
use serde_json::Value;
use syscalls::Syscall;

use super::nodes::Architectures;
use super::rule::DialectRule;
use crate::{ConvertError, Kernel, LaterKernel, Machine, Target, Why};

/// The rules that apply on the nodes of a target.
pub(crate) struct Selection {
    /// The architectures of the nodes; at least one.
    pub(crate) machines: Vec<Machine>,
    /// Whether they are assumed.
    pub(crate) assumed: bool,
    /// Why each rule does not apply on any node.
    pub(crate) obstacles: Vec<Option<(Why, String)>>,
}

impl Selection {
    pub(crate) fn applies(&self, rule: usize) -> bool {
        self.obstacles.get(rule).is_some_and(Option::is_none)
    }
}

/// Decides the conditions of all rules.
pub(crate) fn select(
    architectures: &Architectures,
    rules: &[DialectRule],
    target: &Target,
) -> Result<Selection, ConvertError> {
    let (machines, assumed) = architectures.machines(target)?;
    if target.kernel.is_none() {
        let later = |(i, rule): (usize, &DialectRule)| {
            let conditions = rule.conditions.both();
            let kernels = conditions.iter().filter_map(|it| it.kernel);
            let kernel = kernels.filter(|kernel| *kernel > Kernel::OLDEST).max()?;
            Some(LaterKernel { rule: i, kernel, names: rule.calls().map(str::to_owned).collect() })
        };
        let later: Vec<_> = rules.iter().enumerate().filter_map(later).collect();
        if !later.is_empty() {
            return Err(ConvertError::KernelNeeded(later));
        }
    }
    let mut obstacles = Vec::new();
    for (i, rule) in rules.iter().enumerate() {
        let each: Vec<_> = machines.iter().map(|it| rule.conditions.obstacle(*it, target)).collect();
        match machines.iter().zip(&each).find(|(_, obstacle)| obstacle.is_none()) {
            None => obstacles.push(each.into_iter().next().flatten()),
            Some((applies, _)) => {
                for (other, _) in machines.iter().zip(&each).filter(|(_, obstacle)| obstacle.is_some()) {
                    let names = effective(rule, *other, architectures, rules, target);
                    if !names.is_empty() {
                        return Err(ConvertError::ByArchitecture {
                            rule: i,
                            applies: *applies,
                            other: *other,
                            names,
                        });
                    }
                }
                obstacles.push(None);
            }
        }
    }
    Ok(Selection { machines, assumed, obstacles })
}

/// The calls for which a rule would make a difference on nodes where it does not apply: those that these nodes have, and
/// that no rule gives the same there.
fn effective(
    rule: &DialectRule,
    machine: Machine,
    architectures: &Architectures,
    rules: &[DialectRule],
    target: &Target,
) -> Vec<String> {
    let covered = architectures.covered(machine);
    // A rule without comparisons decides alone, and of several the first.
    let unconditional = |rule: &&DialectRule| comparisons(rule).is_empty();
    let decides = |name: &str| {
        let applying = rules.iter().filter(|other| other.conditions.obstacle(machine, target).is_none());
        applying.filter(unconditional).find(|other| other.calls().any(|call| call == name))
    };
    let is_same = |other: &DialectRule| {
        ["action", "errnoRet"].iter().all(|key| other.fields.get(*key) == rule.fields.get(*key))
    };
    let makes_a_difference = |name: &&str| {
        let exists = covered.iter().any(|architecture| may_exist(name, *architecture));
        exists && !(unconditional(&rule) && decides(name).is_some_and(is_same))
    };
    rule.calls().filter(makes_a_difference).map(str::to_owned).collect()
}

fn comparisons(rule: &DialectRule) -> &[Value] {
    rule.fields.get("args").and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Whether an architecture may have the call: it has, or nothing is known about its calls.
fn may_exist(name: &str, architecture: Architecture) -> bool {
    match syscalls::Architecture::from_oci_name(architecture.name()) {
        Some(table) => Syscall::from_name(name).is_some_and(|call| call.number(table).is_some()),
        None => true,
    }
}
