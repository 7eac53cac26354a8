//! When the status of a profile may be written, and when it may call the profile ready.
//!
//! The API server sends each write of a status to every watcher together with the profile's contents. So only changes
//! that people and programs act on are written at once. Changes of only counts and messages wait: five seconds in a
//! small cluster; with a thousand nodes, forty seconds during a rollout, which more writes would slow down, and a
//! minute once the profile has settled. Where there are many profiles, too, they wait until all of them together send
//! the nodes no more than a thousand events a second: with two hundred profiles on a thousand nodes, counts every forty
//! seconds would take the API server longer than forty seconds to deliver.
//!
//! A status that calls a profile not ready waits only if it is the first one of a new profile whose nodes have yet to
//! report: most profiles are ready within two seconds, and then their first status says so. Until then the profile has
//! the status that the definition gives it by default, which calls it not ready, too.
//!
//! A status that calls it ready waits in two cases, in which a matching report may be wrong. When contents change from
//! A to B and back to A within moments, the report of the first A matches, while the agent may have just written B and
//! not reported it yet. And a node whose disk is broken or whose agent is malicious can report the file as present and
//! as missing alternately, and would cause a write of every profile each time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use k8s_openapi::jiff::Timestamp;
use profile::ShortHash;

use super::after;
use crate::status::Urgency;

/// How long an agent takes to send a report after gathering it, unless the API server is in trouble. A report that
/// takes longer may match contents that have been restored in the meantime, and the profile then counts as ready too
/// early.
const REPORT_TRANSIT: Duration = Duration::from_secs(2);
/// How long earlier contents are remembered after that time.
const MARGIN: Duration = Duration::from_secs(4);
/// How many earlier contents are remembered.
const REMEMBERED_CONTENTS: usize = 8;
/// The longest wait before a flapping profile is called ready again.
const MAX_READY_DELAY: Duration = Duration::from_mins(1);
/// After this long without a flap, the count starts at zero.
const QUIET: Duration = Duration::from_mins(10);
/// How long after its contents changed a profile counts as settled.
const SETTLED: Duration = Duration::from_mins(1);
/// The shortest time between two writes of counts and messages alone.
const MIN_GATHER: Duration = Duration::from_secs(5);
/// The longest such time for a profile that has not settled.
const MAX_ROLLOUT_GATHER: Duration = Duration::from_secs(40);
/// The longest such time for any profile.
const MAX_GATHER: Duration = Duration::from_mins(1);
/// The longest times apply from this many nodes; below it they grow linearly from the shortest.
const LARGE_CLUSTER: usize = 1000;
/// For how long the first status of a new profile waits for the reports of its nodes, in addition to the time that an
/// agent may wait for further changes ([`api::pace::Load::rollout`]): an agent that waited for all of it still has to
/// send its report.
const FIRST: Duration = REPORT_TRANSIT;
/// So many events a second may the count-only changes of all profiles send to all nodes together.
const EVENTS_A_SECOND: u64 = 1000;
/// More nodes than these do not make them rarer, which then takes the API servers of a large cluster.
const MAX_COUNTED_NODES: usize = 5000;
/// The longest time between two writes of counts alone for that reason.
const MAX_CROWDED_GATHER: Duration = Duration::from_mins(5);
/// How long count-only changes wait for the report of a node that joins.
const JOIN_WAIT: Duration = Duration::from_secs(5);

/// Since when count-only changes of all profiles wait for a node that joins.
#[derive(Debug, Default)]
pub(super) struct Joins {
    since: Option<Timestamp>,
}

impl Joins {
    /// A node joins. Count-only changes wait for [`JOIN_WAIT`]: if its agent reports in that time, each profile is
    /// written once and not twice. Where nodes join all the time, counts wait for half of the time at most.
    pub(super) fn node_joins(&mut self, now: Timestamp) {
        if self.since.is_none_or(|since| after(since, 2 * JOIN_WAIT) <= now) {
            self.since = Some(now);
        }
    }
}

/// The properties of the cluster on which the delay of count-only changes depends.
#[derive(Debug, Clone, Copy)]
pub(super) struct ClusterSize<'a> {
    /// All nodes in the index.
    pub(super) nodes: usize,
    /// All profiles in the index.
    pub(super) profiles: usize,
    /// The profile's nodes that are joining.
    pub(super) joining: u32,
    pub(super) joins: &'a Joins,
}

/// How long the events take that one count-only change of each profile sends to the nodes.
fn time_of_counts(nodes: usize, profiles: usize) -> Duration {
    let events = (nodes.min(MAX_COUNTED_NODES) as u64).saturating_mul(profiles as u64);
    Duration::from_secs(events / EVENTS_A_SECOND).min(MAX_CROWDED_GATHER)
}

/// A number from 0 to 999 that depends on the name alone.
pub(super) fn hash_share(name: &str) -> u32 {
    let mut hasher = DefaultHasher::new();
    name.hash(&mut hasher);
    u32::try_from(hasher.finish() % 1000).unwrap_or_default()
}

/// The pace of one profile's status.
#[derive(Debug)]
pub(super) struct StatusPacing {
    /// When this process first saw the profile.
    seen: Timestamp,
    /// Earlier contents of the profile, and until when it had them.
    earlier: Vec<(ShortHash, Timestamp)>,
    /// Until when a matching report may be of an earlier time at which the profile had the same contents.
    unsure_until: Option<Timestamp>,
    /// How often the profile has flapped with the present contents, that is, its status went from ready to not ready,
    /// and when it last did.
    flaps: Option<(u32, Timestamp)>,
    /// When the contents last changed.
    changed: Timestamp,
    /// The contents of the last status that was written, and whether it called them ready.
    last: Option<(ShortHash, bool)>,
    /// Whether a status has been written that a node cannot hold the present contents.
    failure_written: bool,
    /// When this process last wrote the status.
    written: Option<Timestamp>,
    /// Until when a change of counts and messages alone waits.
    deferred_until: Option<Timestamp>,
}

impl StatusPacing {
    /// The pace of a profile that is first seen at `now`.
    pub(super) fn new(now: Timestamp) -> Self {
        Self {
            seen: now,
            earlier: Vec::new(),
            unsure_until: None,
            flaps: None,
            changed: now,
            last: None,
            failure_written: false,
            written: None,
            deferred_until: None,
        }
    }

    /// The contents, which `nodes` nodes should have, have changed from `old` to `new`.
    pub(super) fn contents_changed(
        &mut self,
        old: Option<ShortHash>,
        new: Option<ShortHash>,
        nodes: u32,
        now: Timestamp,
    ) {
        let report_time = api::pace::longest_gather(nodes.into()) + REPORT_TRANSIT;
        self.earlier.retain(|(_, until)| after(*until, report_time + MARGIN) > now);
        let restored = self.earlier.iter().any(|(hash, _)| Some(*hash) == new);
        self.unsure_until = restored.then(|| after(now, report_time));
        self.earlier.extend(old.map(|old| (old, now)));
        let surplus = self.earlier.len().saturating_sub(REMEMBERED_CONTENTS);
        self.earlier.drain(..surplus);
        (self.changed, self.flaps, self.failure_written) = (now, None, false);
    }

    /// A status of contents with this `hash` has been written. `ready` if it calls them ready, `failed` if it reports
    /// that a node cannot hold them.
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
            let recent = self.flaps.filter(|(_, last)| after(*last, QUIET) > now);
            self.flaps = Some((recent.map_or(0, |(count, _)| count).saturating_add(1), now));
        }
        self.last = written;
    }

    /// From when on a status may call the profile ready; `None` if it may now.
    pub(super) fn ready_delayed_until(&self, now: Timestamp) -> Option<Timestamp> {
        let backoff = self.flaps.and_then(|(count, last)| {
            let doublings = count.checked_sub(2)?;
            Some(after(last, Duration::from_secs(1 << doublings.min(6)).min(MAX_READY_DELAY)))
        });
        self.unsure_until.max(backoff).filter(|from| *from > now)
    }

    /// When the first status of the profile `name` that its nodes do not hold yet may be written; `None` if it may now.
    /// Of many profiles that are applied together, each waits for a time of its own: most are Ready before it is over.
    pub(super) fn first_status_delayed_until(
        &self,
        name: &str,
        nodes: usize,
        profiles: usize,
        now: Timestamp,
    ) -> Option<Timestamp> {
        let load = api::pace::Load { nodes: nodes.min(LARGE_CLUSTER) as u64, profiles: profiles as u64 };
        let own = time_of_counts(nodes, profiles) * hash_share(name) / 1000;
        // In whole seconds, so that it is the same in all small clusters.
        let wait = Duration::from_secs((FIRST + load.rollout()).as_secs()) + own;
        // After the clock was set back, the profile may have been seen in the future.
        let from = Some(self.seen).filter(|seen| *seen <= now).map(|seen| after(seen, wait));
        from.filter(|from| *from > now)
    }

    /// When a change of the status may be written; `None` if it may now. `fails` if the new status reports that a node
    /// cannot hold the contents: the first such report does not wait.
    pub(super) fn write_delayed_until(
        &self,
        urgency: Urgency,
        fails: bool,
        size: ClusterSize<'_>,
        now: Timestamp,
    ) -> Option<Timestamp> {
        if urgency == Urgency::Now || fails && !self.failure_written {
            return None;
        }
        let longest = if self.is_settled(now) { MAX_GATHER } else { MAX_ROLLOUT_GATHER };
        // In whole seconds, so that the time of a deferred write does not change when a small cluster grows by a node.
        let extra =
            (longest - MIN_GATHER).as_secs() * size.nodes.min(LARGE_CLUSTER) as u64 / LARGE_CLUSTER as u64;
        let gather = (MIN_GATHER + Duration::from_secs(extra)).max(time_of_counts(size.nodes, size.profiles));
        // After the clock was set back, a remembered time may lie in the future, and would defer a write until then.
        let is_past = |time: &Timestamp| *time <= now;
        let gathered = self.written.filter(is_past).map(|written| after(written, gather));
        let joins = size.joins.since.filter(|_| size.joining > 0);
        let joined = joins.filter(is_past).map(|since| after(since, JOIN_WAIT));
        gathered.max(joined).filter(|from| *from > now)
    }

    /// A change of counts and messages alone waits until `until`, when the profile is decided again; `None` if nothing
    /// waits.
    pub(super) fn defer_until(&mut self, until: Option<Timestamp>) {
        self.deferred_until = until;
    }

    /// Whether a change of counts and messages alone waits at `now`.
    pub(super) fn is_deferred(&self, now: Timestamp) -> bool {
        // A time further in the future was set before the clock was set back.
        self.deferred_until
            .is_some_and(|until| now < until && until <= after(now, MAX_CROWDED_GATHER + MAX_GATHER))
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

    #[expect(clippy::unnecessary_wraps, reason = "as the functions under test take it")]
    fn hash(content: u8) -> Option<ShortHash> {
        Some(ContentHash::of(&[content]).short())
    }

    #[test]
    fn restored_contents_are_not_ready_because_of_an_old_report() {
        let mut pacing = StatusPacing::new(at(0));
        pacing.contents_changed(hash(1), hash(2), 2, at(1000));
        assert_eq!(pacing.ready_delayed_until(at(1000)), None);
        pacing.contents_changed(hash(2), hash(1), 2, at(1100));
        assert_eq!(pacing.ready_delayed_until(at(1100)), Some(at(7100)));
        assert_eq!(pacing.ready_delayed_until(at(7100)), None);
    }

    #[test]
    fn in_a_large_cluster_contents_that_come_back_wait_for_longer_because_agents_gather_for_longer() {
        let mut pacing = StatusPacing::new(at(0));
        pacing.contents_changed(hash(1), hash(2), 1000, at(0));
        pacing.contents_changed(hash(2), hash(1), 1000, at(25_000));
        assert_eq!(pacing.ready_delayed_until(at(25_000)), Some(at(87_000)));
    }

    #[test]
    fn contents_that_come_back_later_are_called_ready_at_once() {
        let mut pacing = StatusPacing::new(at(0));
        pacing.contents_changed(hash(1), hash(2), 2, at(0));
        pacing.contents_changed(hash(2), hash(1), 2, at(11_000));
        assert_eq!(pacing.ready_delayed_until(at(11_000)), None);
    }

    #[test]
    fn a_profile_that_keeps_flapping_waits_longer_each_time_up_to_a_minute() {
        let mut pacing = StatusPacing::new(at(0));
        let mut waits = Vec::new();
        for _ in 0..10 {
            pacing.status_written(hash(1), true, false, at(0));
            pacing.status_written(hash(1), false, false, at(0));
            waits.push(
                pacing.ready_delayed_until(at(0)).map_or(0, |from| from.as_second() - at(0).as_second()),
            );
        }
        assert_eq!(waits, [0, 1, 2, 4, 8, 16, 32, 60, 60, 60]);
        // After ten minutes without a flap, the next one counts as the first.
        pacing.status_written(hash(1), true, false, at(1));
        pacing.status_written(hash(1), false, false, at(601_000));
        assert_eq!(pacing.ready_delayed_until(at(601_000)), None);
    }

    #[test]
    fn new_contents_reset_the_flaps() {
        let mut pacing = StatusPacing::new(at(0));
        for _ in 0..5 {
            pacing.status_written(hash(1), true, false, at(0));
            pacing.status_written(hash(1), false, false, at(0));
        }
        pacing.contents_changed(hash(1), hash(2), 2, at(0));
        assert_eq!(pacing.ready_delayed_until(at(0)), None);
        assert!(!pacing.is_settled(at(59_999)));
        assert!(pacing.is_settled(at(60_000)));
    }

    fn write_delayed_until(pacing: &StatusPacing, nodes: usize, second: i64) -> Option<i64> {
        let size = ClusterSize { nodes, profiles: 1, joining: 0, joins: &Joins::default() };
        let from = pacing.write_delayed_until(Urgency::Whenever, false, size, at(second * 1000));
        from.map(|from| from.duration_since(at(0)).as_secs())
    }

    #[test]
    fn counts_are_gathered_for_longer_with_more_nodes_and_once_the_profile_has_settled() {
        let mut pacing = StatusPacing::new(at(0));
        assert_eq!(write_delayed_until(&pacing, 1000, 0), None, "the first status waits for nothing");
        pacing.status_written(hash(1), false, false, at(1000));
        for (nodes, from) in [(0, 6), (28, 6), (100, 9), (1000, 41), (50_000, 41)] {
            assert_eq!(write_delayed_until(&pacing, nodes, 2), (from > 2).then_some(from), "{nodes} nodes");
        }
        pacing.status_written(hash(1), true, false, at(100_000));
        assert_eq!(write_delayed_until(&pacing, 1000, 101), Some(160));
        assert_eq!(write_delayed_until(&pacing, 1000, 160), None);
    }

    #[test]
    fn the_first_status_waits_for_two_seconds_and_for_as_long_as_agents_of_so_many_nodes_may() {
        let mut pacing = StatusPacing::new(at(0));
        for (nodes, until) in
            [(0, 2_000), (49, 2_000), (100, 4_000), (300, 8_000), (1000, 22_000), (50_000, 22_000)]
        {
            assert_eq!(
                pacing.first_status_delayed_until("a", nodes, 0, at(1_000)),
                Some(at(until)),
                "{nodes} nodes"
            );
            assert_eq!(pacing.first_status_delayed_until("a", nodes, 0, at(until)), None, "{nodes} nodes");
        }
        // New contents do not begin it anew.
        pacing.contents_changed(hash(1), hash(2), 2, at(1_000));
        assert_eq!(pacing.first_status_delayed_until("a", 2, 5, at(1_000)), Some(at(2_000)));
        assert_eq!(pacing.first_status_delayed_until("a", 2, 5, at(-1_000)), None, "the clock was set back");
    }

    #[test]
    fn the_counts_of_many_profiles_send_a_thousand_events_a_second_at_most() {
        let mut pacing = StatusPacing::new(at(0));
        pacing.status_written(hash(1), false, false, at(0));
        let joins = Joins::default();
        for (nodes, profiles, second) in [(2, 1000, 5), (250, 200, 50), (1000, 200, 200), (50_000, 2000, 300)]
        {
            let size = ClusterSize { nodes, profiles, joining: 0, joins: &joins };
            let until = pacing.write_delayed_until(Urgency::Whenever, false, size, at(1));
            assert_eq!(until, Some(at(second * 1000)), "{nodes} nodes, {profiles} profiles");
            pacing.defer_until(until);
            assert!(pacing.is_deferred(at(1)));
        }
    }

    #[test]
    fn the_first_statuses_of_many_profiles_wait_for_different_times() {
        let pacing = StatusPacing::new(at(0));
        let mut a_fifth = [0; 5];
        for number in 0..200 {
            let until = pacing.first_status_delayed_until(&format!("p{number}"), 1000, 200, at(1)).unwrap();
            let seconds = until.duration_since(at(0)).as_secs();
            assert!((62..262).contains(&seconds), "{seconds}");
            a_fifth[usize::try_from((seconds - 62) / 40).unwrap()] += 1;
        }
        assert!(a_fifth.iter().all(|count| (20..60).contains(count)), "{a_fifth:?}");
    }

    #[test]
    fn neither_an_urgent_change_nor_the_first_failure_of_the_contents_waits() {
        let mut pacing = StatusPacing::new(at(0));
        pacing.status_written(hash(1), false, false, at(0));
        let size = ClusterSize { nodes: 1000, profiles: 1, joining: 0, joins: &Joins::default() };
        assert_eq!(pacing.write_delayed_until(Urgency::Now, false, size, at(1)), None);
        assert_eq!(pacing.write_delayed_until(Urgency::Whenever, true, size, at(1)), None);
        pacing.status_written(hash(1), false, true, at(1));
        assert!(pacing.write_delayed_until(Urgency::Whenever, true, size, at(2)).is_some());
    }

    #[test]
    fn counts_wait_for_a_node_that_joins_and_for_half_of_the_time_where_nodes_join_all_the_time() {
        let (pacing, mut joins) = (StatusPacing::new(at(0)), Joins::default());
        let mut waits = 0;
        for second in 0..100 {
            joins.node_joins(at(second * 1000));
            let size = ClusterSize { nodes: 10, profiles: 1, joining: 1, joins: &joins };
            waits += i32::from(
                pacing.write_delayed_until(Urgency::Whenever, false, size, at(second * 1000)).is_some(),
            );
        }
        assert_eq!(waits, 50);
        let size = ClusterSize { nodes: 10, profiles: 1, joining: 0, joins: &joins };
        assert_eq!(pacing.write_delayed_until(Urgency::Whenever, false, size, at(99_000)), None);
    }

    #[test]
    fn a_clock_that_was_set_back_defers_nothing() {
        let (mut pacing, mut joins) = (StatusPacing::new(at(0)), Joins::default());
        joins.node_joins(at(500_000));
        pacing.status_written(hash(1), true, false, at(500_000));
        pacing.defer_until(Some(at(560_000)));
        let size = ClusterSize { nodes: 10, profiles: 1, joining: 1, joins: &joins };
        assert_eq!(pacing.write_delayed_until(Urgency::Whenever, false, size, at(1000)), None);
        assert!(
            pacing.is_deferred(at(501_000))
                && !pacing.is_deferred(at(1000))
                && !pacing.is_deferred(at(560_000))
        );
    }
}
