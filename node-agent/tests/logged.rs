//! What the agent logs of a file, as a collector of log lines reads it.
//!
//! One test, in a program of its own: whether an event is logged at all is decided by the first thread that comes to
//! it.

#![allow(
    clippy::unwrap_used,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::fs;
use std::io::{self, Seek};
use std::sync::Arc;
use std::time::Instant;

use daemon::logging::{LogFormat, LoggingArgs};
use node_agent::disk::Directory;
use node_agent::goal::Goal;
use node_agent::journal::Journal;
use node_agent::keeper::Keeper;
use node_agent::metrics::Metrics;
use profile::ContentHash;
use prometheus::Registry;
use serde::Deserialize;

/// One line. A key that is there twice is refused, and one that is not named here.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    #[serde(rename = "timestamp")]
    _timestamp: String,
    #[serde(rename = "target")]
    _target: String,
    level: String,
    message: String,
    node: String,
    profile: String,
    hash: Option<String>,
    reason: Option<String>,
    why: Option<String>,
}

/// What `act` logs.
fn logged(act: impl FnOnce()) -> Vec<Line> {
    let file = Arc::new(tempfile::tempfile().unwrap());
    let args = LoggingArgs { log_format: LogFormat::Json, log_level: "info".into() };
    let subscriber = daemon::logging::subscriber(&args, Arc::clone(&file), false).unwrap();
    tracing::dispatcher::with_default(&subscriber, act);
    (&*file).rewind().unwrap();
    let text = io::read_to_string(&*file).unwrap();
    let read = |line| serde_json::from_str(line).map_err(|error| format!("{error}: {line}")).unwrap();
    text.lines().map(read).collect()
}

fn file(bytes: &str) -> Goal {
    Goal::file(bytes.as_bytes())
}

#[test]
fn every_line_about_a_file_names_its_profile_and_hash_and_a_problem_its_cause() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("a.json");
    let metrics = Metrics::new(&Registry::new()).unwrap();
    let journal = Journal::new("node".parse().unwrap(), metrics);
    let mut keeper = Keeper::new(Directory::open(root.path()).unwrap());
    let mut why = None;
    let lines = logged(|| {
        let set_goal =
            |keeper: &mut Keeper, goal| keeper.set_goal("a".parse().unwrap(), goal, Instant::now());
        keeper.list_complete();
        fs::write(&path, "theirs").unwrap();
        set_goal(&mut keeper, file("ours"));
        journal.record(&keeper.sync().events);
        why = keeper.report().problems.pop().map(|problem| problem.message);
        fs::remove_file(&path).unwrap();
        keeper.retry().unwrap();
        journal.record(&keeper.sync().events);
        set_goal(&mut keeper, Goal::Removal);
        journal.record(&keeper.sync().events);
    });
    let said: Vec<_> = lines
        .iter()
        .map(|line| (&*line.level, &*line.message, line.hash.as_deref(), line.reason.as_deref()))
        .collect();
    let [theirs, ours] = ["theirs", "ours"].map(|bytes| ContentHash::of(bytes.as_bytes()).to_string());
    assert_eq!(
        said,
        [
            ("WARN", "file is not as it should be", Some(&*theirs), Some("NotOurs")),
            ("INFO", "file written", Some(&*ours), None),
            ("INFO", "the problem with the file is resolved", Some(&*ours), None),
            ("INFO", "file removed", Some(&*ours), None),
        ]
    );
    assert!(why.is_some() && lines[0].why == why, "{lines:?}");
    assert!(lines.iter().all(|line| line.node == "node" && line.profile == "a"), "{lines:?}");
}
