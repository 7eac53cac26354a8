//! What was attached, for people and for programs.

use registry::{Attached, Reference};
use serde::Serialize;

use crate::image::platform;
use crate::show::{Cell, Paint, Table, Tone};

/// What was attached.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachView {
    /// The image.
    image: String,
    /// The digest of the image.
    digest: String,
    /// By platform.
    platforms: Vec<PlatformView>,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
struct PlatformView {
    platform: String,
    /// The manifest that the artifact refers to.
    manifest: String,
    /// The artifact with the profile.
    artifact: String,
    /// Whether it was attached now; otherwise it was there.
    attached: bool,
    /// The artifact that has counted so far, if it is another one. It stays in the registry.
    #[serde(skip_serializing_if = "Option::is_none")]
    instead_of: Option<String>,
}

impl AttachView {
    pub(super) fn of(image: &Reference, attached: &Attached) -> Self {
        let platforms = attached.platforms.iter().map(|it| PlatformView {
            platform: platform(&it.architecture),
            manifest: it.manifest.to_string(),
            artifact: it.artifact.to_string(),
            attached: it.is_new,
            instead_of: it.instead_of.as_ref().map(ToString::to_string),
        });
        Self { image: image.to_string(), digest: attached.digest.to_string(), platforms: platforms.collect() }
    }

    /// The text.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        let mut table = Table::new(["PLATFORM", "STATE", "ARTIFACT"]);
        for it in &self.platforms {
            let state = if it.attached { "attached" } else { "was there" };
            table.row([Cell::from(&it.platform), Cell::toned(state, Tone::Good), Cell::from(&it.artifact)]);
        }
        let mut text =
            format!("{}\n{}\n\n{}", paint.text(&self.image, Tone::Heading), self.digest, table.render(paint));
        for it in &self.platforms {
            if let Some(other) = &it.instead_of {
                text += &format!("on {} it counts instead of {other}, which stays there\n", it.platform);
            }
        }
        text
    }
}
