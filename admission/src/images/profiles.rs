//! Equal profiles are one in memory, however many images carry them, and what was narrowed once is not narrowed again as long
//! as an image has the result: images of one base image often carry the same.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use profile::ContentHash;
use registry::Carried;
use sha2::{Digest, Sha256};

use super::choice::{Brings, ImageProfile};

/// More entries than this are searched for those of profiles that have gone.
const FEW: usize = 64;
/// With so many all are forgotten: whoever may push can write one profile in any number of ways, of which each is another
/// source of the same profile as long as that is kept. It is the number of images that are remembered, so that this happens
/// to nobody else.
const MOST: usize = 10_000;

/// The profiles that some image has.
#[derive(Debug, Default)]
pub struct Profiles(Mutex<Known>);

#[derive(Debug, Default)]
struct Known {
    by_contents: Table<ContentHash>,
    by_source: Table<Source>,
}

/// What an image carries for each of its platforms: the hash of all texts. Equal ones are narrowed to equal profiles.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Source([u8; 32]);

impl Source {
    /// That of an image, and the word for the first place where it carries a profile. None if a platform carries no profile
    /// that can be read.
    #[must_use]
    pub fn of(carried: &Carried) -> Option<(Self, &'static str)> {
        let (mut hash, mut place) = (Sha256::new(), None);
        for platform in &carried.platforms {
            let found = platform.winner()?;
            for part in [&platform.architecture, found.contents.as_ref().ok()?] {
                hash.update((part.len() as u64).to_be_bytes());
                hash.update(part);
            }
            place.get_or_insert(found.place.kind());
        }
        Some((Self(hash.finalize().into()), place?))
    }
}

impl Profiles {
    /// What an image brings that carries this, if another image has it that carries the same.
    #[must_use]
    pub fn known(&self, source: Source, place: &'static str) -> Option<Brings> {
        self.lock().by_source.get(&source).map(|profile| Brings::Profile { profile, place })
    }

    /// The same, with the profile that another image has already if there is an equal one.
    #[must_use]
    pub fn shared(&self, source: Option<Source>, brings: Brings) -> Brings {
        let Brings::Profile { profile, place } = brings else { return brings };
        let Some(hash) = profile.name.stated_hash() else { return Brings::Profile { profile, place } };
        let mut known = self.lock();
        let profile = known.by_contents.get(&hash).unwrap_or(profile);
        known.by_contents.insert(hash, &profile);
        if let Some(source) = source {
            known.by_source.insert(source, &profile);
        }
        Brings::Profile { profile, place }
    }

    fn lock(&self) -> MutexGuard<'_, Known> {
        // No code that can panic runs while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Profiles that somebody else keeps.
#[derive(Debug)]
struct Table<K> {
    profiles: HashMap<K, Weak<ImageProfile>>,
    /// With so many it is searched for those that have gone.
    full: usize,
}

impl<K> Default for Table<K> {
    fn default() -> Self {
        Self { profiles: HashMap::new(), full: FEW }
    }
}

impl<K: Hash + Eq> Table<K> {
    fn get(&self, key: &K) -> Option<Arc<ImageProfile>> {
        self.profiles.get(key).and_then(Weak::upgrade)
    }

    fn insert(&mut self, key: K, profile: &Arc<ImageProfile>) {
        if self.profiles.len() >= self.full {
            self.profiles.retain(|_, profile| profile.strong_count() > 0);
            if self.profiles.len() >= MOST {
                self.profiles = HashMap::new();
            }
            self.full = FEW.max(2 * self.profiles.len());
        }
        self.profiles.insert(key, Arc::downgrade(profile));
    }
}

#[cfg(test)]
mod tests {
    use api::ProfileName;
    use registry::{ForPlatform, Found, Place, Unusable};

    use super::*;

    fn brings(contents: &str) -> Brings {
        let name = ProfileName::stating(ContentHash::of(contents.as_bytes()));
        Brings::Profile { profile: Arc::new(ImageProfile { name, contents: contents.into() }), place: "here" }
    }

    fn profile(brings: Brings) -> Arc<ImageProfile> {
        let Brings::Profile { profile, .. } = brings else { panic!("{brings:?}") };
        profile
    }

    fn carried(platforms: &[(&str, Result<&str, Unusable>)]) -> Carried {
        let platforms = platforms.iter().map(|(architecture, contents)| {
            let contents = contents.as_ref().map(|text| (*text).to_owned()).map_err(|_| Unusable::TooLarge);
            ForPlatform {
                architecture: (*architecture).to_owned(),
                manifest: registry::Digest::of(architecture.as_bytes()),
                found: vec![Found { place: Place::Label, artifact: None, contents }],
            }
        });
        Carried { digest: registry::Digest::of(b"index"), platforms: platforms.collect() }
    }

    #[test]
    fn equal_profiles_are_one_and_others_are_not() {
        let profiles = Profiles::default();
        let [one, two, other] =
            ["a", "a", "b"].map(|contents| profile(profiles.shared(None, brings(contents))));
        assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &other));
        assert_eq!(&*other.contents, "b");
        assert_eq!(profiles.shared(None, Brings::Nothing), Brings::Nothing);
    }

    #[test]
    fn what_another_image_carries_is_known_as_long_as_one_has_it() {
        let profiles = Profiles::default();
        let (source, place) = Source::of(&carried(&[("amd64", Ok("text"))])).unwrap();
        assert_eq!(profiles.known(source, place), None);
        let kept = profiles.shared(Some(source), brings("narrowed"));
        let known = profiles.known(source, "there").unwrap();
        assert!(matches!(&known, Brings::Profile { place: "there", .. }));
        assert!(Arc::ptr_eq(&profile(known), &profile(kept)));
        assert_eq!(profiles.known(source, place), None, "both have gone");
    }

    #[test]
    fn different_texts_or_architectures_are_different_sources() {
        let of = |platforms: &[_]| Source::of(&carried(platforms)).map(|(source, _)| source);
        let all = [
            of(&[("amd64", Ok("text"))]),
            of(&[("amd64", Ok("other"))]),
            of(&[("arm64", Ok("text"))]),
            of(&[("amd64", Ok("text")), ("arm64", Ok("text"))]),
        ];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!((different.len(), all.contains(&None)), (4, false));
        assert_eq!(of(&[("amd64", Ok("text"))]), all[0]);
        // What cannot be read is said anew for each image.
        assert_eq!(of(&[("amd64", Ok("text")), ("arm64", Err(Unusable::TooLarge))]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn one_profile_that_is_written_in_many_ways_takes_no_more_than_the_images_that_are_remembered() {
        let profiles = Profiles::default();
        let kept = profile(profiles.shared(None, brings("kept")));
        for spaces in 0..3 * MOST {
            let (source, _) = Source::of(&carried(&[("amd64", Ok(&format!("kept {spaces}")))])).unwrap();
            _ = profiles.shared(Some(source), brings("kept"));
            assert!(profiles.lock().by_source.profiles.len() <= 2 * MOST);
        }
        assert!(Arc::ptr_eq(&kept, &profile(profiles.shared(None, brings("kept")))));
    }

    #[test]
    fn of_profiles_that_no_image_has_any_more_nothing_piles_up() {
        let profiles = Profiles::default();
        let kept = profile(profiles.shared(None, brings("kept")));
        for number in 0..10_000 {
            let (source, _) = Source::of(&carried(&[("amd64", Ok(&number.to_string()))])).unwrap();
            _ = profiles.shared(Some(source), brings(&number.to_string()));
        }
        let known = profiles.lock();
        assert!(known.by_contents.profiles.len() <= FEW && known.by_source.profiles.len() <= FEW);
        drop(known);
        assert!(Arc::ptr_eq(&kept, &profile(profiles.shared(None, brings("kept")))));
    }
}
