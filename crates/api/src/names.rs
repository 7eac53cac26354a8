//! Names that the operator, the agent and the kubectl plugin share.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;

/// The API group of both kinds.
pub const GROUP: &str = "seccomp.imjasonh.dev";
/// The finalizer that keeps a profile until the nodes have removed its file. Only the operator adds and removes it.
pub const FINALIZER: &str = "seccomp.imjasonh.dev/node-files";
/// Annotation on a profile: `"true"` lets a deletion proceed although pods use the profile.
pub const DELETE_IN_USE: &str = "seccomp.imjasonh.dev/delete-in-use";
/// The scheduling gate of a pod whose profiles are not on the nodes yet. An admission policy adds it, the gate's program
/// removes it.
pub const SCHEDULING_GATE: &str = "seccomp.imjasonh.dev/profile-ready";
/// Label on a namespace: `"true"` has the API server gate the pods in it that name profiles.
pub const GATED_NAMESPACE: &str = "seccomp.imjasonh.dev/gate";
/// Annotation on a namespace: the name of the profile that the API server gives to pods in it that have none.
pub const DEFAULT_PROFILE: &str = "seccomp.imjasonh.dev/default-profile";
/// Label on a namespace: `"true"` has the admission webhook give the profiles of images to the pods in it.
pub const INCLUDED_NAMESPACE: &str = "seccomp.imjasonh.dev/include";
/// Label on a profile: where it comes from. The admission webhook sets it, and may create no profile without it.
pub const FROM: &str = "seccomp.imjasonh.dev/from";
/// The value of [`FROM`] for a profile that an image has brought.
pub const FROM_IMAGE: &str = "image";
/// Annotation on such a profile: the first image that has brought it.
pub const IMAGE: &str = "seccomp.imjasonh.dev/image";
/// Annotation on such a profile: where that image carries it, in one word.
pub const PLACE: &str = "seccomp.imjasonh.dev/place";
/// Field manager of the gate's writes, and the reporter of its Events.
pub const GATE_FIELD_MANAGER: &str = "seccomp-profile-gate";
/// Field manager of the admission webhook's writes.
pub const ADMISSION_FIELD_MANAGER: &str = "seccomp-profile-admission";
/// Field manager of the agents' reports.
pub const AGENT_FIELD_MANAGER: &str = "seccomp-profile-agent";
/// Field manager of the observers' reports.
pub const OBSERVER_FIELD_MANAGER: &str = "seccomp-profile-observer";
/// Field manager of the operator's writes.
pub const OPERATOR_FIELD_MANAGER: &str = "seccomp-profile-operator";
/// The default directory of the kubelet's state.
pub const DEFAULT_KUBELET_ROOT: &str = "/var/lib/kubelet";
/// The default directory of the profiles below the kubelet's `seccomp/`.
pub const DEFAULT_DIRECTORY: &str = "profiles";

/// The maximum length of a profile name: with `.json`, and as part of a temporary name, it must fit into the 255 bytes
/// of a file name.
pub const MAX_PROFILE_NAME_LENGTH: usize = 240;

/// The name of a `SeccompProfile`: a DNS subdomain of at most 240 characters, and so always a safe file name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProfileName(Box<str>);

/// The name of a Node.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct NodeName(Box<str>);

/// An invalid name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} name {name:?}: {rule}")]
pub struct InvalidName {
    kind: &'static str,
    name: String,
    rule: BrokenRule,
}

/// The rule that a name breaks.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
enum BrokenRule {
    #[error("must not be empty")]
    Empty,
    #[error("{length} characters, at most {longest} are allowed")]
    Length { length: usize, longest: usize },
    #[error("{0:?} is not allowed; expected a-z, 0-9, '-' and '.'")]
    Character(char),
    #[error("each part between dots must start and end with a letter or digit")]
    Edge,
}

impl ProfileName {
    /// The name of the profile's file in the directory.
    #[must_use]
    pub fn file_name(&self) -> String {
        format!("{}.json", self.0)
    }

    /// The name from a hash, which the grammar of names permits: digits and lower-case letters with one hyphen.
    pub(crate) fn of_hash(text: &str) -> Self {
        debug_assert!(Self::is_valid(text), "{text}");
        Self(text.into())
    }

    /// Whether a profile can have this name, without making one of it.
    #[must_use]
    pub fn is_valid(name: &str) -> bool {
        broken_rule(name, MAX_PROFILE_NAME_LENGTH).is_none()
    }

    /// The profile whose file has this name, if [`Self::file_name`] can return it.
    #[must_use]
    pub fn from_file_name(file: &str) -> Option<Self> {
        file.strip_suffix(".json")?.parse().ok()
    }

    /// The value of `localhostProfile` in a pod, if the agents' files are in `directory` below the kubelet's
    /// `seccomp/`.
    #[must_use]
    pub fn localhost_profile(&self, directory: &str) -> String {
        format!("{directory}/{}.json", self.0)
    }

    /// The profile that a pod's `localhostProfile` names, if the path is in `directory`.
    ///
    /// Empty and `.` components are skipped, as in the runtime's path lookup; the API server rejects `..` and
    /// absolute paths.
    #[must_use]
    pub fn from_localhost_profile(path: &str, directory: &str) -> Option<Self> {
        Self::from_file_name(file_in(path, directory)?)
    }
}

/// The name of the file to which a pod's `localhostProfile` leads, if that is in `directory` itself. Empty and `.`
/// components are skipped, as in the runtime's path lookup; the API server rejects `..` and absolute paths.
#[must_use]
pub fn file_in<'a>(path: &'a str, directory: &str) -> Option<&'a str> {
    fn parts(path: &str) -> impl DoubleEndedIterator<Item = &str> {
        path.split('/').filter(|part| !part.is_empty() && *part != ".")
    }
    let mut path = parts(path);
    let file = path.next_back()?;
    path.eq(parts(directory)).then_some(file)
}

impl FromStr for ProfileName {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        subdomain("profile", name, MAX_PROFILE_NAME_LENGTH).map(Self)
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
    match broken_rule(name, longest) {
        None => Ok(name.into()),
        Some(rule) => Err(InvalidName { kind, name: name.to_owned(), rule }),
    }
}

fn broken_rule(name: &str, longest: usize) -> Option<BrokenRule> {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if name.is_empty() {
        return Some(BrokenRule::Empty);
    }
    if let Some(wrong) = name.chars().find(|c| !alphanumeric(*c) && !matches!(c, '-' | '.')) {
        return Some(BrokenRule::Character(wrong));
    }
    if name.len() > longest {
        return Some(BrokenRule::Length { length: name.len(), longest });
    }
    let is_valid = |part: &str| part.starts_with(alphanumeric) && part.ends_with(alphanumeric);
    (!name.split('.').all(is_valid)).then_some(BrokenRule::Edge)
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
    fn an_invalid_name_says_which_rule_it_breaks() {
        for (bad, message) in [
            ("", r#"profile name "": must not be empty"#),
            ("a_b", r#"profile name "a_b": '_' is not allowed; expected a-z, 0-9, '-' and '.'"#),
            (
                "a-.b",
                r#"profile name "a-.b": each part between dots must start and end with a letter or digit"#,
            ),
        ] {
            assert_eq!(bad.parse::<ProfileName>().unwrap_err().to_string(), message);
        }
        let long = "a".repeat(254).parse::<NodeName>().unwrap_err().to_string();
        assert!(long.ends_with(r#"a": 254 characters, at most 253 are allowed"#), "{long}");
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
