//! The view as text.

use std::collections::BTreeMap;

use filter::{Permission, Verdict};
use lint::Severity;
use profile::Architecture;
use syscalls::Group;

use super::call::{Access, CallView};
use super::compare::{Comparison, Excess, Relation};
use super::finding::FindingView;
use super::view::{Counts, ExplainView, FilterView, GroupView, IgnoredBecause, ProfileView};
use super::words;
use crate::show::{Paint, Tone, count};

/// The maximum width of a line, so that it fits beside another window.
const WIDTH: usize = 100;
/// How far lists are indented below what they are about.
const INDENT: usize = 4;

impl ExplainView {
    /// The view as text.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let all: Vec<String> = self.profiles.iter().map(|profile| profile.render(paint)).collect();
        all.join("\n")
    }
}

impl ProfileView {
    fn render(&self, paint: Paint) -> String {
        let mut out = Lines { paint, text: String::new() };
        let node = &self.node;
        out.line(0, Tone::Heading, &self.title());
        let architecture = short(node.architecture);
        out.line(
            2,
            Tone::Plain,
            &format!("under {} with libseccomp {} on {architecture}", node.runtime, node.libseccomp),
        );
        match &self.filter {
            None => {
                let why = self.consequence.as_deref().unwrap_or_default();
                out.blank();
                out.line(0, Tone::Bad, why);
                self.findings(None, &mut out);
            }
            Some(filter) => self.filter(filter, &mut out),
        }
        out.text
    }

    fn filter(&self, filter: &FilterView, out: &mut Lines) {
        out.blank();
        out.line(2, Tone::Plain, &counted(filter.counts(), self.node.architecture));
        out.section("Calls that no rule names");
        for sentence in unnamed(filter, self.node.architecture) {
            out.line(2, Tone::Plain, &sentence);
        }
        out.section("Programs of other architectures");
        for sentence in others(filter) {
            out.line(2, Tone::Plain, &sentence);
        }
        for view in &filter.architectures {
            let name = short(view.architecture);
            if !view.different.is_empty() {
                out.line(
                    2,
                    Tone::Plain,
                    &format!("{name} otherwise than {}:", short(self.node.architecture)),
                );
                out.calls(&view.different);
            }
            if !view.only_here.is_empty() {
                out.line(2, Tone::Plain, &format!("Only on {name}:"));
                out.calls(&view.only_here);
            }
        }
        if !filter.ignored.is_empty() {
            out.section("Names without effect");
            for (because, why) in [
                (IgnoredBecause::Unknown, "No Linux has a call of this name"),
                (IgnoredBecause::UnknownToLibseccomp, "The node's libseccomp does not know the name"),
                (IgnoredBecause::Exempt, "Linux passes the call around every filter"),
            ] {
                let names: Vec<&str> =
                    filter.ignored.iter().filter(|it| it.because == because).map(|it| &*it.name).collect();
                if !names.is_empty() {
                    out.labelled(Tone::Bad, why, &names.join(", "));
                }
            }
        }
        for group in &filter.groups {
            out.group(group);
            self.findings(Some(group.group), out);
        }
        match &filter.comparison {
            Some(comparison) => out.comparison(comparison),
            None => {
                out.section("Compared with a runtime's default");
                out.line(2, Tone::Plain, &format!("None is known for {}.", short(self.node.architecture)));
            }
        }
        self.findings(None, out);
    }

    /// The findings about a group, or those about none.
    fn findings(&self, group: Option<&str>, out: &mut Lines) {
        // A group without calls on this architecture has no section of its own.
        let has_section = |of: Option<&str>| {
            let groups = self.filter.as_ref().map_or(&[][..], |filter| &filter.groups);
            of.is_some_and(|of| groups.iter().any(|group| group.group == of))
        };
        let belongs = |finding: &&FindingView| match group {
            Some(_) => finding.group == group,
            None => !has_section(finding.group),
        };
        let found: Vec<_> = self.findings.iter().filter(belongs).collect();
        if group.is_none() && !found.is_empty() {
            out.section("Findings about the whole profile, or about several groups");
        }
        for finding in found {
            out.finding(finding, &self.file);
        }
    }
}

/// Lines of at most [`WIDTH`] characters.
struct Lines {
    paint: Paint,
    text: String,
}

impl Lines {
    fn blank(&mut self) {
        self.text.push('\n');
    }

    fn section(&mut self, title: &str) {
        self.blank();
        self.line(0, Tone::Heading, title);
    }

    /// A paragraph.
    fn line(&mut self, indent: usize, tone: Tone, text: &str) {
        for line in wrapped(text, WIDTH - indent, 0) {
            self.text += &" ".repeat(indent);
            self.text += &self.paint.text(&line, tone);
            self.blank();
        }
    }

    /// A paragraph after a word in a tone.
    fn labelled(&mut self, tone: Tone, label: &str, text: &str) {
        let lines = wrapped(&format!("{label}: {text}"), WIDTH - 2, INDENT - 2);
        let mut label = format!("{label}:");
        for (at, line) in lines.iter().enumerate() {
            let indent = if at == 0 { 2 } else { INDENT };
            self.text += &" ".repeat(indent);
            // A label that does not fit into the first line has no tone.
            match line.strip_prefix(&*label) {
                Some(rest) if at == 0 => {
                    self.text += &self.paint.text(&label, tone);
                    self.text += &self.paint.text(rest, Tone::Plain);
                }
                _ => self.text += &self.paint.text(line, Tone::Plain),
            }
            self.blank();
        }
        label.clear();
    }

    fn group(&mut self, group: &GroupView) {
        self.section(&format!("{} ({})", group.title, group.counts()));
        self.calls(&group.calls);
    }

    /// Calls: those with one verdict together, the others in a sentence each.
    fn calls(&mut self, calls: &[CallView]) {
        let mut alike: BTreeMap<(Access, std::cmp::Reverse<Permission>, Verdict), Vec<&str>> =
            BTreeMap::new();
        let mut sentences = Vec::new();
        for call in calls {
            match call.verdict() {
                Some(verdict) => {
                    let key = (call.access, std::cmp::Reverse(verdict.permission()), verdict);
                    alike.entry(key).or_default().push(call.name);
                }
                None => sentences.push(call),
            }
        }
        let (permitted, others): (Vec<_>, Vec<_>) =
            alike.into_iter().partition(|((access, ..), _)| *access == Access::Permitted);
        for ((.., verdict), names) in permitted {
            self.labelled(Tone::Good, &words::heading(verdict), &names.join(", "));
        }
        for call in sentences {
            self.labelled(tone(call.access), "depends", &format!("{} {}", call.name, call.sentence()));
        }
        for ((access, _, verdict), names) in others {
            let label = match access {
                Access::Refused => format!("refused, {}", words::heading(verdict)),
                _ => words::heading(verdict),
            };
            self.labelled(tone(access), &label, &names.join(", "));
        }
    }

    fn comparison(&mut self, comparison: &Comparison) {
        self.section(&format!("Compared with the default of {}", comparison.default));
        if comparison.is_same() {
            self.line(2, Tone::Good, "It permits as much, for every call and all arguments.");
            return;
        }
        let list = |all: &[&Excess]| -> String {
            let shown = all.iter().map(|it| match &it.example {
                Some(example) => format!("{} (for example with {example})", it.name),
                None => it.name.to_owned(),
            });
            shown.collect::<Vec<_>>().join(", ")
        };
        for (all, tone, what) in [
            (&comparison.permitted, Tone::Bad, "permitted beyond the default"),
            (&comparison.refused, Tone::Good, "refused or more restricted than by the default"),
        ] {
            if all.is_empty() {
                self.labelled(Tone::Plain, what, "nothing");
            } else {
                self.line(2, tone, &format!("{what}, {}:", count(all.len(), "call")));
                for (title, all) in by_group(all) {
                    self.labelled(Tone::Plain, title, &list(&all));
                }
            }
        }
        if let Some(gap) = comparison.gap() {
            self.line(2, Tone::Waiting, &gap);
        }
        let (sentence, tone) = match comparison.unnamed {
            Relation::Same => return self.architectures(comparison),
            Relation::Permitted => {
                ("Calls that Linux does not have yet are permitted, unlike by the default.", Tone::Bad)
            }
            Relation::Refused => {
                ("Calls that Linux does not have yet are refused, unlike by the default.", Tone::Good)
            }
        };
        self.line(2, tone, sentence);
        self.architectures(comparison);
    }

    fn architectures(&mut self, comparison: &Comparison) {
        for (architectures, tone, what) in [
            (&comparison.more_architectures, Tone::Bad, "run, unlike under the default"),
            (&comparison.missing_architectures, Tone::Good, "do not run, unlike under the default"),
        ] {
            if !architectures.is_empty() {
                let names: Vec<_> = architectures.iter().map(|it| short(*it)).collect();
                self.line(2, tone, &format!("Programs of {} {what}.", names.join(" and ")));
            }
        }
    }

    fn finding(&mut self, finding: &FindingView, file: &str) {
        let tone = match finding.severity {
            Severity::Error => Tone::Bad,
            Severity::Warning => Tone::Waiting,
            Severity::Info => Tone::Heading,
        };
        let place = format!("{file}:{}:{}", finding.position.line, finding.position.column);
        let label = format!("{}[{}] at {place}", finding.severity, finding.rule);
        self.labelled(tone, &label, &finding.message);
    }
}

/// Calls by the title of their group.
pub(super) fn by_group(all: &[Excess]) -> Vec<(&'static str, Vec<&Excess>)> {
    let of = |group| all.iter().filter(|it| it.group() == group).collect::<Vec<_>>();
    let groups = Group::ALL.into_iter().map(|group| (group.title(), of(group)));
    groups.filter(|(_, all)| !all.is_empty()).collect()
}

fn tone(access: Access) -> Tone {
    match access {
        Access::Permitted => Tone::Good,
        Access::Conditional => Tone::Waiting,
        Access::Refused => Tone::Bad,
    }
}

/// How many calls are permitted, in a sentence.
pub(super) fn counted(counts: Counts, architecture: Architecture) -> String {
    format!("{} system calls of {}: {}.", counts.all(), short(architecture), counts)
}

/// What happens to calls that no rule names, in sentences.
pub(super) fn unnamed(filter: &FilterView, architecture: Architecture) -> Vec<String> {
    let outcome = words::outcome(filter.default);
    let Some(highest) = &filter.highest else {
        return vec![format!("Such a call {outcome}.")];
    };
    let name = highest.name.map(|name| format!(" ({name})")).unwrap_or_default();
    vec![
        format!("Such a call {outcome}."),
        format!(
            "A call with a number above {}{name} on {}, the highest that the rules name, fails with ENOSYS (38) instead: \
             runc does this so that programs fall back to older calls. crun does not.",
            highest.number,
            short(architecture)
        ),
    ]
}

/// What happens to programs of other architectures, in sentences.
pub(super) fn others(filter: &FilterView) -> Vec<String> {
    let names = |all: &[Architecture]| all.iter().map(|it| short(*it)).collect::<Vec<_>>().join(" and ");
    let mut sentences: Vec<String> = filter
        .architectures
        .iter()
        .map(|view| {
            let (name, counts) = (short(view.architecture), view.counts);
            format!("{name}: the filter covers its {} calls: {counts}.", counts.all())
        })
        .collect();
    if !filter.uncovered.is_empty() {
        sentences.push(format!(
            "{}: the profile does not list the architecture, and the first call of such a program ends its thread.",
            names(&filter.uncovered)
        ));
    }
    if sentences.is_empty() {
        sentences.push("The node runs none.".to_owned());
    }
    sentences
}

/// The kernel's name of an architecture.
pub(super) fn short(architecture: Architecture) -> &'static str {
    let name = architecture.name();
    syscalls::Architecture::from_oci_name(name).map_or(name, syscalls::Architecture::name)
}

/// A text in lines of at most `width` characters, as far as its words allow; all but the first are indented by the
/// caller, so that they are shorter by `hanging`.
fn wrapped(text: &str, width: usize, hanging: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut line = String::new();
    for word in text.split(' ') {
        let limit = if lines.is_empty() { width } else { width - hanging };
        if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > limit {
            lines.push(std::mem::take(&mut line));
        }
        if !line.is_empty() {
            line.push(' ');
        }
        line += word;
    }
    lines.push(line);
    lines
}
