//! When the status of a profile may be written, and when it may call the profile ready.
//!
//! Each write of a status goes to every watcher together with the profile's contents, so that only what people and
//! programs act on is written at once. Mere counts and texts are gathered: for five seconds in a small cluster, and at a
//! thousand nodes for forty during a rollout, which such writes make longer and which is mostly over by then, and for a
//! minute once the profile has settled.
//!
//! To call a profile not ready never waits. To call it ready waits in two cases, in which a report that looks right may
//! be wrong. Contents that go from A to B and back to A within moments meet a report of the first A, while the agent may
//! just have put B on the disk without having reported it yet. And a node that reports the file as there and as missing
//! in turns, because its disk is broken or its agent is in the wrong hands, would make the operator write every profile
//! as fast as that node likes.

use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use super::after;
use crate::status::Urgency;

/// How long a report is under way once it has been gathered, unless the API server is in trouble. One that takes longer may
/// pass for a report of contents that have come back since: the profile is then called ready before the node has them on
/// its disk again, by as long as that takes.
const SENT: Duration = Duration::from_secs(2);
/// How much longer ago contents must have been demanded for every report of them to have arrived.
const MARGIN: Duration = Duration::from_secs(4);
/// Earlier contents that are remembered.
const REMEMBERED: usize = 8;
/// The longest wait before a profile that keeps falling back is called ready again.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// A profile that has not fallen back for this long starts anew.
const QUIET: Duration = Duration::from_secs(600);
/// How long after its contents changed a profile counts as settled.
const SETTLED: Duration = Duration::from_secs(60);
/// The shortest time between two writes of mere counts and texts.
const SHORTEST_GATHER: Duration = Duration::from_secs(5);
/// The longest of a profile that has not settled.
const LONGEST_ROLLOUT_GATHER: Duration = Duration::from_secs(40);
/// The longest of any profile.
const LONGEST_GATHER: Duration = Duration::from_secs(60);
/// The number of nodes from which on the longest times hold; with fewer nodes they are proportionally shorter.
const LARGE: usize = 1000;
/// How long mere counts wait for the report of a node that joins.
const JOIN: Duration = Duration::from_secs(5);

/// The part of a profile's pace that the cluster sets.
#[derive(Debug, Default)]
pub(super) struct Joins {
    since: Option<Timestamp>,
}

impl Joins {
    /// A node joins. If its agent reports within [`JOIN`], its arrival and its report are one write of each profile and not
    /// two, because mere counts wait for so long. Where nodes join all the time, they wait for half of the time at most.
    pub(super) fn node_joins(&mut self, now: Timestamp) {
        if self.since.is_none_or(|since| after(since, 2 * JOIN) <= now) {
            self.since = Some(now);
        }
    }
}

/// What the counts of a profile and of the cluster say about its pace.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crowd<'a> {
    /// All nodes that are known.
    pub(super) nodes: usize,
    /// Those of the profile's nodes that join.
    pub(super) joining: u32,
    pub(super) joins: &'a Joins,
}

/// The pace of one profile's status.
#[derive(Debug)]
pub(super) struct Pacing {
    /// Contents demanded before the present ones, and until when.
    past: Vec<(ShortHash, Timestamp)>,
    /// Until when reports may be of an earlier time at which the same contents were demanded.
    unsure_until: Option<Timestamp>,
    /// How often the profile has fallen back with the present contents, and when it last did.
    falls: Option<(u32, Timestamp)>,
    /// When the present contents came.
    changed: Timestamp,
    /// The contents of the last status that was written, and whether it called them ready.
    last: Option<(ShortHash, bool)>,
    /// Whether a status has said of the present contents that a node cannot hold them.
    failure_written: bool,
    /// When this process last wrote the status.
    written: Option<Timestamp>,
    /// Until when mere counts and texts wait.
    held_until: Option<Timestamp>,
}

impl Pacing {
    /// The pace of a profile that is first seen at `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            past: Vec::new(),
            unsure_until: None,
            falls: None,
            changed: now,
            last: None,
            failure_written: false,
            written: None,
            held_until: None,
        }
    }

    /// The contents that `nodes` nodes should have have changed.
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
        self.unsure_until = again.then(|| after(now, report));
        self.past.extend(old.map(|old| (old, now)));
        let surplus = self.past.len().saturating_sub(REMEMBERED);
        self.past.drain(..surplus);
        (self.changed, self.falls, self.failure_written) = (now, None, false);
    }

    /// A status has been written: of contents with this hash, whether it calls them ready, and whether it says that a node
    /// cannot hold them.
    pub(super) fn status_written(
        &mut self,
        hash: Option<ShortHash>,
        ready: bool,
        failed: bool,
        now: Timestamp,
    ) {
        self.written = Some(now);
        self.failure_written |= failed;
        let written = hash.map(|hash| (hash, ready));
        if let (Some((before, true)), Some((hash, false))) = (self.last, written)
            && before == hash
        {
            let recent = self.falls.filter(|(_, last)| after(*last, QUIET) > now);
            self.falls = Some((recent.map_or(0, |(count, _)| count).saturating_add(1), now));
        }
        self.last = written;
    }

    /// From when on the profile may be called ready, if that is not now.
    pub(super) fn ready_from(&self, now: Timestamp) -> Option<Timestamp> {
        let fell = self.falls.and_then(|(count, last)| {
            let doublings = count.checked_sub(2)?;
            Some(after(last, Duration::from_secs(1 << doublings.min(6)).min(LONGEST_WAIT)))
        });
        self.unsure_until.max(fell).filter(|from| *from > now)
    }

    /// When a change of the status may be written, if that is not now. `fails` if the new status says that a node cannot
    /// hold the contents: the first time, that does not wait.
    pub(super) fn write_from(
        &self,
        urgency: Urgency,
        fails: bool,
        crowd: Crowd<'_>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if urgency == Urgency::Now || fails && !self.failure_written {
            return None;
        }
        let most = if self.is_settled(now) { LONGEST_GATHER } else { LONGEST_ROLLOUT_GATHER };
        // In whole seconds: while a small cluster grows by a node, nothing that waits becomes due sooner or later.
        let more = (most - SHORTEST_GATHER).as_secs() * crowd.nodes.min(LARGE) as u64 / LARGE as u64;
        let gather = SHORTEST_GATHER + Duration::from_secs(more);
        // After a clock was set back, a time of earlier may lie in the future, and would hold a write for that long.
        let past = |time: &Timestamp| *time <= now;
        let gathered = self.written.filter(past).map(|written| after(written, gather));
        let joins = crowd.joins.since.filter(|_| crowd.joining > 0);
        let joined = joins.filter(past).map(|since| after(since, JOIN));
        gathered.max(joined).filter(|from| *from > now)
    }

    /// Mere counts and texts wait until then, when the profile is judged again, whatever comes before; `None` if nothing
    /// waits.
    pub(super) fn hold_until(&mut self, until: Option<Timestamp>) {
        self.held_until = until;
    }

    /// Whether mere counts and texts wait at `now`.
    pub(super) fn is_held(&self, now: Timestamp) -> bool {
        // A time that is further away stems from a clock that was set back.
        self.held_until.is_some_and(|until| now < until && until <= after(now, LONGEST_GATHER))
    }

    /// Whether its contents have been the same for a while.
    fn is_settled(&self, now: Timestamp) -> bool {
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
        let mut pacing = Pacing::new(at(0));
        pacing.contents_changed(hash(1), hash(2), 2, at(1000));
        assert_eq!(pacing.ready_from(at(1000)), None);
        pacing.contents_changed(hash(2), hash(1), 2, at(1100));
        assert_eq!(pacing.ready_from(at(1100)), Some(at(7100)));
        assert_eq!(pacing.ready_from(at(7100)), None);
    }

    #[test]
    fn in_a_large_cluster_where_reports_are_gathered_for_longer_they_are_not_trusted_for_longer() {
        let mut pacing = Pacing::new(at(0));
        pacing.contents_changed(hash(1), hash(2), 1000, at(0));
        pacing.contents_changed(hash(2), hash(1), 1000, at(25_000));
        assert_eq!(pacing.ready_from(at(25_000)), Some(at(47_000)));
    }

    #[test]
    fn contents_that_come_back_later_are() {
        let mut pacing = Pacing::new(at(0));
        pacing.contents_changed(hash(1), hash(2), 2, at(0));
        pacing.contents_changed(hash(2), hash(1), 2, at(11_000));
        assert_eq!(pacing.ready_from(at(11_000)), None);
    }

    #[test]
    fn a_profile_that_keeps_falling_back_waits_longer_each_time_up_to_a_minute() {
        let mut pacing = Pacing::new(at(0));
        let mut waits = Vec::new();
        for _ in 0..10 {
            pacing.status_written(hash(1), true, false, at(0));
            pacing.status_written(hash(1), false, false, at(0));
            waits.push(pacing.ready_from(at(0)).map_or(0, |from| from.as_second() - at(0).as_second()));
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        // Ten quiet minutes later it is a first time again.
        pacing.status_written(hash(1), true, false, at(1));
        pacing.status_written(hash(1), false, false, at(601_000));
        assert_eq!(pacing.ready_from(at(601_000)), None);
    }

    #[test]
    fn new_contents_start_anew() {
        let mut pacing = Pacing::new(at(0));
        for _ in 0..5 {
            pacing.status_written(hash(1), true, false, at(0));
            pacing.status_written(hash(1), false, false, at(0));
        }
        pacing.contents_changed(hash(1), hash(2), 2, at(0));
        assert_eq!(pacing.ready_from(at(0)), None);
        assert!(!pacing.is_settled(at(59_999)));
        assert!(pacing.is_settled(at(60_000)));
    }

    fn write_from(pacing: &Pacing, nodes: usize, second: i64) -> Option<i64> {
        let crowd = Crowd { nodes, joining: 0, joins: &Joins::default() };
        let from = pacing.write_from(Urgency::Whenever, false, crowd, at(second * 1000));
        from.map(|from| from.duration_since(at(0)).as_secs())
    }

    #[test]
    fn counts_are_gathered_for_longer_the_more_nodes_there_are_and_once_the_profile_has_settled() {
        let mut pacing = Pacing::new(at(0));
        assert_eq!(write_from(&pacing, 1000, 0), None, "the first status waits for nothing");
        pacing.status_written(hash(1), false, false, at(1000));
        for (nodes, from) in [(0, 6), (28, 6), (100, 9), (1000, 41), (50_000, 41)] {
            assert_eq!(write_from(&pacing, nodes, 2), (from > 2).then_some(from), "{nodes} nodes");
        }
        pacing.status_written(hash(1), true, false, at(100_000));
        assert_eq!(write_from(&pacing, 1000, 101), Some(160));
        assert_eq!(write_from(&pacing, 1000, 160), None);
    }

    #[test]
    fn what_people_act_on_waits_for_nothing_and_neither_does_the_first_failure_of_the_contents() {
        let mut pacing = Pacing::new(at(0));
        pacing.status_written(hash(1), false, false, at(0));
        let crowd = Crowd { nodes: 1000, joining: 0, joins: &Joins::default() };
        assert_eq!(pacing.write_from(Urgency::Now, false, crowd, at(1)), None);
        assert_eq!(pacing.write_from(Urgency::Whenever, true, crowd, at(1)), None);
        pacing.status_written(hash(1), false, true, at(1));
        assert!(pacing.write_from(Urgency::Whenever, true, crowd, at(2)).is_some());
    }

    #[test]
    fn counts_wait_for_a_node_that_joins_and_for_half_of_the_time_where_nodes_join_all_the_time() {
        let (pacing, mut joins) = (Pacing::new(at(0)), Joins::default());
        let mut waits = 0;
        for second in 0..100 {
            joins.node_joins(at(second * 1000));
            let crowd = Crowd { nodes: 10, joining: 1, joins: &joins };
            waits +=
                i32::from(pacing.write_from(Urgency::Whenever, false, crowd, at(second * 1000)).is_some());
        }
        assert_eq!(waits, 50);
        let crowd = Crowd { nodes: 10, joining: 0, joins: &joins };
        assert_eq!(pacing.write_from(Urgency::Whenever, false, crowd, at(99_000)), None);
    }

    #[test]
    fn a_clock_that_was_set_back_holds_nothing() {
        let (mut pacing, mut joins) = (Pacing::new(at(0)), Joins::default());
        joins.node_joins(at(500_000));
        pacing.status_written(hash(1), true, false, at(500_000));
        pacing.hold_until(Some(at(560_000)));
        let crowd = Crowd { nodes: 10, joining: 1, joins: &joins };
        assert_eq!(pacing.write_from(Urgency::Whenever, false, crowd, at(1000)), None);
        assert!(pacing.is_held(at(501_000)) && !pacing.is_held(at(1000)) && !pacing.is_held(at(560_000)));
    }
}
