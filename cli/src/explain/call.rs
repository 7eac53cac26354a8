//! What a filter does with one call.

use filter::diagram::Partial;
use filter::{Basis, Case, Condition, Explainer, Permission, Verdict};
use profile::{Architecture, Comparison};
use serde::Serialize;
use syscalls::Syscall;

use super::words;

/// What happens to a call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CallView {
    /// The name.
    pub name: &'static str,
    /// Whether it is permitted.
    pub access: Access,
    /// What can happen: the first case of which all conditions hold decides. The last one has no conditions.
    pub cases: Vec<CaseView>,
}

/// Whether a call is permitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Access {
    /// It is, for all arguments.
    Permitted,
    /// That depends on its arguments, or another process decides.
    Conditional,
    /// It is not.
    Refused,
}

/// What happens to a call under some conditions.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CaseView {
    /// The conditions in words; all must hold.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub when: Vec<String>,
    /// What happens then.
    #[serde(flatten)]
    pub verdict: Verdict,
    /// Why.
    pub because: Because,
    #[serde(skip)]
    conditions: Vec<Condition>,
}

/// Why something happens to a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Because {
    /// A rule of the profile, by its index.
    Rule(usize),
    /// No rule applies.
    Default,
    /// The runtime answers calls whose number is higher than that of any call which the rules name.
    AboveHighest,
    /// libseccomp merges the rules to something that none of them says: this happens, or may if there are several such cases.
    Merged,
    /// The conditions are too many to be spelt out: this may happen.
    TooComplex,
    /// The filter does not cover the architecture.
    OtherArchitecture,
}

impl CallView {
    /// What a filter does with a call; `None` if the architecture has no such call.
    pub(super) fn of(
        call: Syscall,
        table: syscalls::Architecture,
        architecture: Architecture,
        explainer: &Explainer,
    ) -> Option<Self> {
        let number = call.number(table)?;
        let cases = match explainer.explain(architecture, number, &Partial::UNKNOWN) {
            Ok(explanation) => explanation.cases.iter().map(|case| CaseView::of(call.name(), case)).collect(),
            Err(_) => vec![CaseView::unknown(explainer.filter().default())],
        };
        Some(Self { name: call.name(), access: access(&cases), cases })
    }

    /// The verdict, if there is one for all arguments.
    pub(super) fn verdict(&self) -> Option<Verdict> {
        match &self.cases[..] {
            [only] if only.because != Because::TooComplex => Some(only.verdict),
            _ => None,
        }
    }

    /// Whether the same happens to both, for the same reason.
    pub(super) fn same(&self, other: &Self) -> bool {
        let effects = |call: &Self| -> Vec<_> {
            call.cases.iter().map(|case| (case.conditions.clone(), case.verdict)).collect()
        };
        effects(self) == effects(other)
    }

    /// How many verdicts may apply where libseccomp has merged the rules.
    fn merged(&self) -> usize {
        self.cases.iter().filter(|case| case.because == Because::Merged).count()
    }

    /// What happens, in a sentence without its subject: `is permitted if …; otherwise it fails with …`.
    pub(super) fn sentence(&self) -> String {
        let mut parts: Vec<String> = Vec::new();
        if let [case] = &self.cases[..]
            && case.because == Because::TooComplex
        {
            return "depends on its arguments in too many ways to be spelt out".to_owned();
        }
        if self.merged() > 0 {
            parts.push("libseccomp merges the rules to something that none of them says".to_owned());
        }
        let mut open = &self.cases[..];
        while let Some((first, rest)) = open.split_first() {
            let outcome = words::outcome(first.verdict);
            let alike = 1 + rest.iter().take_while(|case| case.joins(first)).count();
            if first.when.is_empty() {
                parts.push(match first.because {
                    Because::Merged if self.merged() > 1 => format!("in other cases it perhaps {outcome}"),
                    _ if self.cases.len() == 1 => outcome,
                    _ => format!("otherwise it {outcome}"),
                });
            } else {
                let pronoun = if parts.is_empty() { "" } else { "it " };
                parts.push(format!("{pronoun}{outcome} {}", conditions(self.name, &open[..alike])));
            }
            open = &open[alike..];
        }
        parts.join("; ")
    }
}

impl CaseView {
    fn of(call: &str, case: &Case) -> Self {
        let because = match case.basis {
            Basis::Rule { rule, .. } => Because::Rule(rule),
            Basis::Default => Because::Default,
            Basis::Stub { .. } => Because::AboveHighest,
            Basis::OtherArchitecture => Because::OtherArchitecture,
            Basis::Merged => Because::Merged,
        };
        Self {
            when: case.conditions.iter().map(|condition| words::condition(call, *condition)).collect(),
            verdict: case.verdict,
            because,
            conditions: case.conditions.clone(),
        }
    }

    fn unknown(verdict: Verdict) -> Self {
        Self { when: Vec::new(), verdict, because: Because::TooComplex, conditions: Vec::new() }
    }

    /// Whether this case and one before it are one sentence.
    fn joins(&self, earlier: &Self) -> bool {
        !self.when.is_empty() && !earlier.when.is_empty() && self.verdict == earlier.verdict
    }

    /// The condition, if there is one and it is no mask.
    fn comparison(&self) -> Option<Condition> {
        match self.conditions[..] {
            [only] if only.comparison() != Comparison::MaskedEqual => Some(only),
            _ => None,
        }
    }
}

/// `if A and B, or if C`.
fn conditions(call: &str, cases: &[CaseView]) -> String {
    let index = cases.first().and_then(CaseView::comparison).map(Condition::index);
    let compared: Option<Vec<Condition>> = cases
        .iter()
        .map(|case| case.comparison().filter(|condition| Some(condition.index()) == index))
        .collect();
    // Comparisons of one argument name it once.
    if let (Some(index), Some(mut compared), true) = (index, compared, cases.len() > 1) {
        compared.sort_by_key(|condition| condition.value());
        let of = |equal: bool| {
            compared
                .iter()
                .filter(move |condition| (condition.comparison() == Comparison::Equal) == equal)
                .map(|condition| words::predicate(call, *condition))
        };
        let mut predicates: Vec<String> = of(false).collect();
        let equal: Vec<String> =
            of(true).map(|text| text.strip_prefix("is ").unwrap_or(&text).to_owned()).collect();
        if !equal.is_empty() {
            predicates.push(format!("is {}", listed(&equal)));
        }
        return format!("if {} {}", words::argument(call, index), predicates.join(", or "));
    }
    let each: Vec<String> = cases.iter().map(|case| format!("if {}", case.when.join(" and "))).collect();
    each.join(", or ")
}

/// `a, b or c`.
fn listed(items: &[String]) -> String {
    match items {
        [] => String::new(),
        [one] => one.clone(),
        [most @ .., last] => format!("{} or {last}", most.join(", ")),
    }
}

fn access(cases: &[CaseView]) -> Access {
    let permits = |case: &CaseView| case.verdict.permission() >= Permission::Log;
    let delegates = |case: &CaseView| case.verdict.is_delegated();
    let is_known = cases.iter().all(|case| case.because != Because::TooComplex);
    if is_known && cases.iter().all(|case| permits(case) && !delegates(case)) {
        Access::Permitted
    } else if is_known && !cases.iter().any(permits) {
        Access::Refused
    } else {
        Access::Conditional
    }
}
