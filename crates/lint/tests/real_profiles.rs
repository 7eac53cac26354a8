//! What is found in profiles that many use, and in our own: only what is truly so.
//!
//! `profiles/moby-*.json` are facts of `seccomp/default.json` in github.com/moby/profiles (commit cd3bed8, Apache-2.0): the
//! rules that Docker gives a container with its default capabilities, on a kernel that is new enough, by architecture.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::path::Path;

use lint::{Nodes, check};
use profile::Profile;
use serde_json::Value;
use syscalls::Libseccomp;

/// The findings of a file below the root of the repository, a line each.
fn found(file: &str, nodes: &Nodes) -> String {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)).unwrap();
    let object: Value = serde_saphyr::from_str(&text).unwrap();
    let contents = object.pointer("/spec/contents").unwrap_or(&object);
    let findings = check(&Profile::from_value(contents).unwrap(), nodes);
    findings
        .iter()
        .map(|finding| format!("{} {}: {}\n", finding.rule, finding.path, finding.message))
        .collect()
}

#[test]
fn moby() {
    let newest = Nodes { libseccomps: vec![Libseccomp::V2_6_1], ..Nodes::default() };
    insta::assert_snapshot!("moby-amd64", found("crates/lint/tests/profiles/moby-amd64.json", &newest));
    insta::assert_snapshot!("moby-arm64", found("crates/lint/tests/profiles/moby-arm64.json", &newest));
    insta::assert_snapshot!(
        "moby-any-node",
        found("crates/lint/tests/profiles/moby-amd64.json", &Nodes::default())
    );
}

#[test]
fn ours() {
    for name in ["audit", "fine-grained", "runtime-default", "violation"] {
        insta::assert_snapshot!(name, found(&format!("profiles/{name}.yaml"), &Nodes::default()));
    }
}
