//! The verdicts of the calls in a log, as users and programs see them.

use std::ops::Range;

use serde::Serialize;

use super::calls::CaseView;
use crate::excerpt::marked;
use crate::show::{Paint, Tone, count, notes};

/// What a profile does with the calls in a log.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct TraceView {
    pub(crate) file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) profile: Option<String>,
    pub(crate) runtime: &'static str,
    pub(crate) logs: Vec<String>,
    /// The number of calls.
    pub(crate) calls: u64,
    pub(crate) permitted: u64,
    /// The number of different calls.
    pub(crate) kinds: usize,
    pub(crate) refused: Vec<CallOutcome>,
    pub(crate) possibly_refused: Vec<CallOutcome>,
    /// The number of lines that are neither calls nor anything else that strace writes.
    pub(crate) unread_lines: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) first_unread: Option<FirstLine>,
    pub(crate) other_runtime: &'static str,
    /// The calls for which the other runtime's verdicts are different ones.
    pub(crate) decides_otherwise: Vec<String>,
    /// What the verdicts do not say.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) notes: Vec<String>,
}

/// Calls in a log with the same name and the same outcome.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct CallOutcome {
    pub(crate) call: String,
    #[serde(skip)]
    pub(crate) certainty: Certainty,
    pub(crate) count: u64,
    /// The arguments that decide and are not in the log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) depends_on: Vec<u8>,
    pub(crate) cases: Vec<CaseView>,
    /// Why there are no cases.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) note: Option<&'static str>,
    pub(crate) first: FirstLine,
}

/// Whether a call is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Certainty {
    /// It is.
    Refused,
    /// It depends on what the log does not show.
    Possible,
}

/// The first line of some.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct FirstLine {
    pub(crate) log: String,
    pub(crate) line: usize,
    pub(crate) text: String,
    /// The characters that are underlined.
    #[serde(skip)]
    pub(crate) part: Range<usize>,
}

impl TraceView {
    /// Whether every call is certainly permitted.
    pub(crate) fn permits_all(&self) -> bool {
        self.refused.is_empty() && self.possibly_refused.is_empty()
    }

    /// The view as text.
    pub(crate) fn render(&self, paint: Paint) -> String {
        let mut text = String::new();
        for outcome in self.refused.iter().chain(&self.possibly_refused) {
            text += &outcome.render(paint);
            text.push('\n');
        }
        if let Some(first) = &self.first_unread {
            let head = paint.text("not read", Tone::Waiting);
            let lines = count(usize::try_from(self.unread_lines).unwrap_or(usize::MAX), "line");
            text += &format!("{head}: {lines}\n{}\n", first.render(paint, Tone::Waiting));
        }
        if !self.decides_otherwise.is_empty() {
            let calls = self.decides_otherwise.join(", ");
            let line = format!("{} decides otherwise about {calls}", self.other_runtime);
            text += &format!("{}\n", paint.text(&line, Tone::Plain));
        }
        text + &notes(&self.notes, paint) + &self.summary()
    }

    fn summary(&self) -> String {
        let sum = |outcomes: &[CallOutcome]| outcomes.iter().map(|it| it.count).sum::<u64>();
        let mut parts = vec![format!("{} permitted", self.permitted)];
        for (outcomes, what) in [(&self.refused, "refused"), (&self.possibly_refused, "possibly refused")] {
            if !outcomes.is_empty() {
                parts.push(format!("{} {what}", sum(outcomes)));
            }
        }
        let calls = count(usize::try_from(self.calls).unwrap_or(usize::MAX), "call");
        format!("{calls} of {}: {}\n", count(self.kinds, "kind"), parts.join(", "))
    }
}

impl CallOutcome {
    fn render(&self, paint: Paint) -> String {
        let (word, tone) = match self.certainty {
            Certainty::Refused => ("refused", Tone::Bad),
            Certainty::Possible => ("possibly refused", Tone::Waiting),
        };
        let calls = count(usize::try_from(self.count).unwrap_or(usize::MAX), "call");
        let what = match (&self.cases[..], self.note) {
            ([one], _) => format!("{} ({})", one.verdict, one.reason.text),
            (_, Some(note)) => note.to_owned(),
            _ if self.depends_on.is_empty() => "depends on how the call was made".to_owned(),
            _ => {
                let indexes: Vec<_> = self.depends_on.iter().map(ToString::to_string).collect();
                let s = if indexes.len() == 1 { "" } else { "s" };
                format!(
                    "depends on argument{s} {}, which the log does not show in full",
                    indexes.join(" and ")
                )
            }
        };
        let head =
            format!("{}: {}, {calls}: ", paint.text(word, tone), paint.text(&self.call, Tone::Heading));
        let mut text = head + &paint.text(&what, Tone::Plain) + "\n" + &self.first.render(paint, tone);
        if self.cases.len() > 1 {
            for case in &self.cases {
                let word = if case.when.is_empty() { "" } else { "if " };
                let condition = case.condition(self.cases.len());
                let line = format!("{} {word}{condition} ({})", case.verdict, case.reason.text);
                text += &format!("  = {}\n", paint.text(&line, Tone::Plain));
            }
        }
        text
    }
}

impl FirstLine {
    fn render(&self, paint: Paint, tone: Tone) -> String {
        let place = paint.text(&format!("{}:{}", self.log, self.line), Tone::Plain);
        format!(" --> {place}\n{}", marked(&self.text, self.line, self.part.clone(), paint, tone))
    }
}
