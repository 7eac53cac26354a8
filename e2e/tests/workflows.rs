//! GitHub's jobs run the same as `make test`, with the project's compiler.

#![expect(clippy::unwrap_used, reason = "helpers of tests may fail")]

use std::collections::BTreeSet;
use std::fs;

use serde::Deserialize;
use xtask::workspace::repository;

#[derive(Deserialize)]
struct Workflow {
    jobs: Jobs,
}

#[derive(Deserialize)]
struct Jobs {
    part: Job,
}

#[derive(Deserialize)]
struct Job {
    strategy: Strategy,
}

#[derive(Deserialize)]
struct Strategy {
    matrix: Matrix,
}

#[derive(Deserialize)]
struct Matrix {
    make: Vec<String>,
}

fn read(path: &str) -> String {
    fs::read_to_string(repository().join(path)).unwrap()
}

#[test]
fn the_jobs_of_the_workflow_run_each_part_of_make_test_once() {
    let workflow: Workflow = serde_saphyr::from_str(&read(".github/workflows/ci.yaml")).unwrap();
    let jobs: Vec<_> =
        workflow.jobs.part.strategy.matrix.make.iter().flat_map(|targets| targets.split(' ')).collect();
    let makefile = read("Makefile");
    let lanes =
        makefile.lines().filter(|line| line.starts_with("LANE_")).filter_map(|line| line.split_once(" := "));
    let parts: BTreeSet<_> = lanes.flat_map(|(_, targets)| targets.split(' ')).collect();
    assert!(parts.contains("test-cluster-first"), "{parts:?}");
    assert_eq!(jobs.iter().copied().collect::<BTreeSet<_>>(), parts);
    assert_eq!(jobs.len(), parts.len(), "each once");
}

#[test]
fn every_place_that_names_the_compiler_names_the_same() {
    let toolchain = read("rust-toolchain.toml");
    let pinned =
        toolchain.lines().find_map(|line| line.strip_prefix("channel = ")).unwrap().trim_matches('"');
    let (release, _) = pinned.rsplit_once('.').unwrap();
    for (path, wanted) in [
        ("Cargo.toml", format!("rust-version = \"{release}\"")),
        ("fuzz/Cargo.toml", format!("rust-version = \"{release}\"")),
        ("Dockerfile", format!("FROM rust:{release}-trixie@sha256:")),
        ("Dockerfile", format!("ENV RUSTUP_TOOLCHAIN={pinned}\n")),
        ("README.md", format!("Rust {release}")),
    ] {
        assert!(read(path).contains(&wanted), "{path} has no {wanted:?}");
    }
}
