//! What was copied, for people and for programs.

use registry::{Copied, Reference};
use serde::Serialize;

use crate::show::{Paint, Tone, bytes, count};

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct CopyView {
    /// The image.
    from: String,
    /// Its name in the other repository.
    to: String,
    /// The digest of the image, which is the same in both.
    digest: String,
    /// The manifests of the image, with that of an index.
    manifests: usize,
    /// The digests of the artifacts with a profile.
    profiles: Vec<String>,
    /// The blobs that were not there.
    blobs: usize,
    /// Their bytes.
    bytes: u64,
    /// The blobs that were there.
    known: usize,
}

impl CopyView {
    pub(super) fn of(from: &Reference, to: &Reference, copied: &Copied) -> Self {
        Self {
            from: from.to_string(),
            to: to.to_string(),
            digest: copied.digest.to_string(),
            manifests: copied.manifests,
            profiles: copied.profiles.iter().map(ToString::to_string).collect(),
            blobs: copied.blobs,
            bytes: copied.bytes,
            known: copied.known,
        }
    }

    /// The text.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let mut text = format!("{}\n{}\n\n", paint.text(&self.to, Tone::Heading), self.digest);
        text += &format!(
            "{} and {} ({}) copied, {} there already\n",
            count(self.manifests, "manifest"),
            count(self.blobs, "blob"),
            bytes(self.bytes),
            count(self.known, "blob"),
        );
        if self.profiles.is_empty() {
            text += "no profile is attached to the image\n";
        }
        self.profiles.iter().for_each(|it| text += &format!("profile {it}\n"));
        text
    }
}
