//! The artifact that holds a profile, accepted as CRI-O accepts it (Kubernetes' KEP-6061).

use std::collections::BTreeSet;
use std::sync::Arc;

use super::LARGEST_PROFILE;
use crate::created::CREATED;
use crate::document::{Descriptor, Document, LARGEST_ARTIFACT, Manifest, is_strict, media};
use crate::{Created, Digest};

/// The most referrers whose manifests are read.
pub(crate) const MOST_CANDIDATES: usize = 16;

/// Why an artifact is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// It is an index.
    #[error("it is an index; expected an OCI image manifest")]
    Index,
    /// It is Docker's.
    #[error("its media type is {0:?}; expected an OCI image manifest")]
    MediaType(String),
    /// It is an artifact of another type.
    #[error("it is not of the type {}, or its configuration is of another one", media::PROFILE)]
    Type,
    /// It has no layer, or several.
    #[error("it has {0} layers; expected exactly one")]
    Layers(usize),
    /// The layer or the configuration is to be had from elsewhere.
    #[error("a descriptor in it has urls")]
    Urls,
    /// The layer or the configuration is too large.
    #[error("its layer or its configuration is larger than {LARGEST_PROFILE} bytes")]
    TooLarge,
    /// The manifest is too large.
    #[error("its manifest is larger than {LARGEST_ARTIFACT} bytes")]
    ManifestTooLarge,
    /// The layer is compressed, or an archive.
    #[error("its layer is compressed or an archive; expected JSON")]
    Packed,
    /// The manifest or the layer can be read in two ways.
    #[error("its manifest or its layer is not JSON with unique keys (whatever their case) in UTF-8")]
    NotStrict,
    /// More artifacts refer to the image than are looked at.
    #[error("{0} artifacts that may be profiles refer to the image; at most {MOST_CANDIDATES} are looked at")]
    TooMany(usize),
    /// Several artifacts refer to the image, and none is the latest.
    #[error(
        "{0} different profiles refer to the image, and their annotations org.opencontainers.image.created do not show a latest one"
    )]
    Ambiguous(usize),
}

impl Refusal {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Index => "ArtifactIsIndex",
            Self::MediaType(_) => "ArtifactMediaType",
            Self::Type => "ArtifactType",
            Self::Layers(_) => "ArtifactLayers",
            Self::Urls => "ArtifactUrls",
            Self::TooLarge => "ProfileTooLarge",
            Self::ManifestTooLarge => "ArtifactTooLarge",
            Self::Packed => "ArtifactPacked",
            Self::NotStrict => "ArtifactNotStrict",
            Self::TooMany(_) => "ArtifactsTooMany",
            Self::Ambiguous(_) => "ArtifactsAmbiguous",
        }
    }
}

/// Whether a descriptor among the referrers may be a profile. Some registries state the media type of the configuration
/// as the artifact type, so that an artifact with the empty one has to be looked at, and one without a type, too.
pub(super) fn may_be_profile(descriptor: &Descriptor) -> bool {
    may_be(descriptor, media::PROFILE)
}

/// The same for artifacts of another type.
pub(super) fn may_be(descriptor: &Descriptor, wanted: &str) -> bool {
    let stated = descriptor.artifact_type.as_deref().unwrap_or_default();
    (matches!(stated, "" | media::EMPTY) || stated == wanted)
        && !matches!(&*descriptor.media_type, media::INDEX | media::DOCKER_LIST)
}

/// Whether a manifest says that it is a profile.
pub(super) fn is_profile(manifest: &Manifest) -> bool {
    manifest.config.media_type == media::PROFILE || manifest.artifact_type.as_deref() == Some(media::PROFILE)
}

/// The manifest of an artifact.
pub(super) fn manifest(document: &Document) -> Result<&Manifest, Refusal> {
    match document {
        Document::Image(manifest) => Ok(manifest),
        Document::Index(_) => Err(Refusal::Index),
    }
}

/// The layer with the profile, of the artifact with this manifest.
pub(crate) fn layer(manifest: &Manifest, bytes: &[u8]) -> Result<Descriptor, Refusal> {
    if manifest.media_type != media::MANIFEST {
        return Err(Refusal::MediaType(manifest.media_type.chars().take(100).collect()));
    }
    if !is_strict(bytes) {
        return Err(Refusal::NotStrict);
    }
    match (&*manifest.config.media_type, manifest.artifact_type.as_deref()) {
        (media::PROFILE, None | Some(media::PROFILE)) | (media::EMPTY, Some(media::PROFILE)) => {}
        _ => return Err(Refusal::Type),
    }
    let [layer] = &manifest.layers[..] else { return Err(Refusal::Layers(manifest.layers.len())) };
    let both = [layer, &manifest.config];
    if both.iter().any(|it| it.is_elsewhere.0) {
        return Err(Refusal::Urls);
    }
    if both.iter().any(|it| it.size > LARGEST_PROFILE) {
        return Err(Refusal::TooLarge);
    }
    Ok(layer.clone())
}

/// The text of a layer.
pub(super) fn text(bytes: &[u8]) -> Result<String, Refusal> {
    let starts = |magic: &[u8]| bytes.starts_with(magic);
    // gzip, zstd, and the word in the first header of an archive.
    let is_packed =
        starts(&[0x1f, 0x8b]) || starts(&[0x28, 0xb5, 0x2f, 0xfd]) || bytes.get(257..262) == Some(b"ustar");
    if is_packed {
        return Err(Refusal::Packed);
    }
    if !is_strict(bytes) {
        return Err(Refusal::NotStrict);
    }
    String::from_utf8(bytes.to_vec()).map_err(|_| Refusal::NotStrict)
}

/// An artifact that refers to an image.
pub(crate) struct Candidate {
    pub(crate) digest: Digest,
    pub(crate) manifest: Arc<Manifest>,
    pub(crate) bytes: bytes::Bytes,
}

/// What decides which of several artifacts counts. It is small, whatever the artifact's manifest holds.
pub(super) struct Outline {
    pub(super) digest: Digest,
    /// The digests of its layers. Those beyond the second do not matter: it cannot be used.
    layers: Vec<Digest>,
    created: Option<Created>,
}

impl Outline {
    pub(super) fn of(digest: &Digest, manifest: &Manifest) -> Self {
        Self {
            digest: digest.clone(),
            layers: manifest.layers.iter().take(2).map(|layer| layer.digest.clone()).collect(),
            created: manifest.annotations.get(CREATED).and_then(Created::parse),
        }
    }
}

/// Which of several artifacts counts: the only one, or the one that was made last by the annotations of all of them.
/// Artifacts with the same layer are one. The order in which a registry lists them does not matter.
///
/// # Errors
/// None is the latest.
pub fn choose(artifacts: &[(Digest, &Manifest)]) -> Result<Option<Digest>, Refusal> {
    let outlines: Vec<_> = artifacts.iter().map(|(digest, manifest)| Outline::of(digest, manifest)).collect();
    choose_among(&outlines)
}

/// The same, of what was kept of them.
pub(super) fn choose_among(artifacts: &[Outline]) -> Result<Option<Digest>, Refusal> {
    let layers: BTreeSet<_> = artifacts.iter().map(|it| &it.layers).collect();
    if layers.len() <= 1 {
        return Ok(artifacts.iter().map(|it| &it.digest).min().cloned());
    }
    let times: Option<Vec<_>> = artifacts.iter().map(|it| Some((it.created.as_ref()?, it))).collect();
    let mut times = times.ok_or(Refusal::Ambiguous(layers.len()))?;
    times.sort_by(|(one, a), (two, b)| two.cmp(one).then(a.digest.cmp(&b.digest)));
    match &times[..] {
        [(one, a), (two, b), ..] if one == two && a.layers != b.layers => {
            Err(Refusal::Ambiguous(layers.len()))
        }
        [(_, latest), ..] => Ok(Some(latest.digest.clone())),
        [] => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(text: &str) -> Digest {
        Digest::of(text.as_bytes())
    }

    fn descriptor(media_type: &str, of: &str, more: &str) -> String {
        format!(r#"{{"mediaType":"{media_type}","digest":"{}","size":{}{more}}}"#, digest(of), of.len())
    }

    fn manifest(config: &str, layers: &[String], more: &str) -> String {
        format!(
            r#"{{"schemaVersion":2,"mediaType":"{}","config":{config},"layers":[{}]{more}}}"#,
            media::MANIFEST,
            layers.join(",")
        )
    }

    fn read(text: &str) -> Result<Descriptor, Refusal> {
        let document = Document::read(text.as_bytes(), None).unwrap();
        layer(super::manifest(&document)?, text.as_bytes())
    }

    #[test]
    fn both_spellings_of_the_type_are_accepted_and_they_must_agree() {
        let layers = [descriptor("application/json", "{}", "")];
        let own = descriptor(media::PROFILE, "{}", "");
        let empty = descriptor(media::EMPTY, "{}", "");
        let typed = format!(r#","artifactType":"{}""#, media::PROFILE);
        for text in
            [manifest(&own, &layers, ""), manifest(&own, &layers, &typed), manifest(&empty, &layers, &typed)]
        {
            assert_eq!(read(&text).map(|it| it.digest), Ok(digest("{}")), "{text}");
        }
        for text in [
            manifest(&empty, &layers, ""),
            manifest(&own, &layers, r#","artifactType":"application/x""#),
            manifest(&empty, &layers, r#","artifactType":"application/x""#),
            manifest(&descriptor("application/x", "{}", ""), &layers, &typed),
        ] {
            assert_eq!(read(&text), Err(Refusal::Type), "{text}");
        }
    }

    #[test]
    fn an_artifact_has_one_layer_of_its_own_of_at_most_a_mebibyte() {
        let own = descriptor(media::PROFILE, "{}", "");
        let layer = descriptor("anything", "{}", "");
        assert_eq!(read(&manifest(&own, &[], "")), Err(Refusal::Layers(0)));
        assert_eq!(read(&manifest(&own, &[layer.clone(), layer.clone()], "")), Err(Refusal::Layers(2)));
        let elsewhere = r#","urls":["https://b.example/x"]"#;
        assert_eq!(read(&manifest(&own, &[descriptor("x", "{}", elsewhere)], "")), Err(Refusal::Urls));
        let config = descriptor(media::PROFILE, "{}", elsewhere);
        assert_eq!(read(&manifest(&config, std::slice::from_ref(&layer), "")), Err(Refusal::Urls));
        assert!(read(&manifest(&own, &[descriptor("x", "{}", r#","urls":[]"#)], "")).is_ok());
        let large = format!(r#"{{"mediaType":"x","digest":"{}","size":1048577}}"#, digest("{}"));
        assert_eq!(read(&manifest(&own, std::slice::from_ref(&large), "")), Err(Refusal::TooLarge));
        let exact = large.replace("1048577", "1048576");
        assert!(read(&manifest(&own, &[exact], "")).is_ok());
        let docker =
            manifest(&own, std::slice::from_ref(&layer), "").replace(media::MANIFEST, media::DOCKER_MANIFEST);
        assert_eq!(read(&docker), Err(Refusal::MediaType(media::DOCKER_MANIFEST.to_owned())));
        let index = format!(r#"{{"mediaType":"{}","manifests":[]}}"#, media::INDEX);
        assert_eq!(read(&index), Err(Refusal::Index));
        // Go reads the last of these, serde the one that is written as in the specification.
        let twice = manifest(&own, std::slice::from_ref(&layer), &format!(r#","Layers":[{layer}]"#));
        assert_eq!(read(&twice), Err(Refusal::NotStrict));
    }

    #[test]
    fn a_layer_is_plain_strict_json() {
        assert_eq!(text(br#"{"a":1}"#).as_deref(), Ok(r#"{"a":1}"#));
        let mut tar = vec![b' '; 512];
        tar[257..262].copy_from_slice(b"ustar");
        for packed in [&[0x1f, 0x8b, 8][..], &[0x28, 0xb5, 0x2f, 0xfd], &tar] {
            assert_eq!(text(packed), Err(Refusal::Packed));
        }
        for bad in [&b""[..], b"{\"a\":1,\"A\":2}", b"{\"a\":\"\xff\"}", b"\xef\xbb\xbf{}"] {
            assert_eq!(text(bad), Err(Refusal::NotStrict), "{bad:?}");
        }
    }

    #[test]
    fn of_several_profiles_the_latest_counts_in_whatever_order_they_are_listed() {
        let of = |name: &str, created: &str| {
            let more = match created {
                "" => String::new(),
                time => format!(r#","annotations":{{"{CREATED}":"{time}"}}"#),
            };
            let text = manifest(&descriptor(media::PROFILE, "{}", ""), &[descriptor("x", name, "")], &more);
            let Ok(Document::Image(manifest)) = Document::read(text.as_bytes(), None) else {
                panic!("a manifest")
            };
            (digest(&text), Arc::unwrap_or_clone(manifest))
        };
        let chosen = |all: &[(Digest, Manifest)]| {
            let forwards: Vec<_> = all.iter().map(|(digest, it)| (digest.clone(), it)).collect();
            let backwards: Vec<_> = forwards.iter().rev().cloned().collect();
            let result = choose(&forwards);
            assert_eq!(result, choose(&backwards));
            result
        };
        let (old, new) = (of("a", "2026-01-01T00:00:00Z"), of("b", "2026-01-01T00:00:00.5Z"));
        assert_eq!(chosen(&[old.clone(), new.clone()]), Ok(Some(new.0.clone())));
        assert_eq!(chosen(&[]), Ok(None));
        assert_eq!(chosen(&[of("a", "")]), Ok(Some(of("a", "").0)));
        // The same profile twice is one.
        assert!(chosen(&[of("a", ""), old.clone()]).is_ok());
        for other in [
            of("c", ""),
            of("c", "2026-01-01T00:00:00.5Z"),
            of("c", "2026-01-01T00:00:01+02:00"),
            of("c", "soon"),
        ] {
            assert_eq!(chosen(&[old.clone(), new.clone(), other]), Err(Refusal::Ambiguous(3)));
        }
    }

    #[test]
    fn a_descriptor_is_a_candidate_unless_it_states_another_type() {
        let of = |media_type: &str, artifact_type: Option<&str>| {
            let text = descriptor(media_type, "{}", "");
            let mut found: Descriptor = serde_json::from_str(&text).unwrap();
            found.artifact_type = artifact_type.map(str::to_owned);
            may_be_profile(&found)
        };
        for artifact_type in [None, Some(""), Some(media::EMPTY), Some(media::PROFILE)] {
            assert!(of(media::MANIFEST, artifact_type));
            assert!(!of(media::INDEX, artifact_type));
        }
        assert!(!of(media::MANIFEST, Some("application/vnd.dev.cosign.simplesigning.v1+json")));
    }
}
