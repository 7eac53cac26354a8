//! The bytes of a profile's file on the nodes.

use serde::Serialize;

use crate::{ContentHash, Listener, Profile};

/// The canonical bytes of a profile, with their hash.
///
/// Compact JSON in the form of the OCI runtime specification: keys have a fixed order, `name` becomes `names`, and
/// fields that are empty or have their default are omitted. Rules, names and arguments keep their order. The form is
/// frozen by golden files, because a release that wrote other bytes would make every node unready.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Canonical {
    bytes: Box<[u8]>,
    hash: ContentHash,
    listener: Option<Listener>,
}

impl Canonical {
    /// The bytes of the file.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The same bytes, without a copy.
    #[must_use]
    pub fn into_bytes(self) -> Box<[u8]> {
        self.bytes
    }

    /// Their hash.
    #[must_use]
    pub fn hash(&self) -> ContentHash {
        self.hash
    }

    /// The listener that the profile names.
    #[must_use]
    pub fn listener(&self) -> Option<&Listener> {
        self.listener.as_ref()
    }
}

impl<N: Serialize> Profile<N> {
    /// The canonical bytes of this profile.
    #[must_use]
    pub fn canonical(&self) -> Canonical {
        #[expect(
            clippy::expect_used,
            reason = "no key is anything but text, and writing to memory does not fail"
        )]
        let bytes = serde_json::to_vec(self).expect("a profile is always JSON").into_boxed_slice();
        let hash = ContentHash::of(&bytes);
        Canonical { bytes, hash, listener: self.listener.clone() }
    }
}
