//! The calls of functions that are known by name, and what text their arguments can be.

use iced_x86::Register;

use crate::functions::FunctionId;
use crate::limits;
use crate::numbers::{Solver, Values};
use crate::reach::{Reach, Taken};
use crate::space::{ObjectId, Space};

/// A call of a function.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Site {
    pub(crate) at: u64,
    pub(crate) from: FunctionId,
    /// The object that calls.
    pub(crate) by: ObjectId,
    /// The object that has the function.
    pub(crate) of: ObjectId,
}

/// What text an argument can be.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    pub(crate) known: Vec<String>,
    /// Whether it can be the null pointer.
    pub(crate) is_null: bool,
    /// Whether it can be other text.
    pub(crate) is_open: bool,
}

/// The calls of a function, in whichever object and of whichever version it is.
pub(crate) fn sites(space: &Space, reach: &Reach, name: &str) -> Vec<Site> {
    let of_one = |(of, target): (ObjectId, u64)| {
        reach.calls_to(target).iter().map(move |call| {
            let by = reach.functions.get(call.from).object;
            Site { at: call.at, from: call.from, by, of }
        })
    };
    space.find_all(name).into_iter().flat_map(of_one).collect()
}

/// What has the address of a function, outside of the object that the function is in: it can call the function with
/// arguments that are not followed.
pub(crate) fn taken<'r>(space: &Space, reach: &'r Reach, name: &str) -> Vec<&'r Taken> {
    let elsewhere = |at: u64, of: ObjectId| space.at(at).is_some_and(|(id, _)| id != of);
    let of_one =
        |(of, target): (ObjectId, u64)| reach.taken_at(target).iter().filter(move |it| elsewhere(it.at, of));
    space.find_all(name).into_iter().flat_map(of_one).collect()
}

/// Follows the arguments of calls.
pub(crate) struct Arguments<'a> {
    space: &'a Space,
    solver: Solver<'a>,
}

impl<'a> Arguments<'a> {
    /// The reach must be finished.
    pub(crate) fn new(space: &'a Space, reach: &'a Reach) -> Self {
        Self { space, solver: Solver::new(space, reach, limits::NAME_STEPS) }
    }

    /// The numbers that an argument can be.
    pub(crate) fn numbers(&mut self, site: &Site, register: Register, mask: u64) -> Values {
        self.solver.register(site.from, site.at, register, mask)
    }

    /// The texts that an argument can point to.
    pub(crate) fn texts(&mut self, site: &Site, register: Register) -> Texts {
        let values = self.numbers(site, register, u64::MAX);
        let mut texts = Texts { is_open: !values.open.is_empty(), ..Texts::default() };
        for address in values.known.into_keys() {
            match text(self.space, address) {
                Some(text) => texts.known.push(text),
                None if address == 0 => texts.is_null = true,
                None => texts.is_open = true,
            }
        }
        texts
    }
}

/// The text at an address that nothing writes to.
fn text(space: &Space, address: u64) -> Option<String> {
    const MOST: usize = 256;
    let (_, object) = space.at(address)?;
    let offset = address - object.base;
    object.elf.segment(offset).filter(|it| !it.writable)?;
    let bytes = object.elf.at(offset)?;
    let bytes = &bytes[..bytes.iter().take(MOST).position(|byte| *byte == 0)?];
    std::str::from_utf8(bytes).ok().map(str::to_owned)
}
