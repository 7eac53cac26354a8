//! What there is of a cluster on this machine besides what the kernel knows: where its state lies, what
//! it changed on the host outside its own namespaces, and the way back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;
use serde::{Deserialize, Serialize};
use xtask::files::{self, FileError, NamePath};

use crate::layout::Layout;

/// Settings that are not of a namespace. The first is raised here, since each node's kubelet and
/// containerd hold several inotify instances and all nodes are one user; the others a kubelet sets
/// when it starts (pkg/kubelet/cm/container_manager_linux.go, setupKernelTunables).
const SETTINGS: [&str; 7] = [
    INOTIFY_INSTANCES,
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];
const INOTIFY_INSTANCES: &str = "fs/inotify/max_user_instances";
const INOTIFY_WANTED: u32 = 1024;

/// Directories that a node mounts its own ones over, in its own mount namespace.
pub(crate) const MOUNT_POINTS: [&str; 6] = [
    "/var/lib/kubelet",
    "/var/lib/containerd",
    "/run/containerd",
    "/run/netns",
    "/var/log/pods",
    "/var/log/containers",
];

/// Outside the state directory, since it must outlive that one's loss, and in a place that a reboot
/// empties, since a reboot resets the settings too. One a machine, as the cluster is.
const PATH: &str = "/run/seccomp-profile-e2e.json";

/// The host as it was, and where the cluster keeps its state.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Record {
    /// The cluster's state directory.
    pub(crate) directory: PathBuf,
    settings: BTreeMap<String, String>,
    made: Vec<PathBuf>,
}

impl Record {
    /// The record of the cluster that is here, whole or in parts.
    pub(crate) fn read() -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(PATH).ok()?).ok()
    }

    /// Writes down how the host is and that the state directory is the cluster's.
    pub(crate) fn write(layout: &Layout) -> Result<Self, FileError> {
        let setting = |name: &&str| Some((name.to_string(), fs::read_to_string(path_of(name)).ok()?));
        let record = Record {
            directory: layout.directory().to_owned(),
            settings: SETTINGS.iter().filter_map(setting).collect(),
            made: MOUNT_POINTS.iter().map(PathBuf::from).filter(|path| !path.exists()).collect(),
        };
        files::write(Path::new(PATH), serde_json::to_string_pretty(&record).unwrap_or_default())?;
        Ok(record)
    }

    /// Prepares the host for nodes. Only after [`Record::write`]: a run that is killed in between can
    /// still be undone.
    pub(crate) fn prepare_host(&self) -> Result<(), FileError> {
        for path in MOUNT_POINTS {
            files::create_dir(Path::new(path))?;
        }
        let instances = self.settings.get(INOTIFY_INSTANCES).and_then(|value| value.trim().parse().ok());
        if instances.is_some_and(|instances: u32| instances < INOTIFY_WANTED) {
            files::write_in_place(&path_of(INOTIFY_INSTANCES), &INOTIFY_WANTED.to_string())?;
        }
        Ok(())
    }

    /// Puts the host back. Best effort: a setting that refuses is no reason to keep the rest.
    pub(crate) fn restore_host(&self) {
        for (name, value) in self.settings.iter().filter(|(name, _)| SETTINGS.contains(&name.as_str())) {
            let _ = files::write_in_place(&path_of(name), value.trim());
        }
        for path in self.made.iter().filter(|path| MOUNT_POINTS.iter().any(|ours| Path::new(ours) == *path)) {
            // Only when empty: another program may use it by now.
            if files::entries(path).is_ok_and(|entries| entries.is_empty()) {
                // `ip netns add` mounts /run/netns on itself. The others are no mount points.
                let _ = rustix::mount::unmount(path, UnmountFlags::empty());
                let _ = fs::remove_dir(path);
            }
        }
    }

    /// Forgets the cluster, when nothing of it is left.
    pub(crate) fn remove() -> Result<(), FileError> {
        files::or_absent(fs::remove_file(PATH)).name_path("remove", Path::new(PATH))
    }
}

fn path_of(setting: &str) -> PathBuf {
    Path::new("/proc/sys").join(setting)
}
