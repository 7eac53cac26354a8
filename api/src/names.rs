//! Names that both sides must spell alike.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// The API group of both kinds.
pub const GROUP: &str = "seccomp.imjasonh.dev";
/// The finalizer that holds a profile until the nodes have let its file go. Only the operator adds and removes it.
pub const FINALIZER: &str = "seccomp.imjasonh.dev/node-files";
/// Annotation on a profile: `"true"` lets a deletion go on although pods use it.
pub const DELETE_IN_USE: &str = "seccomp.imjasonh.dev/delete-in-use";
/// Field manager of the agents' reports.
pub const AGENT_FIELD_MANAGER: &str = "seccomp-profile-agent";
/// Field manager of the operator's writes.
pub const OPERATOR_FIELD_MANAGER: &str = "seccomp-profile-operator";
/// Where the kubelet keeps its state unless told otherwise.
pub const DEFAULT_KUBELET_ROOT: &str = "/var/lib/kubelet";
/// The directory below the kubelet's `seccomp/` that holds the profiles unless told otherwise.
pub const DEFAULT_DIRECTORY: &str = "profiles";

/// The longest profile name: with `.json`, and a temporary name beside it, it must fit the 255 bytes of a file name.
pub const LONGEST_PROFILE_NAME: usize = 240;

/// The name of a `SeccompProfile`: a DNS subdomain of at most 240 characters, and so always a safe file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileName(Box<str>);

/// The name of a Node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Box<str>);

/// A name that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{kind} name {name:?}: expected 1 to {longest} lower-case letters, digits, '-' and '.', with a letter or digit at both ends of each part"
)]
pub struct InvalidName {
    kind: &'static str,
    name: String,
    longest: usize,
}

impl ProfileName {
    /// The name of the profile's file in the directory.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.json", self.0)
    }

    /// The profile whose file has this name, if it is a name that [`Self::file_name`] gives.
    #[must_use]
    pub fn from_file_name(file: &str) -> Option<Self> {
        file.strip_suffix(".json")?.parse().ok()
    }

    /// What a pod writes into `localhostProfile`, where agents keep their files in `directory` below the kubelet's
    /// `seccomp/`.
    #[must_use]
    pub fn localhost_profile(&self, directory: &str) -> String {
        format!("{directory}/{}.json", self.0)
    }

    /// The profile that a pod's `localhostProfile` names, if it lies in `directory`.
    ///
    /// Empty and `.` components are skipped, as the runtime's path lookup does; the API server refuses `..` and
    /// absolute paths.
    #[must_use]
    pub fn from_localhost_profile(path: &str, directory: &str) -> Option<Self> {
        let parts = |path: &'_ str| -> Vec<String> {
            path.split('/').filter(|part| !part.is_empty() && *part != ".").map(str::to_owned).collect()
        };
        let mut path = parts(path);
        let file = path.pop()?;
        (path == parts(directory)).then(|| Self::from_file_name(&file))?
    }
}

impl FromStr for ProfileName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        subdomain("profile", name, LONGEST_PROFILE_NAME).map(Self)
    }
}

impl FromStr for NodeName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        subdomain("node", name, 253).map(Self)
    }
}

/// RFC 1123 subdomain, the rule of the API server for names of this kind.
fn subdomain(kind: &'static str, name: &str, longest: usize) -> Result<Box<str>, InvalidName> {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let edge = |b: Option<u8>| b.is_some_and(|b| inner(b) && b != b'-');
    let label =
        |part: &str| edge(part.bytes().next()) && edge(part.bytes().next_back()) && part.bytes().all(inner);
    if name.len() <= longest && name.split('.').all(label) {
        Ok(name.into())
    } else {
        Err(InvalidName { kind, name: name.to_owned(), longest })
    }
}

macro_rules! text {
    ($name:ident) => {
        impl $name {
            /// The name as text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl Borrow<str> for $name {
            fn borrow(&self) -> &str {
                &self.0
            }
        }
    };
}
text!(ProfileName);
text!(NodeName);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_profile_name_is_always_a_safe_file_name() {
        for good in ["a", "audit", "fine-grained", "a.b-c.d1", &"a".repeat(240)] {
            let name: ProfileName = good.parse().unwrap();
            assert_eq!(ProfileName::from_file_name(&name.file_name()), Some(name));
        }
        for bad in
            ["", ".", "..", ".a", "a.", "a..b", "A", "a/b", "a_b", "-a", "a-", "a\0", "é", &"a".repeat(241)]
        {
            assert!(bad.parse::<ProfileName>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn the_path_in_a_pod_leads_back_to_the_profile() {
        let name: ProfileName = "audit".parse().unwrap();
        assert_eq!(name.localhost_profile("profiles"), "profiles/audit.json");
        for path in ["profiles/audit.json", "profiles//audit.json", "./profiles/./audit.json"] {
            assert_eq!(ProfileName::from_localhost_profile(path, "profiles").as_ref(), Some(&name), "{path}");
        }
        for path in [
            "audit.json",
            "other/audit.json",
            "profiles/audit",
            "profiles/x/audit.json",
            "",
            "profiles/.json",
        ] {
            assert_eq!(ProfileName::from_localhost_profile(path, "profiles"), None, "{path}");
        }
        assert_eq!(ProfileName::from_localhost_profile("a/b/audit.json", "a/b"), Some(name));
    }
}
