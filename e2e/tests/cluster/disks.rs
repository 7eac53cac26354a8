//! Disks with errors, on real file systems: a small ext4 on a loop device and a tmpfs, each mounted on a node where
//! the profiles are.

use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use cluster::{Node, SmallDisk};
use e2e::view::ProfileView;
use serde_json::Value;

use super::drift::DAMAGES;
use super::support::{
    AppliedProfile, LIMIT, Session, allow_all, alone, bytes_of, expect_cleanup, print_line, until,
    until_repaired, until_restored,
};

/// How soon everything must be right once the cause is removed.
pub(crate) const RECOVERY_LIMIT: Duration = Duration::from_secs(10);

/// Where the profiles' directory is on a node.
const SECCOMP: &str = "/var/lib/kubelet/seccomp";

/// A node whose profiles are on a small disk, until this is dropped.
pub(crate) struct OnSmallDisk<'a> {
    cluster: &'a Session,
    pub(crate) node: Node,
}

impl<'a> OnSmallDisk<'a> {
    pub(crate) fn new(cluster: &'a Session, kind: SmallDisk) -> Self {
        let node = cluster.node_list().remove(0);
        node.mount(kind, SECCOMP).unwrap();
        let disk = Self { cluster, node };
        replace_agent(cluster, &disk.node);
        disk
    }

    /// The profiles' directory, as the node's own processes see it.
    pub(crate) fn directory(&self) -> PathBuf {
        directory(&self.node)
    }

    fn path(&self, profile: &str) -> PathBuf {
        self.directory().join(format!("{profile}.json"))
    }

    fn remount(&self, how: &str) {
        self.node.run(&["mount", "-o", &format!("remount,{how}"), SECCOMP]).unwrap();
    }
}

impl Drop for OnSmallDisk<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.node.unmount(SECCOMP));
        replace_agent(self.cluster, &self.node);
    }
}

/// The profiles' directory of a node, as its own processes see it.
pub(crate) fn directory(node: &Node) -> PathBuf {
    node.root().unwrap().join(SECCOMP.trim_start_matches('/')).join("profiles")
}

/// The agent's pod on a node; null where there is none.
pub(crate) fn agent(cluster: &Session, node: &Node) -> Value {
    let on = format!("--field-selector=spec.nodeName={}", node.name());
    let mut pods = cluster.json(["-n", "seccomp-profile", "get", "pods", AGENTS, &on]);
    pods["items"].get_mut(0).map(Value::take).unwrap_or_default()
}

const AGENTS: &str = "--selector=app.kubernetes.io/component=node-agent";

/// Replaces a node's agent by another pod, which sees the present mounts.
pub(crate) fn replace_agent(cluster: &Session, node: &Node) {
    let before = agent(cluster, node);
    if let Some(name) = before["metadata"]["name"].as_str() {
        let delete = ["-n", "seccomp-profile", "delete", "pod", name, "--timeout=60s"];
        expect_cleanup(cluster.kubectl(delete).map(drop));
    }
    until(&format!("another agent on {}", node.name()), 2 * LIMIT, || {
        let now = agent(cluster, node);
        let ready = now["status"]["conditions"]
            .as_array()?
            .iter()
            .any(|condition| condition["type"] == "Ready" && condition["status"] == "True");
        (ready && now["metadata"]["uid"] != before["metadata"]["uid"]).then_some(())
    });
}

/// Waits until the profile's status is Ready, and does not check the disks.
pub(crate) fn wait_shown_ready(profile: &AppliedProfile<'_>, limit: Duration) -> ProfileView {
    profile.until("being Ready", limit, ProfileView::is_ready)
}

/// Uses every byte or inode that is left.
fn fill(mut take: impl FnMut(usize) -> std::io::Result<()>) {
    let full = (0..).find_map(|number| take(number).err()).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
}

fn ballast(disk: &OnSmallDisk<'_>) -> PathBuf {
    disk.directory().join("ballast")
}

/// The name, the reason that must be reported, how the fault is caused and how it is removed.
pub(crate) type Fault = (&'static str, &'static str, fn(&OnSmallDisk<'_>), fn(&OnSmallDisk<'_>));

pub(crate) const FAULTS: [Fault; 4] = [
    (
        "no space left",
        "DiskFull",
        |disk| {
            let mut file = File::create_new(ballast(disk)).unwrap();
            // A flush may free blocks that were reserved for the failed write.
            let mut fitted = true;
            while std::mem::take(&mut fitted) {
                fill(|_| file.write_all(&[0; 1024]).inspect(|()| fitted = true));
                file.sync_all().unwrap();
            }
        },
        |disk| fs::remove_file(ballast(disk)).unwrap(),
    ),
    (
        "no inode left",
        "DiskFull",
        |disk| {
            fs::create_dir(ballast(disk)).unwrap();
            fill(|number| File::create_new(ballast(disk).join(number.to_string())).map(drop));
        },
        |disk| fs::remove_dir_all(ballast(disk)).unwrap(),
    ),
    ("read-only", "ReadOnly", |disk| disk.remount("ro"), |disk| disk.remount("rw")),
    (
        "a directory that the agent may not write to",
        "PermissionDenied",
        |disk| fs::set_permissions(disk.directory(), Permissions::from_mode(0o555)).unwrap(),
        |disk| fs::set_permissions(disk.directory(), Permissions::from_mode(0o755)).unwrap(),
    ),
];

/// Removes the fault when dropped, also after a failed assertion: otherwise the disk cannot be unmounted.
pub(crate) struct Faulty<'a>(pub(crate) &'a OnSmallDisk<'a>, pub(crate) fn(&OnSmallDisk<'_>));

impl Drop for Faulty<'_> {
    fn drop(&mut self) {
        (self.1)(self.0);
    }
}

/// The old file stays, the report and the profile give the reason, and once the fault is removed the agent recovers.
fn check_fault(
    disk: &OnSmallDisk<'_>,
    profile: &AppliedProfile<'_>,
    (what, reason, comes, goes): Fault,
    number: usize,
) {
    let path = disk.path(&profile.name);
    let (old, new) = (bytes_of(&allow_all(number)), bytes_of(&allow_all(number + 1)));
    assert_eq!(fs::read(&path).unwrap(), old, "{what}");
    comes(disk);
    let faulty = Faulty(disk, goes);
    profile.update(&allow_all(number + 1));
    let fails = |view: &ProfileView| {
        view.state() == "Failed" && view.json()["status"]["failures"][0]["reason"] == reason
    };
    let view = profile.until(&format!("Failed for {reason}"), LIMIT, fails);
    let failures = view.json()["status"]["failures"].as_array().unwrap();
    assert_eq!(failures.len(), 1, "{what}: {failures:?}");
    assert_eq!(failures[0]["node"], disk.node.name());
    let message = failures[0]["message"].as_str().unwrap();
    assert!(message.contains(&profile.name), "{what}: {message}");
    assert_eq!(view.condition("Ready").unwrap()["status"], "False");
    assert_eq!(view.condition("Ready").unwrap()["reason"], "NodesFailed");
    let report = disk.cluster.json(["get", "nodeprofilestatus", &disk.node.name()]);
    let problems = report["status"]["report"]["problems"].as_array().unwrap();
    let problem = problems.iter().find(|problem| problem["name"] == profile.name.as_str()).unwrap();
    assert_eq!((&problem["state"], &problem["reason"]), (&"Failed".into(), &reason.into()), "{what}");
    until_repaired(&disk.cluster.node_list()[1], &profile.name, &new);
    assert_eq!(fs::read(&path).unwrap(), old, "{what}: the old file stays");

    drop(faulty);
    let gone = Instant::now();
    until(&format!("{what}: the new file"), RECOVERY_LIMIT, || (fs::read(&path).ok()? == new).then_some(()));
    let on_disk = gone.elapsed();
    let view = wait_shown_ready(profile, RECOVERY_LIMIT.saturating_sub(gone.elapsed()));
    assert!(view.json()["status"]["failures"].as_array().is_none_or(Vec::is_empty), "{what}");
    let shown = gone.elapsed();
    print_line(&format!(
        "{what}: on the disk {:.2} s after its end, Ready after {:.2} s",
        on_disk.as_secs_f64(),
        shown.as_secs_f64()
    ));
}

/// Damages the file in every way of [`drift`](super::drift).
fn check_damages(disk: &OnSmallDisk<'_>, profile: &AppliedProfile<'_>, number: usize) {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), "not a profile").unwrap();
    for (what, damage) in DAMAGES {
        damage(&disk.path(&profile.name), elsewhere.path());
        let took = until_restored(&disk.path(&profile.name), &bytes_of(&allow_all(number)));
        print_line(&format!("{what}: mended after {:.2} s", took.as_secs_f64()));
        wait_shown_ready(profile, LIMIT);
        assert_eq!(fs::read_to_string(elsewhere.path()).unwrap(), "not a profile", "{what}");
    }
}

/// The agent must not remove a directory with contents, even in the place of its file.
fn check_directory_in_place(disk: &OnSmallDisk<'_>, profile: &AppliedProfile<'_>, number: usize) {
    let path = disk.path(&profile.name);
    put_directory(&path);
    let view = profile.until("being Failed", LIMIT, |view| view.state() == "Failed");
    let failure = &view.json()["status"]["failures"][0];
    assert_eq!(
        (&failure["node"], &failure["reason"]),
        (&disk.node.name().into(), &"DirectoryInTheWay".into())
    );
    assert_eq!(fs::read_to_string(path.join("theirs")).unwrap(), "theirs");
    fs::remove_dir_all(&path).unwrap();
    let gone = Instant::now();
    until_restored(&path, &bytes_of(&allow_all(number)));
    wait_shown_ready(profile, RECOVERY_LIMIT.saturating_sub(gone.elapsed()));
    print_line(&format!(
        "a full directory in its place: Ready {:.2} s after its end",
        gone.elapsed().as_secs_f64()
    ));
}

/// Replaces a file by a directory with contents.
pub(crate) fn put_directory(path: &Path) {
    let prepared = path.with_extension("prepared");
    fs::create_dir(&prepared).unwrap();
    fs::write(prepared.join("theirs"), "theirs").unwrap();
    // It cannot be renamed over a file, and the agent may restore the file in between.
    until("a directory in its place", LIMIT, || {
        fs::remove_file(path).ok()?;
        fs::rename(&prepared, path).ok()
    });
}

fn on(kind: SmallDisk) {
    let cluster = alone();
    let disk = OnSmallDisk::new(&cluster, kind);
    let profile = cluster.profile("on-a-small-disk", &allow_all(0));
    wait_shown_ready(&profile, LIMIT);
    for (number, fault) in FAULTS.into_iter().enumerate() {
        check_fault(&disk, &profile, fault, number);
    }
    check_damages(&disk, &profile, FAULTS.len());
    check_directory_in_place(&disk, &profile, FAULTS.len());
}

#[test]
fn on_a_small_ext4_every_fault_is_reported_keeps_the_old_file_and_is_recovered_from() {
    on(SmallDisk::Ext4);
}

#[test]
fn on_a_tmpfs_every_fault_is_reported_keeps_the_old_file_and_is_recovered_from() {
    on(SmallDisk::Tmpfs);
}
