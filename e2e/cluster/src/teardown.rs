//! Removes whatever exists of the cluster: all of it, part of a failed start, or the remains of a killed run.
//!
//! It finds everything by the names that the kernel has for it, so it needs no state directory. The order of the steps
//! allows each to be repeated.

use std::path::{Path, PathBuf};
use std::{fs, io};

use rustix::mount::{UnmountFlags, unmount};
use xtask::files::{self, FileError, NamePath};
use xtask::interrupt;

use crate::layout::Layout;
use crate::record::HostRecord;
use crate::{ClusterError, cgroup, network};

/// Whether anything of a cluster is there.
pub(crate) fn anything_left(layout: &Layout) -> Result<bool, ClusterError> {
    let instance = layout.instance();
    let cgroups = cgroup::Hierarchies::of_this_machine()?.of_instance(instance)?;
    let links = network::Leftovers::find(instance)?;
    let recorded = HostRecord::read(instance).is_some();
    Ok(!cgroups.is_empty() || !links.is_empty() || recorded || layout.directory().exists())
}

/// Removes everything. Signals do not stop it half-way.
pub(crate) fn everything(layout: &Layout) -> Result<(), ClusterError> {
    let _deferred = interrupt::defer_signals();
    let instance = layout.instance();
    let hierarchies = cgroup::Hierarchies::of_this_machine()?;
    // Kill at once: their state is deleted below anyway.
    for name in hierarchies.of_instance(instance)? {
        hierarchies.kill(&name)?;
        hierarchies.remove(&name)?;
    }
    network::Leftovers::find(instance)?.remove()?;
    keep_logs(layout)?;
    if let Some(record) = HostRecord::read(instance) {
        // Usually the same directory; not when the environment names another one by now.
        remove_state(&Layout::new(&record.directory, instance), Owner::Recorded)?;
    }
    remove_state(layout, Owner::Unknown)?;
    Ok(HostRecord::remove(instance)?)
}

/// Copies the daemons' logs to a directory of the cluster's below `$SECCOMP_E2E_LOGS`, if that is set: in CI a cluster
/// cannot be inspected after a failure.
fn keep_logs(layout: &Layout) -> Result<(), ClusterError> {
    let Some(target) = std::env::var_os("SECCOMP_E2E_LOGS").filter(|value| !value.is_empty()) else {
        return Ok(());
    };
    let target = PathBuf::from(target).join(format!("cluster-{}", layout.instance()));
    files::create_dir(&target)?;
    for log in files::entries(&layout.log(""))?.into_iter().chain([layout.audit_log()]) {
        if let Some(name) = log.file_name().filter(|_| log.is_file()) {
            fs::copy(&log, target.join(name)).name_path("copy", &log)?;
        }
    }
    Ok(())
}

/// The nodes' mounts are in namespaces that ended with their processes. If one had leaked to the host, removing the
/// state directory would remove what is mounted there.
fn unmount_below(directory: &Path) -> Result<(), ClusterError> {
    let mountinfo = files::read(Path::new("/proc/self/mountinfo"))?;
    for mount in mounts_below(&mountinfo, directory).into_iter().rev() {
        unmount(&mount, UnmountFlags::DETACH).map_err(io::Error::from).name_path("unmount", &mount)?;
    }
    Ok(())
}

/// Mount points strictly below `directory`, in the order in which they were mounted.
fn mounts_below(mountinfo: &str, directory: &Path) -> Vec<PathBuf> {
    let points = mountinfo.lines().filter_map(|line| line.split(' ').nth(4)).map(PathBuf::from);
    points.filter(|point| point != directory && point.starts_with(directory)).collect()
}

/// Whether a directory is known to be a cluster's.
#[derive(PartialEq)]
enum Owner {
    Recorded,
    Unknown,
}

/// Removes the state directory only if it is known to be a cluster's or one described itself in it, since
/// its path is the user's.
fn remove_state(layout: &Layout, owner: Owner) -> Result<(), ClusterError> {
    let directory = layout.directory();
    unmount_below(directory)?;
    if owner == Owner::Unknown && !is_empty(directory)? && !layout.description().exists() {
        return Err(ClusterError::ForeignDirectory(directory.to_owned()));
    }
    // The description is removed last, so that an interrupted removal is still recognised as ours.
    for path in files::entries(directory)?.into_iter().filter(|path| *path != layout.description()) {
        let is_directory = path.is_dir() && !path.is_symlink();
        let removed = if is_directory { fs::remove_dir_all(&path) } else { fs::remove_file(&path) };
        files::or_absent(removed).name_path("remove", &path)?;
    }
    Ok(files::or_absent(fs::remove_dir_all(directory)).name_path("remove", directory)?)
}

fn is_empty(directory: &Path) -> Result<bool, FileError> {
    Ok(files::entries(directory)?.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::instance::Instance;

    #[test]
    fn only_mounts_below_the_state_directory_are_found() {
        let mountinfo = "1 0 8:1 / / rw - ext4 x rw\n2 1 0:5 / /tmp/state rw - tmpfs x rw\n\
                         3 2 0:6 / /tmp/state/a rw - tmpfs x rw\n4 1 0:7 / /tmp/state-of-others rw - tmpfs x rw\n";
        assert_eq!(mounts_below(mountinfo, Path::new("/tmp/state")), [Path::new("/tmp/state/a")]);
    }

    #[test]
    fn a_directory_that_is_not_a_clusters_is_never_removed() {
        let directory = tempfile::tempdir().unwrap();
        fs::write(directory.path().join("letters"), "dear").unwrap();
        let error =
            remove_state(&Layout::new(directory.path(), Instance::FIRST), Owner::Unknown).unwrap_err();
        assert!(matches!(error, ClusterError::ForeignDirectory(_)));
        assert!(directory.path().join("letters").exists());
    }

    #[test]
    fn a_clusters_directory_is_removed_and_an_absent_one_is_fine() {
        let directory = tempfile::tempdir().unwrap();
        let layout = Layout::new(directory.path().join("state"), Instance::FIRST);
        remove_state(&layout, Owner::Unknown).unwrap();
        fs::create_dir_all(layout.directory().join("etcd")).unwrap();
        fs::write(layout.description(), "{}").unwrap();
        remove_state(&layout, Owner::Unknown).unwrap();
        assert!(!layout.directory().exists());
        fs::create_dir_all(layout.directory().join("nodes")).unwrap();
        remove_state(&layout, Owner::Recorded).unwrap();
        assert!(!layout.directory().exists());
    }
}
