//! `lint` on files.

#![allow(clippy::unwrap_used, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use clap::Parser;
use cli::error::CliError;
use cli::options::Options;
use cli::run::{Answer, without_cluster};
use cli::show::Paint;
use serde_json::Value;

fn lint(arguments: &[&str]) -> Result<Answer, CliError> {
    // The profiles are excerpts.
    let start = ["kubectl-seccomp", "lint", "--ignore", "cannot-start"];
    let options = Options::try_parse_from(start.iter().chain(arguments).copied()).unwrap();
    Ok(without_cluster(&options.task, Paint::Plain)?.unwrap())
}

const FILE: &str = "\
# No new keys.
defaultAction: SCMP_ACT_ALLOW
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
- names: [add_key, request_key, keyct1, add_key] # twice
  action: SCMP_ACT_ERRNO
";

fn in_directory(files: &[(&str, &str)], test: impl FnOnce(&Path, &str)) {
    let directory = tempfile::tempdir().unwrap();
    files.iter().for_each(|(name, text)| fs::write(directory.path().join(name), text).unwrap());
    test(directory.path(), &directory.path().display().to_string());
}

#[test]
fn fix_writes_the_safe_fixes_and_shows_the_findings_that_are_left() {
    in_directory(&[("a.yaml", FILE), ("app.yaml", "kind: Deployment\n")], |directory, name| {
        let answer = lint(&["--fix", name]).unwrap();
        assert!(!answer.success);
        insta::assert_snapshot!(answer.text.replace(name, "DIR"));
        let fixed = fs::read_to_string(directory.join("a.yaml")).unwrap();
        assert_eq!(fixed, FILE.replace(", add_key]", "]"));
        assert_eq!(fs::read_to_string(directory.join("app.yaml")).unwrap(), "kind: Deployment\n");

        let answer = lint(&["--fix", "--unsafe-fixes", name]).unwrap();
        assert!(answer.success, "{}", answer.text);
        let fixed = fs::read_to_string(directory.join("a.yaml")).unwrap();
        assert_eq!(fixed, FILE.replace(", add_key]", "]").replace("keyct1", "keyctl"));
    });
}

/// The rule with the alias would change, too.
#[test]
fn a_fix_that_is_left_out_is_named_and_keeps_no_other_from_being_applied() {
    let shared = "\
defaultAction: SCMP_ACT_LOG
architectures: [SCMP_ARCH_X86_64, SCMP_ARCH_X86]
syscalls:
- {names: &used [read, read], action: SCMP_ACT_ALLOW}
- {names: *used, action: SCMP_ACT_TRAP}
";
    in_directory(&[("a.yaml", FILE), ("b.yaml", shared)], |directory, name| {
        let answer = lint(&["--fix", name]).unwrap();
        assert!(!answer.success && answer.errors.is_empty());
        let line = "b.yaml: fix of redundant-name at syscalls[0].names[1] left out: it would change more than this field";
        assert!(answer.text.contains(line), "{}", answer.text);
        let fixed = fs::read_to_string(directory.join("a.yaml")).unwrap();
        assert_eq!(fixed, FILE.replace(", add_key]", "]"));
        assert_eq!(fs::read_to_string(directory.join("b.yaml")).unwrap(), shared);
    });
}

#[test]
fn a_file_that_is_not_valid_hides_no_finding_in_others_and_is_named_in_every_form() {
    let files = [
        ("a.yaml", "defaultAction: SCMP_ACT_NONE\n"),
        ("b.yaml", FILE),
        ("c.yaml", "defaultAction: SCMP_ACT_LOG\n---\ndefaultAction: SCMP_ACT_KILL\n"),
    ];
    in_directory(&files, |directory, name| {
        let answer = lint(&[name]).unwrap();
        assert!(answer.text.contains("unknown-syscall"), "{}", answer.text);
        assert!(
            answer.text.ends_with("in 1 profile, 2 files not checked (error: 1, info: 1)\n"),
            "{}",
            answer.text
        );
        let [first, second] = &answer.errors[..] else { panic!("{:?}", answer.errors) };
        assert!(first.contains("a.yaml:1:16"), "{first}");
        assert!(
            second.contains("c.yaml: a profile in the form of the OCI runtime specification stands alone"),
            "{second}"
        );

        let github = lint(&["-o", "github", name]).unwrap().text.replace(name, "DIR");
        assert!(github.starts_with("::error file=DIR/a.yaml,line=1,col=16,endColumn="), "{github}");
        assert!(github.contains("::error file=DIR/c.yaml,title=NotAlone::"), "{github}");
        let sarif: Value = serde_json::from_str(&lint(&["-o", "sarif", name]).unwrap().text).unwrap();
        let invocation = &sarif["runs"][0]["invocations"][0];
        assert_eq!(invocation["executionSuccessful"], false);
        assert_eq!(invocation["toolExecutionNotifications"].as_array().unwrap().len(), 2);
        assert!(!sarif["runs"][0]["results"].as_array().unwrap().is_empty());
        let json: Value = serde_json::from_str(&lint(&["-o", "json", name]).unwrap().text).unwrap();
        assert_eq!((json["errors"][0]["line"].as_u64(), json["errors"][1]["line"].as_u64()), (Some(1), None));

        lint(&["--fix", name]).unwrap();
        assert_eq!(fs::read_to_string(directory.join("b.yaml")).unwrap(), FILE.replace(", add_key]", "]"));
    });
}

#[test]
fn a_directory_without_a_profile_is_an_error_unless_others_are_skipped() {
    in_directory(&[("app.yaml", "kind: Deployment\n")], |_, name| {
        assert_eq!(lint(&[name]).unwrap_err().reason(), "NoProfile");
        assert!(lint(&["--skip-others", name]).unwrap().success);
    });
}

#[test]
fn github_gets_a_command_a_finding() {
    in_directory(&[("a.yaml", FILE)], |_, name| {
        let answer = lint(&["-o", "github", name]).unwrap();
        assert!(!answer.success);
        insta::assert_snapshot!(answer.text.replace(name, "DIR"));
    });
}

#[test]
fn sarif_is_valid_by_its_schema_with_and_without_findings() {
    let schema = include_str!("sarif/sarif-schema-2.1.0.json");
    let schema: Value = serde_json::from_str(schema).unwrap();
    let schema = jsonschema::validator_for(&schema).unwrap();
    in_directory(&[("a b.yaml", FILE), ("c.json", r#"{"defaultAction": "SCMP_ACT_ALLOW"}"#)], |_, name| {
        let mut log: Value = serde_json::from_str(&lint(&["-o", "sarif", name]).unwrap().text).unwrap();
        let errors: Vec<_> = schema.iter_errors(&log).map(|error| error.to_string()).collect();
        assert_eq!(errors, Vec::<String>::new());
        let results = log["runs"][0]["results"].as_array().unwrap();
        assert_eq!(results[0]["ruleId"], "unknown-syscall");
        let uri = results[0].pointer("/locations/0/physicalLocation/artifactLocation/uri").unwrap();
        assert!(uri.as_str().unwrap().ends_with("/a%20b.yaml"), "{uri}");
        assert_eq!(results[0].pointer("/locations/0/physicalLocation/region/startLine").unwrap(), 5);
        // The schema notices what is wrong.
        log["runs"][0]["results"][0]["level"] = "bad".into();
        assert!(!schema.is_valid(&log));

        let ignored: Vec<_> =
            results_rules(&log).into_iter().flat_map(|id| ["--ignore".to_owned(), id]).collect();
        let mut arguments: Vec<&str> = ignored.iter().map(String::as_str).collect();
        arguments.extend(["-o", "sarif", name]);
        let answer = lint(&arguments).unwrap();
        assert!(answer.success);
        assert!(schema.is_valid(&serde_json::from_str(&answer.text).unwrap()));
    });
}

fn results_rules(log: &Value) -> BTreeSet<String> {
    let results = log["runs"][0]["results"].as_array().unwrap();
    results.iter().map(|result| result["ruleId"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn every_mistake_in_an_invalid_file_is_shown_at_its_line() {
    let object = "\
# Two mistakes.
apiVersion: seccomp.imjasonh.dev/v1alpha1
kind: SeccompProfile
metadata: {name: web}
spec:
  contents:
    defaultAction: SCMP_ACT_ERRNO
    syscalls:
    - {names: [read], action: SCMP_ACT_ALOW}
    - {names: [write], action: SCMP_ACT_ALLOW, args: [{index: 9, value: 1, op: SCMP_CMP_EQ}]}
";
    let rounded = object.replace("SCMP_ACT_ALOW", "SCMP_ACT_LOG").replace("index: 9", "index: 0");
    let rounded = rounded.replace("value: 1,", "value: 9007199254740993,");
    let unknown = object.replace("  contents:", "  content:");
    let docker = "{\n\"defaultAction\": \"SCMP_ACT_LOG\",\n\"archMap\": [\n{\"architecture\": \"SCMP_ARCH_X86_64\"}\n]\n}\n";
    let files = [("invalid", object), ("rounded", &rounded), ("unknown", &unknown), ("docker", docker)];
    for (name, text) in files {
        in_directory(&[("a.yaml", text)], |_, directory| {
            let answer = lint(&[directory]).unwrap();
            assert_eq!(answer.text, "");
            insta::assert_snapshot!(name, answer.errors.join("\n").replace(directory, "DIR"));
        });
    }
}

#[test]
fn explain_shows_the_other_files_where_one_is_not_valid() {
    let files = [("a.yaml", "defaultAction: SCMP_ACT_NONE\n"), ("b.yaml", "defaultAction: SCMP_ACT_LOG\n")];
    in_directory(&files, |_, name| {
        let explain = |argument: &str| {
            let options = Options::try_parse_from(["kubectl-seccomp", "explain", argument]).unwrap();
            without_cluster(&options.task, Paint::Plain).unwrap().unwrap()
        };
        let Answer { text, errors, .. } = explain(name);
        assert!(text.starts_with(&format!("{name}/b.yaml\n")), "{text}");
        assert!(errors[0].contains("a.yaml:1:16"), "{errors:?}");
        assert_eq!((&*explain(&format!("{name}/a.yaml")).text, errors.len()), ("", 1));
    });
}

#[test]
fn convert_takes_directories_and_patterns_and_leaves_out_what_has_no_profile() {
    let docker = r#"{"defaultAction": "SCMP_ACT_LOG", "archMap": [{"architecture": "SCMP_ARCH_X86_64"}]}"#;
    let files =
        [("a.json", docker), ("b.yaml", "defaultAction: SCMP_ACT_LOG\n"), ("app.yaml", "kind: Deployment\n")];
    in_directory(&files, |_, name| {
        let convert = |argument: &str| {
            let words = ["kubectl-seccomp", "convert", "--architecture", "amd64", argument];
            let options = Options::try_parse_from(words).unwrap();
            without_cluster(&options.task, Paint::Plain).map(Option::unwrap)
        };
        let answer = convert(name).unwrap();
        assert_eq!(answer.text.matches("kind: SeccompProfile").count(), 2, "{}", answer.text);
        assert_eq!(
            convert(&format!("{name}/*.json")).unwrap().text.matches("kind: SeccompProfile").count(),
            1
        );
        assert!(convert(&format!("{name}/app.yaml")).is_err());
        assert_eq!(convert(&format!("{name}/app*")).unwrap_err().reason(), "NoProfile");
        assert_eq!(convert("no-such.json").unwrap_err().reason(), "File");
    });
}
