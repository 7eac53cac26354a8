//! `docs/reliability.md` names the test of each promise. A test that was renamed or removed must not stay there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use xtask::workspace::repository;

/// The least number of rows, as a check that the table is read.
const ROWS: usize = 40;

/// The texts in backticks.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// The rows of all tables, without their heads: the cells.
fn rows(text: &str) -> Vec<Vec<&str>> {
    let mut rows = Vec::new();
    let mut body = false;
    for line in text.lines() {
        match line.strip_prefix('|') {
            Some(cells) if cells.starts_with("---") => body = true,
            Some(cells) if body => rows.push(cells.trim_end_matches('|').split(" | ").collect()),
            Some(_) => {}
            None => body = false,
        }
    }
    rows
}

/// The names of the functions marked as tests in a file.
fn tests_in(path: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut marked = false;
    let mut names = BTreeSet::new();
    for line in text.lines().map(str::trim_start) {
        if line == "#[test]" || line.starts_with("#[tokio::test") {
            marked = true;
        } else if let Some(name) = line.trim_start_matches("async ").strip_prefix("fn ")
            && std::mem::take(&mut marked)
        {
            names.insert(name.split(['(', '<']).next().unwrap_or_default().to_owned());
        }
    }
    names
}

#[test]
fn every_promise_in_the_docs_names_existing_tests() {
    let page = repository().join("docs/reliability.md");
    let text = fs::read_to_string(&page).unwrap();
    let rows = rows(&text);
    assert!(rows.len() >= ROWS, "{} rows", rows.len());
    let mut wrong = Vec::new();
    for row in &rows {
        let [fault, _, test, measured] = row[..] else { panic!("not four cells: {row:?}") };
        let (files, names): (Vec<_>, Vec<_>) = quoted(test).partition(|text| text.ends_with(".rs"));
        if files.is_empty() || names.is_empty() || measured.trim().is_empty() {
            wrong.push(format!("{fault}: a file, a test and what was measured are wanted"));
        }
        let paths = files.iter().map(|file| repository().join(file)).collect::<Vec<PathBuf>>();
        let there: BTreeSet<_> = paths.iter().flat_map(|path| tests_in(path)).collect();
        let missing = names.iter().filter(|name| !there.contains(**name));
        wrong.extend(missing.map(|name| format!("{fault}: no test {name} in {files:?}")));
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", page.display());
}
