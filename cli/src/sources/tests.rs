use std::fs;
use std::path::{Path, PathBuf};

use super::{Origins, Others, Source};
use crate::error::CliError;

const PROFILE: &str = r#"{"defaultAction": "SCMP_ACT_LOG"}"#;
const OBJECT: &str = "apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfile\nmetadata: {name: a}\nspec:\n  \
                      contents: {defaultAction: SCMP_ACT_LOG}\n";
const DEPLOYMENT: &str = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: defaultAction}\n";

/// A directory with these files.
fn directory(files: &[(&str, &str)]) -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = directory.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, text).unwrap();
    }
    directory
}

fn read(directory: &Path, arguments: &[&str], others: Others) -> Result<Vec<Source>, CliError> {
    let arguments: Vec<PathBuf> = arguments.iter().map(|it| directory.join(it)).collect();
    Origins::of(&arguments)?.read(others).collect()
}

/// The files that are read, relative to the directory.
fn names(directory: &Path, arguments: &[&str]) -> Vec<String> {
    let sources = read(directory, arguments, Others::Refuse).unwrap();
    let relative = |source: Source| {
        assert_eq!(source.path.as_ref().unwrap().display().to_string(), source.name);
        source.path.unwrap().strip_prefix(directory).unwrap().display().to_string()
    };
    sources.into_iter().map(relative).collect()
}

#[test]
fn a_directory_gives_the_manifests_with_profiles_at_any_depth_without_hidden_ones() {
    let directory = directory(&[
        ("b.json", PROFILE),
        ("a/deep/c.yml", PROFILE),
        ("a/app.yaml", DEPLOYMENT),
        ("a/template.yaml", "{{ if .Values.x }}\n"),
        ("a/notes.txt", PROFILE),
        (".git/d.yaml", PROFILE),
    ]);
    fs::write(directory.path().join("a/binary.yaml"), b"\xff\x00\x7fELF").unwrap();
    std::os::unix::fs::symlink(directory.path(), directory.path().join("a/circle")).unwrap();
    assert_eq!(names(directory.path(), &["."]), ["a/deep/c.yml", "b.json"]);
}

/// kubectl reads it as YAML, in which a comma may stand behind the last item; a runtime does not.
#[test]
fn a_plain_profile_in_a_file_named_json_must_be_json() {
    let comma = "{\n  \"defaultAction\": \"SCMP_ACT_LOG\",\n}\n";
    let object = format!(
        "{{\"apiVersion\": \"seccomp.imjasonh.dev/v1alpha1\", \"kind\": \"SeccompProfile\", \"metadata\": {{\"name\": \"a\"}}, \"spec\": {{\"contents\": {comma}}}}}"
    );
    let files = [
        ("a.json", comma),
        ("a.yaml", comma),
        ("b.json", "defaultAction: SCMP_ACT_LOG\n"),
        ("c.json", &object),
    ];
    let directory = directory(&files);
    let read = |name: &str| read(directory.path(), &[name], Others::Refuse);
    assert!(read("a.yaml").is_ok() && read("c.json").is_ok());
    let error = read("a.json").unwrap_err().to_string();
    assert!(error.contains("a runtime reads this file as JSON, and it is none: trailing comma; "), "{error}");
    assert!(error.contains("a.json:3:1"), "{error}");
    let error = read("b.json").unwrap_err().to_string();
    assert!(error.contains("a runtime reads this file as JSON"), "{error}");
}

#[test]
fn a_pattern_gives_the_files_and_directories_that_match() {
    let directory =
        directory(&[("a/one.json", PROFILE), ("a/x/two.json", PROFILE), ("a/x/app.json", DEPLOYMENT)]);
    assert_eq!(names(directory.path(), &["a/*.json"]), ["a/one.json"]);
    assert_eq!(names(directory.path(), &["**/*.json"]), ["a/one.json", "a/x/two.json"]);
    assert_eq!(names(directory.path(), &["a/*"]), ["a/one.json", "a/x/two.json"]);
}

#[test]
fn a_file_that_is_named_twice_counts_once() {
    let directory = directory(&[("a.json", PROFILE)]);
    assert_eq!(names(directory.path(), &["a.json", "a.json"]), ["a.json"]);
}

#[test]
fn a_file_that_several_paths_lead_to_counts_once() {
    let directory = directory(&[("a.json", PROFILE), ("b/app.json", DEPLOYMENT)]);
    std::os::unix::fs::symlink("a.json", directory.path().join("c.json")).unwrap();
    assert_eq!(names(directory.path(), &["a.json", ".", "*.json", "b/../a.json"]), ["a.json"]);
    // Because it is named, it must contain a profile.
    assert!(read(directory.path(), &["b", "b/app.json"], Others::Refuse).is_err());
}

#[test]
fn a_pattern_leaves_out_links_that_lead_in_a_circle_and_what_is_no_file() {
    let directory =
        directory(&[("a/one.json", PROFILE), ("a/.hidden/two.json", PROFILE), ("a/x/b/c.json", PROFILE)]);
    for link in ["a/back", "a/again"] {
        std::os::unix::fs::symlink(directory.path(), directory.path().join(link)).unwrap();
    }
    let _socket = std::os::unix::net::UnixListener::bind(directory.path().join("a/socket.json")).unwrap();
    for (pattern, expected) in [
        ("**/*.json", &["a/one.json", "a/x/b/c.json"][..]),
        ("*/*.json", &["a/one.json"]),
        ("a/**", &["a/one.json", "a/x/b/c.json"]),
        ("**/x/**/c.json", &["a/x/b/c.json"]),
        ("**/b", &["a/x/b/c.json"]),
        ("**/.hidden/*.json", &["a/.hidden/two.json"]),
    ] {
        assert_eq!(names(directory.path(), &[pattern]), expected, "{pattern}");
    }
}

#[test]
fn a_named_file_without_a_profile_is_an_error_unless_others_are_skipped() {
    let directory = directory(&[("a.json", PROFILE), ("app.yaml", DEPLOYMENT), ("broken.yaml", "kind: [\n")]);
    for file in ["app.yaml", "broken.yaml"] {
        let error = read(directory.path(), &["a.json", file], Others::Refuse).unwrap_err();
        assert!(["NoProfile", "Syntax"].contains(&error.reason()), "{error}");
        assert_eq!(read(directory.path(), &["a.json", file], Others::Skip).unwrap().len(), 1);
    }
}

#[test]
fn an_invalid_profile_is_an_error_wherever_it_is() {
    let directory =
        directory(&[("a/b.yaml", "defaultAction: SCMP_ACT_NONE\n"), ("c/d.yaml", "defaultAction: [\n")]);
    for argument in ["a", "c", "a/*.yaml"] {
        let error = read(directory.path(), &[argument], Others::Skip).unwrap_err();
        assert!(matches!(error, CliError::Document { .. }), "{error}");
    }
}

/// Otherwise a run in a pipeline would stay green, and the profile would never be looked at again.
#[test]
fn what_is_meant_to_be_a_profile_is_not_skipped_in_a_directory() {
    let misspelt_kind =
        "apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfil\nmetadata: {name: a}\n";
    let files = [
        (
            "misspelt.json",
            r#"{"defaultActoin": "SCMP_ACT_ERRNO", "syscalls": []}"#.to_owned(),
            "InvalidProfile",
        ),
        (
            "missing.json",
            r#"{"syscalls": [{"names": ["read"], "action": "SCMP_ACT_ALLOW"}]}"#.to_owned(),
            "InvalidProfile",
        ),
        ("kind.yaml", misspelt_kind.to_owned(), "UnknownKind"),
        (
            "version.yaml",
            misspelt_kind.replace("Profil\n", "Profile\n").replace("v1alpha1", "v1"),
            "UnknownKind",
        ),
        ("beside.yaml", format!("{OBJECT}---\n{misspelt_kind}"), "UnknownKind"),
    ];
    for (name, text, reason) in &files {
        let directory = directory(&[("a.json", PROFILE), (name, text)]);
        let error = read(directory.path(), &["."], Others::Skip).unwrap_err();
        assert_eq!(error.reason(), *reason, "{name}: {error}");
    }
    let directory = directory(&[("a.json", PROFILE)]);
    std::fs::write(directory.path().join("latin1.yaml"), b"kind: SeccompProfile \xe9\n").unwrap();
    assert_eq!(read(directory.path(), &["."], Others::Skip).unwrap_err().reason(), "File");
}

#[test]
fn what_does_not_exist_is_a_profile_in_the_cluster_only_if_it_looks_like_its_name() {
    let needs =
        |argument: &str| Origins::of(&[PathBuf::from(argument)]).map(|origins| origins.need_cluster());
    for name in ["no-such-file", "v1.2", "seccompprofile/audit", "seccompprofile/audit.json"] {
        assert!(needs(name).unwrap(), "{name}");
    }
    for file in ["no-such-file.yaml", "no-such.json", "no/such", "./no-such", "No_Such"] {
        let error = needs(file).unwrap_err();
        assert!(matches!(&error, CliError::File { path, .. } if path == Path::new(file)), "{error}");
    }
    assert!(!needs("-").unwrap());
}

#[test]
fn nothing_found_is_an_error() {
    let directory = directory(&[("notes.txt", PROFILE)]);
    let reason = |argument| read(directory.path(), &[argument], Others::Skip).unwrap_err().reason();
    assert_eq!(reason("."), "NothingInDirectory");
    assert_eq!(reason("*.yaml"), "Pattern");
    assert_eq!(reason("a[.yaml"), "Pattern");
}

#[test]
fn several_profiles_in_the_format_of_runtimes_in_one_file_are_refused_also_in_a_directory() {
    let plain = "defaultAction: SCMP_ACT_LOG\n";
    let files = [
        ("a/two.yaml", format!("{plain}---\n{plain}")),
        ("b/mixed.yaml", format!("{plain}---\n{DEPLOYMENT}")),
    ];
    let directory = directory(&files.each_ref().map(|(name, text)| (*name, text.as_str())));
    for argument in ["a", "b", "a/two.yaml"] {
        let error = read(directory.path(), &[argument], Others::Skip).unwrap_err();
        assert_eq!(error.reason(), "NotAlone", "{error}");
    }
}
