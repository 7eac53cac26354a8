//! Whether an artifact is needed, and of what time. Pure.

use crate::created::CREATED;
use crate::document::Manifest;
use crate::{Created, Digest, choose};

/// From what the time of an artifact is taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Times {
    /// The time that somebody gave.
    pub given: Option<Created>,
    /// The present time.
    pub now: Created,
}

/// What is to be done for one manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Plan {
    /// This artifact has the profile, and counts.
    Counts(Digest),
    /// An artifact of this time is needed.
    Put(Created),
}

/// Why an artifact would not be the one that counts.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotLatest {
    /// Another one is at least as new.
    #[error(
        "the artifact {other} with another profile is of {latest}, and of several the latest counts; the new one would be of {time}"
    )]
    Newer {
        /// The other one.
        other: Digest,
        /// Its time.
        latest: Created,
        /// The time of the new one.
        time: Created,
    },
    /// Another one has no time.
    #[error(
        "the artifact {0} with another profile has no annotation org.opencontainers.image.created in UTC, so that none could be the latest; delete it first"
    )]
    NoTime(Digest),
}

/// What is to be done so that `profile`, a layer's digest, counts for a manifest. `known` are the artifacts that refer to
/// it, `image` is when the image says it was made.
///
/// The first artifact of a manifest is as old as the image, so that its digest is the same wherever and whenever it is
/// made. A later one has to be newer than those that are there.
///
/// # Errors
/// It would not count.
pub(super) fn plan(
    profile: &Digest,
    known: &[(Digest, &Manifest)],
    image: Option<&str>,
    times: &Times,
) -> Result<Plan, NotLatest> {
    let has_profile = |manifest: &Manifest| matches!(&manifest.layers[..], [it] if it.digest == *profile);
    if let Ok(Some(counts)) = choose(known)
        && known.iter().any(|(digest, manifest)| *digest == counts && has_profile(manifest))
    {
        return Ok(Plan::Counts(counts));
    }
    let mut latest: Option<(Created, &Digest)> = None;
    for (digest, manifest) in known {
        let made = manifest.annotations.get(CREATED).and_then(Created::parse);
        let made = made.ok_or_else(|| NotLatest::NoTime(digest.clone()))?;
        if latest.as_ref().is_none_or(|(before, _)| *before < made) {
            latest = Some((made, digest));
        }
    }
    let time = match (&times.given, &latest) {
        (Some(given), _) => given.clone(),
        (None, None) => image.and_then(Created::parse).unwrap_or_else(Created::epoch),
        (None, Some(_)) => times.now.clone(),
    };
    match latest {
        Some((latest, other)) if latest >= time => {
            Err(NotLatest::Newer { other: other.clone(), latest, time })
        }
        _ => Ok(Plan::Put(time)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::Artifact;
    use crate::document::{Document, media};

    fn time(text: &str) -> Created {
        Created::parse(text).unwrap()
    }

    fn times(given: Option<&str>) -> Times {
        Times { given: given.map(time), now: time("2026-06-01T00:00:00Z") }
    }

    fn there(profile: &'static str, created: &str) -> (Digest, Manifest) {
        let subject = Digest::of(b"image");
        let artifact = Artifact::new(&subject, media::MANIFEST, 5, Bytes::from(profile), time(created));
        let Ok(Document::Image(manifest)) = Document::read(&artifact.referrer().manifest, None) else {
            panic!("a manifest")
        };
        (artifact.digest(), std::sync::Arc::unwrap_or_clone(manifest))
    }

    fn planned(
        all: &[(Digest, Manifest)],
        image: Option<&str>,
        given: Option<&str>,
    ) -> Result<Plan, NotLatest> {
        let all: Vec<_> = all.iter().map(|(digest, manifest)| (digest.clone(), manifest)).collect();
        plan(&Digest::of(b"new"), &all, image, &times(given))
    }

    #[test]
    fn the_first_artifact_is_as_old_as_its_image() {
        let image = Some("2026-01-01T00:00:00.5Z");
        assert_eq!(planned(&[], image, None), Ok(Plan::Put(time("2026-01-01T00:00:00.5Z"))));
        assert_eq!(planned(&[], None, None), Ok(Plan::Put(Created::epoch())));
        assert_eq!(planned(&[], Some("yesterday"), None), Ok(Plan::Put(Created::epoch())));
        let given = Some("2025-01-01T00:00:00Z");
        assert_eq!(planned(&[], image, given), Ok(Plan::Put(time("2025-01-01T00:00:00Z"))));
    }

    #[test]
    fn a_profile_that_counts_already_is_not_attached_again() {
        let new = there("new", "2026-01-01T00:00:00Z");
        let old = there("old", "2025-01-01T00:00:00Z");
        assert_eq!(planned(std::slice::from_ref(&new), None, None), Ok(Plan::Counts(new.0.clone())));
        assert_eq!(planned(&[old, new.clone()], None, None), Ok(Plan::Counts(new.0)));
    }

    #[test]
    fn a_profile_takes_the_place_of_another_one_only_if_it_is_newer() {
        let old = there("old", "2026-01-01T00:00:00Z");
        assert_eq!(planned(std::slice::from_ref(&old), None, None), Ok(Plan::Put(times(None).now)));
        // That it was there before does not help it.
        let before = there("new", "2025-01-01T00:00:00Z");
        assert_eq!(planned(&[before, old.clone()], None, None), Ok(Plan::Put(times(None).now)));
        for given in ["2026-01-01T00:00:00Z", "2025-12-31T00:00:00Z"] {
            let refused = planned(std::slice::from_ref(&old), None, Some(given)).unwrap_err();
            assert!(refused.to_string().contains("is of 2026-01-01T00:00:00Z"), "{refused}");
        }
        let of_tomorrow = there("old", "2027-01-01T00:00:00Z");
        assert!(matches!(planned(&[of_tomorrow], None, None), Err(NotLatest::Newer { .. })));
    }

    #[test]
    fn beside_an_artifact_without_a_time_none_can_be_the_latest() {
        let (digest, mut manifest) = there("old", "2026-01-01T00:00:00Z");
        std::mem::take(&mut manifest.annotations);
        let all = [(digest.clone(), manifest)];
        assert_eq!(planned(&all, None, None), Err(NotLatest::NoTime(digest)));
    }
}
