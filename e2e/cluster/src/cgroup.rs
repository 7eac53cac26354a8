//! The cluster's cgroups, on version 1, the hybrid layout and version 2.
//!
//! Every process of the cluster is in one of them from its first instant: a daemon is moved before it
//! becomes its program, children inherit, and the kubelet puts containers below its node's. So they
//! are the one complete list of what runs, whatever pid files say, and a teardown kills by them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};
use std::time::Duration;
use std::{fs, io};

use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use xtask::files::{self, FileError};

use crate::instance::Instance;
use crate::wait::{self, WaitError};

/// Controllers without which a kubelet does not start.
const REQUIRED: [&str; 4] = ["cpu", "cpuset", "memory", "pids"];
/// Controllers that a kubelet uses when they are there.
const OPTIONAL: [&str; 2] = ["io", "hugetlb"];
/// The cgroup for the daemons of a node or of the control plane. Version 2 lets a cgroup hold either
/// processes or further cgroups with controllers, so they sit beside the kubelet's, not above.
const DAEMONS: &str = "daemons";

/// A cgroup could not be created or removed.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// A file operation on a cgroup failed.
    #[error(transparent)]
    File(#[from] FileError),
    /// Processes did not die, or a cgroup stayed in use.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// The kernel offers controllers that cannot be used below the root.
    #[error("the cgroup controllers {} cannot be enabled below {}", controllers.join(", "), root.display())]
    Controllers {
        /// Those missing.
        controllers: Vec<String>,
        /// The hierarchy's root.
        root: PathBuf,
    },
}

/// Where this machine's cgroup hierarchies are mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Hierarchies {
    /// Version 1, one per controller or group of controllers.
    v1: Vec<PathBuf>,
    /// Version 2; beside version 1 it holds processes but no controllers.
    v2: Option<PathBuf>,
}

impl Hierarchies {
    pub(crate) fn of_this_machine() -> Result<Self, FileError> {
        Ok(Self::parse(&files::read(Path::new("/proc/self/mountinfo"))?))
    }

    fn parse(mountinfo: &str) -> Self {
        let (mut v1, mut v2) = (Vec::new(), None);
        for line in mountinfo.lines() {
            // `36 35 98:0 /root /mount/point options - type source super-options`, proc(5).
            let Some((before, after)) = line.split_once(" - ") else { continue };
            let mut fields = before.split(' ').skip(3);
            let (Some(root), Some(mount)) = (fields.next(), fields.next()) else { continue };
            let mount = Path::new(mount);
            // Only whole hierarchies in the usual place, not what containers see of them elsewhere.
            if root != "/" || !mount.starts_with("/sys/fs/cgroup") {
                continue;
            }
            match after.split(' ').next() {
                Some("cgroup") => v1.push(mount.to_owned()),
                Some("cgroup2") => v2 = Some(mount.to_owned()),
                _ => {}
            }
        }
        v1.sort();
        v1.dedup();
        Hierarchies { v1, v2 }
    }

    /// The controllers that a kubelet needs and this machine lacks, for the doctor.
    pub(crate) fn lacks(&self) -> Vec<String> {
        let missing: Vec<&str> = REQUIRED.into_iter().filter(|name| !self.offers(name)).collect();
        if missing.is_empty() {
            return Vec::new();
        }
        vec![format!("the cgroup controllers {}: none mounted below /sys/fs/cgroup", missing.join(", "))]
    }

    /// Whether the controllers are version 2's.
    pub(crate) fn unified(&self) -> bool {
        self.v1.is_empty()
    }

    fn offers(&self, controller: &str) -> bool {
        match (&self.v2, self.unified()) {
            (Some(root), true) => listed(&root.join("cgroup.controllers")).iter().any(|c| c == controller),
            _ => self.v1.iter().any(|mount| {
                mount.file_name().is_some_and(|name| {
                    name.to_string_lossy().split(',').any(|mounted| mounted == controller)
                })
            }),
        }
    }

    fn roots(&self) -> impl Iterator<Item = &PathBuf> {
        self.v1.iter().chain(&self.v2)
    }

    /// Makes the cgroup `name` with all its controllers, and one inside it for the daemons. Returns the
    /// files to which a process writes its pid to move there.
    pub(crate) fn create(&self, name: &str) -> Result<Vec<PathBuf>, CgroupError> {
        let mut procs = Vec::new();
        // On the hybrid layout version 2 is left out: nothing is controlled by it.
        let used: Vec<&PathBuf> =
            if self.unified() { self.v2.iter().collect() } else { self.v1.iter().collect() };
        for root in used {
            let group = root.join(name);
            files::create_dir(&group)?;
            if self.unified() {
                enable_controllers(root, &group)?;
            } else {
                inherit_cpuset(root, &group)?;
            }
            let daemons = group.join(DAEMONS);
            files::create_dir(&daemons)?;
            inherit_cpuset(&group, &daemons)?;
            procs.push(daemons.join("cgroup.procs"));
        }
        Ok(procs)
    }

    /// The names of the cluster's cgroups that exist.
    pub(crate) fn of_instance(&self, instance: Instance) -> Result<Vec<String>, FileError> {
        let (mut names, prefix) = (Vec::new(), instance.prefix());
        for root in self.roots() {
            let groups =
                files::entries(root)?.into_iter().filter(|path| files::name_begins_with(path, &prefix));
            names.extend(groups.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())));
        }
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Every process in the cgroup `name` and below.
    pub(crate) fn processes(&self, name: &str) -> HashSet<Pid> {
        self.roots().flat_map(|root| processes(&root.join(name))).collect()
    }

    /// Kills every process in the cgroup `name` and below and waits until they have gone.
    pub(crate) fn kill(&self, name: &str) -> Result<(), CgroupError> {
        wait::until(&format!("the end of all processes in {name}"), Duration::from_secs(30), || {
            let left = self.processes(name);
            for pid in &left {
                kill_member(*pid, name);
            }
            Ok(left.is_empty().then_some(()))
        })
    }

    /// Removes the cgroup `name` and all below it, which must hold no process.
    pub(crate) fn remove(&self, name: &str) -> Result<(), CgroupError> {
        for group in self.roots().map(|root| root.join(name)) {
            // A cgroup stays busy for a moment after its last process has gone.
            wait::until(&format!("the removal of {}", group.display()), Duration::from_secs(10), || {
                match remove_tree(&group) {
                    Ok(()) => Ok(Some(())),
                    Err(error) if error.kind() == io::ErrorKind::ResourceBusy => Ok(None),
                    Err(error) => Err(CgroupError::from(FileError {
                        action: "remove",
                        path: group.clone(),
                        source: error,
                    })),
                }
            })?;
        }
        Ok(())
    }
}

fn listed(file: &Path) -> Vec<String> {
    fs::read_to_string(file).unwrap_or_default().split_whitespace().map(str::to_owned).collect()
}

/// Version 2: a controller works in a cgroup when each one above enables it for its children.
fn enable_controllers(root: &Path, group: &Path) -> Result<(), CgroupError> {
    let offered = listed(&root.join("cgroup.controllers"));
    let wanted = REQUIRED.into_iter().chain(OPTIONAL).filter(|name| offered.iter().any(|o| o == name));
    for controller in wanted {
        for level in [root, group] {
            // One at a time: if one is refused, the kernel would refuse all. The check below decides.
            let _ = files::write_in_place(&level.join("cgroup.subtree_control"), &format!("+{controller}"));
        }
    }
    let enabled = listed(&group.join("cgroup.subtree_control"));
    let missing = REQUIRED.into_iter().filter(|name| !enabled.iter().any(|e| e == name));
    let controllers: Vec<String> = missing.map(str::to_owned).collect();
    if controllers.is_empty() {
        return Ok(());
    }
    Err(CgroupError::Controllers { controllers, root: root.to_owned() })
}

/// Version 1: a new cpuset has no CPUs and no memory and takes no process until it is given some.
fn inherit_cpuset(parent: &Path, child: &Path) -> Result<(), FileError> {
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let (from, to) = (parent.join(file), child.join(file));
        if to.exists() && !parent.join("cgroup.controllers").exists() {
            files::write_in_place(&to, files::read(&from)?.trim_end())?;
        }
    }
    Ok(())
}

/// All processes in the cgroup and below; none when it is not there.
fn processes(group: &Path) -> Vec<Pid> {
    let own = listed(&group.join("cgroup.procs"));
    let mut pids: Vec<Pid> = own.iter().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect();
    for child in files::entries(group).unwrap_or_default().into_iter().filter(|path| path.is_dir()) {
        pids.extend(processes(&child));
    }
    pids
}

/// Kills the process if it is still a member. The pidfd is opened before the check, so a pid that was
/// reused in between is either seen as a stranger or is one of ours.
fn kill_member(pid: Pid, group: &str) {
    let Ok(pidfd) = pidfd_open(pid, PidfdFlags::empty()) else { return };
    let path = format!("/proc/{}/cgroup", pid.as_raw_nonzero());
    if fs::read_to_string(path).is_ok_and(|text| is_member(&text, group)) {
        // It may have ended by itself meanwhile.
        let _ = pidfd_send_signal(&pidfd, Signal::KILL);
    }
}

/// Whether `/proc/PID/cgroup` says that the process is in the top-level cgroup `group` or below.
fn is_member(text: &str, group: &str) -> bool {
    text.lines()
        .filter_map(|line| line.splitn(3, ':').nth(2))
        .any(|path| path.split('/').nth(1) == Some(group))
}

fn remove_tree(group: &Path) -> io::Result<()> {
    for child in files::entries(group).map_err(|error| error.source)? {
        if child.is_dir() {
            remove_tree(&child)?;
        }
    }
    files::or_absent(fs::remove_dir(group))
}

#[cfg(test)]
mod tests {
    use super::*;

    const HYBRID: &str = "\
        30 1 0:26 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n\
        31 30 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n\
        32 30 0:28 / /sys/fs/cgroup/memory rw shared:3 - cgroup cgroup rw,memory\n\
        33 30 0:29 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n\
        34 30 0:28 /box /var/lib/box/memory rw - cgroup cgroup rw,memory\n";

    #[test]
    fn the_hybrid_layout_uses_the_controllers_of_version_1() {
        let found = Hierarchies::parse(HYBRID);
        assert!(!found.unified());
        assert_eq!(found.v1, [Path::new("/sys/fs/cgroup/cpu,cpuacct"), Path::new("/sys/fs/cgroup/memory")]);
        assert_eq!(found.v2.as_deref(), Some(Path::new("/sys/fs/cgroup/unified")));
        assert!(found.offers("cpu") && found.offers("memory") && !found.offers("pids"));
    }

    #[test]
    fn version_2_alone_is_unified() {
        let found = Hierarchies::parse("30 24 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
        assert!(found.unified());
        assert_eq!(found.v2.as_deref(), Some(Path::new("/sys/fs/cgroup")));
    }

    #[test]
    fn only_the_top_level_cgroup_decides_who_is_a_member() {
        assert!(is_member("9:pids:/spe2e-node-1/kubepods/x\n0::/\n", "spe2e-node-1"));
        assert!(is_member("0::/spe2e-node-1\n", "spe2e-node-1"));
        assert!(!is_member("0::/spe2e-node-10/daemons\n", "spe2e-node-1"));
        assert!(!is_member("0::/user.slice/spe2e-node-1\n", "spe2e-node-1"));
    }
}
