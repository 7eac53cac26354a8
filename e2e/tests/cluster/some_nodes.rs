//! A profile for some nodes: its file follows the nodes' labels, and gated pods run where it is.

use cluster::Node;
use serde_json::{Value, json};

use super::gate::{Gated, SHOP};
use super::support::{
    AppliedProfile, LIMIT, Session, allow_all, alone, bytes_of, expect_cleanup, object, sleeper, until,
};

/// The label that the profiles select nodes by, as a patch of a Node.
fn label(cluster: &Session, node: &Node, pool: Option<&str>) {
    let patch = json!({ "metadata": { "labels": { "pool": pool } } }).to_string();
    cluster.ok(["patch", "node", &node.name(), "--type=merge", "--patch", &patch]);
}

/// Removes the label when this is dropped.
struct Labels<'a>(&'a Session, [&'a Node; 2]);

impl Drop for Labels<'_> {
    fn drop(&mut self) {
        for node in self.1 {
            expect_cleanup(self.0.kubectl(["label", "node", &node.name(), "pool-"]).map(drop));
        }
    }
}

/// Applies a profile for the nodes of the pool `web`.
fn apply(cluster: &Session, profile: &AppliedProfile<'_>) {
    let mut object = object(&profile.name, &allow_all(3));
    object["spec"]["nodeSelector"] = json!({ "matchLabels": { "pool": "web" } });
    cluster.try_apply(&object).unwrap_or_else(|error| panic!("{error}"));
}

/// Waits until one node must have the profile, and has it.
fn wait_ready_on_one(profile: &AppliedProfile<'_>) {
    profile.until("being Ready on one node", LIMIT, |view| {
        view.is_ready() && view.json()["status"]["ready"] == "1/1"
    });
}

/// A pod in the namespace with the gate, under the profile; the node on which it runs.
fn place(cluster: &Session, name: &str) -> String {
    let mut pod = sleeper(name, "some");
    pod["metadata"]["namespace"] = json!(SHOP);
    cluster.try_apply(&pod).unwrap_or_else(|error| panic!("{error}"));
    let named = format!("pod/{name}");
    cluster.ok(["-n", SHOP, "wait", "--for=condition=Ready", "--timeout=60s", &named]);
    let pod = cluster.json(["-n", SHOP, "get", "pod", name]);
    let key = &pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
        [0]["matchExpressions"][0];
    assert_eq!(*key, json!({ "key": "pool", "operator": "In", "values": ["web"] }), "{pod:#}");
    pod["spec"]["nodeName"].as_str().unwrap_or_default().to_owned()
}

fn has_file(profile: &AppliedProfile<'_>, node: &Node) -> bool {
    std::fs::read(profile.path(node)).is_ok_and(|bytes| bytes == bytes_of(&allow_all(3)))
}

fn wait_file(profile: &AppliedProfile<'_>, node: &Node, there: bool) {
    let what = format!("the file being {} {}", if there { "on" } else { "gone from" }, node.name());
    until(&what, LIMIT, || (has_file(profile, node) == there).then_some(()));
}

/// The profiles that a node is told not to hold.
fn excluded(cluster: &Session, node: &Node) -> Vec<String> {
    let report = cluster.json(["get", "nodeprofilestatus", &node.name()]);
    let excluded = report["spec"]["excludedProfiles"].as_object();
    excluded.into_iter().flatten().map(|(name, _)| name.clone()).collect()
}

#[test]
fn a_file_follows_the_labels_of_two_nodes_and_gated_pods_land_where_it_is() {
    let cluster = alone();
    // Deleted after the pods in the namespace.
    let [some, marker] = ["some", "marker"].map(|name| cluster.existing(name));
    let _gated = Gated::new(&cluster);
    let nodes = cluster.node_list();
    let [first, second] = nodes.as_slice() else { panic!("{} nodes", nodes.len()) };
    let _labels = Labels(&cluster, [first, second]);
    label(&cluster, first, Some("web"));
    apply(&cluster, &some);
    wait_ready_on_one(&some);
    assert!(has_file(&some, first));
    wait_file(&some, second, false);
    for pod in ["placed-1", "placed-2"] {
        assert_eq!(place(&cluster, pod), first.name());
    }

    // The label moves, and the file with it; the pods hold it where they are.
    label(&cluster, first, None);
    label(&cluster, second, Some("web"));
    wait_file(&some, second, true);
    // Whoever sees the node told about another profile sees that it has been decided about since.
    apply(&cluster, &marker);
    until("the first node being told", LIMIT, || {
        excluded(&cluster, first).contains(&"marker".to_owned()).then_some(())
    });
    assert_eq!(excluded(&cluster, first), ["marker"]);
    assert!(has_file(&some, first));
    wait_ready_on_one(&some);
    assert_eq!(place(&cluster, "placed-3"), second.name());
    cluster.ok(["-n", SHOP, "delete", "pod", "placed-1", "placed-2", "--timeout=60s"]);
    wait_file(&some, first, false);

    // Nothing keeps a pod without the gate from a node without the file; its container starts once the node is selected.
    let mut stray = sleeper("stray", "some");
    stray["spec"]["nodeName"] = json!(first.name());
    let stray = cluster.pod(&stray);
    until("a container that finds no file", LIMIT, || {
        let pod = cluster.json(["get", "pod", &stray.name]);
        let state: &Value = &pod["status"]["containerStatuses"][0]["state"]["waiting"]["reason"];
        (state == "CreateContainerError").then_some(())
    });
    assert!(!has_file(&some, first));
    label(&cluster, first, Some("web"));
    stray.wait_running();
    assert!(has_file(&some, first));
}
