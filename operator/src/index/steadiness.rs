//! When a profile may be called ready again.
//!
//! Two things make a report that looks right less than sure. Contents that go from A to B and back to A within moments
//! meet a report of the first A, while the agent may just have put B on the disk and not have said so. And a node that
//! says yes and no in turns, because its disk is broken or its agent is in the wrong hands, would have the operator
//! write every profile, contents and all, to every watcher as fast as it likes. To say "not ready" never waits.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use super::after;

/// How long a report is under way, once it has been gathered, unless the API server is in trouble. One that takes longer may
/// pass for a report of the contents' present turn: Ready then comes before the node has put them on its disk again, by as
/// long as that takes.
const SENT: Duration = Duration::from_secs(2);
/// How much longer ago contents must have been demanded for their report to be surely over.
const MARGIN: Duration = Duration::from_secs(4);
/// Contents that are remembered.
const REMEMBERED: usize = 8;
/// The longest wait before a profile that keeps falling back is called ready again.
const LONGEST: Duration = Duration::from_secs(60);
/// A profile that has not fallen back for this long starts anew.
const QUIET: Duration = Duration::from_secs(600);
/// How long after its contents changed a profile counts as settled.
const SETTLED: Duration = Duration::from_secs(60);

/// What has happened to one profile lately.
#[derive(Debug)]
pub(super) struct Steadiness {
    /// Contents demanded before the present ones, and until when.
    past: Vec<(ShortHash, Timestamp)>,
    /// Until when reports may be of the same contents' earlier turn.
    doubt: Option<Timestamp>,
    /// How often it has fallen back with the present contents, and when it last did.
    falls: Option<(u32, Timestamp)>,
    /// When the present contents came.
    changed: Timestamp,
    /// What was last said of which contents.
    said: Option<(ShortHash, bool)>,
    /// Whether it has been said of the present contents that a node cannot hold them.
    failure_said: bool,
}

impl Steadiness {
    pub(super) fn new(now: Timestamp) -> Self {
        Self { past: Vec::new(), doubt: None, falls: None, changed: now, said: None, failure_said: false }
    }

    /// The contents that so many nodes should have are others now.
    pub(super) fn contents_changed(
        &mut self,
        old: Option<ShortHash>,
        new: Option<ShortHash>,
        nodes: u32,
        now: Timestamp,
    ) {
        let report = api::pace::longest_gather(nodes.into()) + SENT;
        self.past.retain(|(_, until)| after(*until, report + MARGIN) > now);
        let again = self.past.iter().any(|(hash, _)| Some(*hash) == new);
        self.doubt = again.then(|| after(now, report));
        self.past.extend(old.map(|old| (old, now)));
        let surplus = self.past.len().saturating_sub(REMEMBERED);
        self.past.drain(..surplus);
        (self.changed, self.falls, self.failure_said) = (now, None, false);
    }

    /// What was just written of contents with this hash.
    pub(super) fn said(&mut self, hash: Option<ShortHash>, ready: bool, failed: bool, now: Timestamp) {
        self.failure_said |= failed;
        let said = hash.map(|hash| (hash, ready));
        if let (Some((before, true)), Some((hash, false))) = (self.said, said)
            && before == hash
        {
            let recent = self.falls.filter(|(_, last)| after(*last, QUIET) > now);
            self.falls = Some((recent.map_or(0, |(count, _)| count).saturating_add(1), now));
        }
        self.said = said;
    }

    /// Whether it is news that a node cannot hold the present contents. The first time is said at once.
    pub(super) fn failure_is_news(&self) -> bool {
        !self.failure_said
    }

    /// From when on the profile may be called ready, if that is not now.
    pub(super) fn ready_from(&self, now: Timestamp) -> Option<Timestamp> {
        let held = self.falls.and_then(|(count, last)| {
            let doublings = count.checked_sub(2)?;
            Some(after(last, Duration::from_secs(1 << doublings.min(6)).min(LONGEST)))
        });
        self.doubt.max(held).filter(|from| *from > now)
    }

    /// Whether its contents have been the same for a while.
    pub(super) fn is_settled(&self, now: Timestamp) -> bool {
        after(self.changed, SETTLED) <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use profile::ContentHash;

    fn at(millis: i64) -> Timestamp {
        Timestamp::from_millisecond(1_800_000_000_000 + millis).unwrap()
    }

    fn hash(content: u8) -> Option<ShortHash> {
        Some(ContentHash::of(&[content]).short())
    }

    #[test]
    fn contents_that_come_back_at_once_are_not_trusted_to_an_old_report() {
        let mut steadiness = Steadiness::new(at(0));
        steadiness.contents_changed(hash(1), hash(2), 2, at(1000));
        assert_eq!(steadiness.ready_from(at(1000)), None);
        steadiness.contents_changed(hash(2), hash(1), 2, at(1100));
        assert_eq!(steadiness.ready_from(at(1100)), Some(at(7100)));
        assert_eq!(steadiness.ready_from(at(7100)), None);
    }

    #[test]
    fn in_a_large_cluster_where_reports_are_gathered_for_longer_they_are_not_trusted_for_longer() {
        let mut steadiness = Steadiness::new(at(0));
        steadiness.contents_changed(hash(1), hash(2), 1000, at(0));
        steadiness.contents_changed(hash(2), hash(1), 1000, at(25_000));
        assert_eq!(steadiness.ready_from(at(25_000)), Some(at(47_000)));
    }

    #[test]
    fn contents_that_come_back_later_are() {
        let mut steadiness = Steadiness::new(at(0));
        steadiness.contents_changed(hash(1), hash(2), 2, at(0));
        steadiness.contents_changed(hash(2), hash(1), 2, at(11_000));
        assert_eq!(steadiness.ready_from(at(11_000)), None);
    }

    #[test]
    fn a_profile_that_keeps_falling_back_waits_longer_each_time_up_to_a_minute() {
        let mut steadiness = Steadiness::new(at(0));
        let mut waits = Vec::new();
        for _ in 0..10 {
            steadiness.said(hash(1), true, false, at(0));
            steadiness.said(hash(1), false, false, at(0));
            waits.push(steadiness.ready_from(at(0)).map_or(0, |from| from.as_second() - at(0).as_second()));
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        // Ten quiet minutes later it is a first time again.
        steadiness.said(hash(1), true, false, at(1));
        steadiness.said(hash(1), false, false, at(601_000));
        assert_eq!(steadiness.ready_from(at(601_000)), None);
    }

    #[test]
    fn new_contents_start_anew() {
        let mut steadiness = Steadiness::new(at(0));
        for _ in 0..5 {
            steadiness.said(hash(1), true, false, at(0));
            steadiness.said(hash(1), false, false, at(0));
        }
        steadiness.contents_changed(hash(1), hash(2), 2, at(0));
        assert_eq!(steadiness.ready_from(at(0)), None);
        assert!(!steadiness.is_settled(at(59_999)));
        assert!(steadiness.is_settled(at(60_000)));
    }
}
