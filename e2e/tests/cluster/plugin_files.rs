//! `kubectl seccomp diff` reads a file as the API server stores it: compared with the real kubectl and
//! the real API server.

use std::io::Write;

use serde_json::Value;

use super::plugin::Person;
use super::support::{allow_all, output, shared};

const NAME: &str = "plugin-stored";

fn manifest(contents: &str) -> String {
    format!(
        "apiVersion: seccomp.imjasonh.dev/v1alpha1\nkind: SeccompProfile\nmetadata:\n  name: {NAME}\nspec:\n  contents: {contents}\n"
    )
}

/// A profile with this comparison of an argument.
fn comparing(argument: &str) -> String {
    manifest(&format!(
        "{{ defaultAction: SCMP_ACT_ALLOW, syscalls: [{{ names: [never_called], action: SCMP_ACT_LOG, args: [{{ index: 0, op: SCMP_CMP_EQ, {argument} }}] }}] }}"
    ))
}

/// A profile with an errno and further fields.
fn failing(more: &str) -> String {
    manifest(&format!(
        "{{ defaultAction: SCMP_ACT_ALLOW, syscalls: [{{ names: [never_called], action: SCMP_ACT_ERRNO, {more} }}] }}"
    ))
}

fn json(contents: &str) -> String {
    format!(
        r#"{{ "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile", "metadata": {{ "name": "{NAME}" }}, "spec": {{ "contents": {contents} }} }}"#
    )
}

fn taken() -> Vec<String> {
    let arguments = [
        "value: 04000",
        "value: 0o4000",
        "value: 0x800",
        "value: 0b100000000000",
        "value: 2_048",
        "value: 2.114060288e+09",
        "value: 2048.0",
        "value: 1e18",
        "value: -0.0",
        "value: 9007199254740992",
        "value: \"18446744073709551615\"",
        "value: \"0x800\"",
        "value: 2048, valueTwo: null",
        "value: 2048, valueTwo: ~",
        "value: !!int \"2048\"",
        "<<: { value: 1 }, value: 2048",
    ];
    let errnos =
        ["errnoRet: 1.0", "errnoRet: 011", "errnoRet: null, args: null, name: null", "<<: [{ errnoRet: 7 }]"];
    let wholes = [
        manifest(
            "\n    defaultAction: SCMP_ACT_LOG\n    defaultErrnoRet:\n    architectures: ~\n    flags: null\n    syscalls: []",
        ),
        manifest(
            "\n    defaultAction: &log SCMP_ACT_LOG\n    syscalls:\n      - names: [never_called]\n        action: *log",
        ),
        format!("# one\n---\n---\n{}---\n", manifest("{ defaultAction: SCMP_ACT_LOG }")),
        json(r#"{ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 011, "syscalls": null }"#),
        json(r#"{ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 9.0, "flags": null }"#),
        format!(
            r#"{{ "apiVersion": "v1", "kind": "List", "items": [{}] }}"#,
            json(r#"{ "defaultAction": "SCMP_ACT_TRAP" }"#)
        ),
    ];
    let arguments = arguments.into_iter().map(comparing);
    arguments.chain(errnos.into_iter().map(failing)).chain(wholes).collect()
}

fn refused() -> Vec<String> {
    let arguments = [
        "value: 18446744073709551615",
        "value: 9223372036854775808",
        "value: 1e19",
        "value: 1.5",
        "value: -1",
        "value: yes",
        "value: 1:30",
        "value: \"04000\"",
        "value: null",
        "value: 1, unknown: null",
    ];
    let wholes = [
        manifest("null"),
        manifest("{ defaultAction: SCMP_ACT_LOG }").replace("contents", "content"),
        manifest("{ defaultAction: SCMP_ACT_LOG, syscalls: [null] }"),
        manifest("{ defaultAction: SCMP_ACT_LOG, syscalls: [?a] }"),
        manifest("{ defaultAction: \"SCMP\\/ACT\" }"),
        format!("%YAML 1.1\n---\n{}", manifest("{ defaultAction: SCMP_ACT_LOG }")),
    ];
    arguments.into_iter().map(comparing).chain(wholes).collect()
}

#[test]
fn what_diff_reads_in_a_file_is_what_the_api_server_stores() {
    let cluster = shared();
    let critic = Person::with(&cluster, "plugin-reader", &["view"]);
    let applied = cluster.profile(NAME, &allow_all(0));
    let file = |text: &str| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        file
    };
    for text in taken() {
        if let Err(error) = output(cluster.kubectl_input(["apply", "-f", "-"], &text)) {
            panic!("{text}: {error}");
        }
        let stored = applied.view().canonical().unwrap().hash().to_string();
        let file = file(&text);
        let path = file.path().to_str().unwrap();
        let shown: Value =
            serde_json::from_str(&critic.run_plugin(0, &["diff", NAME, "-f", path, "-o", "json"])).unwrap();
        assert_eq!(shown["after"]["hash"], stored.as_str(), "{text}");
        assert_eq!(shown["same"], true, "{text}");
    }
    for text in refused() {
        // `apply` itself drops every field that is null, known or not; neither `create` nor the API server does.
        let text = text.replace(NAME, "plugin-refused");
        let answer = output(cluster.kubectl_input(["create", "--dry-run=server", "-f", "-"], &text));
        assert!(answer.is_err(), "{text}: {answer:?}");
        let file = file(&text);
        critic.run_plugin(2, &["diff", NAME, "-f", file.path().to_str().unwrap()]);
    }
}
