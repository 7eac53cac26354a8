//! The names of containers, from the links in the kubelet's `/var/log/containers`: RBAC cannot limit a right to read pods
//! to one node, and the links need no right at all.

use std::fs;
use std::io;
use std::path::Path;

use audit::{ContainerId, ContainerName};

/// How many links of a directory are read. A node has some hundred.
const MAX_LINKS: usize = 20_000;

/// The containers that the links in `directory` name. Links are not followed.
///
/// # Errors
/// The directory cannot be read.
pub fn containers(directory: &Path) -> io::Result<Vec<(ContainerId, ContainerName)>> {
    let links = fs::read_dir(directory)?.take(MAX_LINKS).filter_map(Result::ok);
    let named = links.filter_map(|link| {
        let target = fs::read_link(link.path()).ok()?;
        ContainerName::from_log_link(link.file_name().to_str()?, target.to_str()?)
    });
    Ok(named.collect())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn every_link_of_the_kubelet_is_read_and_nothing_else() {
        let logs = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
        let target = "/var/log/pods/shop_web-1_9f3b8a52-0c8d-4b7e-9d4f-5a1f2e3d4c5b/main/0.log";
        symlink(target, logs.path().join(format!("web-1_shop_main-{id}.log"))).unwrap();
        fs::write(logs.path().join("note.log"), "").unwrap();
        symlink("/", logs.path().join("other.log")).unwrap();
        let found = containers(logs.path()).unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].0.to_string(), id);
        assert_eq!((found[0].1.namespace.as_str(), found[0].1.pod.as_str()), ("shop", "web-1"));
        assert!(containers(&logs.path().join("absent")).is_err());
    }
}
