//! The directory itself is removed or replaced while the agent runs. Its container keeps the directory that was mounted
//! when it started, so it must end: the kubelet starts another container, which mounts the present directory.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cluster::{Node, SmallDisk};
use e2e::view::ProfileView;

use super::disks::{OnSmallDisk, RECOVERY_LIMIT, agent, directory, replace_agent, wait_shown_ready};
use super::support::{AppliedProfile, LIMIT, Session, allow_all, alone, bytes_of, print_line, until};

type Displacement = (&'static str, fn(&Path, &Path));

/// Each removes the directory or moves it to the second path, which is free.
const DISPLACEMENTS: [Displacement; 3] = [
    ("removed", |directory, _| {
        // The agent may restore files while others are removed.
        until("the directory removed", LIMIT, || fs::remove_dir_all(directory).ok());
    }),
    ("moved away", |directory, aside| fs::rename(directory, aside).unwrap()),
    ("replaced", |directory, aside| {
        fs::rename(directory, aside).unwrap();
        // The agent's next container may create it first.
        fs::create_dir_all(directory).unwrap();
    }),
];

/// The restarts of the agent's container, and its last exit code.
fn restarts(cluster: &Session, node: &Node) -> (u64, Option<i64>) {
    let pod = agent(cluster, node);
    let status = &pod["status"]["containerStatuses"][0];
    let ended = status["lastState"]["terminated"]["exitCode"].as_i64();
    (status["restartCount"].as_u64().unwrap_or_default(), ended)
}

/// Displaces the directory and waits until the file is back where the runtime looks for it, and the profile is Ready.
fn displace(
    cluster: &Session,
    node: &Node,
    profile: &AppliedProfile<'_>,
    (what, displace): Displacement,
    limit: Duration,
) {
    let (before, _) = restarts(cluster, node);
    let aside = tempfile::tempdir_in(directory(node).parent().unwrap()).unwrap();
    let (path, aside) = (directory(node), aside.path().join("profiles"));
    let file = path.join(format!("{}.json", profile.name));
    let wanted = bytes_of(&allow_all(0));
    displace(&path, &aside);
    let start = Instant::now();
    until(&format!("{what}: the file in its place again"), limit, || {
        (fs::read(&file).ok()? == wanted).then_some(())
    });
    let back = start.elapsed();
    let (count, code) = until(&format!("{what}: the restart in the pod's status"), LIMIT, || {
        Some(restarts(cluster, node)).filter(|(count, _)| *count > before)
    });
    assert_eq!((count, code), (before + 1, Some(1)), "{what}");
    wait_shown_ready(profile, LIMIT);
    print_line(&format!("{what}: the file is back after {:.2} s", back.as_secs_f64()));
    if aside.exists() {
        let old = fs::read(aside.join(format!("{}.json", profile.name))).unwrap();
        assert_eq!(old, wanted, "{what}: what was moved away is as it was");
    }
}

fn displace_in_every_way(cluster: &Session, node: &Node) {
    let profile = cluster.profile("displaced", &allow_all(0));
    wait_shown_ready(&profile, LIMIT);
    for displacement in DISPLACEMENTS {
        displace(cluster, node, &profile, displacement, RECOVERY_LIMIT);
        // The kubelet's back-off grows with each restart of a container.
        replace_agent(cluster, node);
        wait_shown_ready(&profile, LIMIT);
    }
}

#[test]
fn a_removed_directory_on_ext4_is_created_again_by_a_new_container() {
    let cluster = alone();
    let disk = OnSmallDisk::new(&cluster, SmallDisk::Ext4);
    displace_in_every_way(&cluster, &disk.node);
}

#[test]
fn a_removed_directory_on_a_tmpfs_is_created_again_by_a_new_container() {
    let cluster = alone();
    let disk = OnSmallDisk::new(&cluster, SmallDisk::Tmpfs);
    displace_in_every_way(&cluster, &disk.node);
}

/// Removes the directory twice, because the second restart within ten minutes is delayed by 10 s. Returns during this
/// delay, with the time of the removal.
pub(crate) fn remove_directory_twice(
    cluster: &Session,
    node: &Node,
    profile: &AppliedProfile<'_>,
) -> (ProfileView, Instant) {
    replace_agent(cluster, node);
    profile.wait_ready();
    displace(cluster, node, profile, DISPLACEMENTS[0], RECOVERY_LIMIT);
    let start = Instant::now();
    DISPLACEMENTS[0].1(&directory(node), Path::new("/nowhere"));
    (profile.until("Failed without its file", LIMIT, |view| view.state() == "Failed"), start)
}

#[test]
fn while_the_kubelet_makes_the_agent_wait_the_profile_is_not_shown_as_ready() {
    let cluster = alone();
    let node = cluster.node_list().remove(0);
    let profile = cluster.profile("displaced", &allow_all(0));
    let (view, start) = remove_directory_twice(&cluster, &node, &profile);
    let told = start.elapsed();
    let failure = &view.json()["status"]["failures"][0];
    assert_eq!((&failure["node"], &failure["reason"]), (&node.name().into(), &"DirectoryLost".into()));
    assert_eq!(view.condition("Ready").unwrap()["status"], "False");
    wait_shown_ready(&profile, 2 * LIMIT);
    profile.wait_ready();
    let healed = start.elapsed();
    print_line(&format!(
        "told after {:.2} s, healed after {:.2} s",
        told.as_secs_f64(),
        healed.as_secs_f64()
    ));
    // A new pod has no back-off, so that the next test's agent starts at once.
    replace_agent(&cluster, &node);
}
