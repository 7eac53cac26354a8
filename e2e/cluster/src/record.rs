//! A record of a cluster outside its state directory: where that directory is, and the host settings that it changed,
//! so that they can be restored.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use rustix::mount::UnmountFlags;
use serde::{Deserialize, Serialize};
use xtask::files::{self, FileError, NamePath};

use crate::instance::Instance;
use crate::layout::Layout;
use crate::lock::Lock;

/// Kernel settings that are not namespaced. The first is raised here, since each node's kubelet and
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

/// Prefix of the paths of the records, one per cluster. They are outside the state directory, since they must outlive
/// that one's loss, and in a place that a reboot empties, since a reboot resets the settings too.
const PATH: &str = "/run/seccomp-profile-e2e";

/// The host as it was before the first cluster, and where a cluster keeps its state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct HostRecord {
    /// The cluster's state directory.
    pub(crate) directory: PathBuf,
    settings: BTreeMap<String, String>,
    made: Vec<PathBuf>,
}

impl HostRecord {
    /// The record of a cluster that is here, whole or in parts.
    pub(crate) fn read(instance: Instance) -> Option<Self> {
        serde_json::from_str(&fs::read_to_string(file(instance)).ok()?).ok()
    }

    /// Writes down how the host is and that the state directory is the cluster's, and prepares the host for nodes. In
    /// this order: a run that is killed in between can still be undone.
    pub(crate) fn prepare_host(layout: &Layout) -> Result<(), FileError> {
        let _lock = Lock::of_host()?;
        // The host is prepared already while another cluster is here, and its record says how the host was before.
        let record = match of_others(layout.instance()).next() {
            Some(other) => HostRecord { directory: layout.directory().to_owned(), ..other },
            None => HostRecord::of_this_machine(layout.directory()),
        };
        let path = file(layout.instance());
        files::write(&path, serde_json::to_string_pretty(&record).unwrap_or_default())?;
        record.apply()
    }

    /// Forgets a cluster of which nothing else is left. The last one puts the host back.
    pub(crate) fn remove(instance: Instance) -> Result<(), FileError> {
        let _lock = Lock::of_host()?;
        if let Some(record) = HostRecord::read(instance)
            && of_others(instance).next().is_none()
        {
            record.restore();
        }
        let path = file(instance);
        files::or_absent(fs::remove_file(&path)).name_path("remove", &path)
    }

    fn of_this_machine(directory: &Path) -> Self {
        let setting = |name: &&str| Some((name.to_string(), fs::read_to_string(path_of(name)).ok()?));
        HostRecord {
            directory: directory.to_owned(),
            settings: SETTINGS.iter().filter_map(setting).collect(),
            made: MOUNT_POINTS.iter().map(PathBuf::from).filter(|path| !path.exists()).collect(),
        }
    }

    fn apply(&self) -> Result<(), FileError> {
        for path in MOUNT_POINTS {
            files::create_dir(Path::new(path))?;
        }
        let instances = self.settings.get(INOTIFY_INSTANCES).and_then(|value| value.trim().parse().ok());
        if instances.is_some_and(|instances: u32| instances < INOTIFY_WANTED) {
            files::write_in_place(&path_of(INOTIFY_INSTANCES), &INOTIFY_WANTED.to_string())?;
        }
        Ok(())
    }

    /// Best effort: a setting that cannot be restored must not prevent the others.
    fn restore(&self) {
        for (name, value) in self.settings.iter().filter(|(name, _)| SETTINGS.contains(&name.as_str())) {
            let _ = files::write_in_place(&path_of(name), value.trim());
        }
        for path in self.made.iter().filter(|path| MOUNT_POINTS.iter().any(|ours| Path::new(ours) == *path)) {
            // Only when empty: another program may use it by now.
            if files::entries(path).is_ok_and(|entries| entries.is_empty()) {
                // `ip netns add` mounts /run/netns on itself. The others are not mount points.
                let _ = rustix::mount::unmount(path, UnmountFlags::empty());
                let _ = fs::remove_dir(path);
            }
        }
    }
}

fn file(instance: Instance) -> PathBuf {
    format!("{PATH}{}.json", instance.suffix()).into()
}

/// The records of all clusters but this one.
fn of_others(instance: Instance) -> impl Iterator<Item = HostRecord> {
    Instance::all().filter(move |other| *other != instance).filter_map(HostRecord::read)
}

fn path_of(setting: &str) -> PathBuf {
    Path::new("/proc/sys").join(setting)
}
