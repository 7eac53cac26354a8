//! Compares the chart's rights with `docs/security.md`, and checks that no right is forbidden.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::BTreeMap;
use std::fs;
use std::process::Command;
use std::sync::LazyLock;

use e2e::rendered;
use e2e::rights::attempts::{self, Answer};
use e2e::rights::rules::Rule;
use e2e::rights::table;
use e2e::rights::{admission, events, gate, gate_nodes, observer, removal};
use serde_json::{Value, json};
use xtask::workspace::repository;

/// The chart with every account that it can have.
static OBJECTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    rendered::objects([
        "--set=gate.enabled=true,admission.enabled=true,admission.images.enabled=true,admission.images.mode=auto,observer.enabled=true",
    ])
    .unwrap()
});

/// With `UPDATE_DOCS=1` (`make generate`) it writes them.
#[test]
fn the_tables_in_the_docs_are_those_that_the_cluster_is_tried_with() {
    let path = repository().join("docs/security.md");
    let held = fs::read_to_string(&path).unwrap();
    let accounts = rendered::accounts(&OBJECTS);
    let refusal = "the agent of node \"node-1\" reports for its own node only, not for \"node-2\"";
    let of_agent = table::of_attempts(&attempts::on_another_node(Answer::Refused(422, refusal)))
        + "\n"
        + &table::of_attempts(&attempts::on_its_own_node());
    let tables = [
        ("rights", table::of_rights(&accounts)),
        ("attempts of an agent", of_agent),
        ("attempts of the operator", table::of_attempts(&attempts::of_the_operator())),
        (
            "attempts of the operator without observers about events",
            table::of_attempts(&events::attempts_without_observers()),
        ),
        ("attempts of the operator about events", table::of_attempts(&events::attempts())),
        ("attempts of the gate about events", table::of_attempts(&events::attempts_of_gate())),
        ("attempts of the gate", table::of_attempts(&gate::attempts())),
        ("attempts of the gate about nodes", table::of_attempts(&gate_nodes::attempts())),
        ("attempts of the admission webhook", table::of_attempts(&admission::attempts())),
        ("attempts of an observer", table::of_attempts(&observer::attempts())),
        (
            "attempts of the admission webhook about images",
            table::of_attempts(&admission::attempts_about_images()),
        ),
        (
            "attempts of the admission webhook about runtimes",
            table::of_attempts(&admission::attempts_about_runtimes()),
        ),
        ("attempts of the operator about images", table::of_attempts(&removal::attempts())),
    ];
    let right = tables.iter().fold(held.clone(), |text, (mark, table)| {
        table::replace_marked(&text, mark, table)
            .unwrap_or_else(|mark| panic!("{}: no {mark}", path.display()))
    });
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(&path, &right).unwrap();
    } else {
        assert!(
            held == right,
            "docs/security.md differs from the chart: run `make generate` and read the change"
        );
    }
}

fn rules() -> Vec<(String, Rule)> {
    let accounts = rendered::accounts(&OBJECTS).into_iter();
    accounts
        .flat_map(|account| account.rights.0.into_iter().map(move |rule| (account.name.clone(), rule)))
        .collect()
}

/// Checks the text of every role, whatever it is bound to.
#[test]
fn no_role_of_the_chart_has_a_wildcard_or_a_right_to_more_rights() {
    let mut roles = 0;
    for role in
        OBJECTS.iter().filter(|object| ["Role", "ClusterRole"].iter().any(|kind| object["kind"] == *kind))
    {
        roles += 1;
        assert_eq!(role["aggregationRule"], Value::Null, "{role}");
        for rule in role["rules"].as_array().unwrap() {
            let words: Vec<&str> = ["apiGroups", "resources", "resourceNames", "verbs"]
                .iter()
                .flat_map(|field| rule[*field].as_array().into_iter().flatten())
                .map(|word| word.as_str().unwrap())
                .collect();
            assert_eq!(rule["nonResourceURLs"], Value::Null, "{rule}");
            assert!(words.iter().all(|word| !word.contains('*')), "{rule}");
            if is_of_the_authorities(role, rule) {
                continue;
            }
            for never in [
                "escalate",
                "bind",
                "impersonate",
                "approve",
                "sign",
                "attest",
                "secrets",
                "configmaps",
                "serviceaccounts",
                "serviceaccounts/token",
                "pods/exec",
                "pods/attach",
                "pods/portforward",
                "pods/ephemeralcontainers",
                "pods/binding",
                "pods/eviction",
                "pods/status",
                "nodes/proxy",
                "jobs",
                "cronjobs",
                "rbac.authorization.k8s.io",
                "admissionregistration.k8s.io",
                "apiextensions.k8s.io",
                "certificates.k8s.io",
            ] {
                assert!(!words.contains(&never), "{never} in {rule}");
            }
            // The gate writes one condition, and a policy restricts it to that.
            if words.contains(&"nodes/status") {
                let name = role["metadata"]["name"].as_str();
                assert_eq!(
                    (name, &rule["verbs"]),
                    (Some("seccomp-profile-gate"), &json!(["patch"])),
                    "{rule}"
                );
            }
            // Whether its own release is there is all that anybody of ours may know of a workload.
            if ["daemonsets", "deployments"].iter().any(|workload| words.contains(workload)) {
                assert_eq!(
                    (&rule["verbs"], role["kind"].as_str()),
                    (&json!(["get"]), Some("Role")),
                    "{rule}"
                );
                assert_eq!(rule["resourceNames"].as_array().map(Vec::len), Some(1), "{rule}");
            }
        }
    }
    assert!(roles >= 6, "{roles} roles");
}

/// Whether a rule is about the webhook's certificate authorities: their Secret, which policies restrict the webhook to,
/// and its own configuration. No other account may read a Secret, and none may list them.
fn is_of_the_authorities(role: &Value, rule: &Value) -> bool {
    let own = json!(["seccomp-profile-admission-authorities"]);
    let allowed = [
        (
            "ClusterRole",
            "seccomp-profile-admission-images",
            "mutatingwebhookconfigurations",
            Some(&json!(["seccomp-profile-admission-images"])),
            json!(["list", "watch", "patch"]),
        ),
        ("Role", "seccomp-profile-admission", "secrets", Some(&own), json!(["get", "update"])),
        ("Role", "seccomp-profile-admission", "secrets", None, json!(["create"])),
        ("Role", "seccomp-profile-uninstall", "secrets", Some(&own), json!(["delete"])),
        (
            "ClusterRole",
            "seccomp-profile-admission",
            "validatingwebhookconfigurations",
            Some(&json!(["seccomp-profile-admission"])),
            json!(["list", "watch", "patch"]),
        ),
    ];
    allowed.iter().any(|(kind, name, resource, names, verbs)| {
        role["kind"] == *kind
            && role["metadata"]["name"] == *name
            && rule["resources"] == json!([resource])
            && rule.get("resourceNames") == *names
            && rule["verbs"] == *verbs
    })
}

/// The gate may patch them, and a policy restricts it to its own gate.
#[test]
fn nobody_of_ours_but_the_gate_changes_a_pod_or_a_node() {
    for (account, rule) in rules() {
        if rule.resources.iter().any(|resource| ["pods", "nodes"].contains(&resource.as_str())) {
            let reads = |verb: &String| ["get", "list", "watch"].contains(&verb.as_str());
            let patches = |verb: &String| account == "seccomp-profile-gate" && verb == "patch";
            assert!(
                rule.verbs.iter().all(|verb| reads(verb) || patches(verb)),
                "{account}: {:?}",
                rule.verbs
            );
        }
    }
    let policies = OBJECTS.iter().filter(|object| object["kind"] == "ValidatingAdmissionPolicy");
    let names: Vec<_> = policies.map(|policy| policy["metadata"]["name"].as_str().unwrap()).collect();
    for policy in [
        "seccomp-profile-gate-only",
        "seccomp-profile-gate-nodes",
        "seccomp-profile-gate-events-only",
        "seccomp-profile-admission-secret-only",
        "seccomp-profile-admission-bundle-only",
        "seccomp-profile-observer-own-report",
        "seccomp-profile-admission-images-only",
        "seccomp-profile-admission-oci",
        "seccomp-profile-operator-events-only",
    ] {
        assert!(names.contains(&policy), "{names:?}");
    }
}

/// Written out, not derived: the two kinds, and the one right to write.
#[test]
fn an_agent_reads_two_kinds_and_patches_the_status_of_one() {
    let name = "seccomp-profile-node-agent";
    let rules = rules().into_iter().filter(|(account, _)| account == name).map(|(_, rule)| rule);
    let rule = |verbs: &[&str], resources: &[&str]| Rule {
        verbs: verbs.iter().map(ToString::to_string).collect(),
        groups: vec![api::names::GROUP.to_owned()],
        resources: resources.iter().map(ToString::to_string).collect(),
        names: Vec::new(),
        namespace: None,
    };
    assert_eq!(
        rules.collect::<Vec<_>>(),
        [
            rule(&["get", "list", "watch"], &["seccompprofiles", "nodeprofilestatuses"]),
            rule(&["patch"], &["nodeprofilestatuses/status"]),
        ]
    );
}

/// Written out, too: what it reads are its own report and the owner of that.
#[test]
fn an_observer_writes_one_kind_and_reads_no_pod() {
    let name = "seccomp-profile-observer";
    let rules = rules().into_iter().filter(|(account, _)| account == name).map(|(_, rule)| rule);
    let granted: Vec<_> = rules.map(|rule| (rule.verbs.join(","), rule.resources.join(","))).collect();
    let granted: Vec<_> =
        granted.iter().map(|(verbs, resources)| (verbs.as_str(), resources.as_str())).collect();
    assert_eq!(
        granted,
        [
            ("get,create", "seccompobservations"),
            ("patch", "seccompobservations/status"),
            ("get", "nodeprofilestatuses"),
        ]
    );
}

#[test]
fn roles_of_the_chart_are_bound_to_accounts_of_the_chart_only() {
    let accounts: Vec<String> =
        rendered::accounts(&OBJECTS).into_iter().map(|account| account.name).collect();
    for binding in OBJECTS.iter().filter(|object| object["kind"].as_str().unwrap().ends_with("RoleBinding")) {
        for subject in binding["subjects"].as_array().unwrap() {
            assert_eq!(subject["kind"], "ServiceAccount");
            assert_eq!(subject["namespace"], cluster::NAMESPACE);
            assert!(accounts.iter().any(|account| subject["name"] == *account), "{subject}");
        }
    }
}

/// `forbid` in the workspace reaches every program, library and test of a crate that takes the workspace's lints, and
/// no attribute can lift it.
#[test]
fn every_crate_and_every_binary_forbids_unsafe_code() {
    let workspace = fs::read_to_string(repository().join("Cargo.toml")).unwrap();
    let lints = section(&workspace, "workspace.lints.rust");
    assert!(lints.contains(&"unsafe_code = \"forbid\""), "{lints:?}");
    let printed = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--offline", "--locked", "--format-version", "1"])
        .current_dir(repository())
        .output()
        .unwrap();
    assert!(printed.status.success(), "{}", String::from_utf8_lossy(&printed.stderr));
    let metadata: Value = serde_json::from_slice(&printed.stdout).unwrap();
    let mut programs = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let manifest = fs::read_to_string(package["manifest_path"].as_str().unwrap()).unwrap();
        assert_eq!(section(&manifest, "lints"), ["workspace = true"], "{}", package["name"]);
        for target in package["targets"].as_array().unwrap() {
            if target["kind"].as_array().unwrap().iter().any(|kind| kind == "bin") {
                programs.insert(target["name"].as_str().unwrap().to_owned(), package["name"].clone());
            }
        }
    }
    for program in [
        "operator",
        "node-agent",
        "admission",
        "observer",
        "kubectl-seccomp",
        "crds",
        "xtask",
        "bench",
        "e2e",
    ] {
        assert!(programs.contains_key(program), "{program} is not among {programs:?}");
    }
    // A workspace of its own, which cannot take the lints of this one.
    let fuzz = fs::read_to_string(repository().join("fuzz/Cargo.toml")).unwrap();
    assert!(section(&fuzz, "lints.rust").contains(&"unsafe_code = \"forbid\""));
}

/// The lines of a section of a manifest, without comments and empty ones.
fn section<'a>(manifest: &'a str, name: &str) -> Vec<&'a str> {
    let header = format!("[{name}]");
    let lines = manifest.lines().map(str::trim).skip_while(|line| *line != header).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    lines.filter(|line| !line.is_empty() && !line.starts_with('#')).collect()
}
