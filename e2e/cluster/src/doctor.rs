//! Checks whether this machine can run the cluster, before anything starts, and lists everything that
//! is missing at once.

use std::fmt;
use std::path::Path;
use std::process::Command;

use xtask::command::{self, find};
use xtask::elf;

use crate::cgroup::Hierarchies;

/// What the cluster needs and this machine lacks, each with a remedy.
#[derive(Debug, thiserror::Error)]
pub struct Missing(Vec<String>);

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "this machine cannot run the cluster yet:")?;
        self.0.iter().try_for_each(|lack| write!(f, "\n  - {lack}"))
    }
}

/// A program and the Debian package that holds it.
const PROGRAMS: [(&str, &str); 13] = [
    ("ip", "iproute2"),
    ("nft", "nftables"),
    ("openssl", "openssl"),
    ("busybox", "busybox-static"),
    ("nsenter", "util-linux"),
    ("unshare", "util-linux"),
    ("setsid", "util-linux"),
    ("mount", "mount"),
    ("umount", "mount"),
    ("mke2fs", "e2fsprogs"),
    ("hostname", "hostname"),
    ("sh", "dash"),
    ("sleep", "coreutils"),
];

/// What only the build of the cluster's programs needs.
const BUILD_PROGRAMS: [(&str, &str); 2] = [("gcc", "gcc"), ("pkg-config", "pkg-config")];

/// A path that the kernel offers when it has a feature, and the feature's name.
const KERNEL: [(&str, &str); 8] = [
    ("/proc/self/ns/net", "network namespaces (CONFIG_NET_NS)"),
    ("/proc/self/ns/mnt", "mount namespaces"),
    ("/proc/self/ns/uts", "host-name namespaces (CONFIG_UTS_NS)"),
    ("/proc/self/ns/ipc", "IPC namespaces (CONFIG_IPC_NS)"),
    ("/proc/self/ns/pid", "pid namespaces (CONFIG_PID_NS)"),
    ("/proc/sys/kernel/seccomp/actions_avail", "seccomp filters (CONFIG_SECCOMP_FILTER)"),
    ("/proc/sys/fs/inotify", "inotify (CONFIG_INOTIFY_USER)"),
    ("/dev/kmsg", "the kernel's log, which the kubelet reads"),
];

/// The oldest Go that Kubernetes and etcd of our versions accept.
const GO_MINOR: u32 = 26;

/// Checks everything that a local cluster needs; `build` adds what building its programs needs.
///
/// # Errors
/// All that is missing.
pub fn check(build: bool) -> Result<(), Missing> {
    let mut lacks = Vec::new();
    if !rustix::process::geteuid().is_root() {
        lacks.push("root: namespaces, cgroups and links need it; run with sudo".to_owned());
    }
    let mut programs = PROGRAMS.to_vec();
    if build {
        programs.extend(BUILD_PROGRAMS);
        lacks.extend(go());
        lacks.extend(libseccomp());
    }
    lacks.extend(
        programs
            .into_iter()
            .filter(|(name, _)| find(name).is_none())
            .map(|(name, package)| format!("the program {name}: apt-get install {package}")),
    );
    lacks.extend(busybox());
    lacks.extend(
        KERNEL
            .iter()
            .filter(|(path, _)| !Path::new(path).exists())
            .map(|(path, feature)| format!("the kernel lacks {feature}: there is no {path}")),
    );
    lacks.extend(nftables());
    lacks.extend(filesystem("overlay", "containerd's snapshots (CONFIG_OVERLAY_FS)"));
    match Hierarchies::of_this_machine() {
        Ok(hierarchies) => lacks.extend(hierarchies.lacks()),
        Err(error) => lacks.push(error.to_string()),
    }
    if lacks.is_empty() { Ok(()) } else { Err(Missing(lacks)) }
}

fn go() -> Option<String> {
    let Ok(printed) = command::output(Command::new("go").args(["env", "GOVERSION", "GOTOOLCHAIN"])) else {
        return Some(format!("the program go, 1.{GO_MINOR} or later: https://go.dev/dl"));
    };
    let (version, toolchain) = printed.split_once('\n').unwrap_or((&printed, ""));
    // With GOTOOLCHAIN=auto an older Go fetches the one that a module asks for.
    if go_minor(version).is_some_and(|minor| minor >= GO_MINOR) || toolchain.trim().contains("auto") {
        return None;
    }
    Some(format!("go is {version}, and GOTOOLCHAIN is not auto: install 1.{GO_MINOR} or later"))
}

fn go_minor(version: &str) -> Option<u32> {
    version.strip_prefix("go1.")?.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

fn libseccomp() -> Option<String> {
    let found = find("pkg-config").is_none()
        || command::output(Command::new("pkg-config").args(["--exists", "libseccomp"])).is_ok();
    (!found).then(|| "the headers of libseccomp, for runc: apt-get install libseccomp-dev".to_owned())
}

/// The busybox image holds one program and no libraries, so it must be the static build.
fn busybox() -> Option<String> {
    let bytes = std::fs::read(find("busybox")?).ok()?;
    elf::is_dynamic(&bytes).then(|| "busybox is not static: apt-get install busybox-static".to_owned())
}

/// kube-proxy's mode. Without root the query is refused, which the check for root reports better.
fn nftables() -> Option<String> {
    let ask = find("nft").filter(|_| rustix::process::geteuid().is_root())?;
    let refused = command::output(Command::new(ask).args(["list", "tables"])).is_err();
    refused.then(|| "the kernel lacks nftables (CONFIG_NF_TABLES)".to_owned())
}

fn filesystem(name: &str, use_: &str) -> Option<String> {
    let listed = || {
        let list = std::fs::read_to_string("/proc/filesystems").unwrap_or_default();
        list.lines().any(|line| line.split_whitespace().last() == Some(name))
    };
    // A module that is not loaded yet is not listed; loading it is harmless, failing to is the answer.
    let loaded = listed()
        || (find("modprobe").is_some()
            && command::output(Command::new("modprobe").arg(name)).is_ok()
            && listed());
    (!loaded).then(|| format!("the kernel lacks the file system {name}, for {use_}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minor_number_of_a_go_version_is_read() {
        assert_eq!(go_minor("go1.26.8"), Some(26));
        assert_eq!(go_minor("go1.27rc1"), Some(27));
        assert_eq!(go_minor("devel"), None);
    }

    #[test]
    fn everything_that_is_missing_is_listed_at_once() {
        let missing = Missing(vec!["root".into(), "nft".into()]);
        assert_eq!(missing.to_string(), "this machine cannot run the cluster yet:\n  - root\n  - nft");
    }
}
