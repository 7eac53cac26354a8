//! The program that libseccomp writes for the trees of a filter.
//!
//! A test becomes a *block*: it loads the half of an argument into the accumulator, masks it, compares it and jumps. A
//! block that follows another one in a list does not load again what the other one has loaded. Blocks that are the same
//! exist once, also those of different syscalls.
//!
//! A block that does not load may be reached from several others, of which some have something else in the accumulator.
//! libseccomp then inserts a load, but it decides this only once for each block: when it places the block into the
//! program, from the block that refers to it first (`_gen_bpf_build_bpf` in src/gen_bpf.c). If that one needs no load and
//! another one does, the filter compares the wrong half. This happens for two bounds on one argument whose upper halves
//! differ, if the first of them is an upper bound.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use super::arena::DEPTH;
use super::test::{Compared, Exit, FALSE, Id, TRUE, Test};
use super::{Fault, Root, Tree};
use crate::diagram::{Field, Forest, Node, Relation, TooComplex};
use crate::hash::{HashMap, HashSet};
use crate::{Arguments, Verdict};

/// The program for some trees: what each of them means beside the others.
#[derive(Debug, Clone)]
pub struct Program {
    pub(super) blocks: Vec<Block>,
    pub(super) entries: Vec<Target>,
    /// How many diagrams were too complex: after some, no other one of a large tree is tried. Each takes a tenth of a
    /// second, and a profile may have thousands.
    failures: Arc<AtomicU32>,
}

/// How many diagrams may be too complex.
const FAILURES: u32 = 4;
/// A tree with at most as many blocks is not large.
const SMALL: usize = 64;

/// A half of an argument, and the bits of it that a mask has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct Accumulator {
    index: u8,
    upper: bool,
    pub(super) mask: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Target {
    Return(Verdict),
    Block(u32),
}

/// Where the calls of one number begin in a program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Start {
    /// They all have this verdict.
    Verdict(Verdict),
    /// With the block that has this index.
    Block(u32),
}

/// A block before it is placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Block {
    /// What it needs in the accumulator, if it does not load.
    needs: Option<Accumulator>,
    /// What it compares, and leaves in the accumulator.
    pub(super) compares: Accumulator,
    relation: Relation,
    value: u32,
    pub(super) on: [Target; 2],
}

impl Program {
    /// The program for these trees, in the order in which libseccomp writes them, in which calls that no rule decides
    /// have the verdict `default`.
    #[must_use]
    pub fn new<'a>(trees: impl IntoIterator<Item = &'a Tree>, default: Verdict) -> Self {
        let mut writer = Writer { blocks: Vec::new(), known: HashMap::default() };
        let mut entries = Vec::new();
        // The same tree may be that of many calls.
        let mut written: HashMap<*const Tree, Target> = HashMap::default();
        for tree in trees {
            entries.push(match tree.root {
                Root::Default => Target::Return(default),
                Root::Always(verdict) => Target::Return(verdict),
                Root::List(first) => *written.entry(std::ptr::from_ref(tree)).or_insert_with(|| {
                    writer.list(tree, first, Target::Return(default), None, &mut HashMap::default())
                }),
            });
        }
        let mut program = Self { blocks: writer.blocks, entries, failures: Arc::default() };
        program.place();
        program
    }

    /// Whether it has the same instructions as another one, and so the same meaning. Others may have that, too.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self.entries == other.entries && self.blocks == other.blocks
    }

    /// The verdict for a call with these arguments, of the tree with this index.
    #[must_use]
    pub fn decide(&self, tree: usize, arguments: &Arguments) -> Option<Verdict> {
        let mut at = *self.entries.get(tree)?;
        let mut accumulator = None;
        loop {
            match at {
                Target::Return(verdict) => return Some(verdict),
                Target::Block(id) => {
                    let block = &self.blocks[id as usize];
                    let compared = block.compared(accumulator);
                    let exit =
                        if compared.holds(block.relation, block.value, arguments) { TRUE } else { FALSE };
                    accumulator = Some(compared);
                    at = block.on[exit];
                }
            }
        }
    }

    /// The verdict of the tree with this index, if it is plain that it is the same for all arguments.
    pub(crate) fn constant(&self, tree: usize) -> Option<Verdict> {
        match self.entries.get(tree)? {
            Target::Return(verdict) => Some(*verdict),
            Target::Block(_) => None,
        }
    }

    /// Where the calls of the tree with this index begin; `None` if there is no such tree.
    pub(crate) fn start(&self, tree: usize) -> Option<Start> {
        Some(match self.entries.get(tree)? {
            Target::Return(verdict) => Start::Verdict(*verdict),
            Target::Block(id) => Start::Block(*id),
        })
    }

    /// Whether what follows a [`Start`] is the same in another program.
    pub(crate) fn has_same_blocks(&self, other: &Self) -> bool {
        self.blocks == other.blocks
    }

    /// The verdicts for all arguments, of the tree with this index; `None` if there is no such tree.
    ///
    /// # Errors
    ///
    /// If the forest would exceed its size, or if this has happened several times with this program and the tree is large.
    pub fn diagram(&self, tree: usize, forest: &mut Forest) -> Result<Option<Node>, TooComplex> {
        let found = self.diagram_within(tree, forest, self.failures.load(Ordering::Relaxed) < FAILURES);
        if found.is_err() {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
        found
    }

    fn diagram_within(
        &self,
        tree: usize,
        forest: &mut Forest,
        any_size: bool,
    ) -> Result<Option<Node>, TooComplex> {
        let Some(entry) = self.entries.get(tree) else { return Ok(None) };
        // A block only refers to earlier ones.
        let mut reached = BTreeSet::new();
        let mut next = match entry {
            Target::Block(id) => Some((*id, None)),
            Target::Return(_) => None,
        };
        let mut seen = BTreeSet::from_iter(next);
        while let Some((id, accumulator)) = next {
            reached.insert((id, accumulator));
            let block = &self.blocks[id as usize];
            let compared = Some(block.compared(accumulator));
            seen.extend(
                block
                    .on
                    .iter()
                    .filter_map(|to| if let Target::Block(id) = to { Some((*id, compared)) } else { None }),
            );
            seen.remove(&(id, accumulator));
            next = seen.last().copied();
        }
        if !any_size && reached.len() > SMALL {
            return Err(TooComplex);
        }
        let mut known: HashMap<(u32, Option<Accumulator>), Node> = HashMap::default();
        for (id, accumulator) in reached {
            let block = &self.blocks[id as usize];
            let compared = block.compared(accumulator);
            let to = |target: Target, forest: &mut Forest| match target {
                Target::Return(verdict) => forest.verdict(verdict),
                Target::Block(id) => {
                    known.get(&(id, Some(compared))).copied().unwrap_or(Forest::always(false))
                }
            };
            let (yes, no) = (to(block.on[TRUE], forest), to(block.on[FALSE], forest));
            let condition = compared.condition(block.relation, block.value, forest)?;
            let node = forest.select(condition, yes, no)?;
            known.insert((id, accumulator), node);
        }
        Ok(Some(match entry {
            Target::Return(verdict) => forest.verdict(*verdict),
            Target::Block(id) => known.get(&(*id, None)).copied().unwrap_or(Forest::always(false)),
        }))
    }

    /// Decides which blocks load. libseccomp places blocks depth first, from the last syscall to the first.
    fn place(&mut self) {
        let mut placed = vec![false; self.blocks.len()];
        for entry in self.entries.clone().into_iter().rev() {
            let mut open = vec![(entry, None)];
            while let Some((target, from)) = open.pop() {
                let Target::Block(id) = target else { continue };
                let block = &mut self.blocks[id as usize];
                if std::mem::replace(&mut placed[id as usize], true) {
                    continue;
                }
                if block.needs != from {
                    block.needs = None;
                }
                let from = Some(block.compares);
                open.extend([(block.on[FALSE], from), (block.on[TRUE], from)]);
            }
        }
    }
}

/// The blocks, while they are made.
struct Writer {
    blocks: Vec<Block>,
    known: HashMap<Block, u32>,
}

type Lists = HashMap<(u32, Target, Option<Accumulator>), Target>;

impl Writer {
    /// The blocks of a list that is entered with this content of the accumulator; behind its end, the call goes to
    /// `fall`.
    fn list(
        &mut self,
        tree: &Tree,
        list: Id,
        fall: Target,
        entered: Option<Accumulator>,
        lists: &mut Lists,
    ) -> Target {
        let first = tree.first(list);
        let key = (first.0, fall, entered);
        if let Some(known) = lists.get(&key) {
            return *known;
        }
        let mut accumulator = entered;
        let mut steps = Vec::new();
        for test in tree.tests(first) {
            let wanted = test.compared.accumulator();
            let needs = accumulator.filter(|it| it.contains(wanted));
            accumulator = Some(wanted);
            steps.push((test, needs));
        }
        let mut fall = fall;
        for (test, needs) in steps.into_iter().rev() {
            let compares = test.compared.accumulator();
            let mut to = |exit: Exit| match exit {
                Exit::Fall => fall,
                Exit::Return(verdict) => Target::Return(verdict),
                Exit::Enter(list) => self.list(tree, list, fall, Some(compares), lists),
            };
            let on = [to(test.on[TRUE]), to(test.on[FALSE])];
            let Compared { relation, value, .. } = test.compared;
            fall = self.block(Block { needs, compares, relation, value, on });
        }
        lists.insert(key, fall);
        fall
    }

    fn block(&mut self, block: Block) -> Target {
        let next = self.blocks.len() as u32;
        let id = *self.known.entry(block).or_insert(next);
        if id == next {
            self.blocks.push(block);
        }
        Target::Block(id)
    }
}

impl Block {
    /// What the block compares when it is reached with this content of the accumulator.
    fn compared(&self, accumulator: Option<Accumulator>) -> Accumulator {
        match (self.needs, accumulator) {
            (Some(_), Some(found)) => Accumulator { mask: found.mask & self.compares.mask, ..found },
            _ => self.compares,
        }
    }
}

impl Accumulator {
    /// Whether the bits of `other` can be had from it without a load.
    fn contains(self, other: Self) -> bool {
        (self.index, self.upper) == (other.index, other.upper) && self.mask & other.mask == other.mask
    }

    fn holds(self, relation: Relation, value: u32, arguments: &Arguments) -> bool {
        let argument = arguments[usize::from(self.index)];
        let word = if self.upper { (argument >> 32) as u32 } else { argument as u32 } & self.mask;
        match relation {
            Relation::Equal => word == value,
            Relation::Greater => word > value,
            Relation::GreaterOrEqual => word >= value,
        }
    }

    fn condition(self, relation: Relation, value: u32, forest: &mut Forest) -> Result<Node, TooComplex> {
        let Some(whole) = Field::whole(self.index) else { return Ok(Forest::always(false)) };
        let field = if self.upper { whole.high() } else { whole.low() };
        forest.field(field, u64::from(self.mask), relation, u64::from(value))
    }
}

impl Compared {
    fn accumulator(self) -> Accumulator {
        Accumulator { index: self.index, upper: self.upper, mask: self.mask }
    }
}

/// Reading a tree that `check` has walked through.
impl Tree {
    fn first(&self, mut id: Id) -> Id {
        while let Some(before) = self.arena.get(id).and_then(|test| test.before) {
            id = before;
        }
        id
    }

    fn tests(&self, first: Id) -> impl Iterator<Item = &Test> {
        let mut next = Some(first);
        std::iter::from_fn(move || {
            let test = self.arena.get(next?)?;
            next = test.after;
            Some(test)
        })
    }

    /// Walks once through all lists, as libseccomp does to write the filter.
    pub(super) fn check(&mut self) -> Result<(), Fault> {
        match self.root {
            Root::List(first) => self.check_list(first, DEPTH, &mut HashSet::default()),
            Root::Default | Root::Always(_) => Ok(()),
        }
    }

    /// `checked` has the first tests of lists that were walked through, which may have several parents.
    fn check_list(&mut self, list: Id, depth: u32, checked: &mut HashSet<Id>) -> Result<(), Fault> {
        let depth = depth.checked_sub(1).ok_or(Fault::Unpredictable)?;
        let first = self.arena.first(list)?;
        if checked.contains(&first) {
            return Ok(());
        }
        let mut walk = self.arena.walk();
        let mut next = Some(first);
        while let Some(id) = next {
            walk.step()?;
            let test = self.arena.at(id)?;
            let on = test.on;
            next = test.after;
            for list in on.into_iter().filter_map(Exit::entered) {
                self.check_list(list, depth, checked)?;
            }
        }
        checked.insert(first);
        Ok(())
    }
}
