//! The stored and the wanted status of a profile: what differs, and how soon it must be written.

use api::{SeccompProfileStatus, conditions};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// How soon a new status must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Nothing changed.
    None,
    /// Only numbers and texts changed.
    Whenever,
    /// Something changed that people and programs act on.
    Now,
}

/// How soon `wanted` must replace `stored`.
#[must_use]
pub fn urgency(stored: Option<&SeccompProfileStatus>, wanted: &SeccompProfileStatus) -> Urgency {
    let Some(stored) = stored else { return Urgency::Now };
    if stored == wanted || lacks_only_warnings(stored, wanted) {
        return Urgency::None;
    }
    if acted_on(stored) == acted_on(wanted) { Urgency::Whenever } else { Urgency::Now }
}

/// Whether `stored` is `wanted` without its warnings. The condition `Sound` is written with them, so that somebody has
/// removed them since: as a rule the API server, with a definition of an earlier release, and would again each time.
fn lacks_only_warnings(stored: &SeccompProfileStatus, wanted: &SeccompProfileStatus) -> bool {
    stored.warnings.is_empty()
        && !wanted.warnings.is_empty()
        && SeccompProfileStatus { warnings: Vec::new(), ..wanted.clone() } == *stored
        && sound_condition(stored).is_some()
}

/// The parts of a status that people and programs act on. The reason why a profile is not ready is not among them: a
/// node that alternates between two reasons would otherwise cause a write, sent to every watcher, each time. Nor is the
/// condition Sound, which changes nothing on any node.
fn acted_on(status: &SeccompProfileStatus) -> impl PartialEq {
    let condition = |kind: &str| {
        let found = status.conditions.iter().find(|condition| condition.type_ == kind)?;
        let reason = (kind != conditions::READY).then(|| found.reason.clone());
        Some((found.status.clone(), found.observed_generation, reason))
    };
    (
        status.observed_generation,
        status.content_hash.clone(),
        status.localhost_profile.clone(),
        status.removal.clone(),
        [conditions::ACCEPTED, conditions::READY, conditions::DELETING, conditions::STALLED].map(condition),
    )
}

/// The condition Ready.
#[must_use]
pub fn ready_condition(status: &SeccompProfileStatus) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == conditions::READY)
}

/// The condition Sound.
#[must_use]
pub fn sound_condition(status: &SeccompProfileStatus) -> Option<&Condition> {
    status.conditions.iter().find(|condition| condition.type_ == conditions::SOUND)
}

/// Whether a status calls its profile ready.
#[must_use]
pub fn is_ready(status: &SeccompProfileStatus) -> bool {
    ready_condition(status).is_some_and(|condition| condition.status == "True")
}

/// Gives each condition the time of its last transition: the stored one where the status is the same, else `now`.
pub fn keep_transition_times(
    stored: Option<&SeccompProfileStatus>,
    conditions: &mut [Condition],
    now: Timestamp,
) {
    for condition in conditions {
        let known =
            stored.and_then(|stored| stored.conditions.iter().find(|known| known.type_ == condition.type_));
        condition.last_transition_time =
            transition_time(known, &condition.status).unwrap_or(Time(whole_seconds(now)));
    }
}

/// When `stored` changed to `status`, if that is its status.
#[must_use]
pub fn transition_time(stored: Option<&Condition>, status: &str) -> Option<Time> {
    stored.filter(|stored| stored.status == status).map(|stored| stored.last_transition_time.clone())
}

/// `text`, cut at `most` characters.
#[must_use]
pub fn bounded(text: &str, most: usize) -> String {
    match text.char_indices().nth(most) {
        Some((end, _)) => format!("{}…", text[..end].chars().take(most - 1).collect::<String>()),
        None => text.to_owned(),
    }
}

/// `time` without its fraction of a second: the API server stores whole seconds, and a status that is read back must
/// equal the one that was written.
#[must_use]
pub fn whole_seconds(time: Timestamp) -> Timestamp {
    Timestamp::from_second(time.as_second()).unwrap_or(time)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_are_cut_between_characters() {
        assert_eq!(bounded("abc", 3), "abc");
        assert_eq!(bounded("äöüß", 3), "äö…");
    }

    #[test]
    fn counts_alone_can_wait_and_flips_cannot() {
        let stored = SeccompProfileStatus { ready: Some("1/2".into()), ..Default::default() };
        assert_eq!(urgency(Some(&stored), &stored), Urgency::None);
        let counted = SeccompProfileStatus { ready: Some("2/3".into()), ..stored.clone() };
        assert_eq!(urgency(Some(&stored), &counted), Urgency::Whenever);
        let ready = Condition {
            type_: conditions::READY.to_owned(),
            status: "True".to_owned(),
            reason: "AllNodesReady".to_owned(),
            message: String::new(),
            observed_generation: Some(1),
            last_transition_time: Time(Timestamp::UNIX_EPOCH),
        };
        let flipped = SeccompProfileStatus { conditions: vec![ready], ..stored.clone() };
        assert!(is_ready(&flipped) && !is_ready(&stored));
        assert_eq!(urgency(Some(&stored), &flipped), Urgency::Now);
        assert_eq!(urgency(None, &stored), Urgency::Now);
    }
}
