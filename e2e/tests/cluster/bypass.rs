//! Profiles that the schema rejects: written while the definition accepted anything, as an older one did, or one that
//! an administrator replaced.

use std::time::Duration;

use cluster::NAMESPACE;
use e2e::view::disk;
use serde_json::{Value, json};
use xtask::workspace::repository;

use super::pages::Page;
use super::support::{
    AppliedProfile, LIMIT, Session, allow_all, alone, bytes_of, expect_cleanup, object, output, text, until,
};

const DEFINITION: &str = "seccompprofiles.seccomp.imjasonh.dev";

/// A definition that accepts anything; the right one is restored when this is dropped.
pub(crate) struct Permissive<'a> {
    session: &'a Session,
    strict: Value,
}

impl<'a> Permissive<'a> {
    pub(crate) fn new(session: &'a Session) -> Self {
        let strict = session.json(["get", "crd", DEFINITION])["spec"]["versions"].take();
        let mut open = strict.clone();
        open[0]["schema"]["openAPIV3Schema"] =
            json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
        replace_versions(session, &open).unwrap();
        let permissive = Permissive { session, strict };
        let probe = object("probe", &json!("no object"));
        until("any object being taken", LIMIT, || permissive.dry_run(&probe).is_ok().then_some(()));
        permissive
    }

    fn dry_run(&self, object: &Value) -> Result<String, String> {
        output(self.session.kubectl_input(["create", "--dry-run=server", "-f", "-"], &object.to_string()))
    }

    /// Restores the right definition and waits until it is in force.
    pub(crate) fn end(self) {
        replace_versions(self.session, &self.strict).unwrap();
        let probe = object("probe", &json!("no object"));
        until("a bad object being refused again", LIMIT, || self.dry_run(&probe).is_err().then_some(()));
    }
}

impl Drop for Permissive<'_> {
    fn drop(&mut self) {
        expect_cleanup(replace_versions(self.session, &self.strict));
        // The manager of a patch owns the field, and helm would refuse to apply the chart from then on.
        let chart = repository().join("charts").join(NAMESPACE);
        expect_cleanup(self.session.client().install_chart(&chart, &["--force-conflicts"]).map(drop));
    }
}

fn replace_versions(session: &Session, versions: &Value) -> Result<(), String> {
    let patch = json!([{ "op": "replace", "path": "/spec/versions", "value": versions }]).to_string();
    output(session.kubectl(["patch", "crd", DEFINITION, "--type=json", "--patch", &patch])).map(drop)
}

/// Profiles with types on which the right definition's rules cannot be evaluated: once it is restored, the API server
/// refuses every write to them, including the removal of a finalizer, until their contents are a valid profile.
const NOT_WRITABLE: [&str; 9] = [
    "bad-no-spec",
    "bad-spec-null",
    "bad-contents-text",
    "bad-contents-list",
    "bad-rules-object",
    "bad-names-text",
    "bad-go-arguments",
    "bad-value-float",
    "bad-index-text",
];

/// Profiles that a stricter release would refuse. They stay editable: the API server does not validate a field that an
/// update does not change.
const OF_AN_EARLIER_RELEASE: [&str; 2] = ["bad-default-errno-4095", "bad-errno-4095"];

/// The patch after which such a profile can be written again.
const REPAIR_PATCH: &str = r#"{"spec":{"contents":{"defaultAction":"SCMP_ACT_ALLOW","syscalls":null}}}"#;

/// Objects with their names and the text that their condition `Accepted` must contain.
fn invalid_profiles() -> Vec<(String, Value, &'static str)> {
    let whole = |name: &str, rest: Value, says| {
        let mut whole = object(name, &Value::Null);
        whole.as_object_mut().unwrap().remove("spec");
        whole.as_object_mut().unwrap().extend(rest.as_object().unwrap().clone());
        (name.to_owned(), whole, says)
    };
    let contents = |name: &str, contents: Value, says| (name.to_owned(), object(name, &contents), says);
    let rule = |name: &str, rule: Value, says| {
        contents(name, json!({ "defaultAction": "SCMP_ACT_ALLOW", "syscalls": [rule] }), says)
    };
    let argument = |name: &str, argument: Value, says| {
        rule(name, json!({ "names": ["read"], "action": "SCMP_ACT_LOG", "args": [argument] }), says)
    };
    let many = |count: usize| -> Vec<String> { (0..count).map(|n| format!("never_called_{n}")).collect() };
    let (long, longest) = ("n".repeat(241), "n".repeat(253));
    vec![
        whole("bad-no-spec", json!({}), "spec.contents"),
        whole("bad-spec-null", json!({ "spec": null }), "spec.contents"),
        whole("bad-spec-number", json!({ "spec": 7 }), "spec.contents"),
        whole("bad-spec-list", json!({ "spec": [{ "contents": allow_all(0) }] }), "spec.contents"),
        whole("bad-no-contents", json!({ "spec": {} }), "spec.contents"),
        contents("bad-contents-text", json!("{\"defaultAction\":\"SCMP_ACT_LOG\"}"), "spec.contents"),
        contents("bad-contents-list", json!([]), "spec.contents"),
        contents("bad-contents-empty", json!({}), "spec.contents.defaultAction"),
        contents(
            "bad-action-unknown",
            json!({ "defaultAction": "SCMP_ACT_DENY" }),
            "spec.contents.defaultAction",
        ),
        contents("bad-action-number", json!({ "defaultAction": 1 }), "spec.contents.defaultAction"),
        contents(
            "bad-rules-object",
            json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": { "read": "SCMP_ACT_LOG" } }),
            "spec.contents.syscalls",
        ),
        rule(
            "bad-names-text",
            json!({ "names": "read", "action": "SCMP_ACT_LOG" }),
            "spec.contents.syscalls[0].names",
        ),
        rule(
            "bad-names-numbers",
            json!({ "names": [0], "action": "SCMP_ACT_LOG" }),
            "spec.contents.syscalls[0].names",
        ),
        // The project's prototype had text for arguments.
        rule(
            "bad-go-arguments",
            json!({ "names": ["read"], "action": "SCMP_ACT_LOG", "args": ["0", "1"] }),
            "spec.contents.syscalls[0].args",
        ),
        argument("bad-value-float", json!({ "index": 0, "value": 1.5, "op": "SCMP_CMP_EQ" }), ".value"),
        argument("bad-value-negative", json!({ "index": 0, "value": -1, "op": "SCMP_CMP_EQ" }), ".value"),
        argument("bad-index-text", json!({ "index": "0", "value": 1, "op": "SCMP_CMP_EQ" }), ".index"),
        argument("bad-operator", json!({ "index": 0, "value": 1, "op": "==" }), ".op"),
        // An earlier definition accepted these, and no container started under them.
        contents(
            OF_AN_EARLIER_RELEASE[0],
            json!({ "defaultAction": "SCMP_ACT_ERRNO", "defaultErrnoRet": 4095 }),
            "spec.contents.defaultErrnoRet: expected a number from 0 to 4094, found 4095",
        ),
        rule(
            OF_AN_EARLIER_RELEASE[1],
            json!({ "names": ["read"], "action": "SCMP_ACT_ERRNO", "errnoRet": 4095 }),
            "spec.contents.syscalls[0].errnoRet: expected a number from 0 to 4094, found 4095",
        ),
        contents("bad-deep", (0..100).fold(json!(0), |deep, _| json!({ "contents": deep })), "spec.contents"),
        contents(
            "bad-many-names",
            json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": (0..20).map(|_| json!({ "names": many(1000), "action": "SCMP_ACT_ALLOW" })).collect::<Vec<_>>() }),
            "spec.contents.syscalls",
        ),
        contents(
            "bad-huge",
            json!({ "defaultAction": "SCMP_ACT_LOG", "syscalls": (0..60).map(|_| json!({ "names": many(1000), "action": "SCMP_ACT_ALLOW" })).collect::<Vec<_>>() }),
            "spec.contents",
        ),
        (long.clone(), object(&long, &allow_all(0)), "at most 240"),
        (longest.clone(), object(&longest, &allow_all(0)), "at most 240"),
    ]
}

/// The uid and the restarts of every pod of ours.
fn pods(cluster: &Session) -> Vec<String> {
    let pods = cluster.json(["-n", "seccomp-profile", "get", "pods"]);
    let line = |pod: &Value| {
        let status = &pod["status"]["containerStatuses"][0];
        format!("{} restarts {}", pod["metadata"]["name"], status["restartCount"])
    };
    pods["items"].as_array().unwrap().iter().map(line).collect()
}

/// Checks that a valid profile can be created, changed and deleted.
fn check_good_profile(cluster: &Session, name: &str) {
    let good = cluster.profile(name, &allow_all(0));
    good.wait_ready();
    good.update(&allow_all(1));
    good.until("being Ready again", LIMIT, |view| view.is_ready());
    good.wait_ready();
    cluster.ok(["delete", "seccompprofile", name, "--timeout=30s"]);
    for node in cluster.node_list() {
        assert_eq!(disk::bytes(&node, name).unwrap(), None, "{}", node.name());
    }
}

fn check_rejected(invalid_profiles: &[(AppliedProfile<'_>, &'static str)]) {
    for (profile, says) in invalid_profiles {
        let name = &profile.name;
        let view = profile.until("being Rejected", LIMIT, |view| view.state() == "Rejected");
        let accepted = view.condition("Accepted").unwrap();
        assert_eq!(
            (&accepted["status"], &accepted["reason"]),
            (&json!("False"), &json!("InvalidProfile")),
            "{name}"
        );
        let message = accepted["message"].as_str().unwrap();
        assert!(message.contains(says), "{name}: {message}\nshould say {says}");
        assert_eq!(view.condition("Ready").unwrap()["status"], "False", "{name}");
        assert_eq!(view.condition("Stalled").unwrap()["status"], "True", "{name}");
        if name.len() <= 240 {
            assert!(profile.on_disks().iter().all(|(_, found)| found.is_none()), "{name} has a file");
        }
    }
}

#[test]
fn profiles_that_no_schema_would_accept_are_rejected_one_by_one_and_block_no_other() {
    let cluster = alone();
    let standing = cluster.profile("standing", &allow_all(0));
    standing.wait_ready();
    let spoilt = cluster.profile("spoilt", &allow_all(0));
    spoilt.wait_ready();
    let before = pods(&cluster);

    let permissive = Permissive::new(&cluster);
    let mut bad_ones = Vec::new();
    for (name, object, says) in invalid_profiles() {
        let profile = cluster.existing(&name);
        output(cluster.kubectl_input(["create", "-f", "-"], &object.to_string())).unwrap_or_else(|error| {
            panic!("{name}: {}", error.chars().take(500).collect::<String>());
        });
        bad_ones.push((profile, says));
    }
    // Two more, to be deleted under the definition with which they were created.
    let brief =
        [("brief-text", json!("text")), ("brief-arguments", json!({ "syscalls": [{ "args": ["0"] }] }))];
    let _brief = brief.each_ref().map(|(name, contents)| cluster.profile(name, contents));
    // The prototype's webhook stored an empty name beside names, which is valid.
    let of_the_sketch = json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "name": "", "names": ["never_called"], "action": "SCMP_ACT_LOG", "args": [] }],
    });
    let sketch = cluster.profile("of-the-sketch", &of_the_sketch);
    // A profile that was valid keeps its files.
    let patch = json!({ "spec": { "contents": { "defaultAction": 0 } } }).to_string();
    cluster.ok(["patch", "seccompprofile", "spoilt", "--type=merge", "--patch", &patch]);
    // A status that no operator writes.
    let patch =
        json!({ "status": { "state": 7, "conditions": "none", "nodes": [], "removal": ["Approved"] } });
    let status = ["patch", "seccompprofile", "standing", "--subresource=status", "--type=merge", "--patch"];
    cluster.ok([status[0], status[1], status[2], status[3], status[4], status[5], &patch.to_string()]);

    check_rejected(&bad_ones);
    until("the true status of standing", LIMIT, || (standing.view().state() == "Ready").then_some(()));
    standing.wait_ready();
    sketch.wait_ready();
    spoilt.until("being Rejected", LIMIT, |view| view.state() == "Rejected");
    check_good_profile(&cluster, "good-beside-bad");
    assert_eq!(pods(&cluster), before, "nobody crashed");

    for (name, _) in &brief {
        cluster.ok(["delete", "seccompprofile", name, "--timeout=30s"]);
    }

    // Once the cluster has the right definition again.
    permissive.end();
    check_good_profile(&cluster, "good-after-bad");
    assert_eq!(pods(&cluster), before, "nobody crashed");
    for component in ["node-agent", "operator"] {
        let selector = format!("--selector=app.kubernetes.io/component={component}");
        cluster.ok(["-n", "seccomp-profile", "delete", "pods", &selector, "--timeout=60s"]);
    }
    cluster.wait_rolled_out();
    check_good_profile(&cluster, "good-after-restart");
    check_rejected(&bad_ones);
    standing.wait_ready();
    sketch.wait_ready();
    for (node, found) in spoilt.on_disks() {
        assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(0)))), "the spoilt one's file on {node}");
    }
    for name in OF_AN_EARLIER_RELEASE {
        cluster.ok(["label", "seccompprofile", name, "team=security"]);
        let unmended = r#"{"spec":{"contents":{"defaultAction":"SCMP_ACT_ERRNO","defaultErrnoRet":4096}}}"#;
        let patch = ["patch", "seccompprofile", name, "--type=merge", "--patch", unmended];
        assert!(cluster.kubectl(patch).is_err(), "{name}: what changes is held to the definition");
    }
    let restarts: Vec<String> =
        pods(&cluster).into_iter().filter(|pod| !pod.ends_with(" restarts 0")).collect();
    assert!(restarts.is_empty(), "{restarts:?}");

    // Each can be deleted.
    for (profile, _) in &bad_ones {
        cluster.ok(["delete", "seccompprofile", &profile.name, "--wait=false"]);
    }
    let (held, free): (Vec<&str>, Vec<&str>) = bad_ones
        .iter()
        .map(|(profile, _)| profile.name.as_str())
        .partition(|name| NOT_WRITABLE.contains(name));
    for name in free {
        cluster.ok(["wait", "--for=delete", "--timeout=30s", &format!("seccompprofile/{name}")]);
    }
    // As the runbook describes.
    let runbook = Page::read("docs/runbooks/SeccompProfileDeletionStuck.md").text;
    assert!(runbook.contains(&format!(
        "`kubectl patch seccompprofiles.seccomp.imjasonh.dev PROFILE --type=merge -p '{REPAIR_PATCH}'`"
    )));
    for name in held {
        let finalizers = r#"{"metadata":{"finalizers":null}}"#;
        let by_hand =
            cluster.kubectl(["patch", "seccompprofile", name, "--type=merge", "--patch", finalizers]);
        assert!(by_hand.is_err(), "{name}: the API server lets nobody take a finalizer off");
        cluster.ok(["patch", "seccompprofile", name, "--type=merge", "--patch", REPAIR_PATCH]);
        cluster.ok(["wait", "--for=delete", "--timeout=30s", &format!("seccompprofile/{name}")]);
    }
    cluster.ok(["delete", "seccompprofile", "spoilt", "--timeout=30s"]);
    for (node, found) in spoilt.on_disks() {
        assert_eq!(text(&found), None, "the spoilt one's file on {node}");
    }
    standing.wait_ready();
    until("no bad profile left", Duration::from_secs(5), || {
        let left = cluster.ok(["get", "seccompprofiles", "-o", "name"]);
        (!left.contains("bad-") && !left.contains("nnn")).then_some(())
    });
}
