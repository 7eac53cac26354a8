//! Pods under the project's own profiles.

use std::time::Duration;

use e2e::view::PodEnd;

use super::support::{Pod, Session, shared};

const ENDED: Duration = Duration::from_secs(90);

/// A pod of the project under the profile of the same name, with a change to it.
fn variant<'a>(cluster: &'a Session, name: &str, variant: &str, escalation: Option<bool>) -> Pod<'a> {
    let mut pod = cluster.file(&format!("pods/{name}-pod.yaml"));
    pod["metadata"]["name"] = format!("{name}-{variant}").into();
    let context = pod["spec"]["containers"][0]["securityContext"].as_object_mut().unwrap();
    context.remove("allowPrivilegeEscalation");
    context.extend(escalation.map(|allowed| ("allowPrivilegeEscalation".to_owned(), allowed.into())));
    cluster.pod(&pod)
}

#[test]
fn the_kernel_obeys_the_projects_profiles() {
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
        profile.ready();
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
