//! What the cluster changes on the host outside its own namespaces, and the way back.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;
use serde::{Deserialize, Serialize};

use super::layout::Layout;
use crate::files::{self, FileError};

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

/// The host as it was.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct Undo {
    settings: BTreeMap<String, String>,
    made: Vec<PathBuf>,
}

impl Undo {
    /// Writes down how the host is, then prepares it. In this order: a run that is killed in between can
    /// still be undone.
    pub(crate) fn prepare(layout: &Layout) -> Result<(), FileError> {
        let setting = |name: &&str| Some((name.to_string(), fs::read_to_string(path_of(name)).ok()?));
        let undo = Undo {
            settings: SETTINGS.iter().filter_map(setting).collect(),
            made: MOUNT_POINTS.iter().map(PathBuf::from).filter(|path| !path.exists()).collect(),
        };
        files::write(&layout.undo(), serde_json::to_string_pretty(&undo).unwrap_or_default())?;
        for path in MOUNT_POINTS {
            files::create_dir(Path::new(path))?;
        }
        let instances = undo.settings.get(INOTIFY_INSTANCES).and_then(|value| value.trim().parse().ok());
        if instances.is_some_and(|instances: u32| instances < INOTIFY_WANTED) {
            files::write_in_place(&path_of(INOTIFY_INSTANCES), &INOTIFY_WANTED.to_string())?;
        }
        Ok(())
    }

    /// Puts everything back. Best effort: a setting that refuses is no reason to keep the rest.
    pub(crate) fn restore(layout: &Layout) {
        let text = fs::read_to_string(layout.undo()).unwrap_or_default();
        let undo: Undo = serde_json::from_str(&text).unwrap_or_default();
        for (name, value) in &undo.settings {
            if SETTINGS.contains(&name.as_str()) {
                let _ = files::write_in_place(&path_of(name), value.trim());
            }
        }
        for path in undo.made.iter().filter(|path| MOUNT_POINTS.iter().any(|ours| Path::new(ours) == *path)) {
            // Only when empty: somebody else may use it by now.
            if files::entries(path).is_ok_and(|entries| entries.is_empty()) {
                // `ip netns add` mounts /run/netns on itself. The others are no mount points.
                let _ = rustix::mount::unmount(path, UnmountFlags::empty());
                let _ = fs::remove_dir(path);
            }
        }
    }
}

fn path_of(setting: &str) -> PathBuf {
    Path::new("/proc/sys").join(setting)
}
