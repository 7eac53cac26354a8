//! Names that state the contents of their profile.
//!
//! A profile that an image brings is named by the hash of its canonical bytes, so that whoever names it means these bytes:
//! `sha256-` and 64 hexadecimal digits. The API server cannot compute the hash, so that the operator and each agent check
//! it, and accept no profile of such a name with other contents.

use profile::ContentHash;

use crate::ProfileName;

/// How such a name begins, in place of the `sha256:` of a hash.
const PREFIX: &str = "sha256-";

/// A name states other contents than the profile has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("metadata.name: it states {stated} as the hash of spec.contents, which is {actual}")]
pub struct OtherContents {
    /// What the name states.
    pub stated: ContentHash,
    /// The hash of the contents.
    pub actual: ContentHash,
}

impl ProfileName {
    /// The name that states these contents.
    #[must_use]
    pub fn stating(hash: ContentHash) -> Self {
        Self::of_hash(&hash.to_string().replacen(':', "-", 1))
    }

    /// The hash that the name states, if it states one.
    #[must_use]
    pub fn stated_hash(&self) -> Option<ContentHash> {
        let digits = self.as_str().strip_prefix(PREFIX)?;
        format!("sha256:{digits}").parse().ok()
    }

    /// Whether a profile of this name may have contents of this hash.
    ///
    /// # Errors
    /// The name states another hash.
    pub fn permits(&self, actual: ContentHash) -> Result<(), OtherContents> {
        match self.stated_hash() {
            Some(stated) if stated != actual => Err(OtherContents { stated, actual }),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_states_a_hash_only_in_its_whole_form() {
        let hash = ContentHash::of(b"{}");
        let name = ProfileName::stating(hash);
        assert!(ProfileName::is_valid(name.as_str()));
        assert_eq!(name.stated_hash(), Some(hash));
        assert_eq!(name.as_str().parse(), Ok(name.clone()));
        for other in ["sha256-", "sha256-abc", "audit", &name.as_str()[..70], &format!("{}0", name.as_str())]
        {
            if let Ok(name) = other.parse::<ProfileName>() {
                assert_eq!(name.stated_hash(), None, "{other}");
            }
        }
    }

    #[test]
    fn such_a_name_permits_the_contents_that_it_states_and_every_other_name_permits_all() {
        let (hash, other) = (ContentHash::of(b"{}"), ContentHash::of(b"[]"));
        let name = ProfileName::stating(hash);
        assert_eq!(name.permits(hash), Ok(()));
        assert_eq!(name.permits(other), Err(OtherContents { stated: hash, actual: other }));
        assert_eq!("audit".parse::<ProfileName>().unwrap().permits(other), Ok(()));
    }
}
