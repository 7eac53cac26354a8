//! The measurement of many nodes, small: what must hold at any size is asserted here, what depends on the machine in
//! `make bench`.

use std::time::Duration;

use e2e::bench::scale::{Phase, Size, World};

use super::support::{operator, say};

/// The chart's promise for a rollout, an update or a deletion.
const fn most_writes(size: Size) -> u64 {
    (2 * size.nodes + 4 * size.profiles + 50) as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_nodes_cost_no_more_writes_than_promised() {
    let size = Size { nodes: 50, profiles: 5, bytes: 3000, pods: 100 };
    let lost_and_found = (2 * size.profiles + 2 * size.nodes) as u64;
    let mut world = World::start(size, operator()).await.unwrap_or_else(|error| panic!("{error}"));
    for (phase, most) in [
        (Phase::Rollout, most_writes(size)),
        (Phase::Update, most_writes(size)),
        (Phase::NotReady, lost_and_found),
        (Phase::Rest, 0),
        (Phase::Delete, most_writes(size)),
    ] {
        let sample = phase
            .perform(&mut world, Duration::from_secs(3))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", phase.name()));
        say(&format!("{}: {:.2} s, {} writes of {most}", phase.name(), sample.wall, sample.writes));
        assert!(sample.writes <= most, "{}: {:?}", phase.name(), sample.requests);
        assert_eq!(sample.too_many, 0, "{}", phase.name());
        let wrote = !matches!(phase, Phase::Rest);
        assert_eq!(sample.writes > 0, wrote, "{}: the audit log is not read", phase.name());
    }
}
