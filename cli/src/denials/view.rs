//! The answer of `denials`.

use std::collections::BTreeSet;

use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::{Allowing, Contents, Denial, Gap, Known, denials};
use crate::show::{Cell, Paint, Table, Tone, age};
use crate::users::Unread;

/// For so many calls the answer says what would allow them: `lint` takes a moment for each.
const MAX_ALLOWING: usize = 20;

/// The refused and logged calls, newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DenialsView {
    /// The calls.
    pub denials: Vec<Denial>,
    /// What would allow them, for the newest ones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowing: Vec<Allowing>,
    /// Nodes of which the answer is not complete.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub incomplete: Vec<Gap>,
    /// Kinds that the user may not list, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// How many nodes have an observation.
    #[serde(skip)]
    observed: usize,
}

impl DenialsView {
    /// The calls that are wanted.
    #[must_use]
    pub fn of(known: Known<'_>) -> Self {
        let observed = known.observed;
        Self {
            denials: denials(known),
            incomplete: observed.iter().filter_map(Gap::of).collect(),
            observed: observed.len(),
            ..Self::default()
        }
    }

    /// The profiles whose contents [`Self::explain`] needs.
    #[must_use]
    pub fn profiles(&self) -> BTreeSet<&str> {
        self.pairs().into_iter().map(|(profile, _)| profile).collect()
    }

    /// Adds what would allow the newest calls.
    pub fn explain(&mut self, contents: &Contents) {
        let allowing = self
            .pairs()
            .into_iter()
            .filter_map(|(profile, call)| Allowing::of(profile, contents.get(profile)?, call));
        self.allowing = allowing.collect();
    }

    fn pairs(&self) -> Vec<(&str, &str)> {
        let mut seen = BTreeSet::new();
        let all = self.denials.iter().filter_map(|it| Some((it.profile.as_deref()?, it.call.as_str())));
        all.filter(|pair| seen.insert(*pair)).take(MAX_ALLOWING).collect()
    }

    /// The view as text, without what it does not cover.
    #[must_use]
    pub fn render(&self, paint: Paint, now: Timestamp) -> String {
        if self.denials.is_empty() {
            let why = match self.observed {
                0 => "No node is observed: the chart's value observer.enabled turns the observers on.",
                _ => {
                    "No refused or logged call is known. SCMP_ACT_ERRNO makes no record without spec.report: true."
                }
            };
            return format!("{why}\n");
        }
        let mut table =
            Table::new(["LAST", "PROFILE", "NAMESPACE", "WORKLOAD", "CONTAINER", "CALL", "ACTION", "COUNT"]);
        for it in &self.denials {
            let call = match it.architecture.as_str() {
                "x86_64" | "aarch64" => it.call.clone(),
                architecture => format!("{architecture}:{}", it.call),
            };
            let action = it.action.strip_prefix("SCMP_ACT_").unwrap_or(&it.action);
            let tone = if action == "LOG" { Tone::Waiting } else { Tone::Bad };
            table.row([
                age(it.last.as_ref(), now).into(),
                it.profile.as_deref().unwrap_or("-").into(),
                (&it.namespace).into(),
                format!("{}/{}", it.kind.to_lowercase(), it.name).into(),
                (&it.container).into(),
                call.into(),
                Cell::toned(action, tone),
                it.count.into(),
            ]);
        }
        let mut text = table.render(paint);
        if !self.allowing.is_empty() {
            text += "\nWhat would allow them, in spec.contents.syscalls:\n";
        }
        for it in &self.allowing {
            let line = format!("{}: {}", it.profile, it.change);
            text += &format!("{}\n", paint.text(&line, Tone::Plain));
            for finding in &it.findings {
                text += &format!("  lint then finds {}\n", paint.text(finding, Tone::Waiting));
            }
        }
        text
    }

    /// What the answer does not cover.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let gaps = self.incomplete.iter().map(|it| format!("incomplete: {it}"));
        let unread = self.unread.iter().map(|it| format!("not checked: {}: {}", it.kind, it.message));
        gaps.chain(unread).collect()
    }
}
