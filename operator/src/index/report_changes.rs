//! Replaces the report of a node.
//!
//! A report lists every file of its node, and most reports differ from the one before in few of them: so many profiles
//! are counted again, and not all. Only the names are compared one by one.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::jiff::Timestamp;

use super::Index;
use super::node::{Node, ReportedFile};
use crate::facts::ReportFacts;

impl Index {
    /// Replaces the report of the node `name` by `facts`.
    pub(super) fn replace_report(&mut self, name: &str, facts: ReportFacts, now: Timestamp) {
        let Some(node) = self.nodes.get_mut(name).filter(|node| node.keeps_state(&facts, now)) else {
            self.change_node(name, now, |node| node.set_report(Some(facts), now));
            return;
        };
        let Some(earlier) = node.report.replace(facts) else { return };
        let Some(present) = &node.report else { return };
        if earlier.excluded != present.excluded {
            node.exclusion.mark(now);
        }
        let mut lacking = node.lacking();
        for changed in changed_names(&earlier, present) {
            let Some(profile) = self.profiles.get_mut(changed) else { continue };
            let before = node.view(ReportedFile::of(&earlier, changed), profile);
            let after = node.view(ReportedFile::of(present, changed), profile);
            lacking -= u32::from(before.contribution.lacking);
            lacking += u32::from(after.contribution.lacking);
            let last_outdated = before.age != after.age && self.users.compare_on(name, changed, after.age);
            if before != after
                && (profile.recount(&node.name, before.contribution, after.contribution, now)
                    || last_outdated)
            {
                self.dirty.profiles.insert(changed.to_owned());
            }
        }
        node.set_lacking(lacking, now);
        self.dirty.nodes.insert(name.to_owned());
    }
}

impl Node {
    /// Whether the state of the node and of its agent stay the same with this report, so that only what it lists can
    /// make a difference.
    fn keeps_state(&self, facts: &ReportFacts, now: Timestamp) -> bool {
        self.current_report().is_some_and(|current| {
            current.owner == facts.owner
                && current.files.is_some() == facts.files.is_some()
                && current.changed.is_some() == facts.changed.is_some()
                && current.lists_all_problems() == facts.lists_all_problems()
        }) && !self.guesses_since_when_no_agent_is_ready()
            && self.agent_state_at(now) == self.agent_state
    }
}

/// The names of the profiles about which two reports differ.
fn changed_names<'a>(before: &'a ReportFacts, after: &'a ReportFacts) -> BTreeSet<&'a str> {
    let mut names = BTreeSet::new();
    match (&before.files, &after.files) {
        (Some(before), Some(after)) => add_changed(before, after, &mut names),
        (Some(files), None) | (None, Some(files)) => names.extend(files.keys().map(String::as_str)),
        (None, None) => {}
    }
    // Whether they state times at all is the same in both.
    if let (Some(before), Some(after)) = (&before.changed, &after.changed) {
        add_changed(before, after, &mut names);
    }
    add_changed(&before.excluded, &after.excluded, &mut names);
    add_changed(&before.problems, &after.problems, &mut names);
    names
}

/// Adds the keys whose values differ. Both maps are walked once.
fn add_changed<'a, T: PartialEq>(
    before: &'a BTreeMap<String, T>,
    after: &'a BTreeMap<String, T>,
    names: &mut BTreeSet<&'a str>,
) {
    let mut after = after.iter().peekable();
    for (name, value) in before {
        while let Some((new, _)) = after.next_if(|(new, _)| *new < name) {
            names.insert(new);
        }
        if after.next_if(|(new, _)| *new == name).is_none_or(|(_, new)| new != value) {
            names.insert(name);
        }
    }
    names.extend(after.map(|(new, _)| new.as_str()));
}
