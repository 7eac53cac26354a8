//! Findings as a log in the Static Analysis Results Interchange Format (SARIF 2.1.0), which code hosts show in place.

use lint::{RULES, Severity};
use serde_json::{Value, json};

use super::PlacedFinding;
use super::unchecked::Problem;
use crate::manifest::Position;

const SCHEMA: &str =
    "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// The log of one run. Columns are counted in characters. What is wrong with files that were not checked stands among the
/// run's notifications.
pub(super) fn log(findings: &[PlacedFinding], errors: &[Problem]) -> Value {
    let rules: Vec<_> = RULES
        .iter()
        .map(|rule| {
            json!({
                "id": rule.id,
                "shortDescription": { "text": rule.summary },
                "help": { "text": rule.summary, "markdown": lint::page(rule.id) },
                "helpUri": format!("{REPOSITORY}/blob/main/docs/rules/{}.md", rule.id),
                "defaultConfiguration": { "level": level(rule.severity) },
            })
        })
        .collect();
    json!({
        "$schema": SCHEMA,
        "version": "2.1.0",
        "runs": [{
            "tool": { "driver": {
                "name": "kubectl-seccomp",
                "version": env!("CARGO_PKG_VERSION"),
                "informationUri": REPOSITORY,
                "rules": rules,
            } },
            "columnKind": "unicodeCodePoints",
            "invocations": [{
                "executionSuccessful": errors.is_empty(),
                "toolExecutionNotifications": errors.iter().map(notification).collect::<Vec<_>>(),
            }],
            "results": findings.iter().map(result).collect::<Vec<_>>(),
        }],
    })
}

fn result(it: &PlacedFinding) -> Value {
    let PlacedFinding { file, profile, position, finding } = it;
    let field = finding.path.to_string();
    let name = profile.as_ref().map_or(field.clone(), |profile| format!("{profile}: {field}"));
    json!({
        "ruleId": finding.rule,
        "ruleIndex": RULES.iter().position(|rule| rule.id == finding.rule),
        "level": level(finding.severity),
        "message": { "text": finding.message },
        "locations": [{
            "physicalLocation": { "artifactLocation": { "uri": uri(file) }, "region": region(*position) },
            "logicalLocations": [{ "fullyQualifiedName": name }],
        }],
    })
}

fn notification(it: &Problem) -> Value {
    let Problem { file, position, reason, message } = it;
    let mut locations = Vec::new();
    if let Some(file) = file {
        let mut place = json!({ "artifactLocation": { "uri": uri(file) } });
        if let Some(position) = position {
            place["region"] = region(*position);
        }
        locations.push(json!({ "physicalLocation": place }));
    }
    json!({
        "descriptor": { "id": reason }, "level": "error", "message": { "text": message }, "locations": locations,
    })
}

fn region(position: Position) -> Value {
    json!({
        "startLine": position.line,
        "startColumn": position.column,
        "endLine": position.end_line,
        "endColumn": position.end_column,
    })
}

fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

/// A path as a relative reference, or as a URI if it begins with a slash.
fn uri(path: &str) -> String {
    let mut uri = if path.starts_with('/') { "file://".to_owned() } else { String::new() };
    for byte in path.trim_start_matches("./").bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' | b'~' => {
                uri.push(byte.into());
            }
            other => uri += &format!("%{other:02X}"),
        }
    }
    uri
}

#[cfg(test)]
mod tests {
    use super::uri;

    #[test]
    fn a_path_is_a_reference_without_special_characters() {
        assert_eq!(uri("./profiles/web app:é.yaml"), "profiles/web%20app%3A%C3%A9.yaml");
        assert_eq!(uri("/etc/a.json"), "file:///etc/a.json");
    }
}
