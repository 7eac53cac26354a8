//! How many instructions the blocks of a program take, and what else refers to a place in it.

use std::collections::{BTreeMap, HashMap};

use super::blocks::{Block, Program, Target};
use crate::Verdict;

/// How many blocks a call may have so that none of its jumps needs another instruction to reach its target: with all that
/// libseccomp puts between them, they are fewer instructions than a jump can skip.
const SMALL: usize = 40;

/// What is known of the size of a program before libseccomp places it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Size {
    /// The instructions of all blocks, without those that jumps over a long distance need.
    pub(crate) instructions: usize,
    /// How often each verdict is returned from.
    pub(crate) returns: BTreeMap<Verdict, usize>,
    /// How many places refer to a block that is not near each of them.
    pub(crate) far: Vec<usize>,
    /// How many calls have so many blocks that the next call is not near.
    pub(crate) large: usize,
}

impl Program {
    /// The size of the blocks, each of which exists once. At most this size: whether a block loads is decided by its place.
    pub(crate) fn size(&self) -> Size {
        let mut size = Size::default();
        let mut references = vec![0_usize; self.blocks.len()];
        let exits = self.blocks.iter().flat_map(|block| block.on);
        for target in self.entries.iter().copied().chain(exits) {
            match target {
                Target::Return(verdict) => *size.returns.entry(verdict).or_default() += 1,
                Target::Block(id) => references[id as usize] += 1,
            }
        }
        size.instructions = self.blocks.iter().map(Block::most_instructions).sum();
        let mut in_large = vec![false; self.blocks.len()];
        // Many calls may have the same blocks.
        let mut known = HashMap::new();
        for entry in &self.entries {
            let is_large = *known.entry(*entry).or_insert_with(|| {
                let blocks = self.blocks_of(*entry);
                let is_large = blocks.len() > SMALL;
                blocks.into_iter().for_each(|id| in_large[id] |= is_large);
                is_large
            });
            size.large += usize::from(is_large);
        }
        let all = references.into_iter().zip(in_large);
        size.far = all.filter(|(number, large)| *number > 1 || *large).map(|(number, _)| number).collect();
        size
    }

    /// The blocks that a call can reach.
    fn blocks_of(&self, entry: Target) -> Vec<usize> {
        let (mut seen, mut found, mut open) = (vec![false; self.blocks.len()], Vec::new(), vec![entry]);
        while let Some(target) = open.pop() {
            let Target::Block(id) = target else { continue };
            let id = id as usize;
            if !std::mem::replace(&mut seen[id], true) {
                found.push(id);
                open.extend(self.blocks[id].on);
            }
        }
        found
    }
}

impl Block {
    /// A load, a mask and a jump. A block that did not load before it was placed keeps its own mask behind the load and the
    /// mask that it then gets (`_gen_bpf_build_bpf` in libseccomp's src/gen_bpf.c).
    fn most_instructions(&self) -> usize {
        2 + 2 * usize::from(self.compares.mask != u32::MAX)
    }
}
