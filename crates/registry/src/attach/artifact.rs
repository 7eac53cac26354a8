//! The artifact with a profile. Pure.

use std::collections::BTreeMap;

use bytes::Bytes;
use serde::Serialize;
use serde_json::{Value, json};

use crate::created::CREATED;
use crate::document::{LARGEST_MANIFEST, MOST_ITEMS, media};
use crate::{Created, Digest, DocumentError, RegistryError};

/// The configuration of an artifact that has none (OCI image specification, "Guidance for an Empty Descriptor").
const NOTHING: &[u8] = b"{}";
/// The name under which tools that download an artifact write the profile.
const TITLE: &str = "seccomp.json";

/// An artifact with a profile that refers to a manifest. The same profile and time for the same manifest give the same
/// bytes, in every registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Artifact {
    profile: Bytes,
    referrer: Referrer,
}

/// The manifest of an artifact with a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Referrer {
    /// The manifest that it refers to.
    pub(crate) subject: Digest,
    /// Its type.
    pub(crate) media_type: String,
    /// Its bytes.
    pub(crate) manifest: Bytes,
    /// Its annotations, which stand in its entry as well (OCI distribution specification 1.1).
    pub(crate) annotations: BTreeMap<String, String>,
}

/// The manifest of an artifact. The order of the fields is that of its bytes.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Manifest<'a> {
    schema_version: u8,
    media_type: &'a str,
    artifact_type: &'a str,
    config: Descriptor<'a>,
    layers: [Descriptor<'a>; 1],
    subject: Descriptor<'a>,
    annotations: Made<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    media_type: &'a str,
    digest: String,
    size: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    annotations: Option<Titled<'a>>,
}

#[derive(Serialize)]
struct Titled<'a> {
    #[serde(rename = "org.opencontainers.image.title")]
    title: &'a str,
}

#[derive(Serialize)]
struct Made<'a> {
    #[serde(rename = "org.opencontainers.image.created")]
    created: &'a str,
}

impl<'a> Descriptor<'a> {
    fn of(media_type: &'a str, bytes: &[u8]) -> Self {
        Self { media_type, digest: Digest::of(bytes).to_string(), size: bytes.len(), annotations: None }
    }
}

impl Artifact {
    /// The artifact with `profile` for the manifest with this digest, type and size in bytes.
    #[must_use]
    pub fn new(subject: &Digest, media_type: &str, size: usize, profile: Bytes, created: Created) -> Self {
        let time = created.to_string();
        let mut layer = Descriptor::of("application/json", &profile);
        layer.annotations = Some(Titled { title: TITLE });
        let manifest = Manifest {
            schema_version: 2,
            media_type: media::MANIFEST,
            artifact_type: media::PROFILE,
            config: Descriptor::of(media::EMPTY, NOTHING),
            layers: [layer],
            subject: Descriptor { digest: subject.to_string(), size, ..Descriptor::of(media_type, &[]) },
            annotations: Made { created: &time },
        };
        // These types have no map with other keys than text, the only thing that could fail.
        let manifest = serde_json::to_vec(&manifest).unwrap_or_default().into();
        let (subject, media_type) = (subject.clone(), media::MANIFEST.to_owned());
        let annotations = BTreeMap::from([(CREATED.to_owned(), time)]);
        Self { profile, referrer: Referrer { subject, media_type, manifest, annotations } }
    }

    /// The digest of its manifest.
    #[must_use]
    pub fn digest(&self) -> Digest {
        self.referrer.digest()
    }

    /// Its manifest.
    pub(crate) const fn referrer(&self) -> &Referrer {
        &self.referrer
    }

    /// Its blobs, each with its digest.
    pub(crate) fn blobs(&self) -> [(Digest, Bytes); 2] {
        [Bytes::from_static(NOTHING), self.profile.clone()].map(|bytes| (Digest::of(&bytes), bytes))
    }
}

impl Referrer {
    /// The digest of its bytes.
    pub(crate) fn digest(&self) -> Digest {
        Digest::of(&self.manifest)
    }

    /// Its entry in the index of a manifest's referrers.
    fn entry(&self) -> Value {
        let mut entry = json!({
            "mediaType": self.media_type, "artifactType": media::PROFILE,
            "digest": self.digest().to_string(), "size": self.manifest.len(),
        });
        if !self.annotations.is_empty() {
            entry["annotations"] = json!(self.annotations);
        }
        entry
    }
}

/// An index of referrers with the entry of one more artifact; everything else in it stays as it is.
///
/// # Errors
/// It is no index, or it would be too large to be read.
pub(crate) fn with_entry(index: &[u8], referrer: &Referrer) -> Result<Bytes, RegistryError> {
    const TOO_LARGE: RegistryError =
        RegistryError::TooLarge { what: "list of referrers", limit: LARGEST_MANIFEST };
    let mut index: Value = serde_json::from_slice(index).unwrap_or_default();
    let entries = index.get_mut("manifests").and_then(Value::as_array_mut).ok_or(DocumentError::Kind)?;
    if entries.len() >= MOST_ITEMS {
        return Err(TOO_LARGE);
    }
    entries.push(referrer.entry());
    let bytes = index.to_string();
    if bytes.len() as u64 > LARGEST_MANIFEST { Err(TOO_LARGE) } else { Ok(bytes.into()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::document::Document;

    fn artifact(created: &str) -> Artifact {
        let subject = Digest::of(b"image");
        let created = Created::parse(created).unwrap();
        Artifact::new(&subject, media::MANIFEST, 5, Bytes::from_static(b"{\"a\":1}"), created)
    }

    #[test]
    fn the_bytes_of_an_artifact_depend_on_its_image_profile_and_time_alone() {
        let artifact = artifact("2026-01-31T12:00:00Z");
        let [nothing, profile, image] = ["{}", "{\"a\":1}", "image"].map(|text| Digest::of(text.as_bytes()));
        let expected = format!(
            concat!(
                r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","#,
                r#""artifactType":"application/vnd.cncf.seccomp-profile.config.v1+json","#,
                r#""config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"#,
                r#""layers":[{{"mediaType":"application/json","digest":"{}","size":7,"#,
                r#""annotations":{{"org.opencontainers.image.title":"seccomp.json"}}}}],"#,
                r#""subject":{{"mediaType":"application/vnd.oci.image.manifest.v1+json","digest":"{}","size":5}},"#,
                r#""annotations":{{"org.opencontainers.image.created":"2026-01-31T12:00:00Z"}}}}"#
            ),
            nothing, profile, image
        );
        assert_eq!(std::str::from_utf8(&artifact.referrer.manifest).unwrap(), expected);
        assert_eq!(artifact, super::tests::artifact("2026-01-31T12:00:00Z"));
        assert_ne!(artifact.digest(), super::tests::artifact("2026-01-31T12:00:01Z").digest());
    }

    #[test]
    fn the_profiles_place_in_an_artifact_is_the_one_that_is_read() {
        let artifact = artifact("2026-01-31T12:00:00Z");
        let bytes = &artifact.referrer.manifest;
        let document = Document::read(bytes, Some(media::MANIFEST)).unwrap();
        let Document::Image(manifest) = document else { panic!("a manifest") };
        let layer = crate::find::layer(&manifest, bytes).unwrap();
        let [(nothing, _), (profile, _)] = artifact.blobs();
        assert_eq!((layer.digest, layer.size), (profile, 7));
        assert_eq!((&manifest.config.digest, manifest.config.size), (&nothing, 2));
        assert_eq!(manifest.annotations.get(CREATED), Some("2026-01-31T12:00:00Z"));
    }

    #[test]
    fn an_index_keeps_all_that_it_has_when_an_artifact_is_added() {
        let artifact = artifact("2026-01-31T12:00:00Z");
        let before = r#"{"schemaVersion":2,"x":[1],"manifests":[{"digest":"sha256:00","odd":true}],"annotations":{"a":"b"}}"#;
        let after: Value =
            serde_json::from_slice(&with_entry(before.as_bytes(), &artifact.referrer).unwrap()).unwrap();
        let mut expected: Value = serde_json::from_str(before).unwrap();
        expected["manifests"].as_array_mut().unwrap().push(artifact.referrer.entry());
        assert_eq!(after, expected);
        assert_eq!(after["manifests"][1]["digest"], artifact.digest().to_string());
        for other in ["", "{}", "[]", r#"{"manifests":{}}"#] {
            let refused = with_entry(other.as_bytes(), &artifact.referrer);
            assert_eq!(refused, Err(DocumentError::Kind.into()), "{other}");
        }
        let full = json!({ "manifests": vec![json!({}); MOST_ITEMS] }).to_string();
        let refused = with_entry(full.as_bytes(), &artifact.referrer);
        assert!(matches!(refused, Err(RegistryError::TooLarge { .. })));
    }
}
