//! Which repositories something applies to.

use std::fmt;
use std::str::FromStr;

use super::{HUB, OLD_HUB, Repository, grammar};

/// A registry with all its repositories, or a path there with all below it. `registry.example/team` covers
/// `registry.example/team` and `registry.example/team/app`, and not `registry.example/teammate`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Prefix {
    domain: Box<str>,
    path: Box<str>,
}

/// Text that is not a prefix of repositories.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "not a registry or a repository; expected HOST[:PORT][/PATH] without a tag, such as docker.io/library"
)]
pub struct PrefixError;

impl Prefix {
    /// Whether it covers a repository. The case of the registry's name does not count.
    #[must_use]
    pub fn covers(&self, repository: &Repository) -> bool {
        let is_below = || {
            let rest = repository.path().strip_prefix(&*self.path);
            self.path.is_empty() || rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        self.domain.eq_ignore_ascii_case(repository.domain()) && is_below()
    }
}

impl FromStr for Prefix {
    type Err = PrefixError;

    /// The registry must be named, because a path alone would otherwise silently be one of Docker Hub.
    fn from_str(text: &str) -> Result<Self, PrefixError> {
        let (domain, path) = text.split_once('/').unwrap_or((text, ""));
        let is_host = domain.contains(['.', ':']) || domain.eq_ignore_ascii_case("localhost");
        let is_path = grammar::is_path(path) || !text.contains('/');
        if !(is_host && grammar::is_domain(domain) && is_path) {
            return Err(PrefixError);
        }
        let domain = if domain == OLD_HUB { HUB } else { domain };
        Ok(Self { domain: domain.into(), path: path.into() })
    }
}

impl fmt::Display for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.is_empty() {
            true => f.write_str(&self.domain),
            false => write!(f, "{}/{}", self.domain, self.path),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Reference;

    fn covers(prefix: &str, image: &str) -> bool {
        prefix.parse::<Prefix>().unwrap().covers(Reference::parse(image).unwrap().repository())
    }

    #[test]
    fn a_prefix_covers_whole_components_of_one_registry() {
        for (prefix, image) in [
            ("registry.example", "registry.example/a"),
            ("registry.example/team", "registry.example/team:1"),
            ("registry.example/team", "registry.example/team/app/web"),
            ("registry.example:5000/team", "registry.example:5000/team/app"),
            ("Registry.Example", "registry.example/a"),
            ("registry.example", "Registry.example/a"),
            ("docker.io/library", "busybox"),
            ("index.docker.io", "team/app"),
            ("localhost", "localhost/a"),
            ("[fd00::1]:5000", "[fd00::1]:5000/a"),
        ] {
            assert!(covers(prefix, image), "{prefix} {image}");
        }
        for (prefix, image) in [
            ("registry.example/team", "registry.example/teammate"),
            ("registry.example/team", "registry.example/other/team"),
            ("registry.example/team/app", "registry.example/team"),
            ("registry.example", "registry.example.com/a"),
            ("registry.example", "registry.example:5000/a"),
            ("registry.example", "team/app"),
        ] {
            assert!(!covers(prefix, image), "{prefix} {image}");
        }
    }

    #[test]
    fn what_names_no_registry_or_more_than_a_repository_is_refused() {
        for text in [
            "",
            "busybox",
            "team/app",
            "registry.example/",
            "registry.example/team/",
            "registry.example/a:1",
            "registry.example/Team",
            "registry.example/team/*",
            "*.example",
            "https://registry.example",
            "registry.example//a",
        ] {
            assert_eq!(text.parse::<Prefix>(), Err(PrefixError), "{text}");
        }
        assert_eq!("a.b:1/c".parse::<Prefix>().unwrap().to_string(), "a.b:1/c");
    }
}
