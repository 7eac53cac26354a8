//! Profiles go, and their files with them, but not from under a pod.

use std::time::{Duration, Instant};

use super::support::{Applied, LIMIT, Session, bytes_of, harmless, object, say, shared, sleeper, text};

/// How soon after its last pod a profile must be gone.
const SOON: Duration = Duration::from_secs(5);

fn assert_gone(cluster: &Session, profile: &Applied<'_>) {
    let left = cluster.ok(["get", "seccompprofile", &profile.name, "--ignore-not-found", "-o", "name"]);
    assert_eq!(left, "");
    assert_nowhere(profile);
}

fn assert_nowhere(profile: &Applied<'_>) {
    for (node, found) in profile.on_disks() {
        assert_eq!(text(&found), None, "{} on {node}", profile.name);
    }
}

#[test]
fn when_a_deletion_returns_object_and_files_are_gone() {
    let cluster = shared();
    let profile = cluster.profile("short-lived", &harmless(0));
    profile.ready();
    cluster.ok(["delete", "seccompprofile", "short-lived", "--timeout=30s"]);
    assert_gone(&cluster, &profile);
}

#[test]
fn a_profile_in_use_waits_names_its_pod_and_goes_soon_after_it() {
    let cluster = shared();
    let profile = cluster.profile("in-use", &harmless(0));
    profile.ready();
    let pod = cluster.pod(&sleeper("user-of-in-use", "in-use"));
    pod.running();
    profile.until("being in use", LIMIT, |view| view.json()["status"]["inUse"] == true);

    profile.begin_deletion();
    let message = profile.condition("Deleting", "InUse");
    assert!(message.contains("default/user-of-in-use"), "{message}");
    assert!(message.contains("seccomp.imjasonh.dev/delete-in-use"), "{message}");
    let view = profile.view();
    assert_eq!((view.state(), view.text("/status/removal")), ("Deleting", ""));
    for (node, found) in profile.on_disks() {
        assert_eq!(text(&found), text(&Some(bytes_of(&harmless(0)))), "{node}");
    }

    pod.remove();
    let ended = Instant::now();
    profile.gone(LIMIT);
    let took = ended.elapsed();
    say(&format!("a profile was gone {:.2} s after its last pod", took.as_secs_f64()));
    assert!(took < SOON, "{took:?}");
    assert_nowhere(&profile);
}

#[test]
fn a_pod_created_just_before_the_deletion_holds_the_profile() {
    const ROUNDS: usize = 3;
    let cluster = shared();
    for round in 0..ROUNDS {
        let profile = cluster.profile(&format!("late-user-{round}"), &harmless(round));
        profile.ready();
        // News of the one may reach the operator before news of the other.
        let pod = cluster.pod(&sleeper(&format!("late-user-{round}"), &profile.name));
        profile.begin_deletion();
        profile.condition("Deleting", "InUse");
        pod.running();
        drop(pod);
        profile.gone(LIMIT);
        assert_nowhere(&profile);
    }
}

#[test]
fn the_annotation_deletes_a_profile_in_use() {
    let cluster = shared();
    let profile = cluster.profile("forced", &harmless(0));
    profile.ready();
    let pod = cluster.pod(&sleeper("user-of-forced", "forced"));
    pod.running();
    profile.begin_deletion();
    profile.condition("Deleting", "InUse");

    let consent = "seccomp.imjasonh.dev/delete-in-use=true";
    cluster.ok(["annotate", "seccompprofile", "forced", consent]);
    profile.gone(LIMIT);
    assert_gone(&cluster, &profile);
    let note = cluster.event("forced", "RemovalForced");
    assert!(note.contains("although pods use it"), "{note}");
}

#[test]
fn a_profile_recreated_at_once_is_ready_only_with_its_new_bytes() {
    const ROUNDS: usize = 10;
    let cluster = shared();
    let profile = cluster.profile("recreated", &harmless(0));
    for round in 1..=ROUNDS {
        profile.ready();
        profile.begin_deletion();
        // Refused while the finalizer holds the old one.
        let new = object("recreated", &harmless(round)).to_string();
        super::support::until("a new object under the name", LIMIT, || {
            cluster.kubectl_input(["create", "-f", "-"], &new).ok()
        });
        let view = profile.ready();
        assert_eq!(view.json()["metadata"]["generation"], 1);
        assert_eq!(view.canonical().unwrap().bytes(), bytes_of(&harmless(round)), "round {round}");
    }
}
