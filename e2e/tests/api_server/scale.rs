//! The measurement of many nodes at a small size: this test asserts what must be true at any size; what depends on the
//! machine is in `make bench`.

use std::collections::BTreeMap;
use std::time::Duration;

use bench::scale::{Beside, Phase, Plan, Size, Testbed, beside};

use super::support::{operator, print_line};

/// The chart's promise for a rollout, an update or a deletion.
const fn most_writes(size: Size) -> u64 {
    (2 * size.nodes + 4 * size.profiles + 50) as u64
}

#[tokio::test(flavor = "multi_thread")]
async fn fifty_nodes_cost_no_more_writes_than_promised() {
    let size = Size { nodes: 50, profiles: 5, bytes: 3000, pods: 100 };
    let lost_and_found = (2 * size.profiles + 2 * size.nodes) as u64;
    let mut testbed = Testbed::start(size, operator()).await.unwrap_or_else(|error| panic!("{error}"));
    for (phase, most) in [
        (Phase::Rollout, most_writes(size)),
        (Phase::Update, most_writes(size)),
        (Phase::NotReady, lost_and_found),
        (Phase::Rest, 0),
        (Phase::Delete, most_writes(size)),
    ] {
        let sample = phase
            .perform(&mut testbed, Duration::from_secs(3))
            .await
            .unwrap_or_else(|error| panic!("{}: {error}", phase.name()));
        print_line(&format!("{}: {:.2} s, {} writes of {most}", phase.name(), sample.wall, sample.writes));
        assert!(sample.writes <= most, "{}: {:?}", phase.name(), sample.requests);
        assert_eq!(sample.too_many, 0, "{}", phase.name());
        let wrote = !matches!(phase, Phase::Rest);
        assert_eq!(sample.writes > 0, wrote, "{}: the audit log is not read", phase.name());
    }
    let rollout =
        Phase::Rollout.perform(&mut testbed, Duration::ZERO).await.unwrap_or_else(|error| panic!("{error}"));
    let plan = Plan::of(&testbed, &rollout).await.unwrap_or_else(|error| panic!("{error}"));
    let plans = BTreeMap::from([(Phase::Rollout, plan)]);
    let Beside { floors, fixed, elsewhere } =
        beside(&mut testbed, &plans, 1).await.unwrap_or_else(|error| panic!("{error}"));
    // A floor must cost one report per node and nothing else.
    for floor in [&floors[&Phase::Rollout], &fixed.unwrap()] {
        assert_eq!((floor.writes, floor.reports, floor.too_many), (50, 50, 0), "{:?}", floor.requests);
    }
    let elsewhere = elsewhere.unwrap();
    assert!((50..=most_writes(size)).contains(&elsewhere.writes), "{:?}", elsewhere.requests);
    assert!(elsewhere.reports >= 50 && elsewhere.too_many == 0, "{:?}", elsewhere.requests);
}
