//! Reads manifests, blobs and referrers.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};

use super::Client;
use super::ask::Question;
use crate::document::{Descriptor, Document, Index, LARGEST_MANIFEST, MOST_ITEMS, media};
use crate::protocol::{Head, Target};
use crate::{Digest, Login, RegistryError, Repository, Tag};

/// All types of manifests. Without them in `Accept` some registries answer 404, or another manifest than that of the tag.
const MANIFESTS: HeaderValue = HeaderValue::from_static(
    "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.list.v2+json, application/vnd.docker.distribution.manifest.v2+json",
);
/// The most pages of referrers that are read.
const MOST_PAGES: usize = 8;

/// Which manifest of a repository.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Which {
    /// That of a tag.
    Tag(Tag),
    /// That with a digest.
    Digest(Digest),
}

impl std::fmt::Display for Which {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// A manifest as the registry has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fetched {
    /// The digest of its bytes, which was verified.
    pub digest: Digest,
    /// Its bytes.
    pub bytes: Bytes,
    /// What it says.
    pub document: Document,
    /// The header `ETag`, with which a write can be bound to what was read.
    pub(crate) etag: Option<HeaderValue>,
}

/// The manifests that refer to another one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrers {
    /// Their descriptors.
    pub descriptors: Vec<Descriptor>,
    /// Whether the registry has the API for them; without it, they stand in the index of a tag.
    pub by_api: bool,
}

/// The index of the tag that stands in for the API.
pub(super) struct Fallback {
    pub(super) index: Index,
    /// Its bytes.
    pub(super) bytes: Bytes,
    /// The header `ETag`.
    pub(super) etag: Option<HeaderValue>,
}

impl Client {
    /// The manifest or the index of a reference. Its bytes are verified against the digest: the one that was asked for,
    /// or the one that the registry states.
    ///
    /// # Errors
    /// There is none, or it cannot be used.
    pub async fn manifest(
        &self,
        repository: &Repository,
        which: &Which,
        login: &Login,
    ) -> Result<Fetched, RegistryError> {
        self.manifest_within(LARGEST_MANIFEST, repository, which, login).await
    }

    /// The same, of at most `limit` bytes.
    pub(crate) async fn manifest_within(
        &self,
        limit: u64,
        repository: &Repository,
        which: &Which,
        login: &Login,
    ) -> Result<Fetched, RegistryError> {
        self.in_time(async {
            let question = self.question(repository, &format!("manifests/{which}"), login, MANIFESTS)?;
            let (head, bytes) = self.ask(question).await?.body(limit, "manifest").await?;
            let digest = verified(which, &head, &bytes)?;
            let stated = head.text(header::CONTENT_TYPE);
            let document = Document::read(&bytes, stated)?;
            Ok(Fetched { digest, bytes, document, etag: head.headers.get(header::ETAG).cloned() })
        })
        .await
    }

    /// A blob of at most `limit` bytes.
    ///
    /// # Errors
    /// There is none, it is larger, or its bytes are not those of the descriptor.
    pub async fn blob(
        &self,
        repository: &Repository,
        descriptor: &Descriptor,
        limit: u64,
        login: &Login,
    ) -> Result<Bytes, RegistryError> {
        const WHAT: &str = "blob";
        if descriptor.size > limit {
            return Err(RegistryError::TooLarge { what: WHAT, limit });
        }
        self.in_time(async {
            let path = format!("blobs/{}", descriptor.digest);
            let question = self.question(repository, &path, login, HeaderValue::from_static("*/*"))?;
            let (_, bytes) = self.ask(question).await?.body(descriptor.size, WHAT).await?;
            if bytes.len() as u64 != descriptor.size {
                return Err(RegistryError::Size { what: WHAT });
            }
            if !descriptor.digest.verifies(&bytes) {
                return Err(RegistryError::Digest { what: WHAT });
            }
            Ok(bytes)
        })
        .await
    }

    /// The manifests that refer to the one with this digest: by the API for them or, where there is none, those in the
    /// index of the tag that stands in for it. They may be of any type, because registries state other types than the
    /// manifests.
    ///
    /// # Errors
    /// The registry cannot be asked, or there are too many.
    pub async fn referrers(
        &self,
        repository: &Repository,
        digest: &Digest,
        login: &Login,
    ) -> Result<Referrers, RegistryError> {
        self.referrers_within(LARGEST_MANIFEST, repository, digest, login).await
    }

    /// The same, of a list of at most `limit` bytes.
    pub(crate) async fn referrers_within(
        &self,
        limit: u64,
        repository: &Repository,
        digest: &Digest,
        login: &Login,
    ) -> Result<Referrers, RegistryError> {
        let by_api = self.in_time(self.referrers_by_api(limit, repository, digest, login)).await?;
        if let Some(descriptors) = by_api {
            return Ok(Referrers { descriptors, by_api: true });
        }
        let descriptors = match self.fallback_within(limit, repository, digest, login).await? {
            Some(Fallback { index: Index { manifests, .. }, .. }) => manifests,
            None => Vec::new(),
        };
        Ok(Referrers { descriptors, by_api: false })
    }

    /// The index of the tag that stands in for the API.
    pub(super) async fn fallback(
        &self,
        repository: &Repository,
        digest: &Digest,
        login: &Login,
    ) -> Result<Option<Fallback>, RegistryError> {
        self.fallback_within(LARGEST_MANIFEST, repository, digest, login).await
    }

    /// The same, of at most `limit` bytes.
    async fn fallback_within(
        &self,
        limit: u64,
        repository: &Repository,
        digest: &Digest,
        login: &Login,
    ) -> Result<Option<Fallback>, RegistryError> {
        let Some(tag) = fallback_tag(digest) else { return Ok(None) };
        match self.manifest_within(limit, repository, &Which::Tag(tag), login).await {
            Ok(Fetched { document: Document::Index(index), bytes, etag, .. }) => {
                Ok(Some(Fallback { index, bytes, etag }))
            }
            Ok(_) => Err(crate::DocumentError::Kind.into()),
            Err(RegistryError::NotFound(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// `None` if the registry has no such API.
    async fn referrers_by_api(
        &self,
        limit: u64,
        repository: &Repository,
        digest: &Digest,
        login: &Login,
    ) -> Result<Option<Vec<Descriptor>>, RegistryError> {
        const WHAT: &str = "list of referrers";
        let too_large = RegistryError::TooLarge { what: WHAT, limit };
        let accept = HeaderValue::from_static(media::INDEX);
        let mut question =
            self.question(repository, &format!("referrers/{digest}"), login, accept.clone())?;
        let (mut found, mut left) = (Vec::new(), limit);
        for _ in 0..MOST_PAGES {
            let answer = self.ask(question).await?;
            if matches!(answer.head.status, StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED) {
                return Ok(None);
            }
            let from = answer.from.clone();
            // All pages together are as large as the index of the tag may be.
            let (head, bytes) = answer.body(left, WHAT).await.map_err(|error| match error {
                RegistryError::TooLarge { .. } => too_large.clone(),
                error => error,
            })?;
            left -= bytes.len() as u64;
            // A page of a web server that answers everything.
            let is_index = head.text(header::CONTENT_TYPE).is_some_and(|it| it.starts_with(media::INDEX));
            if !is_index && found.is_empty() {
                return Ok(None);
            }
            let Document::Index(index) = Document::read(&bytes, Some(media::INDEX))? else {
                return Err(crate::DocumentError::Kind.into());
            };
            found.extend(index.manifests);
            if found.len() > MOST_ITEMS {
                return Err(too_large);
            }
            let Some(next) = next_page(&head) else { return Ok(Some(found)) };
            let target = from.follow(next, &self.reach).map_err(RegistryError::Redirect)?;
            // The next page is one of the same registry.
            let first =
                Target::of(repository.host(), "/v2/", &self.reach).map_err(RegistryError::Redirect)?;
            if !target.has_origin_of(&first) {
                return Err(RegistryError::Redirect(crate::Unreachable::Url));
            }
            question = self.question(repository, "", login, accept.clone())?;
            question.target = target;
        }
        Err(too_large)
    }

    /// A question that changes nothing.
    pub(super) fn question<'a>(
        &self,
        repository: &'a Repository,
        path: &str,
        login: &'a Login,
        accept: HeaderValue,
    ) -> Result<Question<'a>, RegistryError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, accept);
        Ok(Question {
            repository,
            actions: "pull",
            login,
            method: Method::GET,
            target: self.target(repository, path)?,
            headers,
            body: Bytes::new(),
        })
    }

    /// A path of a repository.
    pub(super) fn target(&self, repository: &Repository, path: &str) -> Result<Target, RegistryError> {
        let path = format!("/v2/{}/{path}", repository.path());
        Target::of(repository.host(), &path, &self.reach)
            .map_err(|why| RegistryError::Unreachable { host: repository.host().to_owned(), why })
    }
}

/// The digest of a manifest's bytes, if they are those that were asked for and that the registry states.
fn verified(which: &Which, head: &Head, bytes: &[u8]) -> Result<Digest, RegistryError> {
    stated(head, bytes)?;
    match which {
        Which::Digest(digest) if !digest.verifies(bytes) => Err(WRONG),
        Which::Digest(digest) => Ok(digest.clone()),
        Which::Tag(_) => Ok(Digest::of(bytes)),
    }
}

const WRONG: RegistryError = RegistryError::Digest { what: "manifest" };

/// Whether the digest that a registry states, if it does, is that of a manifest's bytes.
pub(super) fn stated(head: &Head, bytes: &[u8]) -> Result<(), RegistryError> {
    let Some(value) = head.headers.get("docker-content-digest") else { return Ok(()) };
    let digest: Digest = value.to_str().unwrap_or_default().parse().map_err(|_| WRONG)?;
    if digest.verifies(bytes) { Ok(()) } else { Err(WRONG) }
}

/// The tag under which referrers stand where the registry has no API for them (OCI distribution specification 1.1).
pub(super) fn fallback_tag(digest: &Digest) -> Option<Tag> {
    let hex = digest.hex().get(..64)?;
    Tag::new(&format!("{}-{hex}", digest.algorithm().name()))
}

/// The URL of the next page (RFC 8288), if there is one.
fn next_page(head: &Head) -> Option<&str> {
    let (url, parameters) = head.text(header::LINK)?.trim().strip_prefix('<')?.split_once('>')?;
    let is_next = |it: &str| matches!(&*it.trim().to_ascii_lowercase(), "rel=\"next\"" | "rel=next");
    parameters.split(';').any(is_next).then_some(url)
}
