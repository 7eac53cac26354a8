//! The manifests of an image, opened with one of several logins.

use std::sync::Arc;

use super::finder::{FindError, Finder, Logins};
use super::platform::{Architecture, platforms};

use crate::client::{Fetched, Which};
use crate::document::{Descriptor, Document, Manifest};
use crate::{Digest, Login, Reference, RegistryError, Repository};

/// A manifest as a registry has it, and the login that has opened it.
#[derive(Debug, Clone)]
pub(crate) struct Opened {
    pub(crate) repository: Repository,
    pub(crate) login: Login,
    pub(crate) fetched: Fetched,
}

/// The manifests of an image.
pub(crate) struct Manifests {
    /// The digest of the reference.
    pub(crate) digest: Digest,
    /// By platform.
    pub(crate) platforms: Vec<OfPlatform>,
}

/// The platforms of an image. The manifest of each is read when its turn comes, so that no more than one is held.
pub(crate) struct Platforms {
    /// The digest of the reference.
    pub(super) digest: Digest,
    left: Left,
}

/// What is kept of an index, while the manifests that it names are looked at.
pub(crate) struct OfIndex {
    repository: Repository,
    login: Login,
    digest: Digest,
}

impl OfIndex {
    pub(crate) fn of(opened: &Opened) -> Self {
        let Opened { repository, login, fetched } = opened;
        Self { repository: repository.clone(), login: login.clone(), digest: fetched.digest.clone() }
    }
}

/// What is left to be read.
enum Left {
    /// The image is for one platform, and its manifest is read.
    One(Option<OfPlatform>),
    /// What an index names. Of the index itself no more is kept.
    Of(OfIndex, std::vec::IntoIter<Descriptor>),
}

/// The manifest of one platform.
#[derive(Debug, Clone)]
pub(crate) struct OfPlatform {
    /// The architecture that an index states for it.
    pub(crate) architecture: Option<Architecture>,
    /// The digest of that index.
    pub(crate) index: Option<Digest>,
    pub(crate) opened: Opened,
    pub(crate) manifest: Arc<Manifest>,
}

impl<L: Logins> Finder<'_, L> {
    /// The platforms of an image for Linux on these architectures, or all that it is for.
    pub(crate) async fn platforms(
        &self,
        image: &Reference,
        architectures: &[Architecture],
    ) -> Result<Platforms, FindError> {
        let opened = self.open(image).await?;
        let digest = opened.fetched.digest.clone();
        let left = match &opened.fetched.document {
            Document::Index(index) => {
                let named: Vec<_> = platforms(index, architectures)?.into_iter().cloned().collect();
                Left::Of(OfIndex::of(&opened), named.into_iter())
            }
            Document::Image(manifest) => {
                let manifest = manifest.clone();
                Left::One(Some(OfPlatform { architecture: None, index: None, opened, manifest }))
            }
        };
        Ok(Platforms { digest, left })
    }

    /// The manifest of the next platform; `None` after the last one.
    pub(crate) async fn next(&self, platforms: &mut Platforms) -> Result<Option<OfPlatform>, FindError> {
        match &mut platforms.left {
            Left::One(of) => Ok(of.take()),
            Left::Of(index, named) => match named.next() {
                Some(descriptor) => self.of_platform(index, &descriptor).await.map(Some),
                None => Ok(None),
            },
        }
    }

    /// The manifests of an image for Linux on these architectures, or on all that it is for.
    pub(crate) async fn manifests(
        &self,
        image: &Reference,
        architectures: &[Architecture],
    ) -> Result<Manifests, FindError> {
        let mut left = self.platforms(image, architectures).await?;
        let mut platforms = Vec::new();
        while let Some(of) = self.next(&mut left).await? {
            platforms.push(of);
        }
        Ok(Manifests { digest: left.digest, platforms })
    }

    /// The manifest that an index names for a platform.
    async fn of_platform(&self, index: &OfIndex, descriptor: &Descriptor) -> Result<OfPlatform, FindError> {
        let (opened, manifest) = self.entry(index, descriptor).await?;
        let architecture = descriptor.platform.as_ref().map(|it| it.architecture.clone());
        Ok(OfPlatform { architecture, index: Some(index.digest.clone()), opened, manifest })
    }

    /// The manifest that an index names, with the login that has opened the index.
    pub(crate) async fn entry(
        &self,
        index: &OfIndex,
        descriptor: &Descriptor,
    ) -> Result<(Opened, Arc<Manifest>), FindError> {
        let OfIndex { repository, login, .. } = index;
        let which = Which::Digest(descriptor.digest.clone());
        let fetched = self.client.manifest_within(self.sizes.manifest, repository, &which, login).await?;
        let Document::Image(manifest) = fetched.document.clone() else {
            return Err(FindError::Nested);
        };
        Ok((Opened { repository: repository.clone(), login: login.clone(), fetched }, manifest))
    }

    /// The logins to try for a repository, one after the other.
    pub(crate) fn logins_for(&self, repository: &Repository) -> Vec<Login> {
        let logins = self.logins.for_repository(repository);
        if logins.is_empty() { vec![Login::Anonymous] } else { logins }
    }

    /// Gets a manifest with the first login that opens it.
    pub(crate) async fn open(&self, image: &Reference) -> Result<Opened, RegistryError> {
        self.open_within(self.sizes.manifest, image).await
    }

    /// The same, of at most `limit` bytes.
    pub(super) async fn open_within(&self, limit: u64, image: &Reference) -> Result<Opened, RegistryError> {
        let which = match (image.digest(), image.tag()) {
            (Some(digest), _) => Which::Digest(digest.clone()),
            (None, Some(tag)) => Which::Tag(tag),
            (None, None) => return Err(RegistryError::NotFound(crate::error::Said::default())),
        };
        let repository = image.repository();
        let mut last = RegistryError::Unauthorized;
        for login in self.logins_for(repository) {
            match self.client.manifest_within(limit, repository, &which, &login).await {
                Ok(fetched) => return Ok(Opened { repository: repository.clone(), login, fetched }),
                Err(error) if error.is_about_login() => last = error,
                Err(error) => return Err(error),
            }
        }
        Err(last)
    }
}
