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
    if stored == wanted || lacks_only_what_rides_along(stored, wanted) {
        return Urgency::None;
    }
    // Whoever waits for a mitigation acts when no container is under an earlier filter any more; how many there are until
    // then is only a number.
    let outdated = |status: &SeccompProfileStatus| status.pods.and_then(|pods| pods.outdated);
    let last_one_ended = outdated(stored) > Some(0) && outdated(wanted) == Some(0);
    if acted_on(stored) == acted_on(wanted) && !last_one_ended { Urgency::Whenever } else { Urgency::Now }
}

/// Whether `stored` is `wanted` without fields that are only written together with others.
///
/// The hash of a ready profile is such a field: an operator of a release that did not know it may have called the profile
/// ready, which readers of the field accept, too. So are warnings where the condition `Sound`, which is written with
/// them, is there: somebody has removed them since. As a rule that is the API server, with a definition of an earlier
/// release, and it would remove either field again each time.
fn lacks_only_what_rides_along(stored: &SeccompProfileStatus, wanted: &SeccompProfileStatus) -> bool {
    let mut wanted = wanted.clone();
    if stored.ready_hash.is_none() {
        wanted.ready_hash = None;
    }
    if stored.warnings.is_empty() && sound_condition(stored).is_some() {
        wanted.warnings = Vec::new();
    }
    wanted == *stored
}

/// `status.readyHash` of a profile of this generation with these contents, which are ready on its nodes or not.
///
/// While they are not, the hash that was last ready stays. Where it is that of the present contents, it stays only as long
/// as the spec does: other nodes may have been selected since, or the contents may have come back after others, which
/// nodes may still have. So the hash equals that of the present contents only if they have been ready on the nodes that
/// the present spec selects. An operator of an earlier release wrote no hash; then the one with which the profile was ready
/// counts.
#[must_use]
pub fn ready_hash(
    stored: Option<&SeccompProfileStatus>,
    generation: Option<i64>,
    contents: Option<&str>,
    ready: bool,
) -> Option<String> {
    if ready {
        return contents.map(str::to_owned);
    }
    let stored = stored?;
    let kept = if is_ready(stored) { &stored.content_hash } else { &stored.ready_hash };
    let same_spec = stored.observed_generation == generation;
    kept.clone().filter(|kept| same_spec || Some(kept.as_str()) != contents)
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

/// How many nodes `status.failures` names.
pub const MAX_FAILURES: usize = 10;

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
    use api::PodCounts;

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
        // A profile that an earlier release called ready costs no write after the upgrade.
        let hashed = SeccompProfileStatus { ready_hash: Some("a".into()), ..flipped.clone() };
        assert_eq!(urgency(Some(&flipped), &hashed), Urgency::None);
    }

    #[test]
    fn the_hash_of_the_contents_that_were_last_ready_stays_while_later_ones_are_not() {
        let status = |hash: &str, ready: &str, ready_hash: Option<&str>| SeccompProfileStatus {
            observed_generation: Some(1),
            content_hash: Some(hash.to_owned()),
            ready_hash: ready_hash.map(str::to_owned),
            conditions: vec![Condition {
                type_: conditions::READY.to_owned(),
                status: ready.to_owned(),
                reason: String::new(),
                message: String::new(),
                observed_generation: None,
                last_transition_time: Time(Timestamp::UNIX_EPOCH),
            }],
            ..Default::default()
        };
        let of = |stored: Option<&SeccompProfileStatus>, contents, ready| {
            ready_hash(stored, Some(1), Some(contents), ready)
        };
        assert_eq!(of(None, "a", false), None);
        assert_eq!(of(None, "a", true).as_deref(), Some("a"));
        assert_eq!(of(Some(&status("a", "False", None)), "a", false), None, "it was never ready");
        assert_eq!(of(Some(&status("a", "False", Some("a"))), "a", false).as_deref(), Some("a"));
        assert_eq!(of(Some(&status("b", "False", Some("a"))), "b", false).as_deref(), Some("a"));
        assert_eq!(of(Some(&status("b", "False", Some("a"))), "b", true).as_deref(), Some("b"));
        // An earlier release has called it ready.
        assert_eq!(of(Some(&status("a", "True", None)), "a", false).as_deref(), Some("a"));
        // Of another generation it stays only if nobody can take it for that of the present contents.
        let later = |stored, contents, ready| ready_hash(Some(&stored), Some(2), Some(contents), ready);
        assert_eq!(later(status("a", "True", Some("a")), "b", false).as_deref(), Some("a"));
        assert_eq!(later(status("a", "True", Some("a")), "a", false), None);
        assert_eq!(later(status("b", "False", Some("a")), "a", false), None);
        assert_eq!(later(status("a", "True", Some("a")), "a", true).as_deref(), Some("a"));
    }

    #[test]
    fn the_end_of_the_last_container_under_an_old_filter_does_not_wait() {
        let with = |using, outdated| SeccompProfileStatus {
            pods: Some(PodCounts { using, outdated, unknown: None }),
            ..Default::default()
        };
        let urgency = |stored, wanted| urgency(Some(&stored), &wanted);
        assert_eq!(urgency(with(3, Some(2)), with(3, Some(0))), Urgency::Now);
        for (stored, wanted) in [
            (with(3, Some(0)), with(3, Some(2))),
            (with(3, Some(2)), with(3, Some(1))),
            (with(3, Some(0)), with(4, Some(0))),
            (with(3, Some(2)), with(3, None)),
            (with(3, None), with(3, Some(0))),
        ] {
            assert_eq!(urgency(stored, wanted), Urgency::Whenever);
        }
    }
}
