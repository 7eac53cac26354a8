//! Profiles of images that no pod names any more: since when, and when the operator removes them.
//!
//! Since when is in the status (`unusedSince`), so that a restart loses nothing. The field changes only when the first pod
//! names a profile or the last one ends, which changes the number of pods in the same status: it costs no write of its own,
//! and is written with the pace of the counts. A profile is only removed by what is stored; what this process has seen
//! since the last write is added, so that a pod that has come and gone meanwhile counts.

use std::collections::BTreeSet;
use std::time::Duration;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;

use super::profile::Profile;
use super::{Index, after};
use crate::status::whole_seconds;

/// How much later than the stored time a pod must have ended for another write: the operators of which one leads see the
/// end of a pod at different times, and a new leader must not write every status again.
const SAME_END: Duration = Duration::from_secs(10);

/// How long the file stays after the deletion of a profile of an image has begun, although no pod names it. A pod whose
/// creation the admission webhook has answered before it saw the deletion is stored a little later.
pub(super) const UNDER_WAY: Duration = Duration::from_secs(10);

impl Index {
    /// Removes profiles of images that no pod has named for so long.
    #[must_use]
    pub fn removing_unused_after(mut self, time: Option<Duration>) -> Self {
        self.remove_unused_after = time;
        self
    }

    /// The users of these profiles may have changed.
    pub(super) fn users_changed(&mut self, profiles: &BTreeSet<String>, now: Timestamp) {
        for name in profiles {
            let users = self.users.count(name);
            if let Some(profile) = self.profiles.get_mut(name).filter(|profile| profile.facts.is_from_image())
            {
                profile.unnamed_since = (users == 0).then_some(now);
            }
        }
    }

    /// Remembers that no pod names the profile, if nothing was known of it before and the index lacks no pod.
    pub(super) fn note_unnamed(&mut self, name: &str, now: Timestamp) {
        let is_unnamed = self.incomplete_kinds.is_empty() && self.users.count(name) == 0;
        if let Some(profile) = self.profiles.get_mut(name)
            && is_unnamed
            && profile.facts.is_from_image()
            && profile.stored_unused_since().is_none()
        {
            profile.unnamed_since.get_or_insert(now);
        }
    }

    /// Since when no pod has named a profile of an image; `None` while one does, and for other profiles.
    pub(super) fn unused_since(&self, name: &str, profile: &Profile) -> Option<Time> {
        if !profile.facts.is_from_image() || self.users.count(name) > 0 {
            return None;
        }
        let since = match (profile.stored_unused_since(), profile.unnamed_since) {
            (Some(stored), Some(ended)) if ended > after(stored, SAME_END) => ended,
            (Some(stored), _) => stored,
            (None, ended) => ended?,
        };
        Some(Time(whole_seconds(since)))
    }

    /// When the profile is to be removed because no pod has named it for long enough; `None` if it is not.
    pub(super) fn removal_due(&self, name: &str, profile: &Profile) -> Option<Timestamp> {
        let stored = profile.stored_unused_since().filter(|_| !profile.facts.deleting())?;
        let since = self.unused_since(name, profile)?.0;
        (since == stored && self.incomplete_kinds.is_empty()).then_some(())?;
        Some(after(since, self.remove_unused_after?))
    }
}

impl Profile {
    pub(super) fn stored_unused_since(&self) -> Option<Timestamp> {
        Some(self.facts.status.as_ref()?.unused_since.as_ref()?.0)
    }

    /// Until when a pod may come that names the profile although its deletion has begun.
    pub(super) fn pods_under_way_until(&self, now: Timestamp) -> Option<Timestamp> {
        let since = self.deleting_since.filter(|_| self.facts.is_from_image())?;
        Some(after(since, UNDER_WAY)).filter(|until| *until > now)
    }
}
