//! Disks that refuse, on real file systems: a small ext4 on a loop device and a tmpfs, each mounted on a node where
//! the profiles lie.

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
    Applied, LIMIT, Session, alone, bytes_of, complain, harmless, say, until, until_as_it_was, until_mended,
};

/// How soon all must be well once the cause is gone.
pub(crate) const HEALED: Duration = Duration::from_secs(10);

/// Where the profiles' directory lies on a node.
const SECCOMP: &str = "/var/lib/kubelet/seccomp";

/// A node whose profiles lie on a small disk, until this is dropped.
pub(crate) struct OnSmallDisk<'a> {
    cluster: &'a Session,
    pub(crate) node: Node,
}

impl<'a> OnSmallDisk<'a> {
    pub(crate) fn new(cluster: &'a Session, kind: SmallDisk) -> Self {
        let node = cluster.disks().remove(0);
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
        complain(self.node.unmount(SECCOMP));
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

/// Another pod takes the place of a node's agent, and sees what is mounted there now.
pub(crate) fn replace_agent(cluster: &Session, node: &Node) {
    let before = agent(cluster, node);
    if let Some(name) = before["metadata"]["name"].as_str() {
        let delete = ["-n", "seccomp-profile", "delete", "pod", name, "--timeout=60s"];
        complain(cluster.kubectl(delete).map(drop));
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

/// Waits until the profile is shown as Ready, without a look at the disks.
pub(crate) fn shown_ready(profile: &Applied<'_>, limit: Duration) -> ProfileView {
    profile.until("being Ready", limit, ProfileView::is_ready)
}

/// Takes every byte or inode that is left.
fn fill(mut take: impl FnMut(usize) -> std::io::Result<()>) {
    let full = (0..).find_map(|number| take(number).err()).unwrap();
    assert_eq!(full.kind(), std::io::ErrorKind::StorageFull, "{full}");
}

fn ballast(disk: &OnSmallDisk<'_>) -> PathBuf {
    disk.directory().join("ballast")
}

/// Name, the reason that must be given, how it comes and how it goes.
pub(crate) type Fault = (&'static str, &'static str, fn(&OnSmallDisk<'_>), fn(&OnSmallDisk<'_>));

pub(crate) const FAULTS: [Fault; 4] = [
    (
        "no space left",
        "DiskFull",
        |disk| {
            let mut file = File::create_new(ballast(disk)).unwrap();
            // A flush may give back what was set aside for what did not fit.
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

/// A disk that is as it should be again, also after a failed assertion: else it cannot even be unmounted in order.
pub(crate) struct Faulty<'a>(pub(crate) &'a OnSmallDisk<'a>, pub(crate) fn(&OnSmallDisk<'_>));

impl Drop for Faulty<'_> {
    fn drop(&mut self) {
        (self.1)(self.0);
    }
}

/// The old file stays, the report and the profile say why there is no new one, and all heals by itself.
fn refuses(disk: &OnSmallDisk<'_>, profile: &Applied<'_>, (what, reason, comes, goes): Fault, number: usize) {
    let path = disk.path(&profile.name);
    let (old, new) = (bytes_of(&harmless(number)), bytes_of(&harmless(number + 1)));
    assert_eq!(fs::read(&path).unwrap(), old, "{what}");
    comes(disk);
    let faulty = Faulty(disk, goes);
    profile.update(&harmless(number + 1));
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
    until_mended(&disk.cluster.disks()[1], &profile.name, &new);
    assert_eq!(fs::read(&path).unwrap(), old, "{what}: the old file stays");

    drop(faulty);
    let gone = Instant::now();
    until(&format!("{what}: the new file"), HEALED, || (fs::read(&path).ok()? == new).then_some(()));
    let on_disk = gone.elapsed();
    let view = shown_ready(profile, HEALED.saturating_sub(gone.elapsed()));
    assert!(view.json()["status"]["failures"].as_array().is_none_or(Vec::is_empty), "{what}");
    let shown = gone.elapsed();
    say(&format!(
        "{what}: on the disk {:.2} s after its end, Ready after {:.2} s",
        on_disk.as_secs_f64(),
        shown.as_secs_f64()
    ));
}

/// What somebody does to the files by hand.
fn damaged(disk: &OnSmallDisk<'_>, profile: &Applied<'_>, number: usize) {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), "not a profile").unwrap();
    for (what, damage) in DAMAGES {
        damage(&disk.path(&profile.name), elsewhere.path());
        let took = until_as_it_was(&disk.path(&profile.name), &bytes_of(&harmless(number)));
        say(&format!("{what}: mended after {:.2} s", took.as_secs_f64()));
        shown_ready(profile, LIMIT);
        assert_eq!(fs::read_to_string(elsewhere.path()).unwrap(), "not a profile", "{what}");
    }
}

/// A directory with something in it is not the agent's to remove, even where its file was.
fn blocked(disk: &OnSmallDisk<'_>, profile: &Applied<'_>, number: usize) {
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
    until_as_it_was(&path, &bytes_of(&harmless(number)));
    shown_ready(profile, HEALED.saturating_sub(gone.elapsed()));
    say(&format!("a full directory in its place: Ready {:.2} s after its end", gone.elapsed().as_secs_f64()));
}

/// Puts a directory with something in it in the place of a file.
pub(crate) fn put_directory(path: &Path) {
    let prepared = path.with_extension("prepared");
    fs::create_dir(&prepared).unwrap();
    fs::write(prepared.join("theirs"), "theirs").unwrap();
    // It cannot be renamed over a file, and the agent may put the file back in between.
    until("a directory in its place", LIMIT, || {
        fs::remove_file(path).ok()?;
        fs::rename(&prepared, path).ok()
    });
}

fn on(kind: SmallDisk) {
    let cluster = alone();
    let disk = OnSmallDisk::new(&cluster, kind);
    let profile = cluster.profile("on-a-small-disk", &harmless(0));
    shown_ready(&profile, LIMIT);
    for (number, fault) in FAULTS.into_iter().enumerate() {
        refuses(&disk, &profile, fault, number);
    }
    damaged(&disk, &profile, FAULTS.len());
    blocked(&disk, &profile, FAULTS.len());
}

#[test]
fn on_a_small_ext4_every_fault_is_told_keeps_the_old_file_and_heals_by_itself() {
    on(SmallDisk::Ext4);
}

#[test]
fn on_a_tmpfs_every_fault_is_told_keeps_the_old_file_and_heals_by_itself() {
    on(SmallDisk::Tmpfs);
}
