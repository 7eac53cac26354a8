//! The directory itself goes away under the agent's own pod. Its container keeps the directory that was mounted when
//! it started, so that it has to end: the kubelet starts another, which has the one that is there then.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use cluster::{Node, SmallDisk};
use e2e::view::ProfileView;

use super::disks::{HEALED, OnSmallDisk, agent, directory, replace_agent, shown_ready};
use super::support::{Applied, LIMIT, Session, alone, bytes_of, harmless, say, until};

type Displacement = (&'static str, fn(&Path, &Path));

/// Each takes the directory away; the second path is free for it.
const DISPLACEMENTS: [Displacement; 3] = [
    ("removed", |directory, _| {
        // The agent may put files back while others are removed.
        until("the directory removed", LIMIT, || fs::remove_dir_all(directory).ok());
    }),
    ("moved away", |directory, aside| fs::rename(directory, aside).unwrap()),
    ("replaced", |directory, aside| {
        fs::rename(directory, aside).unwrap();
        // The agent's next container makes it, too, if it is faster.
        fs::create_dir_all(directory).unwrap();
    }),
];

/// How often the agent's container has started again, and how it ended the last time.
fn restarts(cluster: &Session, node: &Node) -> (u64, Option<i64>) {
    let pod = agent(cluster, node);
    let status = &pod["status"]["containerStatuses"][0];
    let ended = status["lastState"]["terminated"]["exitCode"].as_i64();
    (status["restartCount"].as_u64().unwrap_or_default(), ended)
}

/// Takes the directory away and waits until the file is back where the runtime looks for it, and all is well.
fn displace(
    cluster: &Session,
    node: &Node,
    profile: &Applied<'_>,
    (what, displace): Displacement,
    limit: Duration,
) {
    let (before, _) = restarts(cluster, node);
    let aside = tempfile::tempdir_in(directory(node).parent().unwrap()).unwrap();
    let (path, aside) = (directory(node), aside.path().join("profiles"));
    let file = path.join(format!("{}.json", profile.name));
    let wanted = bytes_of(&harmless(0));
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
    shown_ready(profile, LIMIT);
    say(&format!("{what}: the file is back after {:.2} s", back.as_secs_f64()));
    if aside.exists() {
        let old = fs::read(aside.join(format!("{}.json", profile.name))).unwrap();
        assert_eq!(old, wanted, "{what}: what was moved away is as it was");
    }
}

fn displaced_in_every_way(cluster: &Session, node: &Node) {
    let profile = cluster.profile("displaced", &harmless(0));
    shown_ready(&profile, LIMIT);
    for displacement in DISPLACEMENTS {
        displace(cluster, node, &profile, displacement, HEALED);
        // The kubelet starts a container that has ended before ever more slowly.
        replace_agent(cluster, node);
        shown_ready(&profile, LIMIT);
    }
}

#[test]
fn a_directory_on_ext4_that_goes_away_is_made_again_by_a_new_container() {
    let cluster = alone();
    let disk = OnSmallDisk::new(&cluster, SmallDisk::Ext4);
    displaced_in_every_way(&cluster, &disk.node);
}

#[test]
fn a_directory_on_a_tmpfs_that_goes_away_is_made_again_by_a_new_container() {
    let cluster = alone();
    let disk = OnSmallDisk::new(&cluster, SmallDisk::Tmpfs);
    displaced_in_every_way(&cluster, &disk.node);
}

/// Removes the directory twice, since the second restart within ten minutes comes after 10 s: returns within these, and
/// says when it was.
pub(crate) fn lost(cluster: &Session, node: &Node, profile: &Applied<'_>) -> (ProfileView, Instant) {
    replace_agent(cluster, node);
    profile.ready();
    displace(cluster, node, profile, DISPLACEMENTS[0], HEALED);
    let start = Instant::now();
    DISPLACEMENTS[0].1(&directory(node), Path::new("/nowhere"));
    (profile.until("Failed without its file", LIMIT, |view| view.state() == "Failed"), start)
}

#[test]
fn while_the_kubelet_makes_the_agent_wait_the_profile_is_not_shown_as_ready() {
    let cluster = alone();
    let node = cluster.disks().remove(0);
    let profile = cluster.profile("displaced", &harmless(0));
    let (view, start) = lost(&cluster, &node, &profile);
    let told = start.elapsed();
    let failure = &view.json()["status"]["failures"][0];
    assert_eq!((&failure["node"], &failure["reason"]), (&node.name().into(), &"DirectoryLost".into()));
    assert_eq!(view.condition("Ready").unwrap()["status"], "False");
    shown_ready(&profile, 2 * LIMIT);
    profile.ready();
    let healed = start.elapsed();
    say(&format!("told after {:.2} s, healed after {:.2} s", told.as_secs_f64(), healed.as_secs_f64()));
    // So that the next test's agent is not kept waiting.
    replace_agent(&cluster, &node);
}
