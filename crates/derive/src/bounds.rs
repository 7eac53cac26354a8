//! Which values arguments of calls can have, where these are known on all ways.
//!
//! A value that is missing here would be refused to a program that uses it. So nothing is taken from memory that can be
//! written to, no function is followed whose jumps are not all known, and a function whose address anything has can be
//! called with every argument ([`Solver::strict`]). The kernel looks at the lower half of these arguments alone, or the
//! values do not fit more; only that half is followed.

use std::collections::BTreeMap;

use iced_x86::Register;

use crate::chain::{Chains, Link, Step};
use crate::looked_up::has_interpreter;
use crate::numbers::{Origin, Solver, Why};
use crate::reach::{KernelEntry, Reach};
use crate::space::Space;

/// The half of an argument that is followed.
const HALF: u64 = u32::MAX as u64;

/// The arguments that are examined: the number of the call, the place of the argument, and its register.
const EXAMINED: &[(u32, u8, Register)] = &[
    // mprotect: what is permitted then.
    (10, 2, Register::RDX),
    // ioctl: the request.
    (16, 1, Register::RSI),
    // socket: the family and the type.
    (41, 0, Register::RDI),
    (41, 1, Register::RSI),
    // socketpair: the same.
    (53, 0, Register::RDI),
    (53, 1, Register::RSI),
    // clone: the flags.
    (56, 0, Register::RDI),
    // fcntl: the command.
    (72, 1, Register::RSI),
    // personality.
    (135, 0, Register::RDI),
    // prctl: what it does.
    (157, 0, Register::RDI),
];

/// An argument of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Argument {
    /// Its place, from 0.
    pub index: u8,
    /// The values of its lower 32 bits that are known, by value.
    pub values: Vec<Value>,
    /// Where other values may come from. If there is nothing, the argument has one of the known values.
    pub open: Vec<OpenArgument>,
}

impl Argument {
    /// Whether the argument has one of the known values whenever the call is made.
    #[must_use]
    pub fn is_bounded(&self) -> bool {
        self.open.is_empty() && !self.values.is_empty()
    }

    /// Adds what the same argument can be with other libraries.
    pub(crate) fn add(&mut self, other: Self) {
        self.values.extend(other.values);
        self.open.extend(other.open);
        self.sort();
    }

    fn sort(&mut self) {
        self.values.sort_by_key(|it| (it.value, it.chain.len(), it.place.object.clone(), it.place.address));
        self.values.dedup_by_key(|it| it.value);
        let key = |it: &OpenArgument| {
            (it.at.object.clone(), it.at.address, it.kernel.object.clone(), it.kernel.address)
        };
        self.open.sort_by_key(key);
        self.open.dedup();
    }
}

/// A value of an argument.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// The lower 32 bits.
    pub value: u32,
    /// The instruction that sets it.
    pub place: Link,
    /// How that instruction is reached, and from there the one that calls the kernel.
    pub chain: Vec<Link>,
}

/// A place at which the value of an argument is lost.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenArgument {
    /// Why.
    pub why: Why,
    /// The instruction.
    pub at: Link,
    /// The instruction that calls the kernel.
    pub kernel: Link,
}

/// The arguments of calls, each of which is made by some instructions. `by_name` is whether functions are looked up by names
/// that are not known. Nothing is known of the arguments if scripts can call any function.
pub(crate) fn bounds(
    space: &Space,
    reach: &Reach,
    chains: &mut Chains<'_>,
    made: &BTreeMap<u32, Vec<KernelEntry>>,
    by_name: bool,
) -> BTreeMap<u32, Vec<Argument>> {
    let mut found: BTreeMap<u32, Vec<Argument>> = BTreeMap::new();
    if has_interpreter(space) {
        return found;
    }
    let mut solver = Solver::strict(space, reach, by_name);
    for (number, index, register) in EXAMINED {
        let Some(entries) = made.get(number) else { continue };
        let mut best: BTreeMap<u32, (usize, Origin, u64)> = BTreeMap::new();
        let mut argument = Argument { index: *index, values: Vec::new(), open: Vec::new() };
        for entry in entries {
            let values = solver.register(entry.from, entry.at, *register, HALF);
            for open in values.open {
                let (at, kernel) = (chains.link(Step::Call, open.at), chains.link(Step::Kernel, entry.at));
                argument.open.push(OpenArgument { why: open.why, at, kernel });
            }
            for (value, origin) in values.known {
                let length = chains.length(origin.from) + origin.calls.len();
                let known = best.get(&(value as u32));
                if known.is_none_or(|(shortest, ..)| length < *shortest) {
                    best.insert(value as u32, (length, origin, entry.at));
                }
            }
        }
        for (value, (_, origin, kernel)) in best {
            let place = chains.link(Step::Call, origin.at);
            argument.values.push(Value { value, place, chain: chains.chain(&origin, kernel) });
        }
        argument.sort();
        found.entry(*number).or_default().push(argument);
    }
    found
}
