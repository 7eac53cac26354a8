//! Two filters side by side, for every call.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use profile::Architecture;
use serde::Serialize;

use crate::abi::{X32, is_x86_64};
use crate::diagram::{Forest, Node, TooComplex, difference};
use crate::filter::{Call, Filter, Known};
use crate::tree::Start;
use crate::{Arguments, Verdict};

/// A concrete call for which two filters differ, and both verdicts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Witness {
    /// The call.
    pub call: Call,
    /// The verdict of the first filter.
    pub first: Verdict,
    /// The verdict of the second.
    pub second: Verdict,
    /// Whether the verdicts of the call depend on its arguments.
    pub depends: Dependence,
}

/// On what a difference depends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Dependence {
    /// It is the same for all arguments of the call.
    Number,
    /// Only some arguments of the call show it, or they show it differently.
    Arguments,
}

impl Filter {
    /// A call for which the filters have different verdicts; `None` if there is none on any architecture that the first
    /// one's node runs.
    ///
    /// # Errors
    ///
    /// If the conditions are too complex.
    pub fn unequal(&self, other: &Self) -> Result<Option<Witness>, TooComplex> {
        self.witness(other, |first, second| first != second)
    }

    /// A call that this filter permits more than the other one; `None` if it is at most as permissive.
    ///
    /// # Errors
    ///
    /// If the conditions are too complex.
    pub fn more_permissive(&self, other: &Self) -> Result<Option<Witness>, TooComplex> {
        self.witness(other, |first, second| first.permission() > second.permission())
    }

    /// One witness for each call number with different verdicts. Of a range of numbers that neither filter has rules
    /// for, only the lowest is listed.
    ///
    /// # Errors
    ///
    /// If the conditions are too complex.
    pub fn difference(&self, other: &Self) -> Result<Vec<Witness>, TooComplex> {
        let mut found = Vec::new();
        for (architecture, number) in numbers(&[self, other]) {
            found.extend(self.at(other, architecture, number, &|first, second| first != second)?);
        }
        Ok(found)
    }

    fn witness(
        &self,
        other: &Self,
        sought: impl Fn(Verdict, Verdict) -> bool,
    ) -> Result<Option<Witness>, TooComplex> {
        for (architecture, number) in numbers(&[self, other]) {
            let found = self.at(other, architecture, number, &sought)?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    fn at(
        &self,
        other: &Self,
        architecture: Architecture,
        number: u32,
        sought: &impl Fn(Verdict, Verdict) -> bool,
    ) -> Result<Option<Witness>, TooComplex> {
        let call = |arguments| Call { architecture, number, arguments };
        let any: Arguments = [0; 6];
        let (one, two) = (self.known(architecture, number), other.known(architecture, number));
        if let (Known::Verdict(first), Known::Verdict(second)) = (one, two) {
            let witness = Witness { call: call(any), first, second, depends: Dependence::Number };
            return Ok(sought(first, second).then_some(witness));
        }
        let (mut first, mut second) = (Forest::default(), Forest::default());
        let nodes = (self.all_arguments(one, &mut first)?, other.all_arguments(two, &mut second)?);
        let (first, second) = ((&first, nodes.0), (&second, nodes.1));
        let Some(pair) = difference(first, second, sought)? else { return Ok(None) };
        let otherwise = difference(first, second, |one, two| (one, two) != (pair.first, pair.second))?;
        let depends = if otherwise.is_some() { Dependence::Arguments } else { Dependence::Number };
        Ok(Some(Witness { call: call(pair.arguments), first: pair.first, second: pair.second, depends }))
    }

    /// The verdicts of all calls with this number.
    ///
    /// # Errors
    ///
    /// If the forest would exceed its size.
    pub fn verdicts(
        &self,
        architecture: Architecture,
        number: u32,
        forest: &mut Forest,
    ) -> Result<Node, TooComplex> {
        self.all_arguments(self.known(architecture, number), forest)
    }

    pub(crate) fn known(&self, architecture: Architecture, number: u32) -> Known {
        match self.calls(architecture, number) {
            Some(calls) => self.tree(calls, number),
            None => Known::Verdict(self.decide(&Call { architecture, number, arguments: [0; 6] })),
        }
    }

    /// Where the calls with this number begin in the program.
    pub(crate) fn start(&self, architecture: Architecture, number: u32) -> Start {
        match self.known(architecture, number) {
            Known::Verdict(verdict) => Start::Verdict(verdict),
            Known::Tree(tree) => self.program().start(tree).unwrap_or(Start::Verdict(self.default())),
        }
    }

    pub(crate) fn all_arguments(&self, known: Known, forest: &mut Forest) -> Result<Node, TooComplex> {
        match known {
            Known::Verdict(verdict) => Ok(forest.verdict(verdict)),
            Known::Tree(tree) => {
                let found = self.program().diagram(tree, forest)?;
                Ok(found.unwrap_or_else(|| forest.verdict(self.default())))
            }
        }
    }
}

/// The calls with the same verdicts in both filters, whatever these are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    /// The calls of a number that one of the filters has rules for.
    Named(u32),
    /// The calls in a range, except those with rules.
    Unnamed {
        /// The lowest without rules.
        lowest: u32,
        numbers: RangeInclusive<u32>,
    },
}

impl Kind {
    /// The number of one of the calls.
    pub(crate) fn example(&self) -> u32 {
        match self {
            Self::Named(number) | Self::Unnamed { lowest: number, .. } => *number,
        }
    }
}

/// A number of every kind of call that the filters may distinguish.
pub(crate) fn numbers(filters: &[&Filter]) -> Vec<(Architecture, u32)> {
    kinds(filters).into_iter().map(|(architecture, kind)| (architecture, kind.example())).collect()
}

/// Every kind of call that the filters may distinguish: each number that one of them has rules for, and the ranges of
/// numbers without rules between the borders of the stubs and of x32. The architectures are those that the first
/// filter's node runs.
pub(crate) fn kinds(filters: &[&Filter]) -> Vec<(Architecture, Kind)> {
    let mut all = Vec::new();
    let native = filters.first().map(|filter| filter.native());
    for architecture in native.map_or(&[][..], runs) {
        let calls: Vec<_> = filters
            .iter()
            .flat_map(|filter| [0, X32].map(|number| filter.calls(*architecture, number)))
            .flatten()
            .collect();
        let mut named: Vec<u32> = calls.iter().flat_map(|calls| calls.numbers()).collect();
        named.sort_unstable();
        named.dedup();
        all.extend(named.iter().map(|number| (*architecture, Kind::Named(*number))));
        let mut borders: BTreeSet<u32> = [0, 1, u32::MAX].into();
        if is_x86_64(*architecture) {
            borders.insert(X32);
        }
        borders.extend(calls.iter().filter_map(|calls| calls.stub?.checked_add(1)));
        for border in &borders {
            let end = border.checked_add(1).and_then(|next| borders.range(next..).next().copied());
            let numbers = *border..=end.map_or(u32::MAX, |end| end - 1);
            let lowest = numbers.clone().find(|number| named.binary_search(number).is_err());
            all.extend(lowest.map(|lowest| (*architecture, Kind::Unnamed { lowest, numbers })));
        }
    }
    all
}

/// The system call tables that a machine of this architecture can run; one of x86_64 and x32, which differ by number.
fn runs(native: Architecture) -> &'static [Architecture] {
    use Architecture::{Aarch64, Arm, Loongarch64, Mips, Mips64, Mips64n32, Mipsel, Mipsel64, Mipsel64n32};
    use Architecture::{Ppc, Ppc64, Ppc64le, Riscv64, S390, S390x, X32, X86, X86_64};
    match native {
        X86_64 | X32 => &[X86_64, X86],
        X86 => &[X86],
        Aarch64 => &[Aarch64, Arm],
        Arm => &[Arm],
        Mips | Mips64 | Mips64n32 => &[Mips64, Mips64n32, Mips],
        Mipsel | Mipsel64 | Mipsel64n32 => &[Mipsel64, Mipsel64n32, Mipsel],
        Ppc | Ppc64 => &[Ppc64, Ppc],
        Ppc64le => &[Ppc64le],
        S390 | S390x => &[S390x, S390],
        Riscv64 => &[Riscv64],
        Loongarch64 => &[Loongarch64],
    }
}
