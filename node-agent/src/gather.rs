//! How long an agent gathers changes before it reports them.
//!
//! An API server that is busy with a rollout on a thousand nodes brings the news of it late and bit by bit, and a
//! report for each bit would make it busier. So an agent gathers for longer the more nodes there are, and while the
//! profiles that changed are still told of; and who waited for the answer to one report gathers for twice as long before
//! the next: the slower the answers, the fewer the reports. How long that can be is the operator's to know: until a report
//! is surely over, contents that came back are not trusted to it (`index/pacing.rs`).

use std::ops::Range;
use std::time::Duration;

use api::{NodeName, pace};

use crate::jitter::node_jitter;

/// A change is reported once nothing has changed for so long, but no later than so long after the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Gather {
    pub(crate) quiet: Duration,
    pub(crate) latest: Duration,
}

/// While the API server answers at once, in a small cluster.
const PROMPT: Gather = Gather { quiet: Duration::from_millis(50), latest: Duration::from_millis(500) };
/// Before any profile's status has said how many nodes there are: in a large cluster it soon will.
const UNKNOWN: Gather = Gather { quiet: Duration::from_millis(500), latest: Duration::from_secs(4) };
/// Microseconds of quiet that each node of the cluster adds: the reports of all nodes take the API server about as long.
/// Each node has its own number, so that they do not all come in one instant: by default an API server lets 300 requests of
/// one account wait (six queues of 50), and answers 429 to the rest.
const QUIET_A_NODE: Range<u32> = 1000..3000;
/// So many nodes add to it. More than 15 s of quiet nobody would call news.
const QUIET_NODES: u64 = 5000;
/// The same before a node's first report. Nodes join one after the other, and somebody waits for each.
const FIRST_A_NODE: Range<u32> = 100..500;
const FIRST_NODES: u64 = 1000;
/// The longest quiet that is waited for because answers are slow.
const LONGEST_SLOW_QUIET: Duration = Duration::from_secs(1);

impl Gather {
    /// For the agent of `node` in a cluster of `nodes`, if it knows that, where the last answer took `took`;
    /// `is_first` before the node's first report.
    pub(crate) fn of(nodes: Option<u64>, node: &NodeName, is_first: bool, took: Duration) -> Self {
        let base = if nodes.is_some() { PROMPT } else { UNKNOWN };
        let nodes = nodes.unwrap_or_default();
        let among_all = match is_first {
            true => own_share(FIRST_A_NODE, nodes.min(FIRST_NODES), node),
            false => quiet_among(nodes, node),
        };
        let quiet = (2 * took).min(LONGEST_SLOW_QUIET).max(among_all);
        let latest = among(nodes, pace::A_NODE).max(8 * took).max(base.latest);
        // The operator counts on it, whatever the reason for waiting.
        Self { quiet: quiet.max(base.quiet), latest: latest.min(pace::longest_gather(nodes)) }
    }
}

/// For how long the agent of `node` waits for more, in a cluster of so many nodes.
#[must_use]
pub fn quiet_among(nodes: u64, node: &NodeName) -> Duration {
    own_share(QUIET_A_NODE, nodes.min(QUIET_NODES), node)
}

/// The node's own microseconds, for each of so many nodes.
fn own_share(range: Range<u32>, nodes: u64, node: &NodeName) -> Duration {
    among(nodes, Duration::from_micros(node_jitter(range, node).into()))
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

    fn prompt(nodes: u64) -> Gather {
        Gather::of(Some(nodes), &node(), false, Duration::ZERO)
    }

    #[test]
    fn a_small_cluster_is_prompt() {
        assert_eq!(prompt(2), PROMPT);
    }

    #[test]
    fn the_longest_is_what_the_operator_counts_on_whatever_the_reason() {
        for nodes in [0, 2, 200, 1000, 1_000_000] {
            for took in [0, 1, 100, 10_000].map(Duration::from_secs) {
                let latest = Gather::of(Some(nodes), &node(), false, took).latest;
                assert!(latest <= pace::longest_gather(nodes), "{nodes} nodes: {latest:?}");
            }
        }
        assert_eq!(prompt(1000).latest, pace::longest_gather(1000));
    }

    #[test]
    fn slow_answers_gather_more_but_nobody_waits_for_a_quiet_second() {
        let gather = |took| Gather::of(Some(2), &node(), false, Duration::from_millis(took));
        assert_eq!(
            gather(200),
            Gather { quiet: Duration::from_millis(400), latest: Duration::from_millis(1600) }
        );
        assert_eq!(gather(5000).quiet, LONGEST_SLOW_QUIET);
    }

    #[test]
    fn an_unknown_number_of_nodes_is_not_a_small_one() {
        assert_eq!(Gather::of(None, &node(), false, Duration::ZERO), UNKNOWN);
    }

    #[test]
    fn a_first_report_waits_for_half_a_second_at_most() {
        for nodes in [2, 1000, 1_000_000] {
            let gather = Gather::of(Some(nodes), &node(), true, Duration::ZERO);
            assert!(gather.quiet <= Duration::from_millis(500), "{nodes} nodes: {gather:?}");
        }
    }

    #[test]
    fn the_reports_of_many_nodes_are_spread_evenly() {
        for nodes in [1000, 5000, 15_000] {
            let mut a_tenth = [0_u64; 10];
            for number in 0..nodes {
                let quiet = quiet_among(nodes, &format!("node-{number}").parse().unwrap());
                let [least, most] = [1, 3].map(|millis| Duration::from_millis(millis * nodes.min(5000)));
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
}
