//! Profiles go while nodes do not answer.

use std::time::{Duration, Instant};

use cluster::{Node, NodeDaemon};
use e2e::view::disk;

use super::added_nodes::Guest;
use super::consistency_check::Witness;
use super::support::{Applied, LIMIT, Session, alone, bytes_of, harmless, say, sleeper, text, until};

/// How soon after the confirmation of every node that is waited for a profile must be gone.
const SOON: Duration = Duration::from_secs(10);
/// How long Kubernetes may take to notice that a node does not answer: 20 s after its last word.
const NOTICED: &str = "--timeout=60s";
/// How long an agent may take to notice that its connection to the API server was cut.
const BACK: Duration = Duration::from_secs(150);

/// Two nodes stay. One is cut off and its Node is deleted, later there is one again; one is cut off and stays a Node.
#[test]
fn nodes_that_do_not_answer_hold_no_deletion_and_are_swept_when_they_are_back() {
    let cluster = alone();
    let [trapped, used, renewed] =
        ["trapped", "used-there", "renewed"].map(|name| cluster.profile(name, &harmless(0)));
    let guests = Guest::two(&cluster);
    let [staying, leaving] = guests.each_ref().map(|guest| &guest.node);
    for profile in [&trapped, &used, &renewed] {
        profile.ready();
    }
    let mut pod = sleeper("user-there", &used.name);
    pod["spec"]["nodeName"] = staying.name().into();
    let pod = cluster.pod(&pod);
    pod.running();
    let witness = Witness::of(&renewed);

    a_deletion_ends_with_the_node_that_it_waits_for(&cluster, &trapped, leaving);
    a_pod_holds_a_profile_until_its_node_is_unreachable(&cluster, &used, staying);
    let lost = [staying, leaving];
    a_profile_is_renewed_without_the_nodes_that_do_not_answer(&cluster, &renewed, &witness, lost);

    let start = Instant::now();
    lost.iter().for_each(|node| node.heal().unwrap());
    // A kubelet registers its node when it starts and at no other time. A kube-proxy ends when it hears that its Node was
    // deleted, sooner or later after the link is there again, and is started again where it is supervised.
    for daemon in [NodeDaemon::Kubelet, NodeDaemon::KubeProxy] {
        leaving.kill(daemon).unwrap();
        leaving.start(daemon).unwrap();
    }
    lost.iter().for_each(|node| node.wait_ready().unwrap());
    for node in lost {
        until(&format!("{} having what it should", node.name()), BACK, || {
            let swept = [&trapped, &used].map(|profile| disk::bytes(node, &profile.name).unwrap().is_none());
            let renewed = disk::bytes(node, &renewed.name).unwrap() == Some(bytes_of(&harmless(1)));
            (swept == [true, true] && renewed).then_some(())
        });
        say(&format!("{} was swept {:.1} s after its link was mended", node.name(), seconds(start)));
    }
    renewed.until("being Ready on all nodes again", LIMIT, |view| view.is_ready() && view.ready() == "4/4");
    renewed.ready();
    witness.close(2);
}

/// The trap: the node is waited for, then nobody can ever confirm for it.
fn a_deletion_ends_with_the_node_that_it_waits_for(cluster: &Session, profile: &Applied<'_>, leaving: &Node) {
    leaving.partition().unwrap();
    profile.begin_deletion();
    profile.confirmed(&others(cluster, &[leaving]));
    let confirmed = Instant::now();
    let message = profile.condition("Deleting", "RemovingFiles");
    assert!(message.contains(&leaving.name()), "{message}");
    leaving.delete_object().unwrap();
    gone_soon_after(profile, confirmed);
    still_there(profile, leaving);
}

fn a_pod_holds_a_profile_until_its_node_is_unreachable(
    cluster: &Session,
    profile: &Applied<'_>,
    staying: &Node,
) {
    staying.partition().unwrap();
    profile.begin_deletion();
    let message = profile.condition("Deleting", "InUse");
    assert!(message.contains("default/user-there"), "{message}");
    let unknown = r#"--for=jsonpath={.status.conditions[?(@.type=="Ready")].status}=Unknown"#;
    cluster.ok(["wait", unknown, NOTICED, &format!("node/{}", staying.name())]);
    gone_soon_after(profile, Instant::now());
    still_there(profile, staying);
    let note = cluster.event(&profile.name, "CutOffPods");
    assert!(note.contains("an unreachable node"), "{note}");
}

fn a_profile_is_renewed_without_the_nodes_that_do_not_answer(
    cluster: &Session,
    profile: &Applied<'_>,
    witness: &Witness,
    lost: [&Node; 2],
) {
    witness.sees_ready(profile, LIMIT);
    profile.begin_deletion();
    profile.confirmed(&others(cluster, &lost));
    gone_soon_after(profile, Instant::now());
    profile.update(&harmless(1));
    witness.sees_ready(profile, LIMIT);
    let view = profile.until("counting the unreachable node", LIMIT, |view| view.ready() == "2/3");
    assert!(view.is_ready(), "{}", view.json());
    assert_eq!(view.count("unreachable"), Some(1));
    lost.iter().for_each(|node| still_there(profile, node));
}

fn others(cluster: &Session, than: &[&Node]) -> Vec<Node> {
    let mut nodes = cluster.disks();
    nodes.retain(|node| than.iter().all(|other| other.id() != node.id()));
    nodes
}

fn gone_soon_after(profile: &Applied<'_>, confirmed: Instant) {
    profile.gone(LIMIT);
    say(&format!("{} was gone {:.2} s after the others had confirmed", profile.name, seconds(confirmed)));
    assert!(confirmed.elapsed() < SOON, "{:?}", confirmed.elapsed());
}

/// The first contents lie on a node that has not heard of anything else.
fn still_there(profile: &Applied<'_>, node: &Node) {
    let found = disk::bytes(node, &profile.name).unwrap();
    assert_eq!(text(&found), text(&Some(bytes_of(&harmless(0)))), "{} on {}", profile.name, node.name());
}

fn seconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64()
}
