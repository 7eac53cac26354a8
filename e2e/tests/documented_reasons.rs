//! The docs explain every Event, reason and log line of the programs. This test needs no cluster.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use api::conditions::{node as reasons, sound};
use daemon::metrics::Label;
use node_agent::disk::{DiskReason, Displaced};
use operator::denied_call::DenialReason;
use operator::gate::nodes::judgement;
use operator::gate::nodes::notice::{NOT_FOR_NODE, NodeNotice};
use operator::gate::pods::notice::{LEFT_OUT, NOT_LIFTED, WaitReason};
use operator::gate::sandboxes::notice::{IN_SANDBOX, UNKNOWN_RUNTIME};
use operator::index::PROBLEMS_OMITTED;
use operator::notice::Notice;
use xtask::workspace::repository;

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod sources;

/// The least number of log lines, as a check that the search finds them.
const LINES: usize = 50;

fn page(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The texts in backticks in the first two columns of a page's tables.
fn explained(path: &str) -> BTreeSet<String> {
    let page = page(path);
    let rows = page.lines().filter(|line| line.starts_with("| "));
    let cells = rows.flat_map(|row| row.split(" | ").take(2));
    cells.flat_map(|cell| cell.split('`').skip(1).step_by(2)).map(str::to_owned).collect()
}

#[test]
fn every_event_and_every_reason_of_a_node_is_explained() {
    let explained = explained("docs/how-to/read-the-status.md");
    let events = Notice::ALL.map(Notice::reason);
    let conditions = [
        reasons::ALL_PROFILES,
        reasons::BEHIND,
        reasons::AGENT_DOWN,
        reasons::NO_REPORT,
        reasons::UNREACHABLE,
        reasons::FILE_NOT_FOUND,
        reasons::LISTENER_UNREACHABLE,
        reasons::START_FAILED,
        PROBLEMS_OMITTED,
    ];
    for word in events.into_iter().chain(conditions) {
        assert!(explained.contains(word), "{word} is not explained");
    }
}

#[test]
fn every_event_of_the_gate_about_a_pod_is_explained() {
    let explained = explained("docs/how-to/no-pod-before-its-profile.md");
    let waits = WaitReason::ALL.iter().map(|reason| reason.event());
    for word in waits.chain([LEFT_OUT, NOT_LIFTED, NOT_FOR_NODE, IN_SANDBOX, UNKNOWN_RUNTIME]) {
        assert!(explained.contains(word), "{word} is not explained");
    }
    // The runbook has the metric's values.
    let explained = self::explained("docs/runbooks/SeccompProfilePodsGated.md");
    for reason in WaitReason::ALL {
        assert!(explained.contains(reason.as_str()), "{} is not explained", reason.as_str());
    }
}

#[test]
fn every_event_about_a_refused_call_is_explained() {
    let explained = explained("docs/how-to/denials.md");
    for word in DenialReason::ALL.map(DenialReason::reason) {
        assert!(explained.contains(word), "{word} is not explained");
    }
}

#[test]
fn every_event_and_every_reason_of_the_condition_of_a_node_is_explained() {
    let explained = explained("docs/how-to/new-nodes.md");
    let conditions = judgement::Reason::ALL.map(judgement::Reason::as_str);
    for word in conditions.into_iter().chain(NodeNotice::ALL.map(NodeNotice::reason)) {
        assert!(explained.contains(word), "{word} is not explained");
    }
}

#[test]
fn every_reason_of_the_condition_sound_is_explained_or_is_the_name_of_a_rule() {
    let explained = explained("docs/how-to/read-the-status.md");
    // Each rule has a page.
    let example = "unknown-syscall";
    assert!(page(&format!("docs/rules/{example}.md")).starts_with(&format!("# {example}")));
    let reason = operator::findings::reason(example);
    for word in [sound::NO_FINDINGS, sound::WARNINGS, sound::NOT_CHECKED, &*reason] {
        assert!(explained.contains(word), "{word} is not explained");
    }
    assert!(page("docs/how-to/read-the-status.md").contains(&format!("`kubectl seccomp rule {example}`")));
}

#[test]
fn every_reason_of_an_agent_has_a_cure() {
    let explained = explained("docs/runbooks/SeccompProfileFailing.md");
    for reason in DiskReason::ALL.map(DiskReason::as_str).into_iter().chain([Displaced::REASON]) {
        assert!(explained.contains(reason), "{reason} is not explained");
    }
}

/// No transcript shows these messages, because they take minutes.
#[test]
fn messages_that_no_transcript_shows_are_documented_as_the_operator_writes_them() {
    let page = page("docs/transcripts/failures.md");
    for notice in [Notice::Unconfirmed, Notice::CutOffPods] {
        let note = notice.event(None).note.unwrap();
        assert!(page.contains(&format!("`{note}")), "{note}");
    }
    for (file, message) in [
        ("decide_node.rs", "no agent is ready on the node: its files are not watched"),
        ("decide_node.rs", "the node's agent has never reported"),
        (
            "decide_profile.rs",
            "the operator's cache may lack pods or nodes: the file stays until it is known that no pod uses it",
        ),
    ] {
        let said = self::page(&format!("operator/src/index/{file}")).contains(&format!("\"{message}\""));
        assert!(said && page.contains(&format!("`{message}`")), "{message}");
    }
}

/// The code after the start of each call of one of tracing's macros, with the level.
fn calls(code: &str) -> impl Iterator<Item = (&'static str, &str)> {
    ["error", "warn", "info", "debug"].into_iter().flat_map(move |level| {
        let at = code.match_indices(level).map(|(at, _)| at);
        let own = at.filter(|at| !code[..*at].ends_with(|c: char| c.is_alphanumeric() || c == '_'));
        own.filter_map(move |at| Some((level, code[at + level.len()..].strip_prefix("!(")?)))
    })
}

/// The message of a call, which is the last text among its own arguments.
fn message(arguments: &str) -> Option<&str> {
    let (mut depth, mut found, mut rest) = (1, None, arguments);
    while depth > 0 {
        let at = rest.find(['(', ')', '"'])?;
        let (mark, behind) = (rest.as_bytes()[at], &rest[at + 1..]);
        rest = match mark {
            b'"' => {
                let end = behind.find('"')?;
                if depth == 1 {
                    found = Some(&behind[..end]);
                }
                &behind[end + 1..]
            }
            _ => {
                depth = if mark == b'(' { depth + 1 } else { depth - 1 };
                behind
            }
        };
    }
    found
}

#[test]
fn every_log_line_is_explained_with_its_level() {
    let page = page("docs/reference/logs.md");
    let mut number = 0;
    for program in ["crates/link", "crates/daemon", "operator", "node-agent", "admission"] {
        for source in sources::below(Path::new(program).join("src"), sources::without_tests) {
            for (level, arguments) in calls(source.code()) {
                let message = message(arguments).unwrap_or_else(|| panic!("no message: {arguments:.100}"));
                // A message that is only an error's text is not documented.
                if message.starts_with('{') {
                    continue;
                }
                number += 1;
                // The page may continue a line after the message.
                assert!(page.contains(&format!("| {level} | `{message}")), "{level} {message:?}");
            }
        }
    }
    assert!(number >= LINES, "only {number} lines were found");
}

#[test]
fn a_message_is_distinguished_from_a_field() {
    let source = "fn a() { tracing::warn!(%node, version = env!(\"V\"), \"it (once) said\"); my_info!(\"no\") }\n#[cfg(test)]\nmod tests { info!(\"no\") }";
    let found: Vec<_> =
        calls(sources::code(source)).map(|(level, arguments)| (level, message(arguments))).collect();
    assert_eq!(found, [("warn", Some("it (once) said"))]);
}
