//! Line breaks and other control characters in names end no line of what people read, whatever the command.

#![allow(clippy::unwrap_used, reason = "this file is a test")]

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

/// What the name of a file, of an object or of a call ends with.
const FORGED: &str = "\nforged: line\r\u{1b}[2J\u{202e}";

/// The standard output and the standard error of a command in this directory.
fn run(directory: &Path, arguments: &[&str]) -> (String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_kubectl-seccomp"))
        .args(arguments)
        .current_dir(directory)
        .env("KUBECONFIG", "/nonexistent/kubeconfig")
        .output()
        .unwrap();
    assert!(output.status.code().is_some_and(|code| code <= 2), "{arguments:?}: {:?}", output.status);
    (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn no_command_prints_a_name_as_a_line_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let file = |stem: &str, text: &str| {
        let name = format!("{stem}{FORGED}.yaml");
        fs::write(directory.join(&name), text).unwrap();
        name
    };
    let rules = "architectures: [SCMP_ARCH_X86_64]\nsyscalls: [{names: [read, no_such_call], action: SCMP_ACT_ALLOW}]\n";
    let good = &*file("good", &format!("defaultAction: SCMP_ACT_ERRNO\n{rules}"));
    let other = &*file("other", &format!("defaultAction: SCMP_ACT_LOG\n{rules}"));
    let empty = &*file("empty", "");
    let invalid = &*file("invalid", "defaultAction: \"SCMP\\nforged: line\"\n\"key\\nforged: line\": 1\n");
    let broken = &*file("broken", "a: [\n");
    let kind = &*file("kind", "kind: \"K\\nforged: line\"\napiVersion: \"v1\\nforged: line\"\n");
    let object = |name: &str, group: &str, spec: &str| {
        format!(
            "---\napiVersion: {group}\nkind: SeccompProfile\nmetadata: {{name: \"{name}\\nforged: line\"}}\nspec: {spec}\n"
        )
    };
    let ours =
        |name| object(name, "seccomp.imjasonh.dev/v1alpha1", "{contents: {defaultAction: SCMP_ACT_LOG}}");
    let several = &*file("several", &(ours("a") + &ours("b")));
    let theirs = "security-profiles-operator.x-k8s.io/v1beta1";
    let based = "{defaultAction: SCMP_ACT_LOG, baseProfileName: \"b\\nforged: line\"}";
    let theirs = &*file("theirs", &object("c", theirs, based));
    let log = &*file("log", "openat(AT_FDCWD, \"/\", O_RDONLY) = 3\nnot a line of strace\u{1b}[2J\n");
    let missing = &*format!("missing{FORGED}.yaml");
    let pattern = &*format!("*{FORGED}*none");
    let root = &*format!("directory{FORGED}");
    fs::create_dir(directory.join(root)).unwrap();

    let mut commands: Vec<Vec<&str>> = Vec::new();
    for file in [good, other, empty, invalid, broken, kind, several, theirs, missing, pattern, root, FORGED] {
        commands.extend([
            vec!["lint", file],
            vec!["lint", "--fix", "--unsafe-fixes", file],
            vec!["lint", "-o", "github", file],
            vec!["explain", file],
            vec!["convert", file],
            vec!["convert", "--to", "oci", file],
            vec!["simulate", file, "--", "openat"],
            vec!["simulate", good, "--trace", file],
            vec!["diff", good, "-f", file],
            vec!["diff", file, "-f", good],
            vec!["merge", "--union", good, file],
            vec!["merge", "--intersect", file, other],
            vec!["derive", file],
            vec!["derive", "/bin/true", "--check", file],
            vec!["derive", "--program", file, root],
            vec!["convert", "--base", file, theirs],
            vec!["inspect", "--baseline", file, "localhost/a"],
            vec!["rule", file],
            vec!["status", file],
            vec!["status", "--context", file],
            vec!["status", "--kubeconfig", file],
        ]);
    }
    commands.extend([
        vec!["simulate", good, "--trace", log],
        vec!["simulate", good, "--", FORGED],
        vec!["simulate", several, "--name", FORGED, "--", "openat"],
        vec!["convert", "--only", FORGED, good],
        vec!["convert", "--cap-add", FORGED, good],
        vec!["convert", "--kernel", FORGED, good],
        vec!["merge", "--union", "--name", FORGED, good, other],
        vec!["lint", "--ignore", FORGED, good],
        vec!["lint", "-o", FORGED, good],
        vec!["derive", "--why", FORGED, "/bin/true"],
        vec!["inspect", FORGED],
        vec![FORGED],
    ]);
    let mut wrong = Vec::new();
    for command in &commands {
        let (out, err) = run(directory, command);
        for text in [out, err] {
            let is_forged = |line: &str| line.trim_start().starts_with("forged");
            // GitHub's commands have escapes for line breaks alone.
            let steers = !command.contains(&"github") && text.contains(['\u{1b}', '\r', '\u{202e}']);
            if text.lines().any(is_forged) || steers {
                wrong.push(format!("{command:?}:\n{text:?}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{} of {}: {}", wrong.len(), commands.len(), wrong.join("\n"));
}

#[test]
fn programs_read_names_as_they_are() {
    let directory = tempfile::tempdir().unwrap();
    let name = format!("good{FORGED}.yaml");
    fs::write(directory.path().join(&name), "defaultAction: SCMP_ACT_KILL\n").unwrap();
    let read = |form| -> Value {
        serde_json::from_str(&run(directory.path(), &["lint", "-o", form, &name]).0).unwrap()
    };
    assert_eq!(read("json")["findings"][0]["file"], *name);
    let uri = "/runs/0/results/0/locations/0/physicalLocation/artifactLocation/uri";
    assert!(read("sarif").pointer(uri).unwrap().as_str().unwrap().starts_with("good%0Aforged"));
    let github = run(directory.path(), &["lint", "-o", "github", &name]).0;
    assert!(github.starts_with("::warning file=good%0Aforged%3A line%0D"), "{github:?}");
}
