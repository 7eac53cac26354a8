//! Pods under the project's own profiles.

use std::time::Duration;

use e2e::view::PodEnd;

use super::support::{Session, shared};

const ENDED: Duration = Duration::from_secs(90);

/// Runs a pod of the project under the profile of the same name, after a change to it.
fn end_of(cluster: &Session, name: &str, variant: &str, escalation: Option<bool>) -> PodEnd {
    let mut pod = cluster.file(&format!("pods/{name}-pod.yaml"));
    let pod_name = format!("{name}-{variant}");
    pod["metadata"]["name"] = pod_name.as_str().into();
    let context = pod["spec"]["containers"][0]["securityContext"].as_object_mut().unwrap();
    context.remove("allowPrivilegeEscalation");
    context.extend(escalation.map(|allowed| ("allowPrivilegeEscalation".to_owned(), allowed.into())));
    let _pod = cluster.pod(&pod);
    PodEnd::wait(cluster.client(), &pod_name, ENDED).unwrap_or_else(|error| {
        panic!("{error}\n{}", cluster.ok(["describe", "pod", &pod_name]));
    })
}

#[test]
fn the_kernel_obeys_the_projects_profiles() {
    let cluster = shared();
    let profiles = ["audit", "violation", "fine-grained"].map(|name| {
        let contents = cluster.file(&format!("profiles/{name}.yaml"))["spec"]["contents"].take();
        cluster.profile(name, &contents)
    });
    for profile in &profiles {
        profile.ready();
    }
    for (name, phase, reason) in [
        ("audit", "Succeeded", "Completed"),
        ("violation", "Failed", "StartError"),
        ("fine-grained", "Succeeded", "Completed"),
    ] {
        // Without no_new_privs the runtime loads the filter earlier, so that more of its own calls run under it.
        for (variant, escalation) in [("unset", None), ("no-escalation", Some(false))] {
            let end = end_of(&cluster, name, variant, escalation);
            assert_eq!((end.phase.as_str(), end.reason.as_str()), (phase, reason), "{name}, {variant}");
        }
    }
}
