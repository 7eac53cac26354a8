//! Manifests, indexes and image configurations, read from what a registry sent.
//!
//! Every list has a bound, and a document that could be read in two ways is refused.

mod bounded;
mod object;
mod strict;

use std::sync::Arc;

use serde::Deserialize;

use crate::Digest;
use bounded::{IsAny, Many, Texts};
use object::from_objects;

pub use bounded::MOST_ITEMS;
pub(crate) use bounded::PREDICATE;
pub use strict::is_strict;

/// The media types that the client knows.
pub mod media {
    /// An OCI image manifest.
    pub const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
    /// An OCI image index.
    pub const INDEX: &str = "application/vnd.oci.image.index.v1+json";
    /// Docker's manifest.
    pub const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
    /// Docker's manifest list.
    pub const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
    /// The configuration of an OCI image.
    pub const IMAGE_CONFIG: &str = "application/vnd.oci.image.config.v1+json";
    /// The configuration of Docker's image.
    pub const DOCKER_CONFIG: &str = "application/vnd.docker.container.image.v1+json";
    /// The empty configuration of an artifact.
    pub const EMPTY: &str = "application/vnd.oci.empty.v1+json";
    /// The configuration of a seccomp profile, and its artifact type.
    pub const PROFILE: &str = "application/vnd.cncf.seccomp-profile.config.v1+json";
    /// A bundle of Sigstore with a signature, and the artifact type of an artifact with one.
    pub const BUNDLE: &str = "application/vnd.dev.sigstore.bundle.v0.3+json";
}

/// The largest manifest: what the registries of the distribution project accept, too.
pub const LARGEST_MANIFEST: u64 = 4 * 1024 * 1024;
/// The largest manifest of an artifact with a profile or with a signature; they have about a thousand bytes.
pub const LARGEST_ARTIFACT: u64 = 64 * 1024;

/// Why a document cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DocumentError {
    /// It is not JSON of the right form.
    #[error("the {what} is malformed: {cause}")]
    Format {
        /// What was read.
        what: &'static str,
        /// The parser's message.
        cause: String,
    },
    /// The registry states another media type than the document.
    #[error("the registry states another media type than the manifest itself")]
    MediaType,
    /// It is neither a manifest nor an index.
    #[error("it is neither an image's manifest nor an index, or both at once")]
    Kind,
}

impl DocumentError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Format { .. } => "ManifestFormat",
            Self::MediaType => "ManifestMediaType",
            Self::Kind => "ManifestKind",
        }
    }
}

/// A pointer to a manifest or a blob.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
pub struct Descriptor {
    /// The type of what it points at.
    #[serde(default)]
    pub media_type: String,
    /// The digest.
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
    /// The type of the artifact. Some registries put the configuration's media type here, whatever the manifest says.
    #[serde(default)]
    pub artifact_type: Option<String>,
    /// The platform of an image.
    #[serde(default)]
    pub platform: Option<Platform>,
    /// Whether it names other places to get it from.
    #[serde(default, rename = "urls")]
    pub(crate) is_elsewhere: IsAny,
    /// Of its annotations those that somebody uses.
    #[serde(default, deserialize_with = "bounded::used")]
    pub annotations: Option<Texts>,
}

/// The platform of an image.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(remote = "Self")]
pub struct Platform {
    /// The architecture, as in the nodes' label `kubernetes.io/arch`.
    #[serde(default)]
    pub architecture: String,
    /// The operating system.
    #[serde(default)]
    pub os: String,
    /// The variant of the architecture.
    #[serde(default)]
    pub variant: Option<String>,
}

/// A manifest or an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Document {
    /// The manifest of an image or of an artifact.
    Image(Arc<Manifest>),
    /// Manifests for several platforms.
    Index(Index),
}

/// The manifest of an image or of an artifact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manifest {
    /// Its media type.
    pub media_type: String,
    /// The artifact type, if it is one.
    pub artifact_type: Option<String>,
    /// The configuration.
    pub config: Descriptor,
    /// The layers.
    pub layers: Vec<Descriptor>,
    /// The manifest that it belongs to.
    pub subject: Option<Descriptor>,
    /// Its annotations.
    pub annotations: Texts,
}

/// Manifests for several platforms, or those that refer to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Index {
    /// Its media type.
    pub media_type: String,
    /// The manifests.
    pub manifests: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", remote = "Self")]
struct Raw {
    media_type: Option<String>,
    artifact_type: Option<String>,
    config: Option<Descriptor>,
    layers: Option<Many<Descriptor>>,
    manifests: Option<Many<Descriptor>>,
    subject: Option<Descriptor>,
    annotations: Option<Texts>,
}

from_objects!(Descriptor, Platform, Raw);

impl Manifest {
    /// Whether it is that of an image: it names the configuration of one.
    #[must_use]
    pub fn is_of_image(&self) -> bool {
        matches!(&*self.config.media_type, media::IMAGE_CONFIG | media::DOCKER_CONFIG)
    }
}

impl Document {
    /// Its media type.
    #[must_use]
    pub fn media_type(&self) -> &str {
        match self {
            Self::Image(manifest) => &manifest.media_type,
            Self::Index(index) => &index.media_type,
        }
    }

    /// Reads a manifest or an index. `stated` is the media type of the registry's answer.
    ///
    /// # Errors
    /// It cannot be used.
    pub fn read(bytes: &[u8], stated: Option<&str>) -> Result<Self, DocumentError> {
        let raw: Raw = serde_json::from_slice(bytes).map_err(|error| format_error("manifest", &error))?;
        let is_type = |text: &str| !text.is_empty();
        let own = raw.media_type.filter(|it| is_type(it));
        let stated =
            stated.map(|it| it.split(';').next().unwrap_or_default().trim()).filter(|it| is_type(it));
        let media_type = match (own, stated) {
            (Some(own), Some(stated)) if own != stated => return Err(DocumentError::MediaType),
            (Some(own), _) => own,
            // OCI documents need not state their type, and a registry need not either.
            (None, Some(stated)) => stated.to_owned(),
            (None, None) if raw.manifests.is_some() => media::INDEX.to_owned(),
            (None, None) => media::MANIFEST.to_owned(),
        };
        match (raw.config, raw.layers, raw.manifests) {
            (None, None, Some(Many(manifests)))
                if matches!(&*media_type, media::INDEX | media::DOCKER_LIST) =>
            {
                Ok(Self::Index(Index { media_type, manifests }))
            }
            (Some(config), layers, None)
                if matches!(&*media_type, media::MANIFEST | media::DOCKER_MANIFEST) =>
            {
                Ok(Self::Image(Arc::new(Manifest {
                    media_type,
                    artifact_type: raw.artifact_type.filter(|it| is_type(it)),
                    config,
                    layers: layers.map(|Many(layers)| layers).unwrap_or_default(),
                    subject: raw.subject,
                    annotations: raw.annotations.unwrap_or_default(),
                })))
            }
            _ => Err(DocumentError::Kind),
        }
    }
}

/// What is read of an image's configuration.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageConfig {
    /// The platform.
    pub architecture: String,
    /// When the image was made, as it says itself.
    pub created: Option<String>,
    /// The labels.
    pub labels: Texts,
}

impl ImageConfig {
    /// Reads the configuration of an image.
    ///
    /// # Errors
    /// It is malformed.
    pub fn read(bytes: &[u8]) -> Result<Self, DocumentError> {
        #[derive(Deserialize)]
        #[serde(remote = "Self")]
        struct Raw {
            #[serde(default)]
            architecture: String,
            created: Option<String>,
            config: Option<Inner>,
        }
        #[derive(Deserialize)]
        #[serde(remote = "Self")]
        struct Inner {
            #[serde(rename = "Labels")]
            labels: Option<Texts>,
        }
        from_objects!(Raw, Inner);
        let Raw { architecture, created, config } =
            serde_json::from_slice(bytes).map_err(|error| format_error("image's configuration", &error))?;
        Ok(Self { architecture, created, labels: config.and_then(|it| it.labels).unwrap_or_default() })
    }
}

fn format_error(what: &'static str, error: &serde_json::Error) -> DocumentError {
    DocumentError::Format { what, cause: error.to_string().chars().take(200).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

    fn descriptor() -> String {
        format!(r#"{{"mediaType":"x","digest":"{DIGEST}","size":2}}"#)
    }

    fn read(text: &str, stated: Option<&str>) -> Result<Document, DocumentError> {
        Document::read(text.as_bytes(), stated)
    }

    #[test]
    fn the_type_of_a_document_is_stated_once_or_twice_alike() {
        let image = format!(r#"{{"config":{},"layers":[]}}"#, descriptor());
        let typed = format!(r#"{{"mediaType":"{}","config":{}}}"#, media::DOCKER_MANIFEST, descriptor());
        assert!(matches!(read(&image, None), Ok(Document::Image(it)) if it.media_type == media::MANIFEST));
        assert!(matches!(read(&image, Some(media::DOCKER_MANIFEST)), Ok(Document::Image(_))));
        assert!(matches!(read(&typed, Some(media::DOCKER_MANIFEST)), Ok(Document::Image(_))));
        let with_parameter = format!("{}; charset=utf-8", media::DOCKER_MANIFEST);
        assert!(read(&typed, Some(&with_parameter)).is_ok());
        assert_eq!(read(&typed, Some(media::MANIFEST)), Err(DocumentError::MediaType));
        assert_eq!(read(&image, Some(media::INDEX)), Err(DocumentError::Kind));
        assert_eq!(read(&image, Some("text/html")), Err(DocumentError::Kind));
    }

    #[test]
    fn a_document_that_is_both_or_neither_is_refused() {
        let both = format!(r#"{{"config":{0},"layers":[],"manifests":[{0}]}}"#, descriptor());
        for text in [&*both, "{}", r#"{"schemaVersion":1,"fsLayers":[],"history":[]}"#] {
            assert_eq!(read(text, None), Err(DocumentError::Kind), "{text}");
        }
    }

    #[test]
    fn lists_are_bounded_and_keys_are_unique() {
        let many = |count: usize| format!(r#"{{"manifests":[{}]}}"#, vec![descriptor(); count].join(","));
        assert!(read(&many(MOST_ITEMS), None).is_ok());
        assert!(read(&many(MOST_ITEMS + 1), None).is_err());
        for text in [
            r#"{"manifests":[],"manifests":[]}"#.to_owned(),
            format!(r#"{{"config":{},"annotations":{{"a":"b","a":"c"}}}}"#, descriptor()),
            r#"{"manifests":[{"digest":"sha256:00","size":1}]}"#.to_owned(),
            format!(r#"{{"manifests":[{{"digest":"{DIGEST}","size":-1}}]}}"#),
            "[".repeat(100_000),
            "null".to_owned(),
        ] {
            assert!(matches!(read(&text, None), Err(DocumentError::Format { .. })), "{text:.60}");
        }
    }

    #[test]
    fn an_array_with_the_values_of_an_object_is_none() {
        for text in [
            format!(r"[null,null,{},[],null,null,null]", descriptor()),
            format!(r#"{{"config":["x","{DIGEST}",2]}}"#),
            format!(r#"{{"manifests":[["x","{DIGEST}",2]]}}"#),
            format!(r#"{{"manifests":[{{"digest":"{DIGEST}","size":2,"platform":["amd64","linux"]}}]}}"#),
        ] {
            assert!(matches!(read(&text, None), Err(DocumentError::Format { .. })), "{text}");
        }
        for text in [r#"["amd64",{}]"#, r#"{"config":[{"a":"b"}]}"#] {
            assert!(ImageConfig::read(text.as_bytes()).is_err(), "{text}");
        }
    }

    #[test]
    fn an_image_without_labels_has_none() {
        for text in ["{}", r#"{"config":null}"#, r#"{"config":{"Labels":null}}"#] {
            assert_eq!(ImageConfig::read(text.as_bytes()), Ok(ImageConfig::default()), "{text}");
        }
        let read = ImageConfig::read(br#"{"architecture":"arm64","config":{"Labels":{"a":"b"}}}"#).unwrap();
        assert_eq!((read.labels.get("a"), &*read.architecture), (Some("b"), "arm64"));
    }
}
