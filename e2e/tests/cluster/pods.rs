//! Pods under the project's own profiles.

use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

use e2e::view::PodEnd;
use profile::Profile;
use serde_json::{Value, json};

use super::support::{Pod, Session, shared, sleeper};

const ENDED: Duration = Duration::from_secs(90);

/// The project's pod under the profile of the same name, with a change.
fn variant<'a>(cluster: &'a Session, name: &str, variant: &str, escalation: Option<bool>) -> Pod<'a> {
    let mut pod = cluster.file(&format!("pods/{name}-pod.yaml"));
    pod["metadata"]["name"] = format!("{name}-{variant}").into();
    let context = pod["spec"]["containers"][0]["securityContext"].as_object_mut().unwrap();
    context.remove("allowPrivilegeEscalation");
    context.extend(escalation.map(|allowed| ("allowPrivilegeEscalation".to_owned(), allowed.into())));
    cluster.pod(&pod)
}

#[test]
fn the_kernel_enforces_the_projects_profiles() {
    let cluster = shared();
    let expected = [
        ("audit", "Succeeded", "Completed"),
        ("violation", "Failed", "StartError"),
        ("fine-grained", "Succeeded", "Completed"),
        ("runtime-default", "Succeeded", "Completed"),
    ];
    let profiles = expected.map(|(name, ..)| {
        let contents = cluster.file(&format!("profiles/{name}.yaml"))["spec"]["contents"].take();
        cluster.profile(name, &contents)
    });
    for profile in &profiles {
        profile.wait_ready();
    }
    let mut pods = Vec::new();
    for (name, phase, reason) in expected {
        // Without no_new_privs the runtime loads the filter earlier, so that more of its own calls run under it.
        for (how, escalation) in [("unset", None), ("no-escalation", Some(false))] {
            pods.push((variant(&cluster, name, how, escalation), phase, reason));
        }
    }
    for (pod, phase, reason) in &pods {
        let end = PodEnd::wait(cluster.client(), &pod.name, ENDED)
            .unwrap_or_else(|error| panic!("{error}\n{}", cluster.ok(["describe", "pod", &pod.name])));
        assert_eq!((end.phase.as_str(), end.reason.as_str()), (*phase, *reason), "{}", pod.name);
    }
}

/// The filter that containerd gave a running pod's container, as a set of rules in our canonical form.
fn rules_of(cluster: &Session, pod: &Pod<'_>) -> BTreeSet<String> {
    let shown = cluster.json(["get", "pod", &pod.name]);
    let node = cluster.node_list().into_iter().find(|node| shown["spec"]["nodeName"] == node.name()).unwrap();
    let id = shown["status"]["containerStatuses"][0]["containerID"].as_str().unwrap();
    let bundles = node.kubelet_dir().with_file_name("run").join("io.containerd.runtime.v2.task/k8s.io");
    let config = bundles.join(id.strip_prefix("containerd://").unwrap()).join("config.json");
    let config: Value = serde_json::from_slice(&fs::read(config).unwrap()).unwrap();
    let profile = Profile::from_value(&config["linux"]["seccomp"]).unwrap_or_else(|error| panic!("{error}"));
    let canonical: Value = serde_json::from_slice(profile.canonical().bytes()).unwrap();
    canonical["syscalls"].as_array().unwrap().iter().map(Value::to_string).collect()
}

#[test]
fn under_runtime_default_a_pod_has_the_rules_that_the_runtime_gives_and_those_of_the_other_architecture() {
    let cluster = shared();
    let contents = cluster.file("profiles/runtime-default.yaml")["spec"]["contents"].take();
    let profile = cluster.profile("as-the-runtime", &contents);
    profile.wait_ready();
    let ours = cluster.pod(&sleeper("under-ours", "as-the-runtime"));
    let mut pod = sleeper("under-the-runtimes", "unused");
    pod["spec"]["containers"][0]["securityContext"]["seccompProfile"] = json!({ "type": "RuntimeDefault" });
    let theirs = cluster.pod(&pod);
    ours.wait_running();
    theirs.wait_running();
    let (ours, theirs) = (rules_of(&cluster, &ours), rules_of(&cluster, &theirs));
    assert_eq!(theirs.difference(&ours).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(ours.difference(&theirs).count(), 1, "{:?}", ours.difference(&theirs));
}
