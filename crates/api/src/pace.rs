//! The limits of how long an agent collects changes before it reports them, on which the operator relies.
//!
//! Each report costs the API server some milliseconds, and more the more files it lists. So the limit grows with both
//! the nodes and the profiles of the cluster: as a rule, an agent sends one report for a rollout, however long the API
//! server takes to deliver it.

use std::time::Duration;

/// The limit grows by this for each node of the cluster. At a thousand nodes the sum is about the duration of a rollout
/// of twenty profiles, and each additional report during it costs the API server 3 ms (`docs/performance.md`).
const A_NODE: Duration = Duration::from_millis(20);
/// So many profiles add the same again, for each node.
const PROFILES: u64 = 100;
/// At most so many times as much, whatever the number of profiles: after contents were changed back to earlier ones,
/// the operator waits for as long as a report may be outdated.
const MAX_FACTOR: u32 = 3;

/// The minimum of the limit in a cluster of any size, for times when the API server answers slowly.
const MIN_GATHER: Duration = Duration::from_secs(4);
/// The maximum of the limit. It is shorter than the grace time of a node's condition, so that a rollout causes no
/// condition writes.
const MAX_GATHER: Duration = Duration::from_mins(1);

/// For each node of the cluster, the time over which agents come back that failed together. An API server on two cores
/// begins some hundred watches a second, and fewer the more events it has to send first.
const COME_BACK_A_NODE: Duration = Duration::from_millis(4);

/// How large a cluster is, as far as it decides how many requests its agents may send.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Load {
    /// Nodes with an agent.
    pub nodes: u64,
    /// Profiles.
    pub profiles: u64,
}

impl Load {
    /// `each` for every node, and as much again for every hundred profiles, up to three times as much.
    #[must_use]
    pub fn spread(self, each: Duration) -> Duration {
        let profiles = self.profiles.min(PROFILES * u64::from(MAX_FACTOR));
        let per_mille = (1000 + 1000 * profiles / PROFILES).min(1000 * u64::from(MAX_FACTOR));
        let nodes = u32::try_from(self.nodes).unwrap_or(u32::MAX);
        let per_mille = u32::try_from(per_mille).unwrap_or(1000 * MAX_FACTOR);
        each.saturating_mul(nodes).saturating_mul(per_mille) / 1000
    }

    /// The time over which agents come back that failed together.
    #[must_use]
    pub fn coming_back(self) -> Duration {
        self.spread(COME_BACK_A_NODE)
    }

    /// The time that the API server needs for one report of each node, at worst.
    #[must_use]
    pub fn rollout(self) -> Duration {
        self.spread(A_NODE).min(MAX_GATHER)
    }
}

/// The longest time between the first change and the agent's report, in a cluster with this many nodes and any number
/// of profiles.
#[must_use]
pub fn longest_gather(nodes: u64) -> Duration {
    Load { nodes, profiles: u64::MAX }.spread(A_NODE).clamp(MIN_GATHER, MAX_GATHER)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conditions::node::grace;

    #[test]
    fn the_longest_collection_time_grows_with_the_cluster_between_4_and_60_s() {
        let seconds = [0, 2, 50, 100, 250, 1000, 5000, u64::MAX].map(|nodes| longest_gather(nodes).as_secs());
        assert_eq!(seconds, [4, 4, 4, 6, 15, 60, 60, 60]);
    }

    #[test]
    fn a_rollout_takes_longer_with_more_nodes_and_more_profiles_and_never_longer_than_any_report_may() {
        let seconds = |nodes, profiles| Load { nodes, profiles }.rollout().as_secs();
        assert_eq!([seconds(1000, 0), seconds(1000, 20), seconds(250, 200)], [20, 24, 15]);
        for nodes in [1, 100, 1000, 20_000] {
            for profiles in [0, 20, 200, 100_000, u64::MAX] {
                assert!(Load { nodes, profiles }.rollout() <= longest_gather(nodes));
            }
        }
    }

    #[test]
    fn the_grace_time_of_a_node_grows_from_half_a_minute_to_five_minutes() {
        let seconds = [0, 2, 100, 250, 1000, u64::MAX].map(|nodes| grace(nodes).as_secs());
        assert_eq!(seconds, [30, 30, 55, 92, 280, 300]);
    }

    #[test]
    fn an_agent_that_gathers_for_as_long_as_it_may_and_a_report_on_its_way_cause_no_condition() {
        for nodes in [0, 2, 100, 250, 1000, 5000, u64::MAX] {
            assert!(longest_gather(nodes) * 3 / 2 < grace(nodes), "{nodes} nodes");
        }
    }
}
