//! A profile is kept for a pod, in whatever way the pod uses it.

use std::fs;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use e2e::view::PodEnd;
use serde_json::{Value, json};

use super::support::{
    LIMIT, Pod, Session, allow_all, alone, bytes_of, expect_cleanup, pod_under, print_line, sleeper, text,
};

/// How soon after the end of its last pod a profile must be deleted.
const SOON: Duration = Duration::from_secs(5);
const PROFILE: &str = "crowded";

/// The part of a pod or a container that names the profile.
fn seccomp_context() -> Value {
    json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": format!("profiles/{PROFILE}.json") } })
}

/// A pod that sleeps and names no profile.
fn sleeping_pod(name: &str) -> Value {
    let mut pod = sleeper(name, PROFILE);
    pod["spec"]["containers"][0].as_object_mut().unwrap().remove("securityContext");
    pod
}

fn with_pod_level_setting(name: &str) -> Value {
    let mut pod = sleeping_pod(name);
    pod["spec"]["securityContext"] = seccomp_context();
    pod
}

/// A pod whose init container does not end.
fn with_init_container(name: &str) -> Value {
    let mut pod = sleeping_pod(name);
    let mut init = pod["spec"]["containers"][0].clone();
    init["name"] = "init".into();
    init["securityContext"] = seccomp_context();
    pod["spec"]["initContainers"] = json!([init]);
    pod
}

/// Adds an ephemeral container to a pod that runs, as `kubectl debug` does.
fn add_ephemeral_container(cluster: &Session, pod: &Pod<'_>) {
    let mut object = cluster.json(["get", "pod", &pod.name]);
    let image = object["spec"]["containers"][0]["image"].clone();
    object["spec"]["ephemeralContainers"] = json!([{
        "name": "ephemeral",
        "image": image,
        "imagePullPolicy": "IfNotPresent",
        "command": ["sleep", "infinity"],
        "securityContext": seccomp_context(),
    }]);
    let path = format!("/api/v1/namespaces/default/pods/{}/ephemeralcontainers", pod.name);
    cluster
        .kubectl_input(["replace", "--raw", &path, "-f", "-"], &object.to_string())
        .unwrap_or_else(|error| panic!("{error}"));
    wait_container_runs(cluster, &pod.name, "ephemeralContainerStatuses");
}

/// Waits until the first of these containers of a pod runs.
fn wait_container_runs(cluster: &Session, pod: &str, statuses: &str) {
    let condition = format!("--for=jsonpath={{.status.{statuses}[0].state.running}}");
    cluster.ok(["wait", &condition, "--timeout=60s", &format!("pod/{pod}")]);
}

/// A static pod of a node, which the API server shows as a mirror pod; it is removed when this is dropped.
struct StaticPod<'a> {
    session: &'a Session,
    manifest: PathBuf,
    /// The mirror pod's name.
    name: String,
}

impl<'a> StaticPod<'a> {
    fn new(session: &'a Session, pod: &Value) -> Self {
        let node = session.node_list().remove(0);
        let name = pod["metadata"]["name"].as_str().unwrap();
        let manifest = node.static_pods_dir().join(format!("{name}.json"));
        let pod_of_node = StaticPod { session, manifest, name: format!("{name}-{}", node.name()) };
        // The kubelet ignores files whose names begin with a dot.
        let half = node.static_pods_dir().join(format!(".{name}"));
        fs::write(&half, pod.to_string()).unwrap();
        fs::rename(&half, &pod_of_node.manifest).unwrap();
        let mirror = format!("pod/{}", pod_of_node.name);
        session.ok(["wait", "--for=create", "--timeout=30s", &mirror]);
        session.ok(["wait", "--for=condition=Ready", "--timeout=60s", &mirror]);
        pod_of_node
    }

    /// Removes it, and returns when it is gone.
    fn remove(self) {}
}

impl Drop for StaticPod<'_> {
    fn drop(&mut self) {
        expect_cleanup(fs::remove_file(&self.manifest));
        let gone = ["wait", "--for=delete", "--timeout=60s", &format!("pod/{}", self.name)];
        expect_cleanup(self.session.kubectl(gone).map(drop));
    }
}

/// The condition's message while these pods use the profile.
fn message(pods: &[&str]) -> String {
    let named: Vec<_> = pods.iter().take(5).map(|pod| format!("default/{pod}")).collect();
    let more = match pods.len() {
        all @ 6.. => format!(" and {} more", all - 5),
        _ => String::new(),
    };
    let uses = if pods.len() == 1 { "pod uses" } else { "pods use" };
    format!("{} {uses} it: {}{more}; ", pods.len(), named.join(", "))
}

#[test]
fn a_profile_is_kept_for_every_kind_of_container_five_are_named_and_it_is_deleted_soon_after_the_last() {
    // A static pod belongs to the node, and tests that stop agents would see it.
    let cluster = alone();
    let profile = cluster.profile(PROFILE, &allow_all(0));
    profile.wait_ready();
    let by_pod = cluster.pod(&with_pod_level_setting("crowd-1-pod-level"));
    let by_init = cluster.pod(&with_init_container("crowd-2-init"));
    let by_ephemeral = cluster.pod(&sleeping_pod("crowd-3-ephemeral"));
    let by_container = ["crowd-4", "crowd-5", "crowd-6"].map(|name| cluster.pod(&sleeper(name, PROFILE)));
    let ended = cluster.pod(&pod_under("crowd-0-ended", PROFILE, "true"));
    let mirrored = StaticPod::new(&cluster, &sleeper("crowd-7-static", PROFILE));
    [&by_pod, &by_ephemeral].into_iter().chain(&by_container).for_each(Pod::wait_running);
    add_ephemeral_container(&cluster, &by_ephemeral);
    wait_container_runs(&cluster, &by_init.name, "initContainerStatuses");
    let end = PodEnd::wait(cluster.client(), &ended.name, LIMIT).unwrap();
    assert_eq!(end.phase, "Succeeded");

    profile.begin_deletion();
    let mirror = mirrored.name.clone();
    let all =
        ["crowd-1-pod-level", "crowd-2-init", "crowd-3-ephemeral", "crowd-4", "crowd-5", "crowd-6", &mirror];
    let held_by = |pods: &[&str]| {
        let message = message(pods);
        profile.until(&format!("saying: {message}"), LIMIT, |view| {
            let condition = view.condition("Deleting");
            condition.is_some_and(|shown| shown["message"].as_str().unwrap().starts_with(&message))
        });
        for (node, found) in profile.on_disks() {
            assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(0)))), "{node}");
        }
    };
    held_by(&all);
    by_container.into_iter().for_each(Pod::remove);
    held_by(&[all[0], all[1], all[2], all[6]]);
    by_pod.remove();
    held_by(&[all[1], all[2], all[6]]);
    by_init.remove();
    held_by(&[all[2], all[6]]);
    mirrored.remove();
    held_by(&[all[2]]);
    by_ephemeral.remove();
    let last = Instant::now();
    profile.wait_gone(LIMIT);
    let took = last.elapsed();
    print_line(&format!("a crowded profile was gone {:.2} s after its last pod", took.as_secs_f64()));
    assert!(took < SOON, "{took:?}");
    for (node, found) in profile.on_disks() {
        assert_eq!(text(&found), None, "{node}");
    }
}
