//! Values of which nothing may be missing, because what is missing would be refused to the program.

use super::flow::Flow;
use super::place::Place;
use super::solver::{Solver, State};
use super::why::Why;
use crate::limits;
use crate::looked_up::is_text;
use crate::reach::Reach;
use crate::space::Space;

impl<'a> Solver<'a> {
    /// One that takes nothing from memory that can be written to, and follows no code whose jumps are not all known: a value
    /// that is missing here would be refused to a program. `by_name` is whether functions are looked up by names that are not known.
    pub(crate) fn strict(space: &'a Space, reach: &'a Reach, by_name: bool) -> Self {
        let mut solver = Self::new(space, reach, limits::STEPS);
        (solver.is_strict, solver.by_name) = (true, by_name);
        solver
    }

    /// Whether a function may be looked up by a name that is not known: others can find it, and something has its name as
    /// text.
    pub(super) fn may_be_looked_up(&mut self, address: u64) -> bool {
        if !self.is_strict || !self.by_name {
            return false;
        }
        let space = self.space;
        *self.looked_up.entry(address).or_insert_with(|| {
            let Some((_, object)) = space.at(address) else { return true };
            let offset = address - object.base;
            let mut all = object.elf.symbols.all().iter();
            all.any(|it| it.is_exported() && it.address == offset && is_text(space, it.name(&object.elf)))
        })
    }

    /// Why a place cannot be followed without assumptions.
    pub(super) fn doubt(&self, flow: &Flow, state: &State) -> Option<Why> {
        let index = state.index as usize;
        let address = flow.address(index);
        let has_before = || {
            !flow.before(index).is_empty()
                || !self.reach.calls_to(address).is_empty()
                || !self.reach.taken_at(address).is_empty()
        };
        match state.place.root() {
            Place::Stack(_) => Some(Why::Memory),
            Place::Memory(address) if self.is_writable(*address) => Some(Why::Memory),
            Place::Memory(_) => None,
            _ if !flow.is_certain || !has_before() => Some(Why::Unclear),
            _ => None,
        }
    }
}
