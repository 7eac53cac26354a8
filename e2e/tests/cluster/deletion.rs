//! Deleting a profile removes its files, but not while a pod uses it.

use std::time::{Duration, Instant};

use super::support::{
    AppliedProfile, LIMIT, Session, allow_all, bytes_of, object, print_line, shared, sleeper, text,
};

/// How soon after the end of its last pod a profile must be deleted.
const SOON: Duration = Duration::from_secs(5);

fn assert_gone(cluster: &Session, profile: &AppliedProfile<'_>) {
    let left = cluster.ok(["get", "seccompprofile", &profile.name, "--ignore-not-found", "-o", "name"]);
    assert_eq!(left, "");
    assert_no_files(profile);
}

fn assert_no_files(profile: &AppliedProfile<'_>) {
    for (node, found) in profile.on_disks() {
        assert_eq!(text(&found), None, "{} on {node}", profile.name);
    }
}

#[test]
fn when_a_deletion_returns_object_and_files_are_gone() {
    let cluster = shared();
    let profile = cluster.profile("short-lived", &allow_all(0));
    profile.wait_ready();
    cluster.ok(["delete", "seccompprofile", "short-lived", "--timeout=30s"]);
    assert_gone(&cluster, &profile);
}

#[test]
fn a_profile_in_use_is_kept_names_its_pod_and_is_deleted_soon_after_it() {
    let cluster = shared();
    let profile = cluster.profile("in-use", &allow_all(0));
    profile.wait_ready();
    let pod = cluster.pod(&sleeper("user-of-in-use", "in-use"));
    pod.wait_running();
    profile.until("being in use", LIMIT, |view| view.json()["status"]["inUse"] == true);

    profile.begin_deletion();
    let message = profile.wait_condition("Deleting", "InUse");
    assert!(message.contains("default/user-of-in-use"), "{message}");
    assert!(message.contains("seccomp.imjasonh.dev/delete-in-use"), "{message}");
    let view = profile.view();
    assert_eq!((view.state(), view.text("/status/removal")), ("Deleting", ""));
    for (node, found) in profile.on_disks() {
        assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(0)))), "{node}");
    }

    pod.remove();
    let ended = Instant::now();
    profile.wait_gone(LIMIT);
    let took = ended.elapsed();
    print_line(&format!("a profile was gone {:.2} s after its last pod", took.as_secs_f64()));
    assert!(took < SOON, "{took:?}");
    assert_no_files(&profile);
}

#[test]
fn a_pod_created_just_before_the_deletion_delays_it() {
    const ROUNDS: usize = 3;
    let cluster = shared();
    for round in 0..ROUNDS {
        let profile = cluster.profile(&format!("late-user-{round}"), &allow_all(round));
        profile.wait_ready();
        // The watch events of the pod and of the deletion may reach the operator in either order.
        let pod = cluster.pod(&sleeper(&format!("late-user-{round}"), &profile.name));
        profile.begin_deletion();
        profile.wait_condition("Deleting", "InUse");
        pod.wait_running();
        drop(pod);
        profile.wait_gone(LIMIT);
        assert_no_files(&profile);
    }
}

#[test]
fn the_annotation_deletes_a_profile_in_use() {
    let cluster = shared();
    let profile = cluster.profile("forced", &allow_all(0));
    profile.wait_ready();
    let pod = cluster.pod(&sleeper("user-of-forced", "forced"));
    pod.wait_running();
    profile.begin_deletion();
    profile.wait_condition("Deleting", "InUse");

    let consent = "seccomp.imjasonh.dev/delete-in-use=true";
    cluster.ok(["annotate", "seccompprofile", "forced", consent]);
    profile.wait_gone(LIMIT);
    assert_gone(&cluster, &profile);
    let note = cluster.wait_event("forced", "RemovalForced");
    assert!(note.contains("although pods use it"), "{note}");
}

#[test]
fn a_profile_recreated_at_once_is_ready_only_with_its_new_bytes() {
    const ROUNDS: usize = 10;
    let cluster = shared();
    let profile = cluster.profile("recreated", &allow_all(0));
    for round in 1..=ROUNDS {
        profile.wait_ready();
        profile.begin_deletion();
        // The API server refuses it while the old one has the finalizer.
        let new = object("recreated", &allow_all(round)).to_string();
        super::support::until("a new object under the name", LIMIT, || {
            cluster.kubectl_input(["create", "-f", "-"], &new).ok()
        });
        let view = profile.wait_ready();
        assert_eq!(view.json()["metadata"]["generation"], 1);
        assert_eq!(view.canonical().unwrap().bytes(), bytes_of(&allow_all(round)), "round {round}");
    }
}
