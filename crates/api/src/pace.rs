//! The limits of how long an agent collects changes before it reports them, on which the operator relies.

use std::time::Duration;

/// The limit grows by this for each node of the cluster. At a thousand nodes the sum is about the duration of a rollout
/// of twenty profiles, and each additional report during it costs the API server 3 ms (`docs/performance.md`).
pub const A_NODE: Duration = Duration::from_millis(20);

/// The minimum of the limit in a cluster of any size, for times when the API server answers slowly.
const MIN_GATHER: Duration = Duration::from_secs(4);
/// The maximum of the limit. It is shorter than the grace time of a node's condition, so that a rollout causes no
/// condition writes.
const MAX_GATHER: Duration = Duration::from_secs(20);
const _: () = assert!(MAX_GATHER.as_secs() < crate::conditions::node::GRACE.as_secs());

/// The longest time between the first change and the agent's report, in a cluster with this many nodes.
#[must_use]
pub fn longest_gather(nodes: u64) -> Duration {
    A_NODE.saturating_mul(u32::try_from(nodes).unwrap_or(u32::MAX)).clamp(MIN_GATHER, MAX_GATHER)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_collection_time_grows_with_the_cluster_between_4_and_20_s() {
        let seconds = [0, 2, 200, 500, 1000, 5000, u64::MAX].map(|nodes| longest_gather(nodes).as_secs());
        assert_eq!(seconds, [4, 4, 4, 10, 20, 20, 20]);
    }
}
