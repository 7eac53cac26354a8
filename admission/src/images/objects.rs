//! The SeccompProfiles of images: which exist, and creating those that are missing.
//!
//! A name states its contents, so that an object that exists already is as good as a new one, whoever has created it: if
//! its contents are those that the name states. Others are never named in a pod.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use api::names::{ADMISSION_FIELD_MANAGER, FROM, FROM_IMAGE, IMAGE, PLACE};
use api::{ProfileName, SeccompProfile, Untrusted};
use daemon::Changeable;
use daemon::metrics::Watch;
use kube::api::PostParams;
use kube::core::request::Request;
use kube::{Api, Client, Resource};
use kube_runtime::watcher::Config;
use link::chain;
use link::changes::{Change, Changes, ObjectId};
use link::client::within;
use link::watch::WatchStream;
use registry::{Bounds, Cache, Keep};
use serde_json::{Value, json};
use tracing::{info, warn};

use super::choice::{ImageProfile, Why};
use crate::certificates::keeper::WATCH;

/// The longest reference that an object is annotated with.
const LONGEST_IMAGE: usize = 512;

/// What is known of an object.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Its contents are those that its name states.
    Sound,
    /// It is being deleted: its file goes as soon as no pod needs it.
    Deleting,
    /// It has other contents.
    Other,
}

#[derive(Debug, Default)]
struct Known {
    is_complete: bool,
    /// By name, with the uid.
    objects: BTreeMap<Box<str>, (Box<str>, State)>,
    /// How many are being created.
    under_way: usize,
}

impl Known {
    fn learn(&mut self, object: &Untrusted<SeccompProfile>) {
        let [name, uid] = [&object.metadata.name, &object.metadata.uid];
        let [name, uid] = [name, uid].map(|text| text.as_deref().unwrap_or_default().into());
        self.objects.insert(name, (uid, state_of(object)));
    }

    /// The object with this uid does not exist any more. Another one of its name may.
    fn forget(&mut self, gone: &ObjectId) {
        if self.objects.get(&gone.key.name).is_some_and(|(uid, _)| *uid == gone.uid) {
            self.objects.remove(&gone.key.name);
        }
    }
}

/// Why there is no object with a profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NoObject {
    /// It cannot be had now.
    Unavailable(Why),
    /// The API server refuses the profile.
    Refused(Why),
}

/// The objects.
pub struct Objects {
    client: Client,
    most: usize,
    known: Mutex<Known>,
    creating: Cache<ProfileName, Result<(), NoObject>>,
}

impl std::fmt::Debug for Objects {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Objects").field("most", &self.most).finish_non_exhaustive()
    }
}

impl Objects {
    /// None is known before [`Self::follow`]. At most `most` exist by us.
    #[must_use]
    pub fn new(client: Client, most: usize) -> Self {
        // Nothing is kept: only equal requests at once are one.
        let creating = Cache::new(Bounds { number: 0, bytes: 0 });
        Self { client, most, known: Mutex::default(), creating }
    }

    /// Keeps up with the objects, for ever. `is_complete` is the part of the readiness that waits for all of them.
    pub async fn follow(&self, is_complete: Changeable, measured: Watch) {
        let labels = format!("{FROM}={FROM_IMAGE}");
        let config = Config::default().labels(&labels).timeout(WATCH.as_secs() as u32);
        let stream =
            WatchStream::<Untrusted<SeccompProfile>>::observed(self.client.clone(), config, measured);
        let mut changes = Changes::new(stream);
        loop {
            match changes.next().await {
                Ok(Change::Apply(object, _)) => self.known().learn(&object),
                Ok(Change::Gone(object)) => self.known().forget(&object),
                Ok(Change::Complete) => {
                    self.known().is_complete = true;
                    is_complete.set(true);
                }
                Err(error) => warn!(error = %chain(&error), "the watch of the profiles of images failed"),
            }
        }
    }

    /// Makes sure that there is an object with this profile. It came from `image`, where it was found at `place`.
    ///
    /// # Errors
    /// There is none.
    pub async fn ensure(&self, profile: &ImageProfile, image: &str, place: &str) -> Result<(), NoObject> {
        match self.state(&profile.name) {
            Some(state) => Self::judged(state, &profile.name),
            None => {
                let load = async || self.create(profile, image, place).await;
                let keep = |_: &_| Keep::alone(Duration::ZERO, 0);
                self.creating.get(profile.name.clone(), load, keep).await
            }
        }
    }

    fn judged(state: State, name: &ProfileName) -> Result<(), NoObject> {
        let unavailable = |reason, message| {
            Err(NoObject::Unavailable(Why { reason, message: format!("{name} {message}") }))
        };
        match state {
            State::Sound => Ok(()),
            State::Deleting => unavailable("ObjectDeleting", "is being deleted"),
            State::Other => unavailable("OtherContents", "exists with other contents than its name states"),
        }
    }

    async fn create(&self, profile: &ImageProfile, image: &str, place: &str) -> Result<(), NoObject> {
        // Another one has created it since.
        if let Some(state) = self.state(&profile.name) {
            return Self::judged(state, &profile.name);
        }
        let _permit = self.take_place()?;
        let name = profile.name.as_str();
        let contents: Value = serde_json::from_str(&profile.contents)
            .map_err(|error| unavailable("RequestFailed", error.to_string()))?;
        let body = json!({
            "apiVersion": SeccompProfile::api_version(&()), "kind": SeccompProfile::kind(&()),
            "metadata": {
                "name": name,
                "labels": { FROM: FROM_IMAGE },
                "annotations": {
                    IMAGE: image.chars().take(LONGEST_IMAGE).collect::<String>(), PLACE: place,
                },
            },
            "spec": { "contents": contents },
        });
        let params =
            PostParams { field_manager: Some(ADMISSION_FIELD_MANAGER.into()), ..PostParams::default() };
        let request = Request::new(SeccompProfile::url_path(&(), None));
        let request = request.create(&params, body.to_string().into_bytes());
        let request = request.map_err(|error| unavailable("RequestFailed", error.to_string()))?;
        match within(self.client.request::<Untrusted<SeccompProfile>>(request)).await {
            Ok(object) => {
                info!(profile = name, image, place, "a profile of an image is created");
                self.known().learn(&object);
                Ok(())
            }
            Err(kube::Error::Api(status)) if status.code == 409 => {
                let profiles: Api<Untrusted<SeccompProfile>> = Api::all(self.client.clone());
                let object = within(profiles.get(name)).await;
                let object = object.map_err(|error| unavailable("RequestFailed", chain(&error)))?;
                let state = state_of(&object);
                self.known().learn(&object);
                Self::judged(state, &profile.name)
            }
            Err(kube::Error::Api(status)) if [400, 403, 422].contains(&status.code) => {
                warn!(
                    profile = name,
                    image,
                    code = status.code,
                    error = status.message,
                    "a profile of an image is refused"
                );
                let message = format!("the API server refuses its profile: {}", status.message);
                Err(NoObject::Refused(Why { reason: "ProfileRefused", message }))
            }
            Err(error) => {
                warn!(profile = name, image, error = %chain(&error), "a profile of an image cannot be created");
                Err(unavailable("RequestFailed", "its profile cannot be created now".to_owned()))
            }
        }
    }

    /// A place among the objects, until the creation has ended.
    fn take_place(&self) -> Result<Place<'_>, NoObject> {
        let mut known = self.known();
        if !known.is_complete {
            let message = "it is not known yet which profiles of images exist".to_owned();
            return Err(unavailable("ObjectsUnknown", message));
        }
        if known.objects.len() + known.under_way >= self.most {
            let message = format!("there are {} profiles of images, and no more may be created", self.most);
            return Err(unavailable("TooManyProfiles", message));
        }
        known.under_way += 1;
        Ok(Place(self))
    }

    fn state(&self, name: &ProfileName) -> Option<State> {
        self.known().objects.get(name.as_str()).map(|(_, state)| *state)
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        // No code that can panic runs while it is locked.
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

struct Place<'a>(&'a Objects);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.known().under_way -= 1;
    }
}

fn unavailable(reason: &'static str, message: String) -> NoObject {
    NoObject::Unavailable(Why { reason, message })
}

fn state_of(object: &Untrusted<SeccompProfile>) -> State {
    let name = object.metadata.name.as_deref().unwrap_or_default().parse::<ProfileName>();
    let stated = name.ok().and_then(|name| name.stated_hash());
    let actual = object.profile().ok().map(|profile| profile.canonical().hash());
    match (stated, actual) {
        (Some(stated), Some(actual)) if stated == actual => match object.metadata.deletion_timestamp {
            None => State::Sound,
            Some(_) => State::Deleting,
        },
        _ => State::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(name: &str, action: &str, deleting: bool) -> Untrusted<SeccompProfile> {
        let mut metadata = json!({ "name": name });
        if deleting {
            metadata["deletionTimestamp"] = json!("2026-11-28T00:00:00Z");
        }
        let spec = json!({ "contents": { "defaultAction": action } });
        serde_json::from_value(json!({ "metadata": metadata, "spec": spec })).unwrap()
    }

    #[test]
    fn an_object_is_named_in_pods_only_with_the_contents_that_its_name_states() {
        let contents = json!({ "defaultAction": "SCMP_ACT_LOG" });
        let hash = profile::Profile::from_value(&contents).unwrap().canonical().hash();
        let name = ProfileName::stating(hash);
        let state = |name: &str, action, deleting| state_of(&object(name, action, deleting));
        assert_eq!(state(name.as_str(), "SCMP_ACT_LOG", false), State::Sound);
        assert_eq!(state(name.as_str(), "SCMP_ACT_LOG", true), State::Deleting);
        assert_eq!(state(name.as_str(), "SCMP_ACT_ALLOW", false), State::Other);
        assert_eq!(state(name.as_str(), "SCMP_ACT_EAT", false), State::Other);
        assert_eq!(state("audit", "SCMP_ACT_LOG", false), State::Other);
        assert_eq!(Objects::judged(State::Sound, &name), Ok(()));
        for state in [State::Deleting, State::Other] {
            assert!(matches!(Objects::judged(state, &name), Err(NoObject::Unavailable(_))));
        }
    }

    #[test]
    fn the_end_of_an_object_does_not_count_against_the_next_one_of_its_name() {
        let mut known = Known::default();
        let mut first = object("a", "SCMP_ACT_LOG", false);
        first.metadata.uid = Some("1".into());
        let mut next = first.clone();
        next.metadata.uid = Some("2".into());
        known.learn(&first);
        known.learn(&next);
        known.forget(&ObjectId::of(&first.metadata));
        assert_eq!(known.objects.len(), 1);
        known.forget(&ObjectId::of(&next.metadata));
        assert_eq!(known.objects.len(), 0);
    }
}
