//! What is wrong with a SeccompProfile: the findings of `lint`, as the warnings that `kubectl apply` prints.

use api::{SeccompProfile, Untrusted};
use lint::{Finding, Nodes, Severity, Shown};
use serde_json::Value;

use crate::review::Verdict;

/// How many warnings a request gets.
const MOST: usize = 5;
/// The length of a warning in characters. The API server shortens longer ones where there are many
/// (k8s.io/apiserver 0.37.2, `pkg/endpoints/filters/warning.go`).
const LONGEST: usize = 256;

/// What is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// Whether errors are: contents that the operator would reject, and what does not do what it says.
    pub refuse_errors: bool,
}

/// The verdict about a profile with this `spec`.
#[must_use]
pub fn verdict(spec: &Value, settings: Settings) -> Verdict {
    let profile = match Untrusted::<SeccompProfile>::profile_in(spec) {
        Ok(profile) => profile,
        Err(error) => return of_error(bounded(&error.to_string()), settings),
    };
    let found = lint::check_quickly(&profile, &Nodes::default()).findings.into_iter();
    let found = found.map(|finding| finding.in_contents(&spec["contents"])).collect();
    let Shown { errors, warnings, most_relevant } = lint::most_relevant(found, MOST);
    let total = errors + warnings;
    let refused = settings.refuse_errors && errors > 0;
    let mut lines: Vec<_> = most_relevant.iter().map(line).collect();
    if total > lines.len() {
        lines.truncate(MOST - 1);
        let others = total - lines.len();
        lines.push(format!("{others} more findings: kubectl seccomp lint shows them"));
    }
    match refused {
        // The first is an error, because errors come first.
        true => {
            Verdict { refusal: lines.first().cloned(), warnings: lines.split_off(1), ..Verdict::default() }
        }
        false => Verdict { warnings: lines, ..Verdict::default() },
    }
}

/// The verdict about contents that are no profile.
fn of_error(error: String, settings: Settings) -> Verdict {
    match settings.refuse_errors {
        true => Verdict { refusal: Some(error), ..Verdict::default() },
        false => Verdict { warnings: vec![error], ..Verdict::default() },
    }
}

fn line(finding: &Finding) -> String {
    let path = match finding.path.to_string() {
        whole if whole.is_empty() => "spec.contents".to_owned(),
        field => format!("spec.contents.{field}"),
    };
    let severity = if finding.severity == Severity::Error { "error: " } else { "" };
    bounded(&format!("{severity}{path}: {} ({})", finding.message, finding.rule))
}

/// A text of at most [`LONGEST`] characters, all of which can be in the header of an HTTP answer.
pub(crate) fn bounded(text: &str) -> String {
    let shown = text.chars().map(|c| if c.is_control() { ' ' } else { c });
    match text.chars().count() > LONGEST {
        true => shown.take(LONGEST - 1).chain(['…']).collect(),
        false => shown.collect(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn of(contents: &Value, refuse_errors: bool) -> Verdict {
        verdict(&json!({ "contents": contents }), Settings { refuse_errors })
    }

    fn profile(rules: &Value) -> Value {
        json!({
            "defaultAction": "SCMP_ACT_ALLOW", "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"], "syscalls": rules,
        })
    }

    #[test]
    fn a_profile_without_findings_is_allowed_without_a_word() {
        let sound = profile(&json!([{ "names": ["acct"], "action": "SCMP_ACT_TRAP" }]));
        assert_eq!(of(&sound, true), Verdict::default());
    }

    #[test]
    fn an_error_is_a_warning_unless_errors_are_refused() {
        let misspelt = profile(&json!([{ "names": ["epol_wait"], "action": "SCMP_ACT_TRAP" }]));
        let warned = of(&misspelt, false);
        let [warning] = &warned.warnings[..] else { panic!("{warned:?}") };
        assert!(
            warning.starts_with("error: spec.contents.syscalls[0].names[0]: epol_wait is no system call")
                && warning.ends_with("(unknown-syscall)"),
            "{warning}"
        );
        assert_eq!(warned.refusal, None);
        let refused = of(&misspelt, true);
        assert_eq!((refused.refusal.as_ref(), refused.warnings), (Some(warning), vec![]));
    }

    #[test]
    fn what_is_only_a_warning_is_never_refused_and_information_is_left_out() {
        let logs = json!({ "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"] });
        let verdict = of(&logs, true);
        assert_eq!((verdict.refusal, verdict.warnings.len()), (None, 2));
    }

    #[test]
    fn contents_that_the_operator_would_reject_are_an_error() {
        for contents in [json!(7), json!({ "defaultAction": "SCMP_ACT_EAT" }), json!(null)] {
            let warned = of(&contents, false);
            assert_eq!((warned.refusal, warned.warnings.len()), (None, 1), "{contents}");
            assert!(of(&contents, true).refusal.is_some());
        }
    }

    #[test]
    fn there_are_at_most_five_short_lines_and_the_last_says_how_many_more() {
        let names: Vec<String> =
            (0..60).map(|number| format!("no_such_call_{number}_{}", "x".repeat(40))).collect();
        let many = of(&profile(&json!([{ "names": names, "action": "SCMP_ACT_TRAP" }])), false);
        assert_eq!(many.warnings.len(), 5);
        assert!(many.warnings.iter().all(|warning| warning.chars().count() <= LONGEST), "{many:?}");
        assert_eq!(many.warnings[4], "56 more findings: kubectl seccomp lint shows them");
        let refused = of(&profile(&json!([{ "names": names, "action": "SCMP_ACT_TRAP" }])), true);
        assert_eq!((refused.refusal.is_some(), refused.warnings.len()), (true, 4));
    }
}
