//! When a report is sent.
//!
//! During a rollout on a thousand nodes a busy API server delivers the events of it late and one by one, and a report
//! for each event would make it busier. So an agent gathers changes: for longer the more nodes and profiles there are,
//! and for as long as events of the profiles that changed still arrive; and when an answer took long, twice that time
//! before the next report: the slower the answers, the fewer the reports. Each node waits for a time of its own, also
//! where changes do not end: agents that all reached the limit in the same instant would send their reports in it, and
//! the API server would refuse most of a thousand. In a small cluster the first change after a time without
//! reports is reported at once, because it may be the only one. The operator counts on a bound for all of it
//! ([`api::pace`]): until a report is surely over, it does not trust the node with contents that came back
//! (`index/pacing.rs`).

use std::ops::Range;
use std::time::{Duration, Instant};

use api::NodeName;
use api::pace::{self, Load};

use crate::jitter::node_jitter;

/// Decides when the changes on one node are reported. Pure: every time is an argument.
#[derive(Debug)]
pub struct ReportPacing {
    node: NodeName,
    /// The changes that no report has yet.
    gathered: Option<Gathered>,
    /// The answer to the latest report.
    answered: Option<Answered>,
    /// When there was last nothing left to report.
    reported: Option<Instant>,
}

/// When changes came.
#[derive(Debug, Clone, Copy)]
struct Gathered {
    first: Instant,
    latest: Instant,
}

/// How long the API server took to answer, and when it did.
#[derive(Debug, Clone, Copy)]
struct Answered {
    took: Duration,
    at: Instant,
}

/// For how long a slow answer counts.
const SLOW: Duration = Duration::from_secs(10);

impl ReportPacing {
    /// Of the agent of `node`. Nothing has changed yet.
    #[must_use]
    pub fn new(node: NodeName) -> Self {
        Self { node, gathered: None, answered: None, reported: None }
    }

    /// Something changed at `at` that belongs into a report, or an event came that shows that more will follow.
    pub fn changed(&mut self, at: Instant) {
        self.gathered.get_or_insert(Gathered { first: at, latest: at }).latest = at;
    }

    /// At `at` the latest report has everything that had changed.
    pub fn reported(&mut self, at: Instant) {
        self.gathered = None;
        self.reported = Some(at);
    }

    /// The API server answered a report at `at`, after so long.
    pub fn answered(&mut self, took: Duration, at: Instant) {
        self.answered = Some(Answered { took, at });
    }

    /// When the next report is sent unless something changes before; `None` if nothing has changed.
    ///
    /// `load` is the size of the cluster, as far as it is known; `is_first` holds before the node's first report.
    #[must_use]
    pub fn send_at(&self, load: Option<Load>, is_first: bool) -> Option<Instant> {
        let Gathered { first, latest } = self.gathered?;
        let slow = self.answered.filter(|answer| latest < answer.at + SLOW);
        let took = slow.map_or(Duration::ZERO, |answer| answer.took);
        let window = Window::of(load, &self.node, is_first, took);
        let is_small = load.is_some_and(|load| load.nodes <= SMALL) && !is_first;
        let has_rested = self.reported.is_none_or(|reported| first >= reported + REST);
        if is_small && has_rested && 2 * took <= PROMPT.quiet {
            return Some(first);
        }
        Some((first + window.longest).min(latest + window.quiet))
    }
}

/// A change is reported once nothing has changed for `quiet`, but no later than `longest` after the first change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Window {
    quiet: Duration,
    longest: Duration,
}

/// While the API server answers at once, in a small cluster.
const PROMPT: Window = Window { quiet: Duration::from_millis(50), longest: Duration::from_millis(500) };
/// The most nodes of a cluster in which the first change after [`REST`] is reported at once. It may cost each node one
/// report more in a rollout, which a large cluster would notice.
const SMALL: u64 = 10;
/// How long nothing was reported before a change counts as the first one.
const REST: Duration = Duration::from_millis(200);
/// Before the status of any profile has shown how many nodes there are: in a large cluster one soon will.
const UNKNOWN: Window = Window { quiet: Duration::from_millis(500), longest: Duration::from_secs(4) };
/// Microseconds of quiet that each node of the cluster adds, and more where there are many profiles
/// ([`Load::spread`]): the reports of all nodes take the API server about as long. Each node has its own number, so that
/// they do not all come in one instant: by default an API server lets 300 requests of one account wait (six queues of
/// 50), and answers 429 to the rest. The shortest is longer than what passes between two events of a rollout: to send
/// one, an API server needs a fifth of a millisecond of CPU time for each node.
const QUIET_A_NODE: Range<u32> = 500..2500;
/// So many nodes add to it: more than 12 s of quiet for a few profiles would make a report stale.
const QUIET_NODES: u64 = 5000;
/// The same before a node's first report. Nodes join one after the other, and each is waited for.
const FIRST_A_NODE: Range<u32> = 100..500;
const FIRST_NODES: u64 = 1000;
/// The longest quiet because answers are slow.
const MAX_SLOW_QUIET: Duration = Duration::from_secs(1);
/// Of the time that a rollout may take, a node waits for its own share while changes arrive without end, in per mille.
const OF_ROLLOUT: Range<u32> = 500..1000;

impl Window {
    /// For the agent of `node` in a cluster of this size, as far as that is known, where the latest answer took `took`;
    /// `is_first` holds before the node's first report.
    fn of(load: Option<Load>, node: &NodeName, is_first: bool, took: Duration) -> Self {
        let base = if load.is_some() { PROMPT } else { UNKNOWN };
        let load = load.unwrap_or_default();
        let among_all = match is_first {
            true => among(load.nodes.min(FIRST_NODES), own_share(FIRST_A_NODE, node)),
            false => quiet_period(load, node),
        };
        let quiet = (2 * took).min(MAX_SLOW_QUIET).max(among_all);
        let rollout = load.rollout() * node_jitter(OF_ROLLOUT, node) / 1000;
        let longest = rollout.max(8 * took).max(base.longest);
        // The operator counts on the bound, whatever the reason for waiting.
        Self { quiet: quiet.max(base.quiet), longest: longest.min(pace::longest_gather(load.nodes)) }
    }
}

/// How long the agent of `node` waits for further changes, in a cluster of this size.
#[must_use]
pub fn quiet_period(load: Load, node: &NodeName) -> Duration {
    Load { nodes: load.nodes.min(QUIET_NODES), ..load }.spread(own_share(QUIET_A_NODE, node))
}

/// The node's own number of microseconds.
fn own_share(range: Range<u32>, node: &NodeName) -> Duration {
    Duration::from_micros(node_jitter(range, node).into())
}

fn among(nodes: u64, each: Duration) -> Duration {
    each.saturating_mul(u32::try_from(nodes).unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node() -> NodeName {
        "node-1".parse().unwrap()
    }

    fn of_nodes(nodes: u64) -> Load {
        Load { nodes, profiles: 0 }
    }

    fn prompt(nodes: u64) -> Window {
        Window::of(Some(of_nodes(nodes)), &node(), false, Duration::ZERO)
    }

    #[test]
    fn a_small_cluster_is_prompt() {
        assert_eq!(prompt(2), PROMPT);
    }

    #[test]
    fn the_longest_is_what_the_operator_counts_on_whatever_the_reason() {
        for nodes in [0, 2, 200, 1000, 1_000_000] {
            for profiles in [0, 20, 200, 1_000_000] {
                for took in [0, 1, 100, 10_000].map(Duration::from_secs) {
                    let load = Some(Load { nodes, profiles });
                    let longest = Window::of(load, &node(), false, took).longest;
                    assert!(longest <= pace::longest_gather(nodes), "{nodes} nodes: {longest:?}");
                }
            }
        }
    }

    #[test]
    fn agents_that_reach_the_limit_of_a_rollout_do_not_report_in_the_same_instant() {
        let load = Load { nodes: 1000, profiles: 200 };
        let longest = (0..1000).map(|number| {
            let node = format!("node-{number}").parse().unwrap();
            Window::of(Some(load), &node, false, Duration::ZERO).longest
        });
        let mut a_tenth = [0; 10];
        for longest in longest {
            // From half of a minute to a whole one.
            a_tenth[usize::try_from((longest.as_secs() - 30) / 3).unwrap()] += 1;
        }
        assert!(a_tenth.iter().all(|count| (70..130).contains(count)), "{a_tenth:?}");
    }

    #[test]
    fn reports_of_many_profiles_cost_more_and_are_spread_over_more_time() {
        let quiet = |profiles| quiet_period(Load { nodes: 1000, profiles }, &node());
        assert_eq!([quiet(100), quiet(200), quiet(1000)], [2, 3, 3].map(|times| times * quiet(0)));
    }

    #[test]
    fn slow_answers_gather_more_but_nobody_waits_for_a_quiet_second() {
        let window = |took| Window::of(Some(of_nodes(2)), &node(), false, Duration::from_millis(took));
        assert_eq!(
            window(200),
            Window { quiet: Duration::from_millis(400), longest: Duration::from_millis(1600) }
        );
        assert_eq!(window(5000).quiet, MAX_SLOW_QUIET);
    }

    #[test]
    fn an_unknown_number_of_nodes_is_not_a_small_one() {
        assert_eq!(Window::of(None, &node(), false, Duration::ZERO), UNKNOWN);
    }

    #[test]
    fn a_first_report_waits_for_half_a_second_at_most() {
        for nodes in [2, 1000, 1_000_000] {
            let window = Window::of(Some(of_nodes(nodes)), &node(), true, Duration::ZERO);
            assert!(window.quiet <= Duration::from_millis(500), "{nodes} nodes: {window:?}");
        }
    }

    #[test]
    fn the_reports_of_many_nodes_are_spread_evenly() {
        for nodes in [1000, 5000, 15_000] {
            let mut a_tenth = [0_u64; 10];
            for number in 0..nodes {
                let quiet = quiet_period(of_nodes(nodes), &format!("node-{number}").parse().unwrap());
                let [least, most] = [500, 2500].map(|micros| Duration::from_micros(micros * nodes.min(5000)));
                assert!((least..most).contains(&quiet), "{nodes} nodes: {quiet:?}");
                let tenth = 10 * (quiet - least).as_micros() / (most - least).as_micros();
                a_tenth[usize::try_from(tenth).unwrap()] += 1;
            }
            let even = nodes / 10;
            assert!(
                a_tenth.iter().all(|count| (even * 7 / 10..even * 13 / 10).contains(count)),
                "{a_tenth:?}"
            );
        }
    }

    const MILLI: Duration = Duration::from_millis(1);

    #[test]
    fn in_a_small_cluster_a_change_after_a_rest_is_reported_at_once() {
        let (start, mut pacing) = (Instant::now(), ReportPacing::new(node()));
        assert_eq!(sends_after(&mut pacing, start, &[0], Some(2)), 0);
        pacing.reported(start + 10 * MILLI);
        assert_eq!(
            sends_after(&mut pacing, start, &[20, 60], Some(2)),
            110,
            "a second one may have others behind it"
        );
        pacing.reported(start + 110 * MILLI);
        assert_eq!(sends_after(&mut pacing, start, &[310], Some(10)), 310);
        assert!(
            sends_after(&mut pacing, start, &[310], Some(11)) >= 360,
            "of many nodes each has a report to send"
        );
        assert!(sends_after(&mut pacing, start, &[310], None) >= 360, "there may be many");
        let first = pacing.send_at(Some(of_nodes(2)), true).unwrap() - start;
        assert!(first.as_millis() >= 360, "a new node gets all profiles: {first:?}");
        pacing.answered(Duration::from_millis(100), start);
        assert!(sends_after(&mut pacing, start, &[310], Some(2)) >= 510, "the API server is busy");
    }

    /// A pacing, and when it sends after changes so many milliseconds after the start.
    fn sends_after(pacing: &mut ReportPacing, start: Instant, changes: &[u32], nodes: Option<u64>) -> u128 {
        for change in changes {
            pacing.changed(start + *change * MILLI);
        }
        (pacing.send_at(nodes.map(of_nodes), false).unwrap() - start).as_millis()
    }

    #[test]
    fn nothing_is_sent_before_something_has_changed_and_after_it_was_reported() {
        let (start, mut pacing) = (Instant::now(), ReportPacing::new(node()));
        assert_eq!(pacing.send_at(Some(of_nodes(2)), false), None);
        pacing.changed(start);
        assert!(pacing.send_at(Some(of_nodes(2)), false).is_some());
        pacing.reported(start + 4_900 * MILLI);
        assert_eq!(pacing.send_at(Some(of_nodes(2)), false), None);
        // What comes later begins anew.
        assert_eq!(sends_after(&mut pacing, start, &[5_000], Some(2)), 5_050);
    }

    #[test]
    fn changes_are_gathered_until_there_has_been_quiet() {
        let (start, mut pacing) = (Instant::now(), ReportPacing::new(node()));
        pacing.reported(start);
        assert_eq!(sends_after(&mut pacing, start, &[0, 40, 80], Some(2)), 130);
    }

    #[test]
    fn changes_without_end_are_reported_half_a_second_after_the_first() {
        let (start, mut pacing) = (Instant::now(), ReportPacing::new(node()));
        pacing.reported(start);
        let changes: Vec<_> = (0..30).map(|number| 20 * number).collect();
        assert_eq!(sends_after(&mut pacing, start, &changes, Some(2)), 500);
    }

    #[test]
    fn a_slow_answer_counts_for_ten_seconds() {
        let (start, mut pacing) = (Instant::now(), ReportPacing::new(node()));
        pacing.reported(start + 8_900 * MILLI);
        pacing.answered(Duration::from_millis(200), start);
        assert_eq!(sends_after(&mut pacing, start, &[9_000], Some(2)), 9_400);
        // Then the first change may be older than that, and the latest decides.
        assert_eq!(sends_after(&mut pacing, start, &[10_000], Some(2)), 9_500);
        pacing.reported(start + 10_900 * MILLI);
        assert_eq!(sends_after(&mut pacing, start, &[11_000], Some(2)), 11_050);
        pacing.reported(start + 11_900 * MILLI);
        pacing.answered(Duration::ZERO, start + Duration::from_secs(12));
        assert_eq!(sends_after(&mut pacing, start, &[12_000], Some(2)), 12_050);
    }

    #[test]
    fn the_size_of_the_cluster_counts_as_it_is_known_when_the_report_is_due() {
        let (start, mut pacing) = (Instant::now(), ReportPacing::new(node()));
        assert_eq!(sends_after(&mut pacing, start, &[0, 400], None), 900);
        let large = sends_after(&mut pacing, start, &[400], Some(1000));
        assert!((900..2_900).contains(&large), "{large}");
        let first = pacing.send_at(Some(of_nodes(1000)), true).unwrap() - start;
        assert!(first <= Duration::from_millis(900), "{first:?}");
    }
}
