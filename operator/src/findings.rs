//! What the rules of `lint` find in a profile, as far as its status and the metrics show it.
//!
//! Errors and warnings are shown. What is only information has no effect on what a profile does, and would hide the
//! others; `kubectl seccomp lint` has it.

use api::conditions::sound;
use api::{ProfileWarning, SeccompProfile, Text, Untrusted};
use lint::{Finding, Nodes, QuickCheck, Severity, Shown};
use syscalls::Architecture;

use crate::status::bounded;

/// How many findings a status lists.
const MOST_SHOWN: usize = 10;
/// The length of a finding's message in a status, in characters. Each watcher of the profile receives it.
const MOST_MESSAGE: usize = 400;

/// The result of a check of a profile's contents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Checked {
    /// The check is complete.
    Findings(Findings),
    /// The check took too long.
    TooLong,
}

/// What the rules find in a profile.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Findings {
    errors: usize,
    warnings: usize,
    shown: Vec<ProfileWarning>,
    /// The rules that would have taken too long.
    left_out: &'static [&'static str],
}

/// The status, the reason and the message of the condition `Sound`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Soundness {
    /// `True`, `False` or `Unknown`.
    pub status: &'static str,
    /// One word.
    pub reason: String,
    /// A readable explanation.
    pub message: String,
}

impl Findings {
    /// Checks the contents in the text of a `spec` for nodes of these architectures; of any, if there is none. Contents
    /// that are not a valid profile have no findings. Rules that would take seconds are left out.
    #[must_use]
    pub fn in_spec(spec: &Text, architectures: &[Architecture]) -> Self {
        let spec = spec.value();
        let Ok(profile) = Untrusted::<SeccompProfile>::profile_in(&spec) else {
            return Self::default();
        };
        let nodes = Nodes { architectures: architectures.to_vec(), ..Nodes::default() };
        let QuickCheck { findings, left_out } = lint::check_quickly(&profile, &nodes);
        let findings = findings.into_iter().map(|finding| finding.in_contents(&spec["contents"])).collect();
        Self { left_out, ..Self::of(findings) }
    }

    fn of(found: Vec<Finding>) -> Self {
        let Shown { errors, warnings, most_relevant } = lint::most_relevant(found, MOST_SHOWN);
        Self { errors, warnings, shown: most_relevant.iter().map(shown).collect(), left_out: &[] }
    }

    /// How many errors and how many warnings there are.
    pub fn by_severity(&self) -> [(Severity, usize); 2] {
        [(Severity::Error, self.errors), (Severity::Warning, self.warnings)]
    }

    fn soundness(&self) -> Soundness {
        let worst = self.shown.first().filter(|_| self.errors > 0);
        let (status, reason, message) = match worst {
            Some(worst) => {
                let others = counted(self.errors - 1, self.warnings);
                let others =
                    others.map_or_else(String::new, |others| format!("; also {others}: see status.warnings"));
                ("False", reason(&worst.rule), format!("{}: {}{others}", worst.path, worst.message))
            }
            None if !self.left_out.is_empty() => {
                let known = counted(0, self.warnings)
                    .map_or_else(String::new, |warnings| format!("{warnings}: see status.warnings; "));
                let message = format!(
                    "{known}the profile's conditions are too many for these rules, which kubectl seccomp lint checks: {}",
                    self.left_out.join(", ")
                );
                ("Unknown", sound::NOT_CHECKED.to_owned(), message)
            }
            None => match counted(0, self.warnings) {
                Some(warnings) => {
                    ("True", sound::WARNINGS.to_owned(), format!("{warnings}: see status.warnings"))
                }
                None => {
                    ("True", sound::NO_FINDINGS.to_owned(), "no rule finds an error or a warning".to_owned())
                }
            },
        };
        Soundness { status, reason, message }
    }
}

impl Checked {
    /// The condition `Sound`.
    #[must_use]
    pub fn soundness(&self) -> Soundness {
        match self {
            Self::Findings(findings) => findings.soundness(),
            Self::TooLong => Soundness {
                status: "Unknown",
                reason: sound::NOT_CHECKED.to_owned(),
                message: "the check took too long: see kubectl seccomp lint".to_owned(),
            },
        }
    }

    /// The findings that a status lists.
    #[must_use]
    pub fn shown(&self) -> &[ProfileWarning] {
        self.findings().map_or(&[], |findings| &findings.shown)
    }

    /// The findings, if the check is complete.
    #[must_use]
    pub fn findings(&self) -> Option<&Findings> {
        match self {
            Self::Findings(findings) => Some(findings),
            Self::TooLong => None,
        }
    }
}

/// The id of a rule as the reason of a condition: in CamelCase, because Kubernetes admits no hyphen in reasons.
#[must_use]
pub fn reason(rule: &str) -> String {
    let mut reason = String::with_capacity(rule.len());
    for word in rule.split('-') {
        let (first, others) = word.split_at(word.chars().next().map_or(0, char::len_utf8));
        reason.push_str(&first.to_ascii_uppercase());
        reason.push_str(others);
    }
    reason
}

fn shown(finding: &Finding) -> ProfileWarning {
    let path = match finding.path.to_string() {
        whole if whole.is_empty() => "spec.contents".to_owned(),
        field => format!("spec.contents.{field}"),
    };
    ProfileWarning {
        rule: finding.rule.to_owned(),
        severity: finding.severity.name().to_owned(),
        path: bounded(&path, 256),
        message: bounded(&finding.message, MOST_MESSAGE),
    }
}

/// `2 errors and 1 warning`; `None` if there are none.
fn counted(errors: usize, warnings: usize) -> Option<String> {
    let number = |count, word| match count {
        0 => None,
        1 => Some(format!("1 {word}")),
        many => Some(format!("{many} {word}s")),
    };
    match (number(errors, "error"), number(warnings, "warning")) {
        (Some(errors), Some(warnings)) => Some(format!("{errors} and {warnings}")),
        (one, other) => one.or(other),
    }
}

#[cfg(test)]
mod tests {
    use lint::RULES;
    use serde_json::{Value, json};

    use super::*;

    fn findings_on(architectures: &[Architecture], contents: &Value) -> Checked {
        let spec = serde_json::from_value(json!({ "contents": contents })).unwrap();
        Checked::Findings(Findings::in_spec(&spec, architectures))
    }

    fn findings(contents: &Value) -> Checked {
        findings_on(&[Architecture::X86_64], contents)
    }

    fn profile(rules: &Value) -> Value {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": rules,
        })
    }

    fn trapped(names: &[&str]) -> Value {
        profile(&json!([{ "names": names, "action": "SCMP_ACT_TRAP" }]))
    }

    #[test]
    fn a_profile_without_findings_is_sound() {
        let checked = findings(&trapped(&["acct"]));
        let sound = Soundness {
            status: "True",
            reason: "NoFindings".to_owned(),
            message: "no rule finds an error or a warning".to_owned(),
        };
        assert_eq!((checked.soundness(), checked.shown()), (sound, &[][..]));
    }

    #[test]
    fn a_profile_of_which_some_rules_were_not_checked_is_not_called_sound() {
        let rule = |value: u64| {
            let arguments: Vec<_> = (0..2)
                .map(|index| json!({ "index": index, "value": value + index, "op": "SCMP_CMP_EQ" }))
                .collect();
            json!({ "names": ["setpriority"], "action": "SCMP_ACT_TRAP", "args": arguments })
        };
        let checked = findings(&profile(&json!((0..200).map(rule).collect::<Vec<_>>())));
        let Soundness { status, reason, message } = checked.soundness();
        assert_eq!((status, reason.as_str()), ("Unknown", "NotChecked"), "{message}");
        assert!(message.contains("cannot-be-compiled") && message.contains("merged-wrongly"), "{message}");
    }

    #[test]
    fn an_error_makes_a_profile_unsound_and_the_condition_says_which_and_where() {
        let checked = findings(&trapped(&["acct", "epol_wait"]));
        let Soundness { status, reason, message } = checked.soundness();
        assert_eq!((status, reason.as_str()), ("False", "UnknownSyscall"));
        assert!(
            message.starts_with("spec.contents.syscalls[0].names[1]: epol_wait is no system call"),
            "{message}"
        );
        assert_eq!(checked.shown()[0].rule, "unknown-syscall");
        assert_eq!(checked.shown()[0].severity, "error");
        assert_eq!(checked.findings().unwrap().by_severity(), [(Severity::Error, 1), (Severity::Warning, 0)]);
    }

    #[test]
    fn warnings_are_listed_and_leave_a_profile_sound_and_information_is_left_out() {
        // The rule repeats the default, which is only information.
        let checked = findings(&json!({
            "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"],
            "syscalls": [{ "names": ["read"], "action": "SCMP_ACT_LOG" }],
        }));
        let Soundness { status, reason, message } = checked.soundness();
        assert_eq!((status, reason.as_str()), ("True", "Warnings"));
        assert_eq!(message, "2 warnings: see status.warnings");
        let rules: Vec<_> = checked.shown().iter().map(|warning| warning.rule.as_str()).collect();
        assert_eq!(rules, ["log-left-in", "missing-sub-architecture"]);
    }

    #[test]
    fn only_what_concerns_the_nodes_is_found() {
        let contents = json!({ "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64"] });
        let found = |architectures: &[Architecture]| findings_on(architectures, &contents).shown().len();
        assert_eq!(found(&[Architecture::X86_64]), 1);
        assert_eq!(found(&[Architecture::Riscv64]), 0);
        assert_eq!(found(&[]), 1);
    }

    #[test]
    fn however_much_there_is_to_find_ten_are_listed_and_no_rule_hides_another() {
        let mut names: Vec<String> = (0..60).map(|number| format!("no_such_call_{number}")).collect();
        names.push("acct".to_owned());
        let checked = findings(&profile(&json!([
            { "names": names, "action": "SCMP_ACT_TRAP" },
            { "names": ["acct"], "action": "SCMP_ACT_LOG" },
        ])));
        assert_eq!(checked.shown().len(), 10);
        assert!(checked.shown()[..2].iter().any(|warning| warning.rule == "shadowed-rule"), "{checked:?}");
        let message = checked.soundness().message;
        assert!(message.contains("; also 60 errors"), "{message}");
    }

    #[test]
    fn whatever_is_found_fits_into_the_schema() {
        let name = "x".repeat(56);
        let rules: Vec<_> = (0..9)
            .map(|rule| json!({ "names": (0..400).map(|of| format!("{name}{rule}_{of}")).collect::<Vec<_>>(), "action": "SCMP_ACT_TRAP" }))
            .collect();
        let checked = findings(&profile(&json!(rules)));
        assert_eq!(checked.shown().len(), 10);
        for warning in checked.shown() {
            assert!(warning.rule.len() <= 64 && warning.severity.len() <= 32, "{warning:?}");
            assert!(
                warning.path.chars().count() <= 256 && warning.message.chars().count() <= 1024,
                "{warning:?}"
            );
        }
        assert!(checked.soundness().message.chars().count() <= 4096);
    }

    /// `metav1.Condition`, in `k8s.io/apimachinery`.
    #[test]
    fn every_rule_has_a_reason_of_its_own_that_kubernetes_admits() {
        let reasons: std::collections::BTreeSet<String> = RULES.iter().map(|rule| reason(rule.id)).collect();
        assert_eq!(reasons.len(), RULES.len());
        for reason in reasons {
            assert!(reason.len() <= 64 && reason.starts_with(|c: char| c.is_ascii_uppercase()), "{reason}");
            assert!(reason.bytes().all(|byte| byte.is_ascii_alphanumeric()), "{reason}");
            assert!(![sound::NO_FINDINGS, sound::WARNINGS, sound::NOT_CHECKED].contains(&reason.as_str()));
        }
        assert_eq!(reason("clone3-without-enosys"), "Clone3WithoutEnosys");
    }
}
