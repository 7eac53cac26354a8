//! Which profiles must be signed, and by which keys.

use std::fs;
use std::path::{Path, PathBuf};

use registry::{KeyError, Keys, Prefix, Repository};

/// The largest file with keys.
const LARGEST: u64 = 1024 * 1024;

/// Why there is no policy.
#[derive(Debug, thiserror::Error)]
#[error("cannot read public keys from {}: {cause}", .path.display())]
pub struct PolicyError {
    /// The file.
    path: PathBuf,
    /// Why.
    cause: String,
}

/// The profiles of which images must be signed, and by which keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignaturePolicy {
    keys: Keys,
    /// Of all, if there is none.
    repositories: Vec<Prefix>,
}

impl SignaturePolicy {
    /// One with the public keys in a file.
    ///
    /// # Errors
    /// It cannot be read, or holds no keys that can be used.
    pub fn read(path: &Path, repositories: &[Prefix]) -> Result<Self, PolicyError> {
        let failed = |cause: String| PolicyError { path: path.to_owned(), cause };
        let size = fs::metadata(path).map_err(|error| failed(error.to_string()))?.len();
        if size > LARGEST {
            return Err(failed(format!("it is larger than {LARGEST} bytes")));
        }
        let pem = fs::read(path).map_err(|error| failed(error.to_string()))?;
        Self::new(&pem, repositories).map_err(|error| failed(error.to_string()))
    }

    /// One with these public keys, as PEM.
    ///
    /// # Errors
    /// There is none, or one cannot be used.
    pub fn new(pem: &[u8], repositories: &[Prefix]) -> Result<Self, KeyError> {
        Ok(Self { keys: Keys::read(pem)?, repositories: repositories.to_vec() })
    }

    /// The keys of which one must have signed the profile of an image in this repository; `None` if it need not be signed.
    #[must_use]
    pub fn keys_for(&self, repository: &Repository) -> Option<&Keys> {
        let is_covered =
            self.repositories.is_empty() || self.repositories.iter().any(|prefix| prefix.covers(repository));
        is_covered.then_some(&self.keys)
    }
}

#[cfg(test)]
mod tests {
    use registry::Reference;
    use registry::testing::Signer;

    use super::*;

    #[test]
    fn without_repositories_the_profiles_of_all_images_must_be_signed() {
        let pem = Signer::new().public_key();
        let is_covered = |prefixes: &[&str], image: &str| {
            let prefixes: Vec<_> = prefixes.iter().map(|it| it.parse().unwrap()).collect();
            let policy = SignaturePolicy::new(pem.as_bytes(), &prefixes).unwrap();
            policy.keys_for(Reference::parse(image).unwrap().repository()).is_some()
        };
        assert!(is_covered(&[], "busybox"));
        assert!(is_covered(&["a.example", "b.example/team"], "b.example/team/app"));
        assert!(!is_covered(&["a.example", "b.example/team"], "b.example/other"));
    }

    #[test]
    fn a_file_without_keys_is_an_error_that_names_it() {
        for (text, cause) in [("", "no public key"), ("-----BEGIN PUBLIC KEY-----\n", "PEM")] {
            let mut file = tempfile::NamedTempFile::new().unwrap();
            std::io::Write::write_all(&mut file, text.as_bytes()).unwrap();
            let error = SignaturePolicy::read(file.path(), &[]).unwrap_err().to_string();
            assert!(error.contains(cause) && error.contains(&file.path().display().to_string()), "{error}");
        }
        assert!(SignaturePolicy::read(Path::new("/nonexistent"), &[]).is_err());
    }
}
