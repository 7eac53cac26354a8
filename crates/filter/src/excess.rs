//! What a filter permits beyond others, call by call.

use profile::Architecture;

use crate::diagram::{Forest, TooComplex, difference};
use crate::filter::{Call, Filter, Known};
use crate::relation::{Dependence, Witness};
use crate::{Permission, Verdict};

impl Filter {
    /// A call with this number that this filter permits more than every one of the others; the second verdict is that of
    /// the most permissive of them. `None` if there is no such call, or no other filter. A call that is made and logged is
    /// permitted as much as one that is made.
    ///
    /// # Errors
    ///
    /// If the conditions are too complex.
    pub fn exceeds(
        &self,
        others: &[&Self],
        architecture: Architecture,
        number: u32,
    ) -> Result<Option<Witness>, TooComplex> {
        let constant = |filter: &Self| match filter.known(architecture, number) {
            Known::Verdict(verdict) => Some(verdict),
            Known::Tree(_) => None,
        };
        // Most calls have the same verdict for all arguments, and need no diagram.
        let known: Option<Vec<Verdict>> = others.iter().map(|other| constant(other)).collect();
        if let (Some(first), Some(known)) = (constant(self), known) {
            let Some(second) = known.into_iter().reduce(more_permissive) else { return Ok(None) };
            let call = Call { architecture, number, arguments: [0; 6] };
            let witness = Witness { call, first, second, depends: Dependence::Number };
            return Ok((permits(first) > permits(second)).then_some(witness));
        }
        let mut forest = Forest::default();
        let mut all = None;
        for other in others {
            let next = other.verdicts(architecture, number, &mut forest)?;
            all = Some(match all {
                None => next,
                Some(all) => forest.combine(all, next, more_permissive)?,
            });
        }
        let Some(all) = all else { return Ok(None) };
        let mine = self.verdicts(architecture, number, &mut forest)?;
        let (mine, all) = ((&forest, mine), (&forest, all));
        let Some(pair) = difference(mine, all, |mine, all| permits(mine) > permits(all))? else {
            return Ok(None);
        };
        let otherwise = difference(mine, all, |mine, all| permits(mine) <= permits(all))?;
        let depends = if otherwise.is_some() { Dependence::Arguments } else { Dependence::Number };
        let call = Call { architecture, number, arguments: pair.arguments };
        Ok(Some(Witness { call, first: pair.first, second: pair.second, depends }))
    }
}

/// The one of two verdicts that permits more, or the first.
fn more_permissive(one: Verdict, two: Verdict) -> Verdict {
    if permits(two) > permits(one) { two } else { one }
}

/// How much a verdict permits, where logging makes no difference.
fn permits(verdict: Verdict) -> Permission {
    match verdict.permission() {
        Permission::Log => Permission::Allow,
        other => other,
    }
}
