//! Values in memory with a fixed address.

use iced_x86::Register;

use super::place::{Place, bytes_of, innermost, replace_innermost};
use super::solver::{Next, Open, Origin, Solver, State, Values};
use super::why::Why;
use crate::data::BEFORE;
use crate::reach::Store;

impl Solver<'_> {
    /// Memory at an address, or behind the pointer there: what it has at first, and everything that is written there.
    pub(super) fn memory(
        &mut self,
        state: &State,
        at: u64,
        address: u64,
        values: &mut Values,
        next: &mut Vec<Next>,
    ) {
        let from = state.function;
        let unknown = Open { at, from, why: Why::Memory };
        let Some(first) = self.first_value(address) else { return values.open.push(unknown) };
        if self.is_writable(address) {
            let is_pointer = innermost(&state.place).is_some();
            if self.may_be_written_through(address, is_pointer) {
                return values.open.push(unknown);
            }
            self.stores(state, address, values, next);
        }
        match innermost(&state.place) {
            None => {
                let origin = Origin { at, from, calls: Vec::new() };
                values.known.entry(first & state.mask).or_insert(origin);
            }
            // Nothing is behind it yet.
            Some(_) if first == 0 => {}
            Some(offset) => {
                let behind = Place::Memory(first.wrapping_add(offset as u64));
                match replace_innermost(&state.place, behind) {
                    Some(place) => next.push((State { place, ..state.clone() }, None)),
                    None => values.open.push(unknown),
                }
            }
        }
    }

    /// Whether code may write to a variable by an address: by its own, or by one from which code goes on to it. That is up to
    /// the end of the section, and [`BEFORE`] bytes before the address, because the file does not say what is an array.
    ///
    /// A pointer to a structure that holds a number is taken for no part of an array, and in Go an address leads to its own
    /// variable alone.
    fn may_be_written_through(&self, address: u64, is_pointer: bool) -> bool {
        let (mut first, mut last) = (address, address);
        if let Some((_, object)) = self.space.at(address)
            && object.elf.go.is_none()
            && !is_pointer
        {
            let section = object.elf.section(address - object.base);
            first = section.map_or(0, |section| section.address) + object.base;
            last = address.saturating_add(BEFORE);
        }
        [&*self.reach.data_addresses, &self.reach.fixed_addresses, self.space.pointers()].into_iter().any(
            |all| {
                let next = all.partition_point(|it| *it < first);
                all.get(next).is_some_and(|it| *it <= last)
            },
        )
    }

    /// What a word of memory has when the program begins.
    pub(super) fn first_value(&self, address: u64) -> Option<u64> {
        let (_, object) = self.space.at(address)?;
        let offset = address - object.base;
        object.elf.segment(offset)?;
        if let Some(slot) = self.space.slot(address) {
            return Some(slot.value);
        }
        let word = object.elf.word(offset).or_else(|| object.elf.half(offset).map(u64::from));
        // What the file does not have is zero.
        Some(word.unwrap_or(0))
    }

    pub(super) fn is_writable(&self, address: u64) -> bool {
        let found = self.space.at(address);
        found.is_some_and(|(_, it)| it.elf.segment(address - it.base).is_some_and(|it| it.writable))
    }

    /// Everything that instructions write to an address.
    pub(super) fn stores(&mut self, state: &State, address: u64, values: &mut Values, next: &mut Vec<Next>) {
        let reach = self.reach;
        let width = match innermost(&state.place) {
            None => u64::from(bytes_of(state.mask)),
            Some(_) => 8,
        };
        for store in reach.stores_to(address, width) {
            let Store { at, from, size, .. } = *store;
            // A part of the variable, or more than the variable, as where two are written at once.
            if store.address != address || size < width {
                values.open.push(Open { at, from, why: Why::Memory });
                continue;
            }
            let found = self.flow(from).and_then(|flow| flow.index(at).map(|index| (flow, index)));
            let Some((flow, index)) = found else {
                values.open.push(Open { at, from, why: Why::Unclear });
                continue;
            };
            let it = &flow.code[index];
            let is_move = it.mnemonic() == iced_x86::Mnemonic::Mov;
            let register = (it.op1_kind() == iced_x86::OpKind::Register).then(|| it.op1_register());
            let register = register.map(Register::full_register).filter(|it| it.is_gpr64());
            let number = it.try_immediate(1).ok().filter(|_| register.is_none());
            let place = match (register, number) {
                (Some(register), _) => state.place.with_root(Place::Register(register)),
                (None, Some(number)) if innermost(&state.place).is_none() => {
                    if is_move {
                        let origin = Origin { at, from, calls: Vec::new() };
                        values.known.entry(number & state.mask).or_insert(origin);
                        continue;
                    }
                    None
                }
                // No pointer that leads anywhere.
                (None, Some(0)) if is_move => continue,
                _ => None,
            };
            match place.filter(|_| is_move) {
                Some(place) => {
                    next.push((State { function: from, index: index as u32, place, mask: state.mask }, None));
                }
                None => values.open.push(Open { at, from, why: Why::Memory }),
            }
        }
    }
}
