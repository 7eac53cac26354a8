//! Writes manifests, small blobs and what refers to a manifest.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, IF_MATCH, IF_NONE_MATCH, LOCATION};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};

use super::Client;
use super::ask::{Answer, Question};
use super::read::{Fallback, fallback_tag, stated};
use crate::attach::{Artifact, Referrer, with_entry};
use crate::document::{LARGEST_MANIFEST, media};
use crate::protocol::{Authorization, Target};
use crate::{Digest, Login, RegistryError, Repository};

/// What is done in a repository.
const ACTIONS: &str = "pull,push";
/// The header by which a registry says that it lists a manifest among the referrers of its subject (OCI distribution
/// specification 1.1).
const SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
/// The type of the bytes of a blob.
pub(super) const BLOB: &str = "application/octet-stream";
/// How often the index of referrers is written, because somebody else has changed it meanwhile.
const ATTEMPTS: usize = 5;
/// An index of referrers that has none.
const NO_REFERRERS: &[u8] =
    br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#;

/// Where somebody writes, and who.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Place<'a> {
    pub(crate) repository: &'a Repository,
    pub(crate) login: &'a Login,
}

/// Where a registry takes a blob, and what it was asked with.
pub(super) struct Upload {
    pub(super) target: Target,
    pub(super) authorization: Option<Authorization>,
}

impl Client {
    /// Puts an artifact into a repository, and makes it one of the referrers of its subject.
    ///
    /// # Errors
    /// The registry refuses it, or somebody else changes the index of referrers all the time.
    pub(crate) async fn attach(&self, place: Place<'_>, artifact: &Artifact) -> Result<(), RegistryError> {
        for (digest, bytes) in artifact.blobs() {
            self.in_time(self.push_blob(place, &digest, bytes)).await?;
        }
        self.put_referrer(place, artifact.referrer()).await
    }

    /// Puts the manifest of an artifact into a repository. Where the registry does not say that it lists it, it is entered
    /// in the index of the tag that stands in for such a list.
    pub(crate) async fn put_referrer(
        &self,
        place: Place<'_>,
        referrer: &Referrer,
    ) -> Result<(), RegistryError> {
        let name = referrer.digest().to_string();
        let manifest = referrer.manifest.clone();
        let is_listed = self.put_manifest(place, &name, &referrer.media_type, manifest).await?;
        if is_listed { Ok(()) } else { self.enter(place, referrer).await }
    }

    /// Puts a manifest into a repository; whether the registry says that it lists it among the referrers of its subject.
    pub(crate) async fn put_manifest(
        &self,
        place: Place<'_>,
        name: &str,
        media_type: &str,
        bytes: Bytes,
    ) -> Result<bool, RegistryError> {
        self.in_time(async {
            let answer = self.put(place, name, media_type, bytes.clone(), HeaderMap::new()).await?;
            let is_listed = answer.head.headers.contains_key(SUBJECT);
            let (head, _) = answer.body(LARGEST_MANIFEST, "answer").await?;
            // It may have changed the manifest, so that nobody finds it by its digest.
            stated(&head, &bytes)?;
            Ok(is_listed)
        })
        .await
    }

    /// Whether a repository has a blob.
    pub(super) async fn has_blob(&self, place: Place<'_>, digest: &Digest) -> Result<bool, RegistryError> {
        let target = self.target(place.repository, &format!("blobs/{digest}"))?;
        let known = self.ask(place.question(Method::HEAD, target, nothing())).await?;
        Ok(known.head.status == StatusCode::OK)
    }

    /// Asks where a blob may be put.
    pub(super) async fn upload(&self, place: Place<'_>, digest: &Digest) -> Result<Upload, RegistryError> {
        let first = self.target(place.repository, "blobs/uploads/")?;
        let answer = self.ask(place.question(Method::POST, first.clone(), nothing())).await?;
        let location = answer.head.text(LOCATION).unwrap_or_default().to_owned();
        let (from, authorization) = (answer.from.clone(), answer.authorization.clone());
        answer.body(LARGEST_MANIFEST, "answer").await?;
        let target = from.follow(&location, &self.reach).map_err(RegistryError::Redirect)?;
        // The login is for the registry alone.
        if location.is_empty() || !target.has_origin_of(&first) {
            return Err(RegistryError::Redirected);
        }
        let target = target.with_query(&format!("digest={digest}"), &self.reach);
        Ok(Upload { target: target.map_err(RegistryError::Redirect)?, authorization })
    }

    async fn push_blob(&self, place: Place<'_>, digest: &Digest, bytes: Bytes) -> Result<(), RegistryError> {
        if self.has_blob(place, digest).await? {
            return Ok(());
        }
        let Upload { target, .. } = self.upload(place, digest).await?;
        let answer = self.ask(place.question(Method::PUT, target, (typed(BLOB), bytes))).await?;
        answer.body(LARGEST_MANIFEST, "answer").await.map(drop)
    }

    async fn put(
        &self,
        place: Place<'_>,
        name: &str,
        media_type: &str,
        bytes: Bytes,
        condition: HeaderMap,
    ) -> Result<Answer, RegistryError> {
        let target = self.target(place.repository, &format!("manifests/{name}"))?;
        let mut headers = typed(media_type);
        headers.extend(condition);
        self.ask(place.question(Method::PUT, target, (headers, bytes))).await
    }

    /// Enters an artifact in the index that stands in for the list of referrers. The specification knows no way to add to
    /// it. So the index is read, changed and written, on the condition that it is still the same, for registries that heed
    /// it; and it is read again, because distribution 3.1.2 and go-containerregistry 0.22.1 do not.
    async fn enter(&self, place: Place<'_>, referrer: &Referrer) -> Result<(), RegistryError> {
        let Place { repository, login } = place;
        let subject = &referrer.subject;
        let Some(tag) = fallback_tag(subject) else {
            return Err(RegistryError::Digest { what: "subject" });
        };
        let tag = tag.to_string();
        for attempt in 0..=ATTEMPTS {
            let known = self.fallback(repository, subject, login).await?;
            let mut condition = HeaderMap::new();
            let index = match &known {
                Some(Fallback { index, .. })
                    if index.manifests.iter().any(|it| it.digest == referrer.digest()) =>
                {
                    return Ok(());
                }
                Some(Fallback { bytes, etag, .. }) => {
                    if let Some(etag) = etag {
                        condition.insert(IF_MATCH, etag.clone());
                    }
                    with_entry(bytes, referrer)
                }
                None => {
                    condition.insert(IF_NONE_MATCH, HeaderValue::from_static("*"));
                    with_entry(NO_REFERRERS, referrer)
                }
            };
            if attempt == ATTEMPTS {
                break;
            }
            let index = index?;
            self.in_time(async {
                let answer = self.put(place, &tag, media::INDEX, index, condition).await?;
                match answer.head.status {
                    StatusCode::PRECONDITION_FAILED => Ok(()),
                    _ => answer.body(LARGEST_MANIFEST, "answer").await.map(drop),
                }
            })
            .await?;
        }
        Err(RegistryError::Contended)
    }
}

impl<'a> Place<'a> {
    fn question(self, method: Method, target: Target, (headers, body): (HeaderMap, Bytes)) -> Question<'a> {
        let Self { repository, login } = self;
        Question { repository, actions: ACTIONS, login, method, target, headers, body }
    }
}

/// The headers of a type. One that is no header's value is left out, and the registry judges.
pub(super) fn typed(media_type: &str) -> HeaderMap {
    HeaderMap::from_iter(HeaderValue::from_str(media_type).ok().map(|value| (CONTENT_TYPE, value)))
}

fn nothing() -> (HeaderMap, Bytes) {
    (HeaderMap::new(), Bytes::new())
}
