//! The container of a process, by its control groups.

use std::fmt;
use std::str::FromStr;

/// The number of a container, as the container runtime gives it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerId([u8; 32]);

/// A text that is not the number of a container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not 64 lower-case hexadecimal digits")]
pub struct NotAnId;

impl FromStr for ContainerId {
    type Err = NotAnId;

    fn from_str(text: &str) -> Result<Self, NotAnId> {
        let mut id = [0; 32];
        if text.len() != 64 {
            return Err(NotAnId);
        }
        for (byte, pair) in id.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
            let digit = |byte: u8| match byte {
                b'0'..=b'9' => Ok(byte - b'0'),
                b'a'..=b'f' => Ok(byte - b'a' + 10),
                _ => Err(NotAnId),
            };
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(Self(id))
    }
}

impl fmt::Display for ContainerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// Where a process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// In this container of a pod.
    Container(ContainerId),
    /// Not in a container of a pod.
    Outside,
    /// Its control groups name several containers.
    Unclear,
}

/// Where the process with this `/proc/PID/cgroup` runs (cgroups(7)).
///
/// The kubelet makes a control group for each pod, `pod<uid>` or, with systemd, `kubepods-…-pod<uid>.slice`, and the
/// container runtime one below it for each container: `<id>` or, with systemd, `cri-containerd-<id>.scope` (containerd),
/// `crio-<id>.scope` (CRI-O). What is further below, the container itself may have made and named: the outermost counts.
/// A reader in a control group namespace of its own sees the paths of others beginning with `/..`, with the pod in it all
/// the same.
#[must_use]
pub fn container_of(cgroup: &[u8]) -> Place {
    let mut found = Place::Outside;
    for line in cgroup.split(|byte| *byte == b'\n') {
        // HIERARCHY:CONTROLLERS:PATH
        let Some(path) = line.splitn(3, |byte| *byte == b':').nth(2) else { continue };
        let Some(id) = std::str::from_utf8(path).ok().and_then(container_in) else { continue };
        match found {
            Place::Container(other) if other != id => return Place::Unclear,
            _ => found = Place::Container(id),
        }
    }
    found
}

fn container_in(path: &str) -> Option<ContainerId> {
    // What the kernel adds once the group itself has been removed.
    let path = path.strip_suffix(" (deleted)").unwrap_or(path);
    path.split('/').skip_while(|part| !is_pod(part)).skip(1).find_map(id_in)
}

/// Whether a control group is that of a pod.
fn is_pod(part: &str) -> bool {
    let uid = match part.strip_suffix(".slice") {
        // systemd's names have the parents' names in them, and no `-` in a uid.
        Some(slice) => slice.rsplit_once("-pod").map(|(_, uid)| uid),
        None => part.strip_prefix("pod"),
    };
    // A UUID or, for a pod from a file, a hash.
    uid.is_some_and(|uid| {
        matches!(uid.len(), 32 | 36) && uid.bytes().all(|it| it.is_ascii_hexdigit() || b"-_".contains(&it))
    })
}

fn id_in(part: &str) -> Option<ContainerId> {
    let name = part.strip_suffix(".scope").unwrap_or(part);
    let id = match name.rsplit_once('-') {
        // CRI-O's `crio-conmon-<id>.scope` is not in the container, but beside it.
        Some(("cri-containerd" | "crio" | "docker", id)) => id,
        Some(_) => return None,
        None => name,
    };
    id.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const B: &str = "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210";
    const UID: &str = "9f3b8a52-0c8d-4b7e-9d4f-5a1f2e3d4c5b";

    fn of(text: &str) -> Place {
        container_of(text.replace("$A", A).replace("$B", B).replace("$UID", UID).as_bytes())
    }

    fn a() -> Place {
        Place::Container(A.parse().unwrap())
    }

    #[test]
    fn a_path_outside_of_a_pod_names_no_container() {
        for path in
            ["/", "", "/user.slice", "/docker/$A", "/system.slice/docker-$A.scope", "/kubepods/besteffort/$A"]
        {
            assert_eq!(of(&format!("0::{path}\n")), Place::Outside, "{path}");
        }
        // The pod's own group, and CRI-O's monitor.
        for path in ["/kubepods/pod$UID", "/kubepods/pod$UID/crio-conmon-$A", "/kubepods/pod$UID/xy-$A.scope"]
        {
            assert_eq!(of(&format!("0::{path}\n")), Place::Outside, "{path}");
        }
    }

    #[test]
    fn the_outermost_container_counts_whatever_is_below_it() {
        assert_eq!(of("0::/kubepods/pod$UID/$A/pod$UID/$B"), a());
        assert_eq!(of("0::/kubepods/pod$UID/crio-$A.scope/container/$B"), a());
        // A node that is itself a container.
        assert_eq!(of("0::/system.slice/docker-$B.scope/kubepods/pod$UID/$A"), a());
    }

    #[test]
    fn hierarchies_that_disagree_name_no_container() {
        assert_eq!(of("2:cpu:/kubepods/pod$UID/$A\n1:memory:/kubepods/pod$UID/$B\n"), Place::Unclear);
        assert_eq!(of("2:cpu:/kubepods/pod$UID/$A\n1:name=systemd:/\n0::/\n"), a());
    }

    #[test]
    fn only_lower_case_digits_of_the_right_number_are_an_id() {
        for wrong in ["", &A[1..], &A.to_uppercase(), &format!("{A}0"), &A.replace('0', "g")] {
            assert_eq!(wrong.parse::<ContainerId>(), Err(NotAnId), "{wrong}");
        }
        assert_eq!(A.parse::<ContainerId>().unwrap().to_string(), A);
    }
}
