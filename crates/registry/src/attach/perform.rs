//! Puts artifacts into a registry.

use bytes::Bytes;

use super::plan::{Plan, plan};
use super::{Artifact, NotLatest, Times};
use crate::client::Place;
use crate::find::{self, Candidate, MOST_CANDIDATES, Manifests, OfPlatform, Opened};
use crate::{
    Architecture, Digest, FindError, Finder, Logins, NoPlatform, Reference, Refusal, RegistryError, Unusable,
};

/// What was done for an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// The digest of the reference.
    pub digest: Digest,
    /// By platform.
    pub platforms: Vec<Attachment>,
}

/// What was done for one platform of an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attachment {
    /// The architecture, as in the nodes' label `kubernetes.io/arch`; empty if the image does not state it.
    pub architecture: Architecture,
    /// The digest of the platform's manifest.
    pub manifest: Digest,
    /// The artifact with the profile.
    pub artifact: Digest,
    /// Whether it was made now; otherwise it was there.
    pub is_new: bool,
    /// The artifact that has counted so far, if it is another one.
    pub instead_of: Option<Digest>,
}

/// What is to be done for an image.
#[derive(Debug, Clone)]
pub struct Planned {
    digest: Digest,
    platforms: Vec<(Opened, Attachment, Option<Artifact>)>,
}

impl Planned {
    /// The architectures of the platforms, as in the nodes' label `kubernetes.io/arch`; empty where the image does not
    /// state it.
    pub fn architectures(&self) -> impl Iterator<Item = &str> {
        self.platforms.iter().map(|(_, it, _)| &*it.architecture)
    }
}

/// Why a profile cannot be attached.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The image cannot be read.
    #[error(transparent)]
    Find(#[from] FindError),
    /// What is attached to it cannot be read.
    #[error("what is attached to {manifest} cannot be read: {why}")]
    Referrers {
        /// The manifest.
        manifest: Digest,
        /// Why.
        why: Unusable,
    },
    /// One more would be more than are looked at, and none of them would count.
    #[error(
        "{MOST_CANDIDATES} artifacts that may be profiles refer to {manifest}, and more are not looked at: delete some that are not needed any more"
    )]
    TooMany {
        /// The manifest.
        manifest: Digest,
    },
    /// An artifact has the profile, and cannot be used.
    #[error("the artifact {artifact} has this profile and cannot be used, because {why}; delete it first")]
    Unusable {
        /// The artifact.
        artifact: Digest,
        /// Why.
        why: Refusal,
    },
    /// It would not be the one that counts.
    #[error("the profile would not count for {manifest}: {why}")]
    NotLatest {
        /// The manifest.
        manifest: Digest,
        /// Why.
        why: NotLatest,
    },
    /// The registry does not take it.
    #[error("the registry does not take it: {0}")]
    Put(RegistryError),
}

impl AttachError {
    /// The reason, as one word of a bounded set.
    #[must_use]
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::Find(error) => error.reason(),
            Self::Referrers { why, .. } => why.reason(),
            Self::TooMany { .. } => "ArtifactsTooMany",
            Self::Unusable { why, .. } => why.reason(),
            Self::NotLatest { .. } => "ProfileNotLatest",
            Self::Put(error) => error.reason(),
        }
    }
}

impl<L: Logins> Finder<'_, L> {
    /// Looks at an image to which a profile is to be attached, for Linux on these architectures or on all that it is for.
    /// Nothing is written.
    ///
    /// # Errors
    /// The image or what is attached to it cannot be read, or the profile would not count.
    pub async fn plan_attachment(
        &self,
        image: &Reference,
        architectures: &[Architecture],
        profile: &Bytes,
        times: &Times,
    ) -> Result<Planned, AttachError> {
        let Manifests { digest, platforms } = self.manifests(image, architectures).await?;
        let mut planned = Vec::new();
        for platform in platforms {
            let (attachment, artifact) = self.planned(&platform, architectures, profile, times).await?;
            planned.push((platform.opened, attachment, artifact));
        }
        Ok(Planned { digest, platforms: planned })
    }

    /// Attaches a profile to an image. Nothing is written for a platform whose profile this is already.
    ///
    /// # Errors
    /// The registry does not take it.
    pub async fn attach(&self, planned: Planned) -> Result<Attached, AttachError> {
        let mut attached = Vec::new();
        for (opened, attachment, artifact) in planned.platforms {
            if let Some(artifact) = artifact {
                self.put(&opened, &artifact).await.map_err(AttachError::Put)?;
            }
            attached.push(attachment);
        }
        Ok(Attached { digest: planned.digest, platforms: attached })
    }

    /// What is to be done for one platform.
    async fn planned(
        &self,
        of: &OfPlatform,
        architectures: &[Architecture],
        profile: &Bytes,
        times: &Times,
    ) -> Result<(Attachment, Option<Artifact>), AttachError> {
        let fetched = &of.opened.fetched;
        let manifest = fetched.digest.clone();
        let unread = |why| AttachError::Referrers { manifest: manifest.clone(), why };
        let listed = self.listed(&of.opened).await.map_err(unread)?;
        let is_full = listed.len() >= MOST_CANDIDATES;
        let candidates = self.profiles_among(&of.opened, listed).await.map_err(unread)?;
        let known: Vec<_> = candidates.iter().map(|it| (it.digest.clone(), &*it.manifest)).collect();
        let config = self.config(of).await.transpose().map_err(FindError::from)?.unwrap_or_default();
        let architecture = of.architecture.clone().unwrap_or(config.architecture);
        // An image that is no index is for one architecture, whatever was asked for.
        if !architectures.is_empty() && !architectures.contains(&architecture) {
            let none = NoPlatform { architectures: architectures.to_vec() };
            return Err(FindError::from(none).into());
        }
        let layer = Digest::of(profile);
        let plan = plan(&layer, &known, config.created.as_deref(), times)
            .map_err(|why| AttachError::NotLatest { manifest: manifest.clone(), why })?;
        let has_layer = |it: &&Candidate| it.manifest.layers.iter().any(|known| known.digest == layer);
        for candidate in candidates.iter().filter(has_layer) {
            if let Err(why) = find::layer(&candidate.manifest, &candidate.bytes) {
                return Err(AttachError::Unusable { artifact: candidate.digest.clone(), why });
            }
        }
        let (digest, artifact) = match plan {
            Plan::Counts(digest) => (digest, None),
            Plan::Put(_) if is_full => return Err(AttachError::TooMany { manifest }),
            Plan::Put(created) => {
                let (media_type, size) = (&*of.manifest.media_type, fetched.bytes.len());
                let artifact = Artifact::new(&manifest, media_type, size, profile.clone(), created);
                (artifact.digest(), Some(artifact))
            }
        };
        let is_new = artifact.is_some();
        // If none has counted, because none was the latest, there is none to name.
        let counted = find::choose(&known).ok().flatten();
        let instead_of = counted.filter(|other| *other != digest);
        Ok((Attachment { architecture, manifest, artifact: digest, is_new, instead_of }, artifact))
    }

    /// Writes with the login that has read the image or, if that may not write, with another one.
    async fn put(&self, opened: &Opened, artifact: &Artifact) -> Result<(), RegistryError> {
        let mut logins = self.logins.for_repository(&opened.repository);
        logins.retain(|login| *login != opened.login);
        logins.insert(0, opened.login.clone());
        let mut last = RegistryError::Unauthorized;
        for login in logins {
            match self.client.attach(Place { repository: &opened.repository, login: &login }, artifact).await
            {
                Err(error) if error.is_about_login() => last = error,
                result => return result,
            }
        }
        Err(last)
    }
}
