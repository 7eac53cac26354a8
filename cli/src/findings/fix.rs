//! Applies the fixes of findings to the text of a file, one after the other, and verifies each.
//!
//! The text is read again after each fix: the profile must be the one that the fix gives, and all others must be as
//! before. After a safe fix the filter must be the same in every runtime and with every libseccomp that is known, on the
//! architectures of the nodes. A fix for which this is not so is left out, with the reason.

use std::collections::BTreeMap;

use lint::{Edit, Finding, Fix, Safety};
use profile::{FieldPath, Profile};
use serde::Serialize;

use super::Checks;
use super::fix_error::FixError;
use super::same_filter::same_filters;
use crate::edit::edited;
use crate::manifest::{DocumentError, FileProfile};
use crate::sources::Source;

/// The maximum number of fixes in one file: more than a profile has names.
const MAX_FIXES: usize = 10_000;

/// Where a fix belongs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct FixPlace {
    /// The file; if it has several profiles, with the profile's name.
    #[serde(skip)]
    shown: String,
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    rule: &'static str,
    /// The field: of a fix that was applied, in the file as it was before all of them; of one that was left out, in the file
    /// as it is now.
    path: String,
}

/// A finding that was fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fixed {
    #[serde(flatten)]
    place: FixPlace,
    safety: Safety,
    /// What was done.
    title: String,
}

impl Fixed {
    /// It in a line.
    pub(super) fn line(&self) -> String {
        let FixPlace { shown, rule, path, .. } = &self.place;
        format!("{shown}: fixed {rule} at {path}: {}", self.title)
    }
}

/// A fix that was left out, because it does not do what it should.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct NotFixed {
    #[serde(flatten)]
    place: FixPlace,
    /// The cause, as one word of a bounded set.
    reason: &'static str,
    /// The cause.
    message: String,
}

impl NotFixed {
    /// It in a line.
    pub(super) fn line(&self) -> String {
        let FixPlace { shown, rule, path, .. } = &self.place;
        format!("{shown}: fix of {rule} at {path} left out: {}", self.message)
    }
}

/// A file after its fixes.
#[derive(Debug)]
pub(super) struct Outcome {
    pub(super) source: Source,
    pub(super) fixed: Vec<Fixed>,
    pub(super) not_fixed: Vec<NotFixed>,
}

/// Applies all fixes of a safety. A fix that cannot be applied is left out, and is named if its finding is still there at
/// the end.
///
/// # Errors
/// The text cannot be read a second time.
pub(super) fn fixed(source: Source, checks: &Checks, most: Safety) -> Result<Outcome, DocumentError> {
    let (name, path, text) = (source.name.clone(), source.path.clone(), source.text.clone());
    let before: Vec<Profile> = source.profiles.iter().map(|of| of.profile.clone()).collect();
    let mut run = Run::new(source, checks, Verified::AtTheEnd);
    while run.step(Safety::Safe) {}
    let same =
        |(before, after): (&Profile, &FileProfile)| same_filters(before, &after.profile, checks).is_ok();
    if !before.iter().zip(&run.outcome.source.profiles).all(same) {
        // To compare the filters after each fix takes longer, so it is only done to find the ones that change them.
        run = Run::new(Source::of(&name, path, text)?, checks, Verified::EachTime);
        while run.step(Safety::Safe) {}
    }
    if most == Safety::Unsafe {
        // After an unsafe fix there may be new findings with safe ones.
        run.verified = Verified::EachTime;
        while run.step(Safety::Unsafe) {}
    }
    Ok(run.finish(most))
}

/// When the filters before and after safe fixes are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verified {
    AtTheEnd,
    EachTime,
}

struct Run<'c> {
    outcome: Outcome,
    checks: &'c Checks,
    verified: Verified,
    /// Which fixes cannot be applied, and why. Another fix may move a field, and then the fix is tried again.
    left_out: BTreeMap<Key, FixError>,
    /// What was changed, each with the index of the profile.
    edits: Vec<(usize, Edit)>,
}

/// What a fix belongs to: the index of the profile, and the rule, the field and the message of the finding.
type Key = (usize, &'static str, String, String);

impl<'c> Run<'c> {
    fn new(source: Source, checks: &'c Checks, verified: Verified) -> Self {
        let outcome = Outcome { source, fixed: Vec::new(), not_fixed: Vec::new() };
        Self { outcome, checks, verified, left_out: BTreeMap::new(), edits: Vec::new() }
    }

    /// Applies the first fix that can be applied; whether there was one.
    fn step(&mut self, most: Safety) -> bool {
        if self.outcome.fixed.len() >= MAX_FIXES {
            return false;
        }
        for index in 0..self.outcome.source.profiles.len() {
            let findings = self.findings(index);
            for (finding, fix) in offered(&findings, most) {
                let key = key(index, finding);
                if self.left_out.contains_key(&key) {
                    continue;
                }
                match self.after(index, finding, fix, &findings) {
                    Ok(source) => {
                        let place = self.place(index, finding, &self.original(index, &finding.path));
                        let (safety, title) = (fix.safety, fix.title.clone());
                        self.outcome.fixed.push(Fixed { place, safety, title });
                        self.edits.push((index, fix.edit.clone()));
                        self.outcome.source = source;
                        return true;
                    }
                    Err(error) => {
                        self.left_out.insert(key, error);
                    }
                }
            }
        }
        false
    }

    /// Names the fixes that are still offered.
    fn finish(mut self, most: Safety) -> Outcome {
        for index in 0..self.outcome.source.profiles.len() {
            for (finding, _) in offered(&self.findings(index), most) {
                let error =
                    self.left_out.remove(&key(index, finding)).unwrap_or(FixError::TooMany(MAX_FIXES));
                let (reason, message) = (error.reason(), error.to_string());
                let place = self.place(index, finding, &finding.path);
                self.outcome.not_fixed.push(NotFixed { place, reason, message });
            }
        }
        self.outcome
    }

    fn findings(&self, index: usize) -> Vec<Finding> {
        let of = &self.outcome.source.profiles[index];
        self.checks.findings(&of.profile, &of.value, of.is_plain())
    }

    /// Where a field was before all edits.
    fn original(&self, index: usize, path: &FieldPath) -> FieldPath {
        let edits = self.edits.iter().rev().filter(|(of, _)| *of == index);
        edits.fold(path.clone(), |path, (_, edit)| edit.before(&path))
    }

    fn place(&self, index: usize, finding: &Finding, path: &FieldPath) -> FixPlace {
        let Source { name: file, profiles, .. } = &self.outcome.source;
        let profile = profiles[index].name.clone();
        let shown = match &profile {
            Some(name) if profiles.len() > 1 => format!("{file}: {name}"),
            _ => file.clone(),
        };
        FixPlace { shown, file: file.clone(), profile, rule: finding.rule, path: path.to_string() }
    }

    /// The file after a fix.
    fn after(
        &self,
        index: usize,
        finding: &Finding,
        fix: &Fix,
        findings: &[Finding],
    ) -> Result<Source, FixError> {
        let Source { name, path, text, profiles } = &self.outcome.source;
        let mut contents = profiles[index].value.clone();
        if !fix.apply(&mut contents) {
            return Err(FixError::NoPlace);
        }
        let expected = profiles[index].with_contents(&contents).map_err(FixError::Invalid)?;
        let text = edited(text, &profiles[index], &fix.edit).ok_or(FixError::NoPlace)?;
        let source = Source::of(name, path.clone(), text).map_err(FixError::Unreadable)?;
        let others = |at: usize| if at == index { &expected } else { &profiles[at].profile };
        let as_expected = source.profiles.iter().enumerate().all(|(at, of)| of.profile == *others(at));
        if source.profiles.len() != profiles.len() || !as_expected {
            return Err(FixError::ChangesMore);
        }
        let after = self.checks.findings(&expected, &contents, profiles[index].is_plain());
        if !finding.is_mended(findings, &after) {
            return Err(FixError::NotMended);
        }
        if fix.safety == Safety::Safe && self.verified == Verified::EachTime {
            same_filters(&profiles[index].profile, &expected, self.checks)?;
        }
        Ok(source)
    }
}

/// The findings with a fix of a safety.
fn offered(findings: &[Finding], most: Safety) -> impl Iterator<Item = (&Finding, &Fix)> {
    findings.iter().filter_map(move |finding| {
        let fix = finding.fix.as_ref().filter(|fix| fix.safety <= most)?;
        Some((finding, fix))
    })
}

fn key(index: usize, finding: &Finding) -> Key {
    (index, finding.rule, finding.path.to_string(), finding.message.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "\
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
  # What it needs.
  - names: [read, write, read, mount, exit_group] # twice
    action: SCMP_ACT_ALLOW
  - names: [umount2]
    action: SCMP_ACT_ERRNO # as the default
  - names: [futx]
    action: SCMP_ACT_ALLOW
";

    fn outcome(text: &str, checks: &Checks, most: Safety) -> Outcome {
        fixed(Source::of("web.yaml", None, text.to_owned()).unwrap(), checks, most).unwrap()
    }

    /// The file after its fixes, none of which was left out.
    fn applied(text: &str, checks: &Checks, most: Safety) -> (Source, Vec<Fixed>) {
        let Outcome { source, fixed, not_fixed } = outcome(text, checks, most);
        assert_eq!(not_fixed, []);
        (source, fixed)
    }

    #[test]
    fn safe_fixes_remove_what_has_no_effect_and_nothing_else() {
        let (after, fixes) = applied(FILE, &Checks::default(), Safety::Safe);
        let lines: Vec<_> = fixes.iter().map(Fixed::line).collect();
        assert_eq!(
            lines,
            [
                "web.yaml: fixed dead-rule at syscalls[1]: Remove the rule",
                "web.yaml: fixed redundant-name at syscalls[0].names[2]: Remove read here"
            ]
        );
        let expected = FILE
            .replace("write, read, ", "write, ")
            .replace("  - names: [umount2]\n    action: SCMP_ACT_ERRNO # as the default\n", "");
        assert_eq!(after.text, expected);
    }

    #[test]
    fn the_profile_is_named_where_a_file_has_several() {
        let object = |name: &str| {
            format!(
                "apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfile\nmetadata: {{name: {name}}}\nspec:\n  \
                 contents: {{defaultAction: SCMP_ACT_LOG, architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86], syscalls: \
                 [{{names: [acct, acct], action: SCMP_ACT_ERRNO}}]}}\n"
            )
        };
        let text = format!("{}---\n{}", object("a"), object("b"));
        let (_, fixes) = applied(&text, &Checks::default(), Safety::Safe);
        let lines: Vec<_> = fixes.iter().map(Fixed::line).collect();
        let expected = |name| {
            format!("web.yaml: {name}: fixed redundant-name at syscalls[0].names[1]: Remove acct here")
        };
        assert_eq!(lines, ["a", "b"].map(expected));
    }

    /// The one who reads the lines has the file of before in mind.
    #[test]
    fn each_fix_is_named_by_its_place_before_all_of_them() {
        let rule = "  - {names: [ptrace], action: SCMP_ACT_ERRNO}\n";
        let text = FILE.replace("  - names: [futx]", &format!("{rule}  - names: [futx, futx]"));
        let (_, fixes) = applied(&text, &Checks::default(), Safety::Safe);
        let paths: Vec<_> = fixes.iter().map(|it| (it.place.rule, &*it.place.path)).collect();
        assert_eq!(
            paths,
            [
                ("dead-rule", "syscalls[1]"),
                ("dead-rule", "syscalls[2]"),
                ("redundant-name", "syscalls[0].names[2]"),
                ("redundant-name", "syscalls[3].names[1]"),
            ]
        );
    }

    #[test]
    fn unsafe_fixes_are_applied_only_if_wanted() {
        let (after, fixes) = applied(FILE, &Checks::default(), Safety::Unsafe);
        assert!(after.text.contains("[futex]"), "{}", after.text);
        assert_eq!(fixes.iter().filter(|it| it.place.rule == "unknown-syscall").count(), 1);
    }

    #[test]
    fn fixes_of_ignored_rules_are_not_applied() {
        let ignored = ["dead-rule", "redundant-name"].map(str::to_owned).to_vec();
        let (after, fixes) = applied(FILE, &Checks { ignored, ..Checks::default() }, Safety::Safe);
        assert!(fixes.is_empty() && after.text == FILE);
    }

    #[test]
    fn a_fix_that_would_change_another_rule_is_left_out_and_all_others_are_applied() {
        let text = FILE.replace(
            "names: [umount2]\n    action: SCMP_ACT_ERRNO",
            "names: *used\n    action: SCMP_ACT_TRAP",
        );
        let text = text.replace("names: [read", "names: &used [read");
        let text = text + "  - names: [acct]\n    action: SCMP_ACT_ERRNO\n";
        let Outcome { source, fixed, not_fixed } = outcome(&text, &Checks::default(), Safety::Safe);
        assert!(
            not_fixed.iter().any(|it| (it.place.rule, it.reason) == ("redundant-name", "FixChangesMore")),
            "{not_fixed:?}"
        );
        let lines: Vec<_> = not_fixed.iter().map(NotFixed::line).collect();
        assert!(
            lines[0]
                .starts_with("web.yaml: fix of redundant-name at syscalls[0].names[2] left out: it would"),
            "{lines:?}"
        );
        assert_eq!(fixed.iter().map(|it| it.place.rule).collect::<Vec<_>>(), ["dead-rule"]);
        assert!(!source.text.contains("acct"));
    }

    #[test]
    fn a_fix_after_which_the_filter_is_another_is_left_out_and_all_others_are_applied() {
        // On arm64 the second rule moves the highest number that runc knows from the profile: 117 is above 94.
        let text = "\
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86, SCMP_ARCH_AARCH64]
syscalls:
  - {names: [read, write, read, exit_group], action: SCMP_ACT_ALLOW}
  - {names: [ptrace], action: SCMP_ACT_ERRNO}
";
        let only_x86 = text.replace(", SCMP_ARCH_AARCH64", "");
        let (after, fixes) = applied(&only_x86, &Checks::default(), Safety::Safe);
        assert!(!after.text.contains("ptrace") && fixes.len() == 2, "{}", after.text);
        let profile = |text: &str| Source::of("-", None, text.to_owned()).unwrap().profiles.remove(0).profile;
        let without = text.replace("  - {names: [ptrace], action: SCMP_ACT_ERRNO}\n", "");
        let error = same_filters(&profile(text), &profile(&without), &Checks::default()).unwrap_err();
        assert_eq!(error.reason(), "FixOtherFilter");
        // The fix is not called safe there, so that it is not even tried.
        let (after, fixes) = applied(text, &Checks::default(), Safety::Safe);
        assert!(after.text.contains("ptrace") && fixes.len() == 1, "{}", after.text);
    }

    #[test]
    fn flags_that_an_old_runc_refuses_are_removed_although_no_container_started_with_them_there() {
        let text = "\
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
flags: [SECCOMP_FILTER_FLAG_SPEC_ALLOW]
syscalls: [{names: [read, write, exit_group, read], action: SCMP_ACT_ALLOW}]
";
        let (after, fixes) = applied(text, &Checks::default(), Safety::Safe);
        assert!(!after.text.contains("flags") && fixes.len() == 2, "{} {fixes:?}", after.text);
    }

    #[test]
    fn a_place_that_cannot_be_changed_is_named_and_keeps_no_other_one_from_being_fixed() {
        let text = FILE.replace(
            "names: [read, write, read, mount, exit_group]",
            "names: [read, write, !!str read, read]",
        );
        let Outcome { source, fixed, not_fixed } = outcome(&text, &Checks::default(), Safety::Safe);
        assert!(source.text.contains("[read, write, !!str read] # twice"), "{}", source.text);
        assert_eq!(fixed.iter().filter(|it| it.place.rule == "redundant-name").count(), 1);
        let lines: Vec<_> = not_fixed.iter().map(NotFixed::line).collect();
        assert_eq!(
            lines,
            [
                "web.yaml: fix of redundant-name at syscalls[0].names[2] left out: its place in the file cannot be changed, as \
                 behind an alias or a tag; change it by hand"
            ]
        );
    }

    #[test]
    fn the_only_flag_is_removed_with_its_list() {
        let text = "\
defaultAction: SCMP_ACT_ALLOW
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
flags: [SECCOMP_FILTER_FLAG_TSYNC] # all threads
";
        let checks = Checks { ignored: vec!["flags-without-spec-allow".to_owned()], ..Checks::default() };
        let (after, fixes) = applied(text, &checks, Safety::Unsafe);
        assert!(!after.text.contains("flags") && fixes.len() == 1, "{}", after.text);
        let (after, _) =
            applied(&text.replace("SECCOMP_FILTER_FLAG_TSYNC", ""), &Checks::default(), Safety::Unsafe);
        assert!(!after.text.contains("flags"), "{}", after.text);
    }

    #[test]
    fn a_comparison_in_lines_is_corrected_as_one_in_braces() {
        let text = "\
defaultAction: SCMP_ACT_ALLOW
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
  - names: [setpriority]
    action: SCMP_ACT_ERRNO
    args:
    - index: 2
      value: 19
      op: SCMP_CMP_EQ
";
        let (after, fixes) = applied(text, &Checks::default(), Safety::Unsafe);
        assert_eq!(fixes.len(), 1);
        assert!(after.text.contains("      value: 4294967295\n      valueTwo: 19\n"), "{}", after.text);
        let FileProfile { profile, value, .. } = &after.profiles[0];
        assert_eq!(Checks::default().findings(profile, value, true), []);
    }

    #[test]
    fn two_rules_of_which_one_must_stay_for_runc_are_not_both_removed() {
        // Both repeat the default, and their calls have the highest number.
        let text = "\
defaultAction: SCMP_ACT_ERRNO
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
  - {names: [read], action: SCMP_ACT_ALLOW}
  - {names: [openat2], action: SCMP_ACT_ERRNO}
  - {names: [openat2], action: SCMP_ACT_ERRNO}
";
        let (after, fixes) = applied(text, &Checks::default(), Safety::Safe);
        assert_eq!((after.text.matches("openat2").count(), fixes.len()), (1, 1));
    }
}
