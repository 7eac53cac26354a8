//! Functions whose addresses only data of their own object has, such as structures of functions.
//!
//! Such a function is called by the indirect calls of the object that read the address from a structure in which it can be:
//! those that read it at the same distance from a place whose address the object uses.

use super::solver::Solver;
use crate::reach::{IndirectCall, Taken};
use crate::source::{FAR, Source};

impl Solver<'_> {
    /// Whether an address is in data of the function's own object, and no other object can find the function by a name.
    pub(super) fn is_own_data(&self, taken: &Taken) -> bool {
        let (Some((owner, object)), Some((holder, _))) =
            (self.space.at(taken.target), self.space.at(taken.at))
        else {
            return false;
        };
        let offset = taken.target - object.base;
        let is_exported =
            || object.elf.symbols.all().iter().any(|it| it.is_exported() && it.address == offset);
        taken.is_data && owner == holder && !is_exported()
    }

    /// The indirect calls of an object that may read the word at an address of its data.
    pub(super) fn calls_through(&self, word: u64) -> Vec<IndirectCall> {
        let Some((object, _)) = self.space.at(word) else { return Vec::new() };
        let mut is_distance = vec![false; usize::from(FAR) + 1];
        let mut near = |all: &[u64]| {
            let first = all.partition_point(|it| *it < word.saturating_sub(u64::from(FAR)));
            let last = all.partition_point(|it| *it <= word);
            all[first..last].iter().for_each(|it| is_distance[(word - it) as usize] = true);
        };
        near(&self.reach.data_addresses);
        near(self.space.pointers());
        let all = &self.reach.indirect;
        let first = all.partition_point(|it| it.object < object);
        let own = all[first..].iter().take_while(|it| it.object == object);
        let may_read = |it: &&IndirectCall| match it.source {
            Source::Elsewhere => false,
            Source::At { distance, read } => {
                is_distance.get(usize::from(distance)).is_some_and(|it| *it)
                    || self.reach.is_entered(read, it.at)
            }
            Source::Any => true,
        };
        own.filter(may_read).copied().collect()
    }
}
