//! The forbidden dependencies: crates that a crate may never depend on, and names that a module may never use.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::process::Command;

use serde_json::Value;
use xtask::command;
use xtask::workspace::repository;

#[allow(dead_code, reason = "each test is a crate of its own and takes what it needs")]
mod sources;

use sources::Source;

/// Crates, what each may never depend on, directly or indirectly, and why.
const FORBIDDEN: [(&str, &[&str], &str); 24] = [
    (
        "profile",
        &[
            "syscalls",
            "strace",
            "audit",
            "filter",
            "lint",
            "convert",
            "narrow",
            "registry",
            "api",
            "link",
            "daemon",
            "node-agent",
            "operator",
            "cli",
            "kube",
            "kube-core",
            "tokio",
        ],
        "the ground that everything stands on: its bytes depend on nothing of ours",
    ),
    (
        "syscalls",
        &[
            "profile",
            "strace",
            "audit",
            "filter",
            "lint",
            "convert",
            "api",
            "link",
            "daemon",
            "kube",
            "kube-core",
            "tokio",
            "serde",
        ],
        "data that depends on nothing, so that whatever needs a number can have it",
    ),
    (
        "strace",
        &["profile", "filter", "lint", "api", "link", "daemon", "kube", "kube-core", "tokio", "serde"],
        "a log says which calls a program made, and nothing of profiles",
    ),
    (
        "audit",
        &[
            "profile",
            "strace",
            "filter",
            "lint",
            "api",
            "link",
            "daemon",
            "kube",
            "kube-core",
            "tokio",
            "serde",
        ],
        "a record says which call was refused, and nothing of profiles",
    ),
    (
        "filter",
        &["strace", "audit", "api", "link", "daemon", "kube", "kube-core", "tokio"],
        "what a filter does is decided without a cluster",
    ),
    (
        "lint",
        &["api", "link", "daemon", "kube", "kube-core", "tokio"],
        "a profile is checked without a cluster, in the command line and in the operator alike",
    ),
    (
        "convert",
        &["filter", "lint", "api", "link", "daemon", "kube", "kube-core", "tokio"],
        "files of other tools are converted without a cluster, and only by the command line",
    ),
    (
        "narrow",
        &["lint", "registry", "api", "link", "daemon", "kube", "kube-core", "tokio", "hyper"],
        "what remains of a profile is decided without a registry and without a cluster",
    ),
    (
        "registry",
        &[
            "profile",
            "syscalls",
            "strace",
            "filter",
            "lint",
            "convert",
            "api",
            "link",
            "daemon",
            "kube",
            "kube-core",
            "k8s-openapi",
        ],
        "a registry is read without a cluster, and what a profile means is not its business",
    ),
    (
        "files",
        &["derive", "image", "registry", "tokio", "serde"],
        "a path is resolved without knowing what the files are for",
    ),
    (
        "image",
        &[
            "profile",
            "syscalls",
            "filter",
            "derive",
            "convert",
            "narrow",
            "api",
            "link",
            "daemon",
            "kube",
            "kube-core",
        ],
        "an image has files, and what they do is not its business",
    ),
    (
        "derive",
        &[
            "image",
            "profile",
            "syscalls",
            "strace",
            "filter",
            "lint",
            "convert",
            "narrow",
            "registry",
            "api",
            "link",
            "daemon",
            "kube",
            "kube-core",
            "tokio",
            "serde",
        ],
        "files say which numbers a program passes to the kernel, and nothing of profiles",
    ),
    (
        "api",
        &[
            "syscalls",
            "strace",
            "audit",
            "filter",
            "lint",
            "convert",
            "link",
            "daemon",
            "kube-client",
            "kube-runtime",
            "rustls",
            "hyper",
            "tokio",
        ],
        "the kinds alone: whoever reads them need not talk to an API server",
    ),
    ("link", &["api", "daemon", "prometheus", "warp"], "the plugin answers a question and serves no metrics"),
    (
        "daemon",
        &["api", "syscalls", "strace", "audit", "filter", "lint", "convert"],
        "what every long-running program needs does not depend on profiles",
    ),
    (
        "node-agent",
        &[
            "derive", "image", "syscalls", "strace", "audit", "filter", "lint", "convert", "narrow",
            "registry", "operator", "cli",
        ],
        "an agent keeps bytes and does not ask what they do",
    ),
    (
        "operator",
        &["derive", "image", "convert", "narrow", "registry", "cli", "node-agent"],
        "neither objects of other tools nor registries are the operator's business",
    ),
    (
        "admission",
        &["derive", "image", "cli", "node-agent", "operator"],
        "a program of its own, which needs nothing of the others",
    ),
    (
        "observer",
        &[
            "strace",
            "filter",
            "lint",
            "convert",
            "derive",
            "narrow",
            "registry",
            "cli",
            "node-agent",
            "operator",
            "admission",
        ],
        "an observer counts records, and does not ask what a profile does",
    ),
    ("cli", &["daemon", "node-agent", "operator", "prometheus", "warp"], "the plugin does not run for ever"),
    (
        "xtask",
        &[
            "profile",
            "syscalls",
            "strace",
            "audit",
            "filter",
            "lint",
            "convert",
            "api",
            "link",
            "daemon",
            "cluster",
            "bench",
            "e2e",
            "kube-core",
            "hyper",
        ],
        "making files takes no cluster, and whatever starts one stands above",
    ),
    (
        "cluster",
        &[
            "profile",
            "syscalls",
            "strace",
            "audit",
            "filter",
            "lint",
            "convert",
            "api",
            "link",
            "daemon",
            "node-agent",
            "operator",
            "cli",
            "bench",
            "e2e",
            "kube-core",
        ],
        "it starts a plain Kubernetes without our kinds, and talks to it through kubectl",
    ),
    (
        "bench",
        &["cli", "e2e"],
        "its program uses neither the plugin nor the tests; one benchmark measures the plugin",
    ),
    (
        "e2e",
        &["link", "daemon", "node-agent", "operator", "admission", "observer", "cli", "bench", "kube-client"],
        "the demo runs our programs as images; only the feature `api-server` links them",
    ),
];

/// Crates that only test, measure or generate files.
const TOOLS: [&str; 4] = ["xtask", "cluster", "bench", "e2e"];

/// Source files or folders, what they may never name, and why.
const UNNAMED: [(&str, &[&str], &str); 18] = [
    ("crates/profile/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/syscalls/src", &["std::fs", "std::net", "std::time", "tokio::"], "data"),
    ("crates/strace/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/audit/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/lint/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/convert/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/files/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/image/src", &["File::open", "fs::read", "std::net", "std::time", "tokio::"], "it opens no file"),
    ("crates/derive/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/filter/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/narrow/src", &["std::fs", "std::net", "std::time", "tokio::"], "pure"),
    ("crates/registry/src/document", &["std::fs", "std::net", "std::time", "tokio::", "hyper"], "pure"),
    ("crates/registry/src/protocol", &["std::fs", "Instant", "SystemTime", "tokio::", "hyper"], "pure"),
    ("crates/registry/src/keyring", &["std::fs", "std::time", "tokio::", "hyper"], "pure"),
    ("crates/registry/src/signature", &["std::fs", "std::net", "std::time", "tokio::", "hyper"], "pure"),
    ("crates/registry/src/reference", &["std::fs", "std::net", "std::time", "tokio::", "hyper"], "pure"),
    (
        "node-agent/src/keeper",
        &[
            "metrics",
            "journal",
            "tracing",
            "Instant::now",
            "elapsed()",
            "SystemTime",
            "Timestamp::now",
            "jiff",
            "tokio::",
            "kube::",
        ],
        "it says what happened, and others count and log it",
    ),
    (
        "operator/src/index",
        &["kube::Client", "tokio::", "Timestamp::now", "std::fs"],
        "pure, time is an argument",
    ),
];

/// The names of all crates that `package` depends on. The features are those that it selects itself, and not
/// those that other packages of the workspace add.
fn dependencies_of(package: &str) -> BTreeSet<String> {
    let mut cargo = Command::new(env!("CARGO"));
    cargo.args(["tree", "--locked", "--edges=normal,build", "--target=all"]);
    cargo.args(["--prefix=none", "--format={p}"]);
    // Of a library every feature counts; a tool has features that add the programs on purpose.
    if repository().join("crates").join(package).is_dir() {
        cargo.arg("--all-features");
    }
    let tree = command::output(cargo.args(["--package", package]).current_dir(repository()));
    let tree = tree.unwrap_or_else(|error| panic!("{error}"));
    assert!(tree.starts_with(&format!("{package} ")), "{package}: {tree}");
    let name = |line: &str| line.split(' ').next().unwrap_or_default().to_owned();
    tree.lines().map(name).filter(|name| name != package).collect()
}

#[test]
fn no_crate_has_a_forbidden_dependency() {
    for (package, forbidden, why) in FORBIDDEN {
        let found = dependencies_of(package);
        let wrong: Vec<_> = forbidden.iter().filter(|name| found.contains(**name)).collect();
        assert!(wrong.is_empty(), "{package} depends on {wrong:?}: {why}");
    }
}

/// Reads the manifests, so that every feature and the tests are included.
#[test]
fn only_tools_depend_on_tools() {
    for manifest in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["metadata", "--offline", "--no-deps", "--format-version=1", "--manifest-path", manifest]);
        let metadata =
            command::output(cargo.current_dir(repository())).unwrap_or_else(|error| panic!("{error}"));
        let metadata: Value = serde_json::from_str(&metadata).unwrap();
        let packages = metadata["packages"].as_array().unwrap();
        assert!(!packages.is_empty(), "{manifest}");
        for package in packages.iter().filter(|package| !TOOLS.iter().any(|tool| package["name"] == *tool)) {
            let dependencies = package["dependencies"].as_array().unwrap().iter();
            let wrong: Vec<_> =
                dependencies.filter(|it| TOOLS.iter().any(|tool| it["name"] == *tool)).collect();
            assert!(wrong.is_empty(), "{manifest}: {}: {wrong:#?}", package["name"]);
        }
    }
}

/// The lines of a source that name one of `words`. Its unit tests may name them: they read files and the clock.
fn naming(source: &Source, words: &[&str]) -> Vec<String> {
    let lines = source.code().lines().filter(|line| words.iter().any(|word| line.contains(word)));
    let lines = lines.map(|line| line.trim().to_owned());
    // `std::{fs, io}` names what `std::fs` names.
    let roots: BTreeSet<_> = words.iter().filter_map(|word| word.split_inclusive("::").next()).collect();
    let roots: Vec<_> = roots.into_iter().filter(|root| root.ends_with("::")).collect();
    let paths = sources::paths(&roots, source.code()).into_iter().map(|path| path.join("::") + "::");
    let paths = paths.filter(|path| {
        words.iter().any(|word| path.starts_with(&format!("{}::", word.trim_end_matches("::"))))
    });
    lines.chain(paths).map(|found| format!("{}: {found}", source.path.display())).collect()
}

#[test]
fn no_module_names_what_is_forbidden_to_it() {
    for (place, words, why) in UNNAMED {
        let sources = sources::below(place, sources::without_tests);
        let wrong: Vec<_> = sources.iter().flat_map(|source| naming(source, words)).collect();
        assert!(wrong.is_empty(), "{place} ({why}): {wrong:#?}");
    }
}

#[test]
fn a_name_in_a_group_is_found_like_a_whole_path() {
    let source = |text: &str| Source { path: "a.rs".into(), text: text.to_owned() };
    for text in ["use std::fs;", "use std::{fs, io};", "use std::{io, fs::File};", "std::fs::read(path)"] {
        assert!(!naming(&source(text), &["std::fs"]).is_empty(), "{text}");
    }
    for text in ["use std::io;", "use std::{io, fmt};", "use my_std::fmt;"] {
        assert_eq!(naming(&source(text), &["std::fs"]), Vec::<String>::new(), "{text}");
    }
}
