//! `lint`: what profiles in files do not do as their authors probably meant, and `rule`: the pages of the rules.

mod args;
mod fix;
pub mod fix_error;
mod github;
mod same_filter;
mod sarif;
mod unchecked;

use std::collections::BTreeMap;

use lint::{Finding, Nodes, RULES, Safety, Severity};
use profile::Profile;
use serde::Serialize;
use serde_json::Value;

use crate::error::CliError;
use crate::excerpt::excerpt;
use crate::manifest::Position;
use crate::replace::replace;
use crate::show::{Cell, Paint, Table, Tone, count};
use crate::sources::{Others, Source};
pub use args::{LintArgs, LintFormat};
use fix::Outcome;
pub use fix::{Fixed, NotFixed};
use unchecked::{Problem, Unchecked};

/// What to check for.
#[derive(Debug, Clone, Default)]
pub struct Checks {
    /// The nodes.
    pub nodes: Nodes,
    /// The rules whose findings are left out.
    pub ignored: Vec<String>,
    /// The rules that are checked only because they are requested.
    pub requested: Vec<String>,
}

impl Checks {
    /// The findings about a profile with these contents, without those of ignored rules.
    fn findings(&self, profile: &Profile, contents: &Value, is_plain: bool) -> Vec<Finding> {
        let requested: Vec<&str> = self.requested.iter().map(String::as_str).collect();
        let plain = is_plain.then(|| lint::check_plain(contents, &self.nodes)).flatten();
        let findings = lint::check_with(profile, &self.nodes, &requested).into_iter().chain(plain);
        let findings = findings.filter(|finding| !self.ignored.iter().any(|id| id == finding.rule));
        findings.map(|finding| finding.in_contents(contents)).collect()
    }
}

/// Findings about a profile that is in no file, a line each; or that there are none.
pub(crate) fn in_words(findings: &[Finding], paint: Paint) -> String {
    if findings.is_empty() {
        return "lint finds nothing\n".to_owned();
    }
    let line = |finding: &Finding| {
        let Finding { severity, path, message, rule, .. } = finding;
        let words = format!("{}: {path}: {message} ({rule})", severity.name());
        format!("lint finds {}\n", paint.text(&words, Tone::Waiting))
    };
    findings.iter().map(line).collect()
}

/// The findings in some files.
#[derive(Debug, Clone, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct FindingsView {
    /// The number of profiles.
    profiles: usize,
    /// What was fixed before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    fixed: Vec<Fixed>,
    /// Which fixes were left out, and why.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    not_fixed: Vec<NotFixed>,
    findings: Vec<PlacedFinding>,
    /// What is wrong with files that were not checked.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<Problem>,
    /// The same as people read it, a text for each file.
    #[serde(skip)]
    unchecked: Vec<String>,
    /// The text of each file.
    #[serde(skip)]
    sources: BTreeMap<String, String>,
}

/// A finding, and where it is.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlacedFinding {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    #[serde(flatten)]
    position: Position,
    #[serde(flatten)]
    finding: Finding,
}

impl FindingsView {
    /// Lints, and before fixes the files as the options say. A file that cannot be checked keeps no other one from being
    /// checked and fixed.
    ///
    /// # Errors
    /// Standard input or a profile in the cluster is to be fixed, a file cannot be written, or there is no profile at all.
    pub fn of(
        args: &LintArgs,
        sources: impl Iterator<Item = Result<Source, CliError>>,
    ) -> Result<Self, CliError> {
        let checks = args.checks();
        let mut view = Self::default();
        for source in sources {
            match source {
                Err(error) => view.add_unchecked(error),
                Ok(source) => match args.fixes() {
                    None => view.add(source, &checks),
                    Some(most) => view.fix(source, &checks, most)?,
                },
            }
        }
        if view.profiles == 0 && view.errors.is_empty() && args.others() == Others::Refuse {
            return Err(CliError::NoProfiles(args.files.clone()));
        }
        Ok(view)
    }

    /// Fixes a file, and adds the findings that are left.
    fn fix(&mut self, source: Source, checks: &Checks, most: Safety) -> Result<(), CliError> {
        let Some(path) = source.path.clone() else { return Err(CliError::NotAFile(source.name)) };
        let before = source.text.clone();
        let Outcome { source, fixed, not_fixed } = fix::fixed(source, checks, most)
            .map_err(|error| CliError::Document { path: path.clone(), error })?;
        if !fixed.is_empty() {
            replace(&path, &before, &source.text).map_err(|error| CliError::Write { path, error })?;
        }
        self.fixed.extend(fixed);
        self.not_fixed.extend(not_fixed);
        self.add(source, checks);
        Ok(())
    }

    fn add_unchecked(&mut self, error: CliError) {
        let Unchecked { problems, text } = error.into();
        self.errors.extend(problems);
        self.unchecked.push(text);
    }

    /// Why files were not checked, a text for each.
    #[must_use]
    pub fn unchecked(&self) -> &[String] {
        &self.unchecked
    }

    /// Adds the findings in a file, by the order of their lines.
    pub fn add(&mut self, source: Source, checks: &Checks) {
        let Source { name: file, text, profiles, .. } = source;
        let mut placed = Vec::new();
        for of in profiles {
            self.profiles += 1;
            for finding in checks.findings(&of.profile, &of.value, of.is_plain()) {
                let (file, profile) = (file.clone(), of.name.clone());
                let position = of.position(&finding.path);
                placed.push(PlacedFinding { file, profile, position, finding });
            }
        }
        placed.sort_by_key(|it| (it.position.line, it.position.column));
        self.findings.append(&mut placed);
        self.sources.insert(file, text);
    }

    /// Whether nothing was found.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// The findings as a SARIF log.
    #[must_use]
    pub fn sarif(&self) -> Value {
        sarif::log(&self.findings, &self.errors)
    }

    /// The findings, and what is wrong with files that were not checked, as commands of GitHub's workflows, a line each.
    #[must_use]
    pub fn github(&self) -> String {
        self.errors.iter().map(github::error).chain(self.findings.iter().map(github::command)).collect()
    }

    /// The view as text.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let fixed = self.fixed.iter().map(|it| paint.text(&it.line(), Tone::Good) + "\n");
        let not_fixed = self.not_fixed.iter().map(|it| paint.text(&it.line(), Tone::Waiting) + "\n");
        let fixed: String = fixed.chain(not_fixed).collect();
        let mut text = if fixed.is_empty() { fixed } else { fixed + "\n" };
        if self.profiles == 0 && !self.unchecked.is_empty() {
            // The errors say all.
            return text;
        }
        text.extend(self.findings.iter().map(|it| self.render_one(it, paint) + "\n"));
        let mut profiles = count(self.profiles, "profile");
        if !self.unchecked.is_empty() {
            profiles += &format!(", {} not checked", count(self.unchecked.len(), "file"));
        }
        text += &if self.is_clean() {
            format!("No findings in {profiles}\n")
        } else {
            let of = |severity| self.findings.iter().filter(|it| it.finding.severity == severity).count();
            let counts = [Severity::Error, Severity::Warning, Severity::Info]
                .into_iter()
                .filter(|severity| of(*severity) > 0)
                .map(|severity| format!("{severity}: {}", of(severity)));
            let counts: Vec<_> = counts.collect();
            format!("{} in {profiles} ({})\n", count(self.findings.len(), "finding"), counts.join(", "))
        };
        text
    }

    fn render_one(&self, it: &PlacedFinding, paint: Paint) -> String {
        let PlacedFinding { file, position, finding, .. } = it;
        let tone = tone(finding.severity);
        let head = paint.text(&format!("{}[{}]", finding.severity, finding.rule), tone);
        let place = paint.text(&format!("{file}:{}:{}", position.line, position.column), Tone::Plain);
        let source = self.sources.get(file).map_or("", String::as_str);
        let mut text = format!(
            "{head}: {}\n --> {place}\n{}",
            paint.text(&finding.message, Tone::Plain),
            excerpt(source, *position, paint, tone)
        );
        if let Some(fix) = &finding.fix {
            let safety = if fix.safety == Safety::Safe { "safe" } else { "unsafe" };
            text += &format!("  = fix ({safety}): {}\n", paint.text(&fix.title, Tone::Plain));
        }
        text
    }
}

fn tone(severity: Severity) -> Tone {
    match severity {
        Severity::Error => Tone::Bad,
        Severity::Warning => Tone::Waiting,
        Severity::Info => Tone::Heading,
    }
}

/// The page of a rule, or a table of all.
#[must_use]
pub fn page(id: Option<&str>, paint: Paint) -> String {
    if let Some(page) = id.and_then(lint::page) {
        return page;
    }
    let mut table = Table::new(["RULE", "SEVERITY", "MEANING"]);
    for rule in RULES {
        table.row([rule.id.into(), Cell::toned(rule.severity, tone(rule.severity)), rule.summary.into()]);
    }
    table.render(paint)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::*;

    #[derive(Parser)]
    struct Cli {
        #[command(flatten)]
        args: LintArgs,
    }

    const MANIFEST: &str = "\
apiVersion: seccomp.imjasonh.dev/v1alpha1
kind: SeccompProfile
metadata:
  name: web
spec:
  contents:
    defaultAction: SCMP_ACT_ERRNO
    architectures: [SCMP_ARCH_X86_64]
    syscalls:
      - names: [read, writ, exit_group]
        action: SCMP_ACT_ALLOW
      - names:
          - mount
        action: SCMP_ACT_ERRNO
";
    const JSON: &str = r#"{"defaultAction": "SCMP_ACT_KILL", "architectures": ["SCMP_ARCH_RISCV64"]}"#;

    fn view(checks: &Checks) -> FindingsView {
        let mut view = FindingsView::default();
        view.add(Source::of("web.yaml", None, MANIFEST.to_owned()).unwrap(), checks);
        view.add(Source::of("plain.json", None, JSON.to_owned()).unwrap(), checks);
        view
    }

    #[test]
    fn each_finding_is_shown_at_its_line_with_the_excerpt() {
        insta::assert_snapshot!(view(&Checks::default()).render(Paint::Plain));
    }

    #[test]
    fn programs_read_the_same_as_people() {
        insta::assert_snapshot!(serde_json::to_string_pretty(&view(&Checks::default())).unwrap());
    }

    #[test]
    fn findings_of_ignored_rules_are_left_out() {
        let rules = [
            "cannot-start",
            "unknown-syscall",
            "dead-rule",
            "missing-sub-architecture",
            "kill-thread-default",
            "architecture-unknown-to-runtime",
        ];
        let checks = Checks { ignored: rules.map(str::to_owned).to_vec(), ..Checks::default() };
        let view = view(&checks);
        assert!(view.is_clean());
        assert_eq!(view.render(Paint::Plain), "No findings in 2 profiles\n");
    }

    #[test]
    fn what_is_stated_of_the_nodes_and_requested_rules_determine_what_is_found() {
        let rules = |arguments: &[&str]| -> Vec<&str> {
            let args = Cli::try_parse_from([&["lint", "plain.json"], arguments].concat()).unwrap().args;
            let mut view = FindingsView::default();
            let text = r#"{"defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_RISCV64"]}"#;
            view.add(Source::of("plain.json", None, text.to_owned()).unwrap(), &args.checks());
            view.findings.iter().map(|it| it.finding.rule).collect()
        };
        assert_eq!(rules(&[]), ["log-left-in", "architecture-unknown-to-runtime"]);
        assert_eq!(rules(&["--runtime", "crun", "--runtime", "runc"]), ["log-left-in"]);
        let gvisor = ["--runtime", "crun", "--also", "otherwise-under-gvisor"];
        assert_eq!(rules(&gvisor), ["log-left-in", "otherwise-under-gvisor"]);
        let s390x = ["--runtime", "crun", "--architecture", "s390x"];
        assert_eq!(rules(&s390x), ["log-left-in", "other-byte-order"]);
    }

    /// A runtime reads a plain file as it is; the nodes' file of an object has no empty list.
    #[test]
    fn an_empty_list_of_flags_is_found_in_a_plain_file_and_not_in_an_object() {
        let rules = |text: &str| -> Vec<&str> {
            let mut view = FindingsView::default();
            view.add(Source::of("it", None, text.to_owned()).unwrap(), &Checks::default());
            view.findings.iter().map(|it| it.finding.rule).collect()
        };
        let plain = r#"{"defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "flags": []}"#;
        assert_eq!(rules(plain), ["flags-without-spec-allow"]);
        let object = r#"{"apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile", "metadata": {"name": "a"}, "spec": {"contents": CONTENTS}}"#;
        assert_eq!(rules(&object.replace("CONTENTS", plain)), Vec::<&str>::new());
    }

    #[test]
    fn every_rule_has_a_page_and_a_row() {
        let table = page(None, Paint::Plain);
        for rule in RULES {
            assert!(page(Some(rule.id), Paint::Plain).starts_with(&format!("# {}\n", rule.id)));
            assert!(table.contains(rule.id));
        }
    }
}
