//! Which way the arrows between the rooms run: what a crate may never bring, and what a module may never name.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use xtask::command;
use xtask::workspace::repository;

/// Crates, what each may never bring in whatever depth, and why.
const NEVERS: [(&str, &[&str], &str); 7] = [
    (
        "profile",
        &["filter", "api", "link", "daemon", "node-agent", "operator", "cli", "kube", "kube-core", "tokio"],
        "the ground that everything stands on: its bytes depend on nothing of ours",
    ),
    (
        "filter",
        &["api", "link", "daemon", "kube", "kube-core", "tokio"],
        "what a filter does is decided without a cluster",
    ),
    (
        "api",
        &["filter", "link", "daemon", "kube-client", "kube-runtime", "rustls", "hyper", "tokio"],
        "the kinds alone: whoever reads them need not talk to an API server",
    ),
    ("link", &["api", "daemon", "prometheus", "warp"], "the plugin answers a question and serves no metrics"),
    ("daemon", &["api", "filter"], "what every long-running program has around it knows nothing of profiles"),
    ("node-agent", &["filter", "operator", "cli"], "an agent keeps bytes and does not ask what they do"),
    ("cli", &["daemon", "node-agent", "operator", "prometheus", "warp"], "the plugin does not run for ever"),
];

/// Source files, or folders of them, what they may never name, and why.
const UNNAMED: [(&str, &[&str], &str); 4] = [
    ("crates/profile/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/filter/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    (
        "node-agent/src/keeper",
        &["metrics", "tracing", "Instant::now", "elapsed()", "SystemTime", "tokio::", "kube::"],
        "it says what happened, and others count and log it",
    ),
    (
        "operator/src/index",
        &["kube::Client", "tokio::", "Timestamp::now", "std::fs"],
        "pure, time is an argument",
    ),
];

/// The names of all crates that `package` brings into a program. The features are those that it chooses itself, and not
/// what others in the workspace add.
fn brought_by(package: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--offline", "--edges=normal", "--prefix=none", "--format={p}"]);
    let tree = command::output(cargo.args(["--package", package]).current_dir(repository()));
    let tree = tree.unwrap_or_else(|error| panic!("{error}"));
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    tree.lines().map(name).filter(|name| name != package).collect()
}

#[test]
fn no_crate_brings_what_it_may_never_depend_on() {
    for (package, nevers, why) in NEVERS {
        let brought = brought_by(package);
        assert!(!brought.is_empty(), "{package}");
        let wrong: Vec<_> = nevers.iter().filter(|never| brought.contains(**never)).collect();
        assert!(wrong.is_empty(), "{package} brings {wrong:?}: {why}");
    }
}

/// Without its tests: they may read files and the clock.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default()
}

/// The lines of the sources below `path` that name one of `words`.
fn naming(path: &Path, words: &[&str], sources: &mut usize) -> Vec<String> {
    if path.is_dir() {
        let entries = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().path());
        let is_test =
            |path: &Path| path.file_name().is_some_and(|it| it.to_string_lossy().starts_with("test"));
        return entries
            .filter(|path| !is_test(path))
            .flat_map(|path| naming(&path, words, sources))
            .collect();
    }
    *sources += 1;
    let text = fs::read_to_string(path).unwrap();
    let lines = code(&text).lines().filter(|line| words.iter().any(|word| line.contains(word)));
    lines.map(|line| format!("{}: {}", path.display(), line.trim())).collect()
}

#[test]
fn no_module_names_what_it_may_never_know() {
    for (place, words, why) in UNNAMED {
        let mut sources = 0;
        let wrong = naming(&repository().join(place), words, &mut sources);
        assert!(wrong.is_empty(), "{place} ({why}): {wrong:#?}");
        assert!(sources > 0, "{place} is empty");
    }
}
