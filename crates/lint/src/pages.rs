//! The pages of the rules.

use crate::rules;

/// The page of a rule in Markdown: the documentation of its file, with a line about severity, confidence and fix.
#[must_use]
pub fn page(id: &str) -> Option<String> {
    let (rule, source) = rules::with_sources().find(|(rule, _)| rule.id == id)?;
    let lines = source.lines().map_while(|line| line.strip_prefix("//!"));
    let mut lines = lines.map(|line| line.strip_prefix(' ').unwrap_or(line));
    let head = lines.next()?;
    let mut page = format!("{head}\n\nSeverity: {}. Confidence: {}.\n", rule.severity, rule.confidence);
    for line in lines {
        page += line;
        page.push('\n');
    }
    Some(page)
}
