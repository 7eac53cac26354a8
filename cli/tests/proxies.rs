//! The program with a proxy in its environment or its kubeconfig.

#![allow(
    clippy::unwrap_used,
    reason = "clippy allows panics in tests, but not in the helpers of an integration test"
)]

use std::fs;
use std::process::Command;

/// The output of `kubectl-seccomp status` with these fields of its cluster, and a proxy in the environment.
fn said(fields: &str) -> String {
    let directory = tempfile::tempdir().unwrap();
    let kubeconfig = directory.path().join("config");
    let text = format!(
        "current-context: it
clusters: [{{ name: it, cluster: {{ {fields} }} }}]
contexts: [{{ name: it, context: {{ cluster: it }} }}]
"
    );
    fs::write(&kubeconfig, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_kubectl-seccomp"));
    command.arg("status").env("KUBECONFIG", kubeconfig).env("HTTPS_PROXY", "http://127.0.0.1:1");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    String::from_utf8(output.stderr).unwrap()
}

#[test]
fn the_environments_proxy_is_ignored_and_the_kubeconfigs_is_refused() {
    let said_without = said("server: 'http://127.0.0.1:1'");
    assert!(said_without.starts_with("error: cannot list seccompprofiles: "), "{said_without}");
    let said_with = said("server: 'http://127.0.0.1:1', proxy-url: 'http://127.0.0.1:2'");
    assert!(
        said_with.starts_with("error: cannot use the kubeconfig: the kubeconfig's cluster has the proxy-url"),
        "{said_with}"
    );
}
