//! `docs/reliability.md` names the test of each promise, and `docs/explanation/runtimes.md` that of each difference
//! between runtimes. A test that was renamed or removed must not stay there.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use filter::Startup;
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

/// What is wrong with a cell that names tests and their files.
fn wrong_with(cell: &str) -> Option<String> {
    let (files, names): (Vec<_>, Vec<_>) = quoted(cell).partition(|text| text.ends_with(".rs"));
    if files.is_empty() || names.is_empty() {
        return Some("a file and a test are wanted".to_owned());
    }
    let paths = files.iter().map(|file| repository().join(file)).collect::<Vec<PathBuf>>();
    let there: BTreeSet<_> = paths.iter().flat_map(|path| tests_in(path)).collect();
    let missing: Vec<_> = names.iter().filter(|name| !there.contains(**name)).collect();
    (!missing.is_empty()).then(|| format!("no test {missing:?} in {files:?}"))
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
        if measured.trim().is_empty() {
            wrong.push(format!("{fault}: what was measured is wanted"));
        }
        wrong.extend(wrong_with(test).map(|why| format!("{fault}: {why}")));
    }
    assert!(wrong.is_empty(), "{}: {wrong:#?}", page.display());
}

/// The page about runtimes.
fn runtimes() -> String {
    fs::read_to_string(repository().join("docs/explanation/runtimes.md")).unwrap()
}

#[test]
fn every_difference_between_runtimes_names_existing_tests_but_for_gvisors() {
    let text = runtimes();
    let rows = rows(&text);
    assert!(rows.len() >= 30, "{} rows", rows.len());
    // There are no tests of this runtime.
    let is_gvisors = |row: &[&str]| row.iter().any(|cell| cell.contains("gVisor") || cell.contains("runsc"));
    let tests = rows.iter().filter_map(|row| Some((row[0], row.last()?.trim(), is_gvisors(row))));
    let wrong: Vec<_> = tests
        .filter(|(_, test, is_gvisors)| !(*test == "measured once" && *is_gvisors))
        .filter_map(|(what, test, _)| Some(format!("{what}: {}", wrong_with(test)?)))
        .collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn the_calls_of_runtimes_in_the_docs_are_those_that_lint_looks_for() {
    let text = runtimes();
    let rows = rows(&text);
    for startup in Startup::ALL.iter().filter(|it| !it.runtime.contains(" and ")) {
        let row = |no_new_privileges: &str| {
            let found =
                rows.iter().find(|row| row[0].trim() == startup.runtime && row[1] == no_new_privileges);
            found.unwrap_or_else(|| panic!("{}", startup.runtime))
        };
        let row_of = row(if startup.no_new_privileges { "yes" } else { "no" });
        let mut needed: BTreeSet<&str> = quoted(row_of[2]).collect();
        if row_of[2].starts_with("these and ") {
            needed.extend(quoted(row("yes")[2]));
        }
        assert_eq!(needed, startup.needed.iter().copied().collect(), "{row_of:?}");
        let made: BTreeSet<&str> = quoted(row_of[3]).collect();
        assert!(startup.made.iter().all(|name| made.contains(name)), "{row_of:?}");
    }
}
