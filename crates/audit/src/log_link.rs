//! The pod and the container, by the link to the container's log that the kubelet creates.

use crate::cgroup::ContainerId;

/// The longest name of an object of the API.
const MAX_NAME: usize = 253;

/// A container as users know it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContainerName {
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's uid; empty if it is not known.
    pub uid: String,
    /// The container's name in the pod.
    pub container: String,
}

/// What the kubelet keeps of `POD_NAMESPACE_CONTAINER` if the name of the link would be longer than a file's may be
/// (`pkg/kubelet/kuberuntime/legacy.go`).
const LONGEST_STEM: usize = 255 - 1 - 64 - 4;

impl ContainerName {
    /// The container of a link in `/var/log/containers`: by the link's name, `POD_NAMESPACE_CONTAINER-ID.log`, and by the
    /// path that it leads to, `/var/log/pods/NAMESPACE_POD_UID/CONTAINER/RESTARTS.log`. The path has the pod's uid, and
    /// names in full. No name contains `_`.
    #[must_use]
    pub fn from_log_link(name: &str, target: &str) -> Option<(ContainerId, Self)> {
        let (stem, id) = name.strip_suffix(".log")?.rsplit_once('-')?;
        let container = Self::from_path(target).or_else(|| Self::from_stem(stem))?;
        Some((id.parse().ok()?, container))
    }

    fn from_path(path: &str) -> Option<Self> {
        let mut parts = path.rsplit('/');
        let _log = parts.next()?.strip_suffix(".log")?;
        let (container, pod) = (parts.next()?, parts.next()?);
        let mut of_pod = pod.split('_');
        let (namespace, pod, uid) = (of_pod.next()?, of_pod.next()?, of_pod.next()?);
        let found = Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: uid.to_owned(),
            container: container.to_owned(),
        };
        (of_pod.next().is_none() && !uid.is_empty() && is_name(uid) && found.is_valid()).then_some(found)
    }

    fn from_stem(stem: &str) -> Option<Self> {
        let mut parts = stem.split('_');
        let (pod, namespace, container) = (parts.next()?, parts.next()?, parts.next()?);
        let found = Self {
            namespace: namespace.to_owned(),
            pod: pod.to_owned(),
            uid: String::new(),
            container: container.to_owned(),
        };
        (parts.next().is_none() && stem.len() < LONGEST_STEM && found.is_valid()).then_some(found)
    }

    fn is_valid(&self) -> bool {
        [&self.namespace, &self.pod, &self.container].iter().all(|name| is_name(name))
    }
}

/// Whether an object of the API may have this name.
fn is_name(name: &str) -> bool {
    let valid = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(valid) && name != "." && name != ".."
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn of(stem: &str, target: &str) -> Option<ContainerName> {
        let (id, name) = ContainerName::from_log_link(&format!("{stem}-{ID}.log"), target)?;
        assert_eq!(id.to_string(), ID);
        Some(name)
    }

    fn name(uid: &str) -> ContainerName {
        ContainerName {
            namespace: "shop".into(),
            pod: "web-7d9f-x2".into(),
            uid: uid.into(),
            container: "main-1".into(),
        }
    }

    #[test]
    fn the_path_has_everything_and_the_name_of_the_link_the_rest() {
        let uid = "9f3b8a52-0c8d-4b7e-9d4f-5a1f2e3d4c5b";
        let target = format!("/var/log/pods/shop_web-7d9f-x2_{uid}/main-1/0.log");
        assert_eq!(of("web-7d9f-x2_shop_main-1", &target), Some(name(uid)));
        // The kubelet has cut the name of the link.
        assert_eq!(of("web-7d9f", &target), Some(name(uid)));
        // Docker keeps its logs elsewhere.
        assert_eq!(of("web-7d9f-x2_shop_main-1", &format!("/var/lib/docker/{ID}-json.log")), Some(name("")));
    }

    #[test]
    fn a_name_that_may_be_cut_is_no_name() {
        let pod = "p".repeat(LONGEST_STEM - "_shop_main".len());
        assert_eq!(of(&format!("{pod}_shop_main"), "/x"), None);
        assert!(of(&format!("{}_shop_main", &pod[1..]), "/x").is_some());
    }

    #[test]
    fn what_is_not_a_link_of_the_kubelet_is_nobodys() {
        for stem in ["", "web", "web_shop", "web_shop_main_1", "Web_shop_main", "web__main", "web_shop_.."] {
            assert_eq!(of(stem, "/x"), None, "{stem}");
        }
        for target in ["/shop_web_u/../0.log", "/shop_web/main/0.log", "/shop_web_u_v/main/0.log", "0.log"] {
            assert_eq!(of("", target), None, "{target}");
        }
        assert_eq!(ContainerName::from_log_link("web_shop_main.log", "/a_b_c/main/0.log"), None);
    }
}
