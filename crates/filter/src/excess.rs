//! What a filter permits beyond others, call by call.

use profile::Architecture;

use crate::diagram::{Forest, TooComplex, difference};
use crate::filter::{Call, Filter};
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
        let mut forest = Forest::default();
        let mut all = None;
        for other in others {
            let next = other.verdicts(architecture, number, &mut forest)?;
            all = Some(match all {
                None => next,
                Some(all) => forest
                    .combine(all, next, |one, two| if permits(two) > permits(one) { two } else { one })?,
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

/// How much a verdict permits, where logging makes no difference.
fn permits(verdict: Verdict) -> Permission {
    match verdict.permission() {
        Permission::Log => Permission::Allow,
        other => other,
    }
}
