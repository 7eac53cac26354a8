//! What is found in profiles that many use, and in our own: only what is truly so.
//!
//! Those of moby and containerd are in `crates/filter/data/`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "this file is a test")]

use std::collections::BTreeSet;
use std::path::Path;

use filter::RuntimeDefault;
use lint::{Nodes, check, check_with};
use profile::{Action, Architecture, Profile};
use serde_json::{Value, json};
use syscalls::Libseccomp;

/// True of profiles that others publish and of ours, which follows them, and left out here: this repository does not
/// record which conditions of a published filter do not hold for some programs. The rule's page has its own examples.
const NOT_RECORDED: &str = "condition-of-multiplexed-call";

/// The rule about what a profile permits beyond the runtimes' defaults.
const BEYOND: &str = "weaker-than-runtime-default";

/// The findings of a file below the root of the repository, a line each.
fn found(file: &str, nodes: &Nodes) -> String {
    let text =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file)).unwrap();
    let object: Value = serde_saphyr::from_str(&text).unwrap();
    lines(object.pointer("/spec/contents").unwrap_or(&object), nodes)
}

fn lines(contents: &Value, nodes: &Nodes) -> String {
    let findings = check(&Profile::from_value(contents).unwrap(), nodes);
    findings
        .iter()
        .filter(|finding| finding.rule != NOT_RECORDED)
        .map(|finding| format!("{} {}: {}\n", finding.rule, finding.path, finding.message))
        .collect()
}

#[test]
fn moby() {
    let newest = Nodes { libseccomps: vec![Libseccomp::V2_6_1], ..Nodes::default() };
    insta::assert_snapshot!("moby-amd64", found("crates/filter/data/moby-amd64.json", &newest));
    insta::assert_snapshot!("moby-arm64", found("crates/filter/data/moby-arm64.json", &newest));
    insta::assert_snapshot!("moby-any-node", found("crates/filter/data/moby-amd64.json", &Nodes::default()));
}

/// That of Podman and CRI-O as it is for a container with the default capabilities. The rules and not the calls: what its
/// rules do otherwise than they say is for its authors to publish.
#[test]
fn containers_common() {
    let newest = Nodes { libseccomps: vec![Libseccomp::V2_6_1], ..Nodes::default() };
    let found = |architecture, nodes| {
        let text =
            found(&format!("crates/filter/tests/profiles/containers-common-{architecture}.json"), nodes);
        let rules: BTreeSet<String> =
            text.lines().filter_map(|line| Some(line.split_once(' ')?.0.to_owned())).collect();
        rules.into_iter().collect::<Vec<_>>()
    };
    insta::assert_snapshot!("containers-common", found("amd64", &newest).join("\n"));
    insta::assert_snapshot!("containers-common-arm64", found("arm64", &newest).join("\n"));
    insta::assert_snapshot!("containers-common-any-node", found("amd64", &Nodes::default()).join("\n"));
}

/// The programs have containerd's default by architecture, the example profile is for all; containerd's own code makes
/// the latter.
#[test]
fn the_default_in_the_programs_is_that_of_the_example() {
    let names = |profile: &Profile| -> BTreeSet<String> {
        let rules = profile.rules().iter().filter(|rule| rule.action() == Action::Allow);
        rules.flat_map(|rule| rule.names()).map(|name| name.as_str().to_owned()).collect()
    };
    let text = std::fs::read_to_string(
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../../profiles/runtime-default.yaml"),
    );
    let object: Value = serde_saphyr::from_str(&text.unwrap()).unwrap();
    let example = Profile::from_value(&object["spec"]["contents"]).unwrap();
    let [amd64, arm64] = [Architecture::X86_64, Architecture::Aarch64]
        .map(|native| names(&RuntimeDefault::CONTAINERD.profile(native).unwrap()));
    assert_eq!(names(&example), amd64.union(&arm64).cloned().collect());
}

/// The names in the example `fine-grained.json` of Kubernetes' documentation (the tutorial about seccomp, by The Kubernetes
/// Authors); the others there are `audit.json` and `violation.json`, which only have a default.
const OF_KUBERNETES: &str = "accept4 arch_prctl bind brk clock_gettime clone close connect dup2 epoll_create1 epoll_ctl \
     epoll_pwait epoll_wait execve exit exit_group fcntl fstatfs futex getdents64 getpid getrlimit \
     getsockname gettid getuid ioctl listen madvise mmap mprotect munmap nanosleep open openat pipe2 poll \
     pselect6 read readlinkat recvfrom rt_sigaction rt_sigprocmask rt_sigreturn sched_getaffinity \
     sched_yield sendto set_tid_address setitimer setsockopt sigaltstack socket vfork write writev";

#[test]
fn kubernetes_documentation() {
    let architectures = ["X86_64", "X86", "X32", "AARCH64"].map(|name| format!("SCMP_ARCH_{name}"));
    let names: Vec<&str> = OF_KUBERNETES.split_whitespace().collect();
    let fine_grained = json!({
        "defaultAction": "SCMP_ACT_ERRNO", "architectures": architectures,
        "syscalls": [{ "names": names, "action": "SCMP_ACT_ALLOW" }],
    });
    let of = |contents: Value| lines(&contents, &Nodes::default());
    insta::assert_snapshot!("kubernetes-fine-grained", of(fine_grained));
    insta::assert_snapshot!("kubernetes-audit", of(json!({ "defaultAction": "SCMP_ACT_LOG" })));
    insta::assert_snapshot!("kubernetes-violation", of(json!({ "defaultAction": "SCMP_ACT_ERRNO" })));
}

#[test]
fn ours() {
    for name in ["audit", "fine-grained", "runtime-default", "violation"] {
        insta::assert_snapshot!(name, found(&format!("profiles/{name}.yaml"), &Nodes::default()));
    }
}

/// What the rule on request finds in profiles that many use: the default of CRI-O and Podman leaves some calls to the
/// kernel's checks of capabilities, and ours permit calls on purpose.
#[test]
fn beyond_the_runtimes_defaults() {
    let found = |file: &str| -> String {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(file);
        let object: Value = serde_saphyr::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
        let contents = object.pointer("/spec/contents").unwrap_or(&object);
        let newest = Nodes { libseccomps: vec![Libseccomp::V2_6_1], ..Nodes::default() };
        let findings = check_with(&Profile::from_value(contents).unwrap(), &newest, &[BEYOND]);
        let findings = findings.iter().filter(|finding| finding.rule == BEYOND);
        findings.map(|finding| format!("{}: {}\n", finding.path, finding.message)).collect()
    };
    for file in [
        "profiles/runtime-default.yaml",
        "crates/filter/data/moby-amd64.json",
        "crates/filter/data/containerd-arm64.json",
    ] {
        assert_eq!(found(file), "", "{file}");
    }
    // What exactly is for its authors to publish.
    assert_ne!(found("crates/filter/tests/profiles/containers-common-amd64.json"), "");
    insta::assert_snapshot!("beyond-violation", found("profiles/violation.yaml"));
}
