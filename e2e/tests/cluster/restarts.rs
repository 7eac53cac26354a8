//! The files stay while the programs stop and start.

use std::os::unix::fs::MetadataExt;

use e2e::view::{ProfileView, disk};
use serde_json::json;

use super::audit::{Log, summary};
use super::stopped::{AGENT_PODS, OPERATOR_PODS, Stopped};
use super::support::{LIMIT, Session, allow_all, alone, bytes_of, text, until};

fn delete_pods(cluster: &Session, pods: &str) {
    cluster.ok(["-n", "seccomp-profile", "delete", "pods", pods, "--timeout=60s"]);
    cluster.wait_rolled_out();
}

#[test]
fn a_restarted_agent_does_not_touch_correct_files() {
    let cluster = alone();
    let profile = cluster.profile("untouched", &allow_all(0));
    profile.wait_ready();
    let files = || -> Vec<_> {
        cluster.node_list().iter().map(|node| profile.path(node).metadata().unwrap()).collect::<Vec<_>>()
    };
    let identity = |files: Vec<std::fs::Metadata>| -> Vec<_> {
        files.iter().map(|file| (file.ino(), file.mtime_nsec(), file.ctime_nsec())).collect()
    };
    let before = identity(files());
    delete_pods(&cluster, AGENT_PODS);
    profile.wait_ready();
    assert_eq!(identity(files()), before, "no file was written again");
}

#[test]
fn files_stay_while_agents_are_down_and_leftovers_are_removed_when_they_are_back() {
    let cluster = alone();
    let kept = cluster.profile("kept", &allow_all(0));
    let lost = cluster.profile("lost", &allow_all(1));
    kept.wait_ready();
    lost.wait_ready();

    let stopped = Stopped::agents(&cluster);
    // Deleted without the operator's approval, as when its finalizer is removed by hand.
    cluster.ok(["delete", "seccompprofile", "lost", "--wait=false"]);
    let release = r#"{"metadata":{"finalizers":null}}"#;
    // It is already deleted if the operator was faster.
    let _ = cluster.kubectl(["patch", "seccompprofile", "lost", "--type=merge", "--patch", release]);
    cluster.ok(["wait", "--for=delete", "seccompprofile/lost", "--timeout=30s"]);
    for (profile, number) in [(&kept, 0), (&lost, 1)] {
        for (node, found) in profile.on_disks() {
            assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(number)))), "{} on {node}", profile.name);
        }
    }

    stopped.start();
    for node in cluster.node_list() {
        until(&format!("no leftover on {}", node.name()), LIMIT, || {
            disk::bytes(&node, "lost").unwrap().is_none().then_some(())
        });
    }
    kept.wait_ready();
}

#[test]
fn while_the_operator_is_down_files_stay_and_new_profiles_still_arrive() {
    let cluster = alone();
    let old = cluster.profile("before-the-stop", &allow_all(0));
    old.wait_ready();
    let stopped = Stopped::operator(&cluster);
    let new = cluster.profile("during-the-stop", &allow_all(1));
    for node in cluster.node_list() {
        until(&format!("the new file on {}", node.name()), LIMIT, || {
            disk::bytes(&node, "during-the-stop").unwrap().filter(|found| *found == bytes_of(&allow_all(1)))
        });
    }
    // No operator has reconciled it, and tools that read conditions must not consider it ready.
    let unreconciled = json!([{
        "type": "Ready", "status": "Unknown", "reason": "Pending", "message": "no operator has reconciled it yet",
        "lastTransitionTime": "1970-01-01T00:00:00Z",
    }]);
    assert_eq!(new.view().json()["status"], json!({ "conditions": unreconciled }));
    let listed = cluster.json(["get", "seccompprofiles"]);
    let mut listed = listed["items"].as_array().unwrap().iter();
    let listed = listed.find(|object| object["metadata"]["name"] == "during-the-stop").unwrap();
    assert_eq!(listed["status"]["conditions"], unreconciled, "a list has the same");
    for (node, found) in old.on_disks() {
        assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(0)))), "{node}");
    }
    stopped.start();
    new.wait_ready();
    old.wait_ready();
}

#[test]
fn a_restarted_operator_writes_nothing_and_changes_no_status() {
    let cluster = alone();
    let profiles: Vec<_> =
        (0..3).map(|number| cluster.profile(&format!("steady-{number}"), &allow_all(number))).collect();
    for profile in &profiles {
        profile.wait_ready();
    }
    let versions = || -> Vec<String> {
        let all = ProfileView::all(cluster.client()).unwrap();
        all.iter().map(|view| format!("{} {}", view.name(), view.text("/metadata/resourceVersion"))).collect()
    };
    let log = Log::wait_quiet(&cluster);
    let before = versions();
    delete_pods(&cluster, OPERATOR_PODS);
    let after = Log::wait_quiet(&cluster);
    assert_eq!(after.writes(), []);
    let writes = log.writes();
    assert!(writes.is_empty(), "{}", summary(&writes));
    assert_eq!(versions(), before);
}
