//! The local cluster itself: everything that other end-to-end tests do to it works, and it leaves the
//! machine as it was. Needs root, and some minutes when Kubernetes is not built yet:
//! `cargo test -p e2e --test local_cluster -- --ignored`. A failure leaves the cluster for a look at it;
//! `cargo run -p e2e -- down` ends it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy's `allow-unwrap-in-tests` does not cover helper functions of integration tests"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use cluster::wait;
use cluster::{Cluster, ClusterError, Component, Instance, Layout, Node, NodeDaemon, NodeId, Options};
use xtask::command;

fn pod(name: &str, node: &Node, seccomp: &str, script: &str) -> String {
    format!(
        r#"{{"apiVersion": "v1", "kind": "Pod", "metadata": {{"name": "{name}"}}, "spec": {{
            "nodeName": "{}", "restartPolicy": "Never", "terminationGracePeriodSeconds": 0,
            "containers": [{{"name": "main", "image": "busybox", "imagePullPolicy": "IfNotPresent",
                "command": ["sh", "-c", "{script}"],
                "securityContext": {{"seccompProfile": {{{seccomp}}}}}}}]}}}}"#,
        node.name()
    )
}

const DEFAULT: &str = r#""type": "RuntimeDefault""#;
const LOCALHOST: &str = r#""type": "Localhost", "localhostProfile": "profiles/log.json""#;

fn succeeds(cluster: &Cluster, name: &str) {
    let condition = "--for=jsonpath={.status.phase}=Succeeded";
    let pod = format!("pod/{name}");
    if let Err(error) = cluster.kubectl(["wait", condition, "--timeout=60s", &pod]) {
        panic!("{error}\n{}", cluster.kubectl(["describe", &pod]).unwrap_or_default());
    }
}

fn ready_becomes(cluster: &Cluster, node: &Node, status: &str) {
    let condition = format!(r#"--for=jsonpath={{.status.conditions[?(@.type=="Ready")].status}}={status}"#);
    cluster.kubectl(["wait", &condition, "--timeout=90s", &format!("node/{}", node.name())]).unwrap();
}

/// Links, network namespaces, mounts, top-level cgroups and the directories that nodes mount over.
fn machine() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    let links = command::output(Command::new("ip").args(["-brief", "link"])).unwrap();
    found.extend(links.lines().filter_map(|line| line.split(' ').next()).map(|name| format!("link {name}")));
    let routes = command::output(Command::new("ip").arg("route")).unwrap();
    found.extend(routes.lines().map(|route| format!("route {route}")));
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    found
        .extend(mounts.lines().filter_map(|line| line.split(' ').nth(4)).map(|path| format!("mount {path}")));
    for directory in ["/run/netns", "/sys/fs/cgroup", "/sys/fs/cgroup/memory"] {
        let entries = fs::read_dir(directory).into_iter().flatten().flatten();
        found.extend(entries.map(|entry| format!("entry {}", entry.path().display())));
    }
    for path in ["/var/lib/kubelet", "/var/lib/containerd", "/run/containerd", "/run/netns", "/var/log/pods"]
    {
        found.insert(format!("{path} is there: {}", Path::new(path).exists()));
    }
    for setting in ["fs/inotify/max_user_instances", "kernel/panic", "vm/overcommit_memory"] {
        found.insert(format!(
            "{setting} {}",
            fs::read_to_string(Path::new("/proc/sys").join(setting)).unwrap()
        ));
    }
    found
}

#[test]
#[ignore = "starts a cluster, which needs root"]
fn a_cluster_bears_what_tests_do_to_it_and_leaves_the_machine_as_it_was() {
    let layout = Layout::from_environment();
    Cluster::clear(&layout).unwrap();
    let before = machine();

    let cluster = Cluster::up(&Options { nodes: 2, layout: layout.clone(), ..Options::default() }).unwrap();
    pods_run_on_every_node_with_the_profiles_that_lie_there(&cluster);
    a_second_cluster_starts_and_ends_beside_it(&cluster);
    let third = a_third_node_joins(&cluster);
    a_cut_off_node_turns_unknown_and_comes_back(&cluster, &third);
    a_node_without_power_keeps_its_disk(&cluster, &third);
    a_crashed_daemon_can_be_started_again(&cluster, &third);
    the_api_survives_the_crash_of_its_parts(&cluster);
    only_our_service_accounts_are_audited(&cluster);
    a_removed_node_is_gone_and_its_number_is_used_again(&cluster, third);

    cluster.down().unwrap();
    assert_eq!(machine(), before);
    assert!(!layout.directory().exists());
    assert!(matches!(Cluster::attach(&layout), Err(ClusterError::NoCluster(_))));
}

fn pods_run_on_every_node_with_the_profiles_that_lie_there(cluster: &Cluster) {
    for node in cluster.nodes().unwrap() {
        let profiles = node.seccomp_dir().join("profiles");
        fs::create_dir_all(&profiles).unwrap();
        fs::write(profiles.join("log.json"), r#"{"defaultAction": "SCMP_ACT_LOG"}"#).unwrap();
        let (hello, filtered) = (format!("hello-{}", node.name()), format!("filtered-{}", node.name()));
        // The default profile of a runtime and the way to the API server's service.
        let script = "nc -w 5 $KUBERNETES_SERVICE_HOST 443 </dev/null && echo reached";
        cluster.kubectl_input(["apply", "-f", "-"], &pod(&hello, &node, DEFAULT, script)).unwrap();
        let script = "grep Seccomp: /proc/self/status";
        cluster.kubectl_input(["apply", "-f", "-"], &pod(&filtered, &node, LOCALHOST, script)).unwrap();
        succeeds(cluster, &hello);
        assert_eq!(cluster.kubectl(["logs", &hello]).unwrap(), "reached\n");
        succeeds(cluster, &filtered);
        assert_eq!(cluster.kubectl(["logs", &filtered]).unwrap(), "Seccomp:\t2\n");
    }
}

fn a_second_cluster_starts_and_ends_beside_it(cluster: &Cluster) {
    let second = Instance::all().nth(1).unwrap();
    let raised = fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap();
    let options = Options { nodes: 1, layout: Layout::of(second), ..Options::default() };
    let beside = Cluster::up(&options).unwrap();
    pods_run_on_every_node_with_the_profiles_that_lie_there(&beside);
    // Each has a node of this name.
    ready_becomes(cluster, &cluster.nodes().unwrap()[0], "True");
    beside.down().unwrap();
    assert!(!options.layout.directory().exists());
    assert_eq!(fs::read_to_string("/proc/sys/fs/inotify/max_user_instances").unwrap(), raised);
    for node in cluster.nodes().unwrap() {
        node.run(&["true"]).unwrap();
        ready_becomes(cluster, &node, "True");
    }
}

fn a_third_node_joins(cluster: &Cluster) -> Node {
    // As another process would, while this one holds the lock.
    let node = Cluster::attach(&Layout::from_environment()).unwrap().add_node().unwrap();
    assert_eq!(node.name(), "node-3");
    ready_becomes(cluster, &node, "True");
    node
}

fn a_cut_off_node_turns_unknown_and_comes_back(cluster: &Cluster, node: &Node) {
    node.partition().unwrap();
    ready_becomes(cluster, node, "Unknown");
    assert!(node.is_running());
    node.heal().unwrap();
    ready_becomes(cluster, node, "True");
}

fn a_node_without_power_keeps_its_disk(cluster: &Cluster, node: &Node) {
    fs::create_dir_all(node.seccomp_dir()).unwrap();
    fs::write(node.seccomp_dir().join("kept"), "kept").unwrap();
    let sleeper = pod("sleeper", node, DEFAULT, "sleep 3600");
    cluster.kubectl_input(["apply", "-f", "-"], &sleeper).unwrap();
    cluster.kubectl(["wait", "--for=condition=Ready", "--timeout=60s", "pod/sleeper"]).unwrap();
    node.power_off().unwrap();
    node.power_off().unwrap();
    assert!(!node.is_running());
    node.power_on().unwrap();
    assert_eq!(fs::read_to_string(node.seccomp_dir().join("kept")).unwrap(), "kept");
    cluster.kubectl_input(["apply", "-f", "-"], &pod("again", node, DEFAULT, "true")).unwrap();
    succeeds(cluster, "again");
    cluster.kubectl(["delete", "pod", "sleeper", "--timeout=60s"]).unwrap();
}

fn a_crashed_daemon_can_be_started_again(cluster: &Cluster, node: &Node) {
    for (daemon, name) in
        [(NodeDaemon::Kubelet, "after-kubelet"), (NodeDaemon::Containerd, "after-containerd")]
    {
        node.kill(daemon).unwrap();
        node.start(daemon).unwrap();
        cluster.kubectl_input(["apply", "-f", "-"], &pod(name, node, DEFAULT, "true")).unwrap();
        succeeds(cluster, name);
    }
}

fn the_api_survives_the_crash_of_its_parts(cluster: &Cluster) {
    cluster.kill(Component::Etcd).unwrap();
    cluster.restart(Component::Etcd).unwrap();
    cluster.stop(Component::ApiServer).unwrap();
    assert!(cluster.kubectl(["get", "nodes"]).is_err());
    cluster.restart(Component::ApiServer).unwrap();
    assert!(cluster.kubectl(["get", "pod", "after-containerd"]).is_ok());
}

fn only_our_service_accounts_are_audited(cluster: &Cluster) {
    assert_eq!(fs::read_to_string(cluster.audit_log()).unwrap(), "");
    cluster.kubectl(["create", "namespace", "seccomp-profile"]).unwrap();
    cluster.kubectl(["create", "serviceaccount", "agent", "-n", "seccomp-profile"]).unwrap();
    let token = cluster.kubectl(["create", "token", "agent", "-n", "seccomp-profile"]).unwrap();
    let server = format!("--server=https://{}:6443", cluster.instance().control_plane());
    let authority = format!("--certificate-authority={}", cluster.directory().join("pki/ca.crt").display());
    let token = format!("--token={}", token.trim());
    let _ = cluster.kubectl(["--kubeconfig=/dev/null", &server, &authority, &token, "get", "pods"]);
    wait::until::<_, wait::WaitError>("the audit log", Duration::from_secs(10), || {
        let log = fs::read_to_string(cluster.audit_log()).unwrap();
        Ok(log.contains("system:serviceaccount:seccomp-profile:agent").then_some(()))
    })
    .unwrap();
}

fn a_removed_node_is_gone_and_its_number_is_used_again(cluster: &Cluster, node: Node) {
    node.remove().unwrap();
    ready_becomes(cluster, &node, "Unknown");
    node.delete_object().unwrap();
    assert_eq!(cluster.nodes().unwrap().iter().map(Node::id).max(), NodeId::new(2).ok());
    assert_eq!(cluster.add_node().unwrap().name(), "node-3");
}
