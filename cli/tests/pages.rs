//! The manual pages and the reference in the docs match the options.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows panics in tests, but not in the helpers of an integration test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::{CommandFactory, ValueEnum};
use cli::node_profile_state::{NodeState, plugin_reasons};
use cli::verify;

fn pages(directory: &Path) -> BTreeMap<String, String> {
    let page = |entry: std::io::Result<fs::DirEntry>| {
        let path = entry.unwrap().path();
        (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read_to_string(path).unwrap())
    };
    fs::read_dir(directory).unwrap().map(page).collect()
}

/// With `UPDATE_DOCS=1` (`make generate`) it writes them.
#[test]
fn the_manual_pages_are_those_that_the_options_give() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/man");
    let made = tempfile::tempdir().unwrap();
    clap_mangen::generate_to(cli::manual::command(), made.path()).unwrap();
    let made = pages(made.path());
    if std::env::var_os("UPDATE_DOCS").is_some() {
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        made.iter().for_each(|(name, page)| fs::write(folder.join(name), page).unwrap());
    }
    let held = pages(&folder);
    assert_eq!(held.keys().collect::<Vec<_>>(), made.keys().collect::<Vec<_>>(), "run `make generate`");
    for (name, page) in made {
        assert!(held[&name] == page, "docs/man/{name} differs from the options: run `make generate`");
    }
}

/// Each is explained in a row of a table, in its first or, below a state, its second column.
#[test]
fn every_reason_and_state_in_the_output_is_explained() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/how-to/read-the-status.md");
    let page = fs::read_to_string(path).unwrap();
    let cells: Vec<&str> = page
        .lines()
        .filter_map(|line| line.strip_prefix("| "))
        .flat_map(|row| row.split(" | ").take(2))
        .map(|cell| cell.trim_start_matches("| "))
        .collect();
    let states = NodeState::ALL.iter().map(ToString::to_string);
    let differences = verify::DifferenceKind::ALL.iter().map(ToString::to_string);
    for word in states.chain(differences).chain(plugin_reasons::ALL.map(str::to_owned)) {
        assert!(cells.contains(&&*format!("`{word}`")), "{word} is not explained");
    }
}

#[test]
fn every_shell_gets_a_script_that_completes_the_tasks() {
    for shell in clap_complete::Shell::value_variants() {
        let script = String::from_utf8(cli::manual::completion(*shell)).unwrap();
        for word in ["status", "verify", "kubectl-seccomp"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}

/// The output of `--help` for the program and for each command.
fn help() -> String {
    let mut command = cli::options::Options::command();
    command.build();
    let whole = command.render_long_help().to_string();
    let mut page =
        format!("{}\n## kubectl seccomp\n\n```text\n{}\n```\n", include_str!("cli_head.md"), whole.trim());
    for task in command.get_subcommands_mut() {
        let (name, help) = (task.get_name().to_owned(), task.render_long_help().to_string());
        page += &format!("\n## kubectl seccomp {name}\n\n```text\n{}\n```\n", help.trim());
    }
    let lines: Vec<_> = page.lines().map(str::trim_end).collect();
    lines.join("\n") + "\n"
}

/// With `UPDATE_DOCS=1` (`make generate`) it writes it.
#[test]
fn the_reference_in_the_docs_is_what_help_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/cli.md");
    let right = help();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &right).unwrap();
    }
    let held = fs::read_to_string(&path).unwrap_or_default();
    assert!(held == right, "docs/reference/cli.md differs from the options: run `make generate`");
}
