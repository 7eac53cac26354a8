//! Applies the fixes of findings to the text of a file, one after the other, and verifies each.
//!
//! The text is read again after each fix: the profile must be the one that the fix gives, and all others must be as
//! before. After the safe fixes the filter must be the same in every runtime, with every libseccomp and on every
//! architecture that is known. If one of this is not so, there is no new text.

use std::collections::BTreeSet;

use filter::{Consequence, Filter, Runtime, Setting, Unloadable, Witness, numbers};
use lint::{Finding, Fix, Safety};
use profile::{Architecture, Profile};
use serde::Serialize;
use syscalls::Libseccomp;

use super::Checks;
use super::fix_error::FixError;
use crate::edit::edited;
use crate::manifest::FileProfile;
use crate::sources::Source;

/// The maximum number of fixes in one file: more than a profile has names.
const MAX_FIXES: usize = 10_000;

/// A finding that was fixed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Fixed {
    file: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    profile: Option<String>,
    /// The rule.
    pub rule: &'static str,
    safety: Safety,
    /// The field, in the profile as it was before this fix.
    path: String,
    /// What was done.
    title: String,
}

impl Fixed {
    /// It in a line.
    pub(super) fn line(&self) -> String {
        format!("{}: fixed {} at {}: {}", self.file, self.rule, self.path, self.title)
    }
}

/// The file after all fixes of a safety, and what was fixed. Fixes at places that cannot be changed in the text are left
/// out, and so are those after which the profile would be invalid.
///
/// # Errors
/// A fix does not do what it should.
pub(super) fn fixed(source: Source, checks: &Checks, most: Safety) -> Result<(Source, Vec<Fixed>), FixError> {
    let before: Vec<Profile> = source.profiles.iter().map(|of| of.profile.clone()).collect();
    let mut run = Run { source, checks, skipped: BTreeSet::new(), fixed: Vec::new() };
    while run.step(Safety::Safe)? {}
    for (before, after) in before.iter().zip(&run.source.profiles) {
        same_filters(before, &after.profile)?;
    }
    if most == Safety::Unsafe {
        while run.step(Safety::Unsafe)? {}
    }
    Ok((run.source, run.fixed))
}

struct Run<'c> {
    source: Source,
    checks: &'c Checks,
    /// Which fixes cannot be applied: the profile, the rule, the field and the message. Another fix may move a field, and
    /// then the fix is tried again.
    skipped: BTreeSet<(usize, &'static str, String, String)>,
    fixed: Vec<Fixed>,
}

impl Run<'_> {
    /// Applies the first fix that can be applied; whether there was one.
    fn step(&mut self, most: Safety) -> Result<bool, FixError> {
        for index in 0..self.source.profiles.len() {
            let FileProfile { profile, value, .. } = &self.source.profiles[index];
            let findings = self.checks.findings(profile, value);
            for finding in &findings {
                let Some(fix) = finding.fix.as_ref().filter(|fix| fix.safety <= most) else { continue };
                let key = (index, finding.rule, finding.path.to_string(), finding.message.clone());
                if self.skipped.contains(&key) || self.fixed.len() >= MAX_FIXES {
                    continue;
                }
                match self.after(index, finding, fix, &findings)? {
                    None => drop(self.skipped.insert(key)),
                    Some(source) => {
                        let profile = &self.source.profiles[index];
                        // After unsafe fixes there may be new findings with safe ones.
                        if most == Safety::Unsafe && fix.safety == Safety::Safe {
                            same_filters(&profile.profile, &source.profiles[index].profile)?;
                        }
                        self.fixed.push(Fixed {
                            file: self.source.name.clone(),
                            profile: profile.name.clone(),
                            rule: finding.rule,
                            safety: fix.safety,
                            path: finding.path.to_string(),
                            title: fix.title.clone(),
                        });
                        self.source = source;
                        return Ok(true);
                    }
                }
            }
        }
        Ok(false)
    }

    /// The file after a fix; `None` if it cannot be applied.
    fn after(
        &self,
        index: usize,
        finding: &Finding,
        fix: &Fix,
        findings: &[Finding],
    ) -> Result<Option<Source>, FixError> {
        let Source { name, path, text, profiles } = &self.source;
        let mut contents = profiles[index].value.clone();
        if !fix.apply(&mut contents) {
            return Ok(None);
        }
        let Ok(expected) = Profile::from_value(&contents) else { return Ok(None) };
        let Some(text) = edited(text, &profiles[index], &fix.edit) else { return Ok(None) };
        let source = Source::of(name, path.clone(), text)
            .map_err(|error| FixError::Unreadable { rule: finding.rule, error })?;
        let others = |at: usize| if at == index { &expected } else { &profiles[at].profile };
        let as_expected = source.profiles.iter().enumerate().all(|(at, of)| of.profile == *others(at));
        if source.profiles.len() != profiles.len() || !as_expected {
            return Err(FixError::ChangesMore(finding.rule, finding.path.to_string()));
        }
        let of_the_rule = |list: &[Finding]| list.iter().filter(|it| it.rule == finding.rule).count();
        let fewer = of_the_rule(&self.checks.findings(&expected, &contents)) < of_the_rule(findings);
        Ok(fewer.then_some(source))
    }
}

/// Compares the filters of two profiles wherever they may be loaded.
fn same_filters(before: &Profile, after: &Profile) -> Result<(), FixError> {
    if before == after {
        return Ok(());
    }
    let natives: BTreeSet<Architecture> =
        before.architectures().iter().copied().chain([Architecture::X86_64, Architecture::Aarch64]).collect();
    for libseccomp in Libseccomp::ALL {
        let number = numbers(libseccomp);
        for (runtime, native) in
            Runtime::ALL.into_iter().flat_map(|it| natives.iter().map(move |of| (it, *of)))
        {
            let setting = Setting { runtime, library: libseccomp.into(), native, number: &number };
            let pair = (Filter::new(before, &setting), Filter::new(after, &setting));
            if let Some(difference) = difference(pair) {
                let node = format!("{}, {}, {}", runtime.name, setting.library.name, native.name());
                return Err(FixError::OtherFilter(format!("{difference} ({node})")));
            }
        }
    }
    Ok(())
}

fn difference(pair: (Result<Filter, Unloadable>, Result<Filter, Unloadable>)) -> Option<String> {
    match pair {
        (Err(before), Err(after)) => {
            let is_certain = |fault: &Unloadable| fault.consequence() == Consequence::NoStart;
            if is_certain(&before) && is_certain(&after) { None } else { Some(after.to_string()) }
        }
        (Ok(_), Err(error)) | (Err(error), Ok(_)) => Some(format!("one of the two is refused: {error}")),
        (Ok(before), Ok(after)) => match before.unequal(&after) {
            Err(error) => Some(error.to_string()),
            Ok(Some(Witness { call, .. })) => Some(format!(
                "the call {} of {} would be treated differently",
                call.number,
                call.architecture.name()
            )),
            Ok(None) if before.flags() != after.flags() => Some("its flags would be others".to_owned()),
            Ok(None) => None,
        },
    }
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

    fn source(text: &str) -> Source {
        Source::of("web.yaml", None, text.to_owned()).unwrap()
    }

    #[test]
    fn safe_fixes_remove_what_has_no_effect_and_nothing_else() {
        let (after, fixes) = fixed(source(FILE), &Checks::default(), Safety::Safe).unwrap();
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
    fn unsafe_fixes_are_applied_only_if_wanted() {
        let (after, fixes) = fixed(source(FILE), &Checks::default(), Safety::Unsafe).unwrap();
        assert!(after.text.contains("[futex]"), "{}", after.text);
        assert_eq!(fixes.iter().filter(|it| it.rule == "unknown-syscall").count(), 1);
    }

    #[test]
    fn fixes_of_ignored_rules_are_not_applied() {
        let ignored = ["dead-rule", "redundant-name"].map(str::to_owned).to_vec();
        let (after, fixes) =
            fixed(source(FILE), &Checks { ignored, ..Checks::default() }, Safety::Safe).unwrap();
        assert!(fixes.is_empty() && after.text == FILE);
    }

    #[test]
    fn a_fix_that_would_change_another_rule_is_an_error() {
        let text = FILE.replace(
            "names: [umount2]\n    action: SCMP_ACT_ERRNO",
            "names: *used\n    action: SCMP_ACT_TRAP",
        );
        let text = text.replace("names: [read", "names: &used [read");
        let error = fixed(source(&text), &Checks::default(), Safety::Safe).unwrap_err();
        assert_eq!(error, FixError::ChangesMore("redundant-name", "syscalls[0].names[2]".to_owned()));
    }

    #[test]
    fn a_place_that_cannot_be_changed_keeps_no_other_one_from_being_fixed() {
        let text = FILE.replace(
            "names: [read, write, read, mount, exit_group]",
            "names: [read, write, !!str read, read]",
        );
        let (after, fixes) = fixed(source(&text), &Checks::default(), Safety::Safe).unwrap();
        assert!(after.text.contains("[read, write, !!str read] # twice"), "{}", after.text);
        assert_eq!(fixes.iter().filter(|it| it.rule == "redundant-name").count(), 1);
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
        let (after, fixes) = fixed(source(text), &Checks::default(), Safety::Safe).unwrap();
        assert_eq!((after.text.matches("openat2").count(), fixes.len()), (1, 1));
    }

    #[test]
    fn another_filter_is_noticed() {
        let profile = |names: &[&str]| {
            let contents = serde_json::json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [
                { "names": names, "action": "SCMP_ACT_ALLOW" },
            ] });
            Profile::from_value(&contents).unwrap()
        };
        same_filters(&profile(&["read", "write"]), &profile(&["write", "read", "read"])).unwrap();
        let error = same_filters(&profile(&["read", "write"]), &profile(&["read"])).unwrap_err();
        assert_eq!(error.reason(), "FixOtherFilter");
    }
}
