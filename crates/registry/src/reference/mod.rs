//! References to images.
//!
//! The rules are those of the kubelet, which parses with `distribution/reference` 0.6.0 (`ParseNormalizedNamed`) and
//! `opencontainers/go-digest` 1.0.0: whatever it refuses is an error here, and whatever it accepts means the same. One thing
//! it accepts is refused: a registry whose name has an underscore, which no host has (there it is a path without a registry).

mod grammar;
mod prefix;

use std::fmt;
use std::str::FromStr;

use crate::Digest;

pub use prefix::{Prefix, PrefixError};

/// The domain of Docker Hub in canonical references.
const HUB: &str = "docker.io";
/// Its older name, which means the same.
const OLD_HUB: &str = "index.docker.io";
/// The host that serves its registry.
const HUB_HOST: &str = "registry-1.docker.io";
/// Where Docker Hub keeps repositories without a namespace.
const OFFICIAL: &str = "library/";
/// The tag of a reference without one.
const LATEST: &str = "latest";
/// The maximum length of a path.
const LONGEST_PATH: usize = 255;

/// A repository, by its registry and its path there.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository {
    domain: Box<str>,
    path: Box<str>,
}

impl Repository {
    /// The registry as references write it: a host, and a port if there is one. Docker Hub is `docker.io`.
    #[must_use]
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// The path below the registry.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    /// The host, and the port if there is one, that serves the registry.
    #[must_use]
    pub fn host(&self) -> &str {
        if &*self.domain == HUB { HUB_HOST } else { &self.domain }
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.domain, self.path)
    }
}

/// A tag.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(Box<str>);

impl Tag {
    /// The tag with this name, if it is one.
    #[must_use]
    pub fn new(name: &str) -> Option<Self> {
        grammar::is_tag(name).then(|| Self(name.into()))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A reference to an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Reference {
    repository: Repository,
    tag: Option<Tag>,
    digest: Option<Digest>,
}

/// Why text is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReferenceError {
    /// 64 hexadecimal digits, which could be an image's id.
    #[error("64 hexadecimal digits are an image's id, not a reference; write name@sha256:DIGITS")]
    Id,
    /// There are capitals in the path.
    #[error("the path of the repository has capitals; it must be lower-case")]
    Uppercase,
    /// The path is too long.
    #[error("the path of the repository is longer than {LONGEST_PATH} characters")]
    TooLong,
    /// The digest is not one.
    #[error("the digest is not valid; expected @sha256: and 64 lower-case hexadecimal digits")]
    Digest,
    /// It has another form.
    #[error("not a reference; expected [HOST[:PORT]/]PATH[:TAG][@DIGEST]")]
    Format,
}

impl ReferenceError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Id => "ReferenceIsId",
            Self::Uppercase => "ReferenceUppercase",
            Self::TooLong => "ReferenceTooLong",
            Self::Digest => "ReferenceDigest",
            Self::Format => "ReferenceFormat",
        }
    }
}

impl Reference {
    /// Parses a reference as it stands in a pod.
    ///
    /// # Errors
    /// The kubelet refuses it, too.
    pub fn parse(text: &str) -> Result<Self, ReferenceError> {
        if grammar::is_id(text) {
            return Err(ReferenceError::Id);
        }
        let (domain, rest) = split_domain(text);
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => (name, Some(digest)),
            None => (&*rest, None),
        };
        let (path, tag) = match name.split_once(':') {
            Some((path, tag)) => (path, Some(tag)),
            None => (name, None),
        };
        if path.to_lowercase() != path {
            return Err(ReferenceError::Uppercase);
        }
        if !grammar::is_domain(domain) || !grammar::is_path(path) {
            return Err(ReferenceError::Format);
        }
        let tag = tag.map(|tag| Tag::new(tag).ok_or(ReferenceError::Format)).transpose()?;
        if digest.is_some_and(|digest| !grammar::looks_like_digest(digest)) {
            return Err(ReferenceError::Format);
        }
        if path.len() > LONGEST_PATH {
            return Err(ReferenceError::TooLong);
        }
        let digest = digest.map(str::parse).transpose().map_err(|_| ReferenceError::Digest)?;
        let repository = Repository { domain: domain.into(), path: path.into() };
        Ok(Self { repository, tag, digest })
    }

    /// The reference to a manifest in a repository.
    #[must_use]
    pub fn to(repository: Repository, tag: Option<Tag>, digest: Option<Digest>) -> Self {
        Self { repository, tag, digest }
    }

    /// The repository.
    #[must_use]
    pub const fn repository(&self) -> &Repository {
        &self.repository
    }

    /// The tag: `latest` if there is neither one nor a digest.
    #[must_use]
    pub fn tag(&self) -> Option<Tag> {
        match (&self.tag, &self.digest) {
            (None, None) => Some(Tag(LATEST.into())),
            (tag, _) => tag.clone(),
        }
    }

    /// The digest. It decides what is pulled, whatever the tag is.
    #[must_use]
    pub const fn digest(&self) -> Option<&Digest> {
        self.digest.as_ref()
    }

    /// The same with a digest, which replaces one that is already there. The tag stays, for whoever reads the pod.
    #[must_use]
    pub fn pinned(&self, digest: Digest) -> Self {
        Self { repository: self.repository.clone(), tag: self.tag.clone(), digest: Some(digest) }
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        Self::parse(text)
    }
}

/// The canonical form, without the default tag.
impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.repository.fmt(f)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match &self.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

/// The registry, and the rest with Docker Hub's namespace filled in.
fn split_domain(text: &str) -> (&str, String) {
    let hub = |rest: &str| match rest.contains('/') {
        true => (HUB, rest.to_owned()),
        false => (HUB, format!("{OFFICIAL}{rest}")),
    };
    let Some((first, rest)) = text.split_once('/') else { return hub(text) };
    let is_domain = first == "localhost" || first.contains(['.', ':']) || first.to_lowercase() != first;
    match (first, is_domain) {
        (OLD_HUB | HUB, _) => hub(rest),
        (_, true) => (first, rest.to_owned()),
        (_, false) => hub(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEX: &str = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

    fn canonical(text: &str) -> Result<String, ReferenceError> {
        Reference::parse(text).map(|reference| reference.to_string())
    }

    #[test]
    fn names_without_a_registry_are_those_of_docker_hub() {
        for (text, expected) in [
            ("busybox", "docker.io/library/busybox"),
            ("busybox:1", "docker.io/library/busybox:1"),
            ("team/app", "docker.io/team/app"),
            ("docker.io/busybox", "docker.io/library/busybox"),
            ("index.docker.io/a/b:c", "docker.io/a/b:c"),
            ("localhost/app", "localhost/app"),
            ("localhost:5000/app", "localhost:5000/app"),
            ("Host/app", "Host/app"),
            ("registry.example.com/app", "registry.example.com/app"),
            ("[fd00::5]:5000/app", "[fd00::5]:5000/app"),
            ("a__b/c--d.e_f", "docker.io/a__b/c--d.e_f"),
        ] {
            assert_eq!(canonical(text).as_deref(), Ok(expected), "{text}");
        }
        let reference = Reference::parse("busybox").unwrap();
        assert_eq!(reference.repository().host(), "registry-1.docker.io");
        assert_eq!(reference.tag().unwrap().as_str(), "latest");
    }

    #[test]
    fn what_the_kubelet_refuses_is_refused() {
        for (text, expected) in [
            ("", ReferenceError::Format),
            ("/app", ReferenceError::Format),
            ("app/", ReferenceError::Format),
            ("a//b", ReferenceError::Format),
            ("-a", ReferenceError::Format),
            ("a-", ReferenceError::Format),
            ("a..b", ReferenceError::Format),
            ("a___b", ReferenceError::Format),
            ("a:", ReferenceError::Format),
            ("a:-b", ReferenceError::Format),
            ("a@sha256:", ReferenceError::Format),
            ("a b", ReferenceError::Format),
            ("host.example.com:x/app", ReferenceError::Format),
            ("-host.example.com/app", ReferenceError::Format),
            ("host..example.com/app", ReferenceError::Format),
            ("[::1/app", ReferenceError::Format),
            ("http://registry.example.com/app", ReferenceError::Format),
            ("registry.example.com/App", ReferenceError::Uppercase),
            (HEX, ReferenceError::Id),
            ("a@md5:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ReferenceError::Digest),
            ("a@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", ReferenceError::Digest),
        ] {
            assert_eq!(canonical(text), Err(expected), "{text}");
        }
        let long = format!("registry.example.com/{}", "a".repeat(256));
        assert_eq!(canonical(&long), Err(ReferenceError::TooLong));
        assert!(canonical(&long[..long.len() - 1]).is_ok());
        assert!(canonical(&format!("a:{}", "b".repeat(128))).is_ok());
        assert_eq!(canonical(&format!("a:{}", "b".repeat(129))), Err(ReferenceError::Format));
    }

    #[test]
    fn a_digest_is_kept_and_replaces_no_tag() {
        let text = format!("registry.example.com/app:1@sha256:{HEX}");
        let reference = Reference::parse(&text).unwrap();
        assert_eq!(reference.to_string(), text);
        assert_eq!(reference.digest().unwrap().hex(), HEX);
        let other = Reference::parse(&format!("registry.example.com/app@sha256:{HEX}")).unwrap();
        assert_eq!(other.tag(), None);
        let pinned = Reference::parse("app:1").unwrap().pinned(reference.digest().unwrap().clone());
        assert_eq!(pinned.to_string(), format!("docker.io/library/app:1@sha256:{HEX}"));
    }

    proptest::proptest! {
        #[test]
        fn the_canonical_form_means_the_same(text in "[a-zA-Z0-9./:@_\\-\\[\\]]{0,40}") {
            if let Ok(reference) = Reference::parse(&text) {
                proptest::prop_assert_eq!(Reference::parse(&reference.to_string()), Ok(reference));
            }
        }
    }
}
