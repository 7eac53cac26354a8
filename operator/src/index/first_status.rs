//! When the first status of a new profile is written.
//!
//! The nodes of most new profiles hold them within two seconds, in a large cluster within a minute. A status that says
//! before that they do not yet would be one more event with the contents for every watcher, so that it waits for the
//! reports, for some time.
//!
//! Agents take from the profiles' statuses how many nodes there are, which decides when they report. So the status of
//! one profile does not wait where no other shows that number.

use api::{SeccompProfileStatus, State};
use k8s_openapi::jiff::Timestamp;

use super::Index;
use super::profile::Profile;

impl Index {
    /// When `wanted` may be written as the first status of the profile `name`; `None` if it may now, or is not the first.
    pub(super) fn first_status_delayed_until(
        &self,
        name: &str,
        profile: &Profile,
        wanted: &SeccompProfileStatus,
        now: Timestamp,
    ) -> Option<Timestamp> {
        // Every other state is one that people and programs act on.
        if profile.facts.status.is_some() || wanted.state != Some(State::Progressing.into()) {
            return None;
        }
        let (nodes, profiles) = (self.nodes.len(), self.profiles.len());
        let until = profile.pacing.first_status_delayed_until(name, nodes, profiles, now)?;
        // A deferral stands: what ended it would have to queue the profile.
        let waits =
            profile.pacing.is_deferred(now) || profile.awaits_reports() && self.shows_size_without(name);
        waits.then_some(until)
    }

    /// Whether another profile than `name` shows the number of nodes, or will: of those without a status, the first by
    /// name does not wait.
    fn shows_size_without(&self, name: &str) -> bool {
        let mut others = self.profiles.iter().filter(|(other, _)| *other != name);
        others.any(|(other, profile)| match &profile.facts.status {
            Some(status) => status.nodes.is_some_and(|nodes| nodes.desired > 0),
            None => other.as_str() < name && profile.is_required() && !profile.facts.deleting(),
        })
    }
}
