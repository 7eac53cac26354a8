//! What is said about a conversion.

use std::collections::{BTreeMap, BTreeSet};

use super::Dialect;
use super::condition::Condition;
use super::rule::{DialectRule, Mark};
use super::select::Selection;
use crate::{Kernel, Remark, Rules, Target, Why};

impl Dialect {
    pub(super) fn remarks(&self, selection: &Selection, target: &Target) -> Vec<Remark> {
        let mut remarks = self.assumptions(selection, target);
        remarks.extend(self.left_out(selection));
        let those = |is: fn(&DialectRule) -> bool| {
            let rules = self.rules.iter().enumerate().filter(|(i, rule)| selection.applies(*i) && is(rule));
            rules.map(|(i, _)| i).collect::<Rules>().some()
        };
        remarks.extend(those(|rule| rule.marks.contains(&Mark::Comment)).map(Remark::Comments));
        remarks.extend(those(|rule| rule.marks.contains(&Mark::UnusedErrno)).map(Remark::UnusedErrno));
        remarks.extend(those(|rule| rule.marks.contains(&Mark::ErrnosDiffer)).map(Remark::ErrnosDiffer));
        remarks.extend(those(|rule| rule.split().len() > 1).map(Remark::Split));
        remarks.extend(self.containerd());
        remarks
    }

    fn assumptions(&self, selection: &Selection, target: &Target) -> Vec<Remark> {
        let mut remarks = Vec::new();
        let conditions = || self.rules.iter().flat_map(|rule| rule.conditions.both());
        let entries = &self.architectures.entries;
        if !entries.is_empty() || conditions().any(|it| !it.machines.is_empty()) {
            let machines = selection.machines.clone();
            let is_left_out = |native| !machines.iter().any(|machine| machine.native() == native);
            let left_out = entries.iter().map(|entry| entry.native).filter(|it| is_left_out(*it)).collect();
            let absent =
                machines.iter().filter(|it| !entries.is_empty() && self.architectures.entry(**it).is_none());
            let absent: Vec<_> = absent.map(|machine| Remark::NotInArchMap(*machine)).collect();
            remarks.push(Remark::Nodes { machines, assumed: selection.assumed, left_out });
            remarks.extend(absent);
        } else if !selection.assumed {
            remarks.push(Remark::UnusedOption("--architecture"));
        }
        let named: BTreeSet<_> = conditions().flat_map(|it| it.capabilities.iter().copied()).collect();
        match (named.is_empty(), target.capabilities.chosen) {
            (true, true) => remarks.push(Remark::UnusedOption("--cap-add or --cap-drop")),
            (false, false) => {
                let held = named.into_iter().filter(|name| target.capabilities.has(name)).collect();
                remarks.push(Remark::DefaultCapabilities { held });
            }
            _ => {}
        }
        let on_kernels = conditions().any(|it| it.kernel.is_some());
        match (on_kernels, target.kernel) {
            (true, None) => remarks.push(Remark::AssumedKernel(Kernel::OLDEST)),
            (false, Some(_)) => remarks.push(Remark::UnusedOption("--kernel")),
            _ => {}
        }
        remarks
    }

    fn left_out(&self, selection: &Selection) -> impl Iterator<Item = Remark> {
        let mut kinds: BTreeMap<Why, (Rules, BTreeSet<String>, BTreeSet<String>)> = BTreeMap::new();
        for (i, (rule, obstacle)) in self.rules.iter().zip(&selection.obstacles).enumerate() {
            if let Some((why, word)) = obstacle {
                let (rules, named, calls) = kinds.entry(*why).or_default();
                rules.add(i);
                named.insert(word.clone());
                calls.extend(rule.calls().map(str::to_owned));
            }
        }
        kinds.into_iter().map(|(why, (rules, named, calls))| Remark::RulesLeftOut {
            why,
            rules,
            named,
            calls,
        })
    }

    fn containerd(&self) -> Option<Remark> {
        let conditional = |rule: &&DialectRule| !rule.conditions.is_empty();
        let rules = self.rules.iter().filter(conditional).count();
        let any = |is: fn(&DialectRule) -> bool| self.rules.iter().any(is);
        let ignored: Vec<_> = [
            ("archMap", !self.architectures.entries.is_empty()),
            ("defaultErrno", self.has_default_errno),
            ("includes", any(|rule| rule.conditions.includes != Condition::default())),
            ("excludes", any(|rule| rule.conditions.excludes != Condition::default())),
            ("errno", any(|rule| rule.marks.contains(&Mark::Errno))),
        ]
        .into_iter()
        .filter_map(|(field, present)| present.then_some(field))
        .collect();
        (!ignored.is_empty()).then_some(Remark::Containerd { ignored, rules })
    }
}
