//! Old and new status of a profile: what changed, and how soon it must be said.

use api::SeccompProfileStatus;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;

/// How soon a new status must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Urgency {
    /// Nothing changed.
    None,
    /// Only numbers and texts changed.
    Whenever,
    /// What people and programs act on changed.
    Now,
}

/// How soon `wanted` must replace `stored`.
#[must_use]
pub fn urgency(stored: Option<&SeccompProfileStatus>, wanted: &SeccompProfileStatus) -> Urgency {
    let Some(stored) = stored else { return Urgency::Now };
    if stored == wanted {
        return Urgency::None;
    }
    let acted_on = |status: &SeccompProfileStatus| {
        let conditions: Vec<_> = status
            .conditions
            .iter()
            .map(|condition| {
                let Condition { type_, status, reason, observed_generation, .. } = condition.clone();
                (type_, status, reason, observed_generation)
            })
            .collect();
        let failed = status.nodes.is_some_and(|nodes| nodes.failed > 0);
        (
            status.observed_generation,
            status.content_hash.clone(),
            status.localhost_profile.clone(),
            status.state,
            status.removal,
            failed,
            conditions,
        )
    };
    if acted_on(stored) == acted_on(wanted) { Urgency::Whenever } else { Urgency::Now }
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

/// When `stored` turned to `status`, if that is what it says.
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

/// The API server stores times to the second: what was written must compare equal to what is read back.
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
        let flipped = SeccompProfileStatus { state: Some(api::State::Ready), ..stored.clone() };
        assert_eq!(urgency(Some(&stored), &flipped), Urgency::Now);
        assert_eq!(urgency(None, &stored), Urgency::Now);
    }
}
