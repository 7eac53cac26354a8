//! The key of the start-up taint.

use std::fmt;
use std::str::FromStr;

/// The key of a taint: a name of at most 63 characters, and optionally a DNS subdomain and a slash before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaintKey(Box<str>);

/// An invalid key of a taint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("taint key {0:?}: expected NAME or DOMAIN/NAME, as in \"readiness.k8s.io/seccomp-profiles\"")]
pub struct InvalidTaintKey(String);

impl TaintKey {
    /// The key as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for TaintKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl FromStr for TaintKey {
    type Err = InvalidTaintKey;

    fn from_str(key: &str) -> Result<Self, InvalidTaintKey> {
        let is_valid = match key.split_once('/') {
            Some((domain, name)) => is_domain(domain) && is_name(name),
            None => is_name(key),
        };
        if is_valid { Ok(Self(key.into())) } else { Err(InvalidTaintKey(key.to_owned())) }
    }
}

/// The rule for the part before the slash (k8s.io/apimachinery, pkg/util/validation, `IsDNS1123Subdomain`).
fn is_domain(domain: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let is_label = |label: &str| {
        label.starts_with(alphanumeric)
            && label.ends_with(alphanumeric)
            && label.chars().all(|c| alphanumeric(c) || c == '-')
    };
    domain.len() <= 253 && domain.split('.').all(is_label)
}

/// The rule for the part after the slash (k8s.io/apimachinery, pkg/util/validation, `IsQualifiedName`).
fn is_name(name: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    name.len() <= 63
        && name.starts_with(alphanumeric)
        && name.ends_with(alphanumeric)
        && name.chars().all(|c| alphanumeric(c) || matches!(c, '-' | '_' | '.'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_the_api_server_would_refuse_is_refused() {
        let long = "a".repeat(63);
        for good in [
            "readiness.k8s.io/seccomp-profiles",
            "startup-taint.cluster-autoscaler.kubernetes.io/x",
            "A_b.c",
            &long,
        ] {
            assert_eq!(good.parse::<TaintKey>().unwrap().as_str(), good);
        }
        for bad in
            ["", "/", "a/", "/a", "a/b/c", "A.io/x", "a..b/x", "-a", "a-", "a b", "a'b", &format!("{long}a")]
        {
            assert!(bad.parse::<TaintKey>().is_err(), "{bad:?}");
        }
    }
}
