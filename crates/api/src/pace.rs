//! How long an agent gathers changes before it reports them, as far as the operator counts on it.

use std::time::Duration;

/// What each node of the cluster adds. At a thousand nodes a rollout of twenty profiles takes as long as that in all, and
/// each report in the middle of it costs the API server 3 ms (`docs/performance.md`).
pub const A_NODE: Duration = Duration::from_millis(20);

/// In a cluster of any size, while the API server answers slowly.
const SHORTEST: Duration = Duration::from_secs(4);
/// In the largest. Shorter than the time for which a node may be behind unsaid, so that a rollout costs no conditions.
const LONGEST: Duration = Duration::from_secs(20);
const _: () = assert!(LONGEST.as_secs() < crate::conditions::node::GRACE.as_secs());

/// How long after the first change an agent reports it at the latest, in a cluster of so many nodes.
#[must_use]
pub fn longest_gather(nodes: u64) -> Duration {
    A_NODE.saturating_mul(u32::try_from(nodes).unwrap_or(u32::MAX)).clamp(SHORTEST, LONGEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_gathering_grows_with_the_cluster_between_4_and_20_s() {
        let seconds = [0, 2, 200, 500, 1000, 5000, u64::MAX].map(|nodes| longest_gather(nodes).as_secs());
        assert_eq!(seconds, [4, 4, 4, 10, 20, 20, 20]);
    }
}
