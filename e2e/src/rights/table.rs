//! The rights as Markdown, for `docs/security.md`.

use std::fmt::Write;

use super::attempts::{Answer, Attempt};
use super::kinds::{ApiResource, SERVED};
use super::request;
use super::rules::{Rights, Rule};

/// An account of the chart, and what its roles grant.
pub struct Account {
    /// Its name.
    pub name: String,
    /// What its roles grant.
    pub rights: Rights,
}

/// One row per kind: what each account is granted there. What is not named is refused.
pub fn of_rights(accounts: &[Account]) -> String {
    let mut text = String::from("| kind (and its subresources) |");
    accounts.iter().for_each(|account| text += &format!(" `{}` |", account.name));
    text += "\n|---|";
    text += &"---|".repeat(accounts.len());
    text.push('\n');
    for kind in SERVED {
        text += &format!("| {} |", spelled(kind));
        for account in accounts {
            text += &format!(" {} |", cell(kind, &account.rights));
        }
        text.push('\n');
    }
    text.push('\n');
    for account in accounts {
        let everybody = super::rules::of_everybody();
        let all = request::all().count();
        let granted = |request: &request::Request| account.rights.allow(request) || everybody.allow(request);
        let refused = request::all().filter(|request| !granted(request)).count();
        let _ = writeln!(text, "- `{}`: {refused} of the {all} requests are refused.", account.name);
    }
    text
}

fn spelled(kind: &ApiResource) -> String {
    let name = match kind.group {
        "" => format!("`{}`", kind.plural),
        group => format!("`{}.{group}`", kind.plural),
    };
    match kind.parts {
        [] => name,
        parts => format!("{name} ({})", parts.join(", ")),
    }
}

fn cell(kind: &ApiResource, rights: &Rights) -> String {
    let everybody = super::rules::of_everybody();
    let everybody = everybody.0.iter().filter_map(|rule| granted(kind, rule));
    let own = rights.0.iter().filter_map(|rule| granted(kind, rule));
    let granted: Vec<String> = own.chain(everybody.map(|rule| format!("{rule} as everybody"))).collect();
    if granted.is_empty() { "none".to_owned() } else { granted.join("; ") }
}

/// What a rule grants on a kind: `get, list`; `patch` on `status`; `create` in `default`.
fn granted(kind: &ApiResource, rule: &Rule) -> Option<String> {
    if !rule.groups.iter().any(|group| group == kind.group) {
        return None;
    }
    let on = rule.resources.iter().filter_map(|resource| match resource.split_once('/') {
        None => (resource == kind.plural).then(String::new),
        Some((plural, part)) => (plural == kind.plural).then(|| format!(" on {part}")),
    });
    let on: Vec<String> = on.collect();
    if on.is_empty() {
        return None;
    }
    let mut text = format!("**{}**{}", rule.verbs.join(", "), on.join(","));
    if !rule.names.is_empty() {
        text += &format!(" of `{}`", rule.names.join("`, `"));
    }
    if let Some(namespace) = &rule.namespace {
        text += &format!(" in `{namespace}`");
    }
    Some(text)
}

/// One row an attempt, with the answer.
pub fn of_attempts(attempts: &[Attempt]) -> String {
    let mut text = String::from("| tried | answer |\n|---|---|\n");
    for Attempt { what, answer, .. } in attempts {
        let answer = match answer {
            Answer::Refused(code, says) => format!("{code}: {}", says.replace('|', "\\|")),
            Answer::NoEffect => "taken, and nothing of it is stored".to_owned(),
        };
        let _ = writeln!(text, "| {what} | {answer} |");
    }
    text
}

/// The part of a text between its two marks, and what stands around it.
///
/// # Errors
/// The mark that is missing.
pub fn replace_marked(text: &str, mark: &str, with: &str) -> Result<String, String> {
    let (begin, end) = (format!("<!-- begin {mark}: generated -->\n"), format!("<!-- end {mark} -->"));
    let (before, rest) = text.split_once(&begin).ok_or(begin.clone())?;
    let (_, after) = rest.split_once(&end).ok_or(end.clone())?;
    Ok(format!("{before}{begin}{with}{end}{after}"))
}
