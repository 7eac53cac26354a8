//! The directory of an older agent that was killed in the middle of a pass is taken over.
//!
//! `golden/v1` is such a directory, with a ledger of version 1. It is never changed: agents of every later version
//! meet it on nodes that are upgraded. Another format gets a directory of its own beside it.

#![allow(
    clippy::unwrap_used,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::BTreeMap;
use std::fs::{self, Permissions};
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Instant;

use api::ProblemKind;
use node_agent::disk::{Directory, LEDGER};
use node_agent::goal::Goal;
use node_agent::keeper::Keeper;
use profile::ContentHash;

const LOG: &str = r#"{"defaultAction":"SCMP_ACT_LOG"}"#;
const ALLOW: &str = r#"{"defaultAction":"SCMP_ACT_ALLOW"}"#;

/// The profiles when the new agent starts.
const PROFILES: [(&str, &str); 5] =
    [("kept", LOG), ("changed", ALLOW), ("missing", LOG), ("adopted", ALLOW), ("taken", ALLOW)];

fn files(directory: &Path) -> BTreeMap<String, String> {
    let entries = fs::read_dir(directory).unwrap().map(Result::unwrap);
    let file = |entry: fs::DirEntry| {
        (entry.file_name().into_string().unwrap(), fs::read_to_string(entry.path()).unwrap())
    };
    entries.map(file).collect()
}

#[test]
fn the_directory_and_the_ledger_of_version_1_are_taken_over() {
    let root = tempfile::tempdir().unwrap();
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden/v1");
    let old = files(&golden);
    assert_eq!(old.len(), 11, "{old:?}");
    for (name, bytes) in &old {
        fs::write(root.path().join(name), bytes).unwrap();
        fs::set_permissions(root.path().join(name), Permissions::from_mode(0o644)).unwrap();
    }
    let inode = |name: &str| fs::metadata(root.path().join(name)).unwrap().ino();
    let untouched = ["kept.json", "adopted.json", "taken.json", "theirs.json", ".kept.json.swp"];
    let before = untouched.map(inode);

    let mut keeper = Keeper::new(Directory::open(root.path()).unwrap());
    for (name, bytes) in PROFILES {
        let goal = Goal::file(bytes.as_bytes());
        keeper.set_goal(name.parse().unwrap(), goal, Instant::now());
    }
    keeper.list_complete();
    keeper.sync();

    let expected: BTreeMap<String, String> = [
        ("kept.json", LOG),
        ("changed.json", ALLOW),
        ("missing.json", LOG),
        ("adopted.json", ALLOW),
        ("taken.json", "not the agent's"),
        ("theirs.json", "not the agent's"),
        (".kept.json.swp", "a swap file"),
        (
            LEDGER,
            r#"{"version":1,"written":["adopted","changed","kept","missing"],"intended":{"taken":"sha256:1e91071efd3cec07b4e3e6cb9e0405055162ec9674f62869fe7f1564d5dce24f"}}"#,
        ),
    ]
    .map(|(name, bytes)| (name.to_owned(), bytes.to_owned()))
    .into();
    assert_eq!(files(root.path()), expected);
    assert_eq!(untouched.map(inode), before, "what is right, and what is not ours, is the same file still");
    let report = keeper.report();
    let problems: Vec<_> =
        report.problems.iter().map(|problem| (&*problem.name, &problem.state, &*problem.reason)).collect();
    assert_eq!(problems, [("taken", &ProblemKind::Conflict.into(), "NotOurs")]);
    let right = PROFILES.iter().filter(|(name, _)| *name != "taken");
    for (name, bytes) in right {
        assert_eq!(report.files[*name], ContentHash::of(bytes.as_bytes()).short().to_string());
    }
}
