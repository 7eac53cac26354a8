//! The manual pages in the docs are those that the options give.

#![allow(
    clippy::unwrap_used,
    reason = "clippy's leave to panic in tests does not reach the helpers of an integration test"
)]

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use clap::ValueEnum;

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

#[test]
fn every_shell_gets_a_script_that_completes_the_tasks() {
    for shell in clap_complete::Shell::value_variants() {
        let script = String::from_utf8(cli::manual::completion(*shell)).unwrap();
        for word in ["status", "verify", "kubectl-seccomp"] {
            assert!(script.contains(word), "{shell}: no {word}");
        }
    }
}
