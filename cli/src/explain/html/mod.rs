//! The view as one HTML page: no script, nothing from elsewhere.
//!
//! The first part shows each group as an area with a square for each call, the second names the calls, with their
//! conditions, what differs from the runtime's default, and the findings.

mod writer;

use std::collections::{BTreeMap, BTreeSet};

use filter::Verdict;

use self::writer::Writer;
use super::call::{Access, CallView};
use super::compare::{Comparison, Excess, Relation};
use super::finding::FindingView;
use super::text::{others, short, unnamed};
use super::view::{Counts, ExplainView, FilterView, GroupView, IgnoredBecause, ProfileView};
use super::words;

/// What a browser may load for the page: nothing but its own style.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'";

impl ExplainView {
    /// The view as a page.
    #[must_use]
    pub fn page(&self) -> String {
        let titles: Vec<_> = self.profiles.iter().map(ProfileView::title).collect();
        let mut page = Writer::default();
        page.ours("<!DOCTYPE html>\n");
        page.element("html", &[("lang", "en")], |page| {
            page.element("head", &[], |page| {
                page.void("meta", &[("charset", "utf-8")]);
                page.void("meta", &[("http-equiv", "Content-Security-Policy"), ("content", POLICY)]);
                page.void(
                    "meta",
                    &[("name", "viewport"), ("content", "width=device-width, initial-scale=1")],
                );
                page.leaf("title", &[], &format!("What {} does", titles.join(", ")));
                page.element("style", &[], |page| page.ours(include_str!("style.css")));
            });
            page.element("body", &[], |page| {
                page.element("main", &[], |page| {
                    for (at, profile) in self.profiles.iter().enumerate() {
                        // Ids begin with it, because a page may have several profiles.
                        page.element("article", &[], |page| article(page, profile, &format!("p{at}")));
                    }
                });
            });
        });
        page.finish() + "\n"
    }
}

/// What the default of a runtime does with the calls of a profile.
#[derive(Default)]
struct Marks<'v> {
    beyond: BTreeSet<&'v str>,
    below: BTreeSet<&'v str>,
}

impl<'v> Marks<'v> {
    fn of(comparison: Option<&'v Comparison>) -> Self {
        let names = |all: &'v [Excess]| all.iter().map(|it| it.name).collect();
        comparison
            .map_or_else(Self::default, |it| Self { beyond: names(&it.permitted), below: names(&it.refused) })
    }

    fn class(&self, call: &CallView) -> String {
        let beyond = if self.beyond.contains(call.name) { " beyond" } else { "" };
        let below = if self.below.contains(call.name) { " below" } else { "" };
        format!("call {}{beyond}{below}", class(call.access))
    }
}

fn article(out: &mut Writer, profile: &ProfileView, prefix: &str) {
    out.leaf("h1", &[("id", prefix)], &format!("What {} does", profile.title()));
    let node = &profile.node;
    let node = format!(
        "Under {} with libseccomp {} on {}.",
        node.runtime,
        node.libseccomp,
        short(node.architecture)
    );
    out.leaf("p", &[("class", "soft")], &node);
    match &profile.filter {
        None => {
            let why = profile.consequence.as_deref().unwrap_or_default();
            out.leaf("p", &[("class", "bad")], why);
            profile.findings.iter().for_each(|finding| write_finding(out, finding));
        }
        Some(filter) => explained(out, profile, filter, prefix),
    }
}

fn explained(out: &mut Writer, profile: &ProfileView, filter: &FilterView, prefix: &str) {
    tiles(out, filter.counts());
    map(out, filter, prefix);
    let general: Vec<_> = profile.findings.iter().filter(|finding| !has_section(finding, filter)).collect();
    if !general.is_empty() {
        out.leaf("h2", &[], "Findings about the whole profile, or about several groups");
        general.iter().for_each(|finding| write_finding(out, finding));
    }
    rest(out, profile, filter);
    comparison(out, filter, prefix);
    out.leaf("h2", &[], "Call by call");
    if filter.comparison.is_some() {
        out.element("p", &[("class", "legend")], |out| {
            for (class, text) in [
                ("call beyond", "permitted beyond the default"),
                ("call below", "refused, or more restricted, and permitted by the default"),
            ] {
                out.element("span", &[], |out| {
                    out.leaf("code", &[("class", class)], "name");
                    out.text(&format!(" {text}"));
                });
            }
        });
    }
    let marks = Marks::of(filter.comparison.as_ref());
    for group in &filter.groups {
        let id = format!("{prefix}-{}", group.group);
        out.element("section", &[("class", "group"), ("id", &id)], |out| {
            out.element("div", &[("class", "head")], |out| {
                out.leaf("h3", &[], group.title);
                out.leaf("small", &[("class", "soft")], &group.counts().to_string());
            });
            calls(out, &group.calls, &marks, Some(prefix));
            let findings = profile.findings.iter().filter(|finding| finding.group == Some(group.group));
            findings.for_each(|finding| write_finding(out, finding));
        });
    }
    footer(out, filter);
}

/// Each group as an area with a square for each call.
fn map(out: &mut Writer, filter: &FilterView, prefix: &str) {
    out.leaf("h2", &[], "At a glance");
    out.element("p", &[("class", "legend")], |out| {
        for (class, text) in [("yes", "permitted"), ("some", "depends on the arguments"), ("no", "refused")] {
            out.element("span", &[], |out| {
                out.leaf("i", &[("class", class)], "");
                out.text(text);
            });
        }
        out.leaf("span", &[], "A square is a system call.");
    });
    out.element("div", &[("class", "areas")], |out| {
        for group in &filter.groups {
            area(out, group, &format!("#{prefix}-{}", group.group));
        }
    });
}

fn area(out: &mut Writer, group: &GroupView, target: &str) {
    // As wide as a square of these cells, and wide enough for the title.
    let columns = (2 * group.calls.len()).isqrt().max(8);
    let style = format!("flex-basis: {}rem", columns + 2);
    out.element("a", &[("class", "area"), ("href", target), ("style", &style)], |out| {
        out.leaf("b", &[], group.title);
        out.leaf("small", &[], &group.counts().to_string());
        out.element("span", &[("class", "cells")], |out| {
            let mut sorted: Vec<Access> = group.calls.iter().map(|call| call.access).collect();
            sorted.sort_unstable();
            for access in sorted {
                out.leaf("i", &[("class", class(access))], "");
            }
        });
    });
}

fn tiles(out: &mut Writer, counts: Counts) {
    let all = [
        ("yes", counts.permitted, "permitted"),
        ("some", counts.conditional, "depend on the arguments, or on another process"),
        ("no", counts.refused, "refused"),
    ];
    out.element("div", &[("class", "tiles")], |out| {
        for (class, number, text) in all {
            out.element("div", &[("class", &format!("tile {class}"))], |out| {
                out.leaf("b", &[], &number.to_string());
                out.text(text);
            });
        }
    });
    out.element("div", &[("class", "bar")], |out| {
        for (class, number, _) in all.into_iter().filter(|(_, number, _)| *number > 0) {
            out.leaf("span", &[("class", class), ("style", &format!("flex: {number}"))], "");
        }
    });
}

/// Calls that no rule names, other architectures, and names without effect.
fn rest(out: &mut Writer, profile: &ProfileView, filter: &FilterView) {
    out.leaf("h2", &[], "Calls that no rule names");
    unnamed(filter, profile.node.architecture).iter().for_each(|text| out.leaf("p", &[], text));
    out.leaf("h2", &[], "Programs of other architectures");
    others(filter).iter().for_each(|text| out.leaf("p", &[], text));
    for view in &filter.architectures {
        for (all, title) in
            [(&view.different, "otherwise than on the node's architecture"), (&view.only_here, "only there")]
        {
            if !all.is_empty() {
                out.element("section", &[("class", "group")], |out| {
                    out.leaf("h3", &[], &format!("{}: {title}", short(view.architecture)));
                    calls(out, all, &Marks::default(), None);
                });
            }
        }
    }
    if !filter.ignored.is_empty() {
        out.leaf("h2", &[], "Names without effect");
        out.element("ul", &[], |out| {
            for ignored in &filter.ignored {
                let why = match ignored.because {
                    IgnoredBecause::Unknown => "no Linux has a call of this name",
                    IgnoredBecause::UnknownToLibseccomp => "the node's libseccomp does not know the name",
                    IgnoredBecause::Exempt => "Linux passes the call around every filter",
                };
                out.element("li", &[], |out| {
                    out.leaf("code", &[], &ignored.name);
                    out.text(&format!(": {why}"));
                });
            }
        });
    }
}

/// Calls: those with one verdict together, the others with their conditions.
fn calls(out: &mut Writer, calls: &[CallView], marks: &Marks<'_>, prefix: Option<&str>) {
    let mut alike: BTreeMap<(Access, Verdict), Vec<&CallView>> = BTreeMap::new();
    for call in calls {
        if let Some(verdict) = call.verdict() {
            alike.entry((call.access, verdict)).or_default().push(call);
        }
    }
    let chip = |out: &mut Writer, call: &CallView| {
        let class = marks.class(call);
        let id = prefix.map(|prefix| format!("{prefix}-call-{}", call.name));
        let attributes: Vec<_> =
            [("class", &*class)].into_iter().chain(id.as_deref().map(|id| ("id", id))).collect();
        out.leaf("code", &attributes, call.name);
    };
    let lists = |out: &mut Writer, permitted: bool| {
        for ((access, verdict), calls) in &alike {
            if (*access == Access::Permitted) != permitted {
                continue;
            }
            let heading = words::heading(*verdict);
            let heading = if *access == Access::Refused { format!("refused: {heading}") } else { heading };
            out.element("div", &[("class", "calls")], |out| {
                out.leaf("em", &[("class", class(*access))], &heading);
                calls.iter().for_each(|call| chip(out, call));
            });
        }
    };
    lists(out, true);
    for call in calls.iter().filter(|call| call.verdict().is_none()) {
        out.element("p", &[("class", "condition")], |out| {
            chip(out, call);
            out.text(&format!(" {}.", call.sentence()));
        });
    }
    lists(out, false);
}

fn comparison(out: &mut Writer, filter: &FilterView, prefix: &str) {
    let Some(comparison) = &filter.comparison else {
        out.leaf("h2", &[], "Compared with a runtime's default");
        return out.leaf("p", &[], "None is known for this architecture.");
    };
    out.leaf("h2", &[], &format!("Compared with the default of {}", comparison.default));
    if comparison.is_same() {
        return out.leaf("p", &[], "It permits as much, for every call and all arguments.");
    }
    out.element("ul", &[], |out| {
        out.element("li", &[], |out| {
            out.leaf("b", &[], &comparison.permitted.len().to_string());
            out.text(" permitted beyond the default");
            for (at, excess) in comparison.permitted.iter().enumerate() {
                out.text(if at == 0 { ": " } else { ", " });
                let target = format!("#{prefix}-call-{}", excess.name);
                out.element("a", &[("href", &target)], |out| out.leaf("code", &[], excess.name));
                if let Some(example) = &excess.example {
                    out.text(&format!(" (for example with {example})"));
                }
            }
        });
        out.element("li", &[], |out| {
            out.leaf("b", &[], &comparison.refused.len().to_string());
            out.text(" refused or more restricted than by the default: marked with \u{2212} below");
        });
        if let Some(gap) = comparison.gap() {
            out.leaf("li", &[], &gap);
        }
        match comparison.unnamed {
            Relation::Same => {}
            Relation::Permitted => {
                out.leaf(
                    "li",
                    &[],
                    "Calls that Linux does not have yet are permitted, unlike by the default.",
                );
            }
            Relation::Refused => {
                out.leaf("li", &[], "Calls that Linux does not have yet are refused, unlike by the default.");
            }
        }
        for (architectures, what) in [
            (&comparison.more_architectures, "run, unlike under the default"),
            (&comparison.missing_architectures, "do not run, unlike under the default"),
        ] {
            if !architectures.is_empty() {
                let names: Vec<_> = architectures.iter().map(|it| short(*it)).collect();
                out.leaf("li", &[], &format!("Programs of {} {what}.", names.join(" and ")));
            }
        }
    });
}

fn write_finding(out: &mut Writer, finding: &FindingView) {
    let class = format!("finding {}", finding.severity);
    out.element("p", &[("class", &class)], |out| {
        out.leaf("b", &[], &format!("{} {}", finding.severity, finding.rule));
        let position = finding.position;
        out.text(&format!(" in line {}, column {}: {}", position.line, position.column, finding.message));
    });
}

fn footer(out: &mut Writer, filter: &FilterView) {
    out.element("footer", &[], |out| {
        out.text(&format!(
            "Written by kubectl seccomp explain. Numbers and names of system calls: Linux {}.",
            syscalls::LINUX
        ));
        if let Some(comparison) = &filter.comparison {
            out.text(&format!(" The default of {}: {}.", comparison.default, comparison.source));
        }
    });
}

/// Whether a finding is shown in a group.
fn has_section(finding: &FindingView, filter: &FilterView) -> bool {
    filter.groups.iter().any(|group| Some(group.group) == finding.group)
}

fn class(access: Access) -> &'static str {
    match access {
        Access::Permitted => "yes",
        Access::Conditional => "some",
        Access::Refused => "no",
    }
}
