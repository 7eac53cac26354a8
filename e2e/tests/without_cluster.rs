//! Runs the commands of the documentation that need no cluster, and compares what they print with the pages: those of pages
//! that never need one, and the transcripts in the README. `tests/cluster/documented.rs` runs all other pages.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

mod pages;

use std::path::PathBuf;
use std::process::{Command, Output};
use std::sync::LazyLock;

use pages::{Block, Exchange, How, Page, is_shown};
use xtask::build_program::build_plugin;
use xtask::workspace::repository;

/// Where `kubectl-seccomp` is.
static PLUGIN: LazyLock<PathBuf> =
    LazyLock::new(|| build_plugin(repository()).unwrap_or_else(|error| panic!("{error}")));

/// Finds the plugin as kubectl does. Of strace's log the page has an excerpt, because there is no program to run.
const PRELUDE: &str =
    "exec 2>&1\nkubectl() { local plugin=kubectl-$1; shift; \"$plugin\" \"$@\"; }\nstrace() { :; }\n";

/// A directory in which commands are run one after the other.
struct Reader(tempfile::TempDir);

impl Reader {
    fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// Runs a script and returns its exit code, and its standard output and error together.
    fn run(&self, script: &str) -> (Option<i32>, String) {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut shell = Command::new("timeout");
        shell.args(["60", "bash", "-euo", "pipefail", "-c", &format!("{PRELUDE}{script}")]);
        shell.current_dir(self.0.path()).env("PATH", format!("{}:{path}", PLUGIN.display()));
        let Output { status, stdout, .. } = shell.env("KUBECONFIG", "/dev/null").output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap())
    }

    /// Runs the commands of a page that `wanted` selects, in order, and compares what they print with it.
    fn check(&self, path: &str, wanted: impl Fn(&Block) -> bool) {
        let mut page = Page::read(path);
        let mut shown = Vec::new();
        for block in page.blocks().into_iter().filter(wanted) {
            let How::ExitsWith(code) = block.how else { continue };
            let (ended, printed) = self.run(&block.script);
            assert_eq!(ended, Some(code), "{path}: {}{printed}", block.script);
            shown.extend(block.printed.map(|at| (at, printed)));
        }
        assert!(!shown.is_empty(), "{path}: no commands");
        page.holds(shown);
    }

    /// Runs the commands of a transcript. Where it shows no output, that is left out.
    fn follow(&self, transcript: &[Exchange]) {
        for Exchange { command, shown } in transcript {
            let (code, printed) = self.run(command);
            // 1 is that of findings.
            assert!(matches!(code, Some(0 | 1)), "{command}: {code:?} {printed}");
            let holds = shown.is_empty() || is_shown(shown, printed.trim_end());
            assert!(holds, "{command}: README.md shows\n{shown}\nand this is printed:\n{printed}");
        }
    }
}

/// The transcript of the README that has this command.
fn transcript(command: &str) -> Vec<Exchange> {
    let transcripts = Page::read("README.md").transcripts().into_iter();
    let mut found = transcripts.filter(|it| it.iter().any(|exchange| exchange.command.starts_with(command)));
    let transcript = found.next().unwrap_or_else(|| panic!("README.md has no {command}"));
    assert!(found.next().is_none(), "README.md has {command} twice");
    transcript
}

#[test]
fn a_docker_profile_becomes_a_clean_one_by_the_commands_of_the_readme() {
    let reader = Reader::new();
    reader.check("docs/how-to/convert.md", |block| block.script.contains("cat >web.json"));
    reader.follow(&transcript("kubectl seccomp convert web.json"));
}

#[test]
fn an_object_of_the_peer_becomes_a_clean_profile_by_the_commands_of_the_readme() {
    let reader = Reader::new();
    reader.check("docs/how-to/convert.md", |block| block.script.contains("cat >client.yaml"));
    reader.follow(&transcript("kubectl seccomp convert client.yaml"));
}

#[test]
fn a_log_of_strace_becomes_a_clean_profile_by_the_commands_of_the_readme() {
    let reader = Reader::new();
    // The profile, and the log.
    let files = |block: &Block| block.script.starts_with("cat >web.");
    for block in Page::read("docs/how-to/would-it-run.md").blocks().into_iter().filter(files) {
        assert_eq!(reader.run(&block.script), (Some(0), String::new()));
    }
    assert_eq!(reader.run("mv web.yaml mine.yaml"), (Some(0), String::new()));
    reader.follow(&transcript("strace"));
}

#[test]
fn a_profile_is_learned_as_documented() {
    Reader::new().check("docs/how-to/learn.md", |_| true);
}
