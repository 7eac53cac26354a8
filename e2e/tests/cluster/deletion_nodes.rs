//! Deletions while nodes are unreachable.

use std::time::{Duration, Instant};

use cluster::{Node, NodeDaemon};
use e2e::view::disk;

use super::added_nodes::AddedNode;
use super::consistency_check::ConsistencyCheck;
use super::support::{
    AppliedProfile, LIMIT, Session, allow_all, alone, bytes_of, print_line, sleeper, text, until,
};

/// How soon a profile must be deleted once every awaited node has confirmed.
const SOON: Duration = Duration::from_secs(10);
/// How long Kubernetes may take to notice that a node is unreachable: 20 s after its last heartbeat.
const NOTICE_TIMEOUT: &str = "--timeout=60s";
/// How long an agent may take to notice that its connection to the API server was cut.
const RECONNECT_LIMIT: Duration = Duration::from_secs(150);

/// Two nodes stay. One is cut off and its Node is deleted and later created again; one is cut off and keeps its Node.
#[test]
fn unreachable_nodes_delay_no_deletion_and_their_files_are_removed_when_they_are_back() {
    let cluster = alone();
    let [trapped, used, renewed] =
        ["trapped", "used-there", "renewed"].map(|name| cluster.profile(name, &allow_all(0)));
    let added = AddedNode::add_two(&cluster);
    let [staying, leaving] = added.each_ref().map(|added| &added.node);
    for profile in [&trapped, &used, &renewed] {
        profile.wait_ready();
    }
    let mut pod = sleeper("user-there", &used.name);
    pod["spec"]["nodeName"] = staying.name().into();
    let pod = cluster.pod(&pod);
    pod.wait_running();
    let check = ConsistencyCheck::start(&renewed);

    a_deletion_ends_with_the_node_that_it_waits_for(&cluster, &trapped, leaving);
    a_pod_holds_a_profile_until_its_node_is_unreachable(&cluster, &used, staying);
    let lost = [staying, leaving];
    a_profile_is_renewed_without_the_nodes_that_do_not_answer(&cluster, &renewed, &check, lost);

    let start = Instant::now();
    lost.iter().for_each(|node| node.heal().unwrap());
    // A kubelet registers its node only when it starts. A kube-proxy ends when its watch reports that its Node was
    // deleted, some time after the link is restored, and a supervisor would restart it.
    for daemon in [NodeDaemon::Kubelet, NodeDaemon::KubeProxy] {
        leaving.kill(daemon).unwrap();
        leaving.start(daemon).unwrap();
    }
    lost.iter().for_each(|node| node.wait_ready().unwrap());
    for node in lost {
        until(&format!("{} having what it should", node.name()), RECONNECT_LIMIT, || {
            let swept = [&trapped, &used].map(|profile| disk::bytes(node, &profile.name).unwrap().is_none());
            let renewed = disk::bytes(node, &renewed.name).unwrap() == Some(bytes_of(&allow_all(1)));
            (swept == [true, true] && renewed).then_some(())
        });
        print_line(&format!("{} was swept {:.1} s after its link was mended", node.name(), seconds(start)));
    }
    renewed.until("being Ready on all nodes again", LIMIT, |view| view.is_ready() && view.ready() == "4/4");
    renewed.wait_ready();
    check.finish(2);
}

/// The operator waits for the node, which is then deleted, so that it can never confirm.
fn a_deletion_ends_with_the_node_that_it_waits_for(
    cluster: &Session,
    profile: &AppliedProfile<'_>,
    leaving: &Node,
) {
    leaving.partition().unwrap();
    profile.begin_deletion();
    profile.wait_confirmed(&nodes_except(cluster, &[leaving]));
    let confirmed = Instant::now();
    let message = profile.wait_condition("Deleting", "RemovingFiles");
    assert!(message.contains(&leaving.name()), "{message}");
    leaving.delete_object().unwrap();
    assert_gone_soon(profile, confirmed);
    assert_old_file(profile, leaving);
}

fn a_pod_holds_a_profile_until_its_node_is_unreachable(
    cluster: &Session,
    profile: &AppliedProfile<'_>,
    staying: &Node,
) {
    staying.partition().unwrap();
    profile.begin_deletion();
    let message = profile.wait_condition("Deleting", "InUse");
    assert!(message.contains("default/user-there"), "{message}");
    let unknown = r#"--for=jsonpath={.status.conditions[?(@.type=="Ready")].status}=Unknown"#;
    cluster.ok(["wait", unknown, NOTICE_TIMEOUT, &format!("node/{}", staying.name())]);
    assert_gone_soon(profile, Instant::now());
    assert_old_file(profile, staying);
    let note = cluster.wait_event(&profile.name, "CutOffPods");
    assert!(note.contains("an unreachable node"), "{note}");
}

fn a_profile_is_renewed_without_the_nodes_that_do_not_answer(
    cluster: &Session,
    profile: &AppliedProfile<'_>,
    check: &ConsistencyCheck,
    lost: [&Node; 2],
) {
    check.wait_seen_ready(profile, LIMIT);
    profile.begin_deletion();
    profile.wait_confirmed(&nodes_except(cluster, &lost));
    assert_gone_soon(profile, Instant::now());
    profile.update(&allow_all(1));
    check.wait_seen_ready(profile, LIMIT);
    let view = profile.until("counting the unreachable node", LIMIT, |view| view.ready() == "2/3");
    assert!(view.is_ready(), "{}", view.json());
    assert_eq!(view.count("unreachable"), Some(1));
    lost.iter().for_each(|node| assert_old_file(profile, node));
}

fn nodes_except(cluster: &Session, than: &[&Node]) -> Vec<Node> {
    let mut nodes = cluster.node_list();
    nodes.retain(|node| than.iter().all(|other| other.id() != node.id()));
    nodes
}

fn assert_gone_soon(profile: &AppliedProfile<'_>, confirmed: Instant) {
    profile.wait_gone(LIMIT);
    print_line(&format!(
        "{} was gone {:.2} s after the others had confirmed",
        profile.name,
        seconds(confirmed)
    ));
    assert!(confirmed.elapsed() < SOON, "{:?}", confirmed.elapsed());
}

/// Checks that an unreachable node still has the first contents.
fn assert_old_file(profile: &AppliedProfile<'_>, node: &Node) {
    let found = disk::bytes(node, &profile.name).unwrap();
    assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(0)))), "{} on {}", profile.name, node.name());
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
