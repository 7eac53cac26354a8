//! Containers that do not start although their node has the profile: the node's object, an Event and the plugin report
//! it.

use std::fs;
use std::time::Duration;

use e2e::view::disk;
use serde_json::{Value, json};

use super::plugin::Person;
use super::support::{LIMIT, Session, allow_all, alone, expect_cleanup, shared, sleeper, until};

/// The operator reports a failure after half a minute; the kubelet's attempts come before that.
const REPORT_LIMIT: Duration = Duration::from_secs(90);
/// The operator clears it after a minute, and the container's next attempt may take as long again.
const CLEAR_LIMIT: Duration = Duration::from_mins(3);

const AGENTS: &str = "daemonset/seccomp-profile-node-agent";

fn report(cluster: &Session, node: &str) -> Value {
    cluster.json(["get", "nodeprofilestatus", node])
}

/// The condition of a node's object, if it has one of this type.
fn condition<'a>(report: &'a Value, kind: &str) -> Option<&'a Value> {
    report["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

/// Waits until a node's object reports that containers do not start under a profile, for this reason. Returns the
/// message.
pub(crate) fn wait_failing(cluster: &Session, node: &str, profile: &str, reason: &str) -> String {
    until(&format!("{node} failing at {profile}"), REPORT_LIMIT, || {
        let report = report(cluster, node);
        let said = condition(&report, "ContainersStart")?;
        assert_eq!((&said["status"], &said["reason"]), (&json!("False"), &json!(reason)), "{said}");
        let mut failures = report["status"]["startFailures"].as_array()?.iter();
        let failure = failures.find(|it| it["profile"] == profile && it["reason"] == reason)?;
        Some(failure["message"].as_str()?.to_owned())
    })
}

/// Waits until a node's object no longer reports failed starts.
pub(crate) fn wait_cleared(cluster: &Session, node: &str) {
    until(&format!("{node} saying that containers start"), CLEAR_LIMIT, || {
        let report = report(cluster, node);
        let silent = condition(&report, "ContainersStart").is_none();
        (silent && report["status"].get("startFailures").is_none()).then_some(())
    });
}

/// A pod on this node whose container the kubelet restarts without end.
fn restarting_pod(name: &str, profile: &str, node: &str) -> Value {
    let mut pod = sleeper(name, profile);
    pod["spec"]["restartPolicy"] = "Always".into();
    pod["spec"]["nodeName"] = node.into();
    pod
}

#[test]
fn a_profile_under_which_no_container_starts_is_reported_on_the_node_in_an_event_and_by_the_plugin() {
    let cluster = alone();
    let viewer = Person::with(&cluster, "starts-viewer", &["view"]);
    let contents = cluster.file("profiles/violation.yaml")["spec"]["contents"].take();
    let profile = cluster.profile("starts-nothing", &contents);
    profile.wait_ready();
    let [node, other] = [0, 1].map(|at| cluster.node_list()[at].name());
    let pod = cluster.pod(&restarting_pod("starter", "starts-nothing", &node));
    let message = wait_failing(&cluster, &node, "starts-nothing", "StartFailed");
    assert!(message.contains("Likely ") && message.ends_with("(pod default/starter)"), "{message}");
    assert_eq!(condition(&report(&cluster, &node), "Ready").unwrap()["status"], "True");
    assert!(condition(&report(&cluster, &other), "ContainersStart").is_none());
    // The files themselves are right.
    assert!(profile.view().is_ready());
    let note = cluster.wait_event(&node, "StartFailed");
    assert!(note.contains("status.startFailures"), "{note}");
    let seen = viewer.run_plugin(0, &["status", "starts-nothing"]);
    let row = seen.lines().find(|line| line.starts_with(node.as_str())).unwrap();
    assert!(row.contains(" Ready ") && row.contains(" StartFailed: "), "{seen}");
    let seen = viewer.run_plugin(0, &["status"]);
    assert!(
        seen.lines().any(|line| line.contains(node.as_str()) && line.contains(" StartFailed: ")),
        "{seen}"
    );

    // Failed starts under the earlier contents do not count for the new ones.
    profile.update(&allow_all(0));
    wait_cleared(&cluster, &node);
    pod.remove();
}

#[test]
#[ignore = "long: the operator waits for half a minute, and for a minute more"]
fn a_pod_that_ended_without_a_start_is_reported_too() {
    let cluster = shared();
    let contents = cluster.file("profiles/violation.yaml")["spec"]["contents"].take();
    let profile = cluster.profile("ends-at-once", &contents);
    profile.wait_ready();
    let node = cluster.node_list()[1].name();
    let mut pod = sleeper("ender", "ends-at-once");
    pod["spec"]["nodeName"] = node.as_str().into();
    let pod = cluster.pod(&pod);
    let message = wait_failing(&cluster, &node, "ends-at-once", "StartFailed");
    assert!(message.ends_with("(pod default/ender)"), "{message}");
    pod.remove();
    wait_cleared(&cluster, &node);
}

/// The agents write into another directory than the kubelets read; it is restored when this is dropped.
struct MovedDirectory<'a> {
    cluster: &'a Session,
    before: Value,
}

impl<'a> MovedDirectory<'a> {
    fn agents(cluster: &'a Session) -> Self {
        let shown = cluster.json(["-n", "seccomp-profile", "get", AGENTS]);
        let before = shown["spec"]["template"]["spec"].clone();
        let moved = before.to_string().replace("/var/lib/kubelet", "/var/lib/kubelet/elsewhere");
        let elsewhere = MovedDirectory { cluster, before };
        elsewhere.replace(&serde_json::from_str(&moved).unwrap()).unwrap_or_else(|error| panic!("{error}"));
        elsewhere
    }

    fn replace(&self, spec: &Value) -> Result<(), String> {
        let patch = json!([{ "op": "replace", "path": "/spec/template/spec", "value": spec }]).to_string();
        let namespace = ["-n", "seccomp-profile"];
        let replaced = namespace.into_iter().chain(["patch", AGENTS, "--type=json", "--patch", &patch]);
        self.cluster.kubectl(replaced).map_err(|error| error.to_string())?;
        let waited = namespace.into_iter().chain(["rollout", "status", "--timeout=120s", AGENTS]);
        self.cluster.kubectl(waited).map(drop).map_err(|error| error.to_string())
    }
}

impl Drop for MovedDirectory<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.replace(&self.before));
        for node in self.cluster.node_list() {
            expect_cleanup(fs::remove_dir_all(node.kubelet_dir().join("elsewhere")));
        }
    }
}

#[test]
#[ignore = "long: the operator waits for half a minute, and for a minute more"]
fn under_a_kubelet_with_another_root_directory_the_node_reports_where_the_runtime_looks() {
    let cluster = alone();
    let disk = &cluster.node_list()[0];
    let node = disk.name();
    let elsewhere = MovedDirectory::agents(&cluster);
    let profile = cluster.profile("elsewhere", &allow_all(0));
    profile.until("being Ready", LIMIT, |view| view.is_ready());
    assert_eq!(disk::bytes(disk, "elsewhere").unwrap(), None, "the kubelet's own directory has no such file");
    let pod = cluster.pod(&restarting_pod("seeker", "elsewhere", &node));
    let message = wait_failing(&cluster, &node, "elsewhere", "FileNotFound");
    assert!(message.contains("it looks in /var/lib/kubelet/seccomp/profiles. Likely "), "{message}");
    assert!(message.contains("kubeletRoot"), "{message}");
    cluster.wait_event(&node, "FileNotFound");

    drop(elsewhere);
    pod.wait_running();
    wait_cleared(&cluster, &node);
    pod.remove();
}
