//! Whatever happens in whatever order, the API server trusts each replica that may have requests, as long as one of them
//! leads every day.

use proptest::prelude::*;

use super::super::plan::Stored;
use super::world::{DAY, World};

#[derive(Debug, Clone)]
enum Step {
    Wait(u64),
    Works(usize),
    Decides(usize),
    Writes(usize),
    Leads(usize),
    Restarts(usize, i64),
    SetsClock(usize, i64),
    LosesSecret,
}

fn step() -> impl Strategy<Value = Step> {
    let day = DAY as i64;
    let replica = || 0..2_usize;
    prop_oneof![
        4 => (0..15_u64).prop_map(Step::Wait),
        2 => (0..600_u64).prop_map(Step::Wait),
        2 => (0..DAY).prop_map(Step::Wait),
        2 => replica().prop_map(Step::Works),
        3 => replica().prop_map(Step::Decides),
        3 => replica().prop_map(Step::Writes),
        4 => replica().prop_map(Step::Leads),
        // A process that starts cannot know that its clock is wrong; a third of a leaf's life is the reserve.
        1 => (replica(), -2 * day..30 * day).prop_map(|(of, offset)| Step::Restarts(of, offset)),
        1 => (replica(), -400 * day..30 * day).prop_map(|(of, offset)| Step::SetsClock(of, offset)),
        1 => Just(Step::LosesSecret),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn the_api_server_trusts_every_replica_whatever_is_lost_restarted_or_set_back(
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::settled();
        let (mut losses, mut without_leader) = (0, 0);
        for (at, step) in steps.into_iter().enumerate() {
            let shown = format!("{at}: {step:?}");
            match step {
                Step::Wait(seconds) => {
                    // A lost Secret is made anew by a leader: without one for days, leaves end.
                    if without_leader + seconds > DAY {
                        world.leads(0);
                        without_leader = 0;
                    }
                    without_leader += seconds;
                    world.wait(seconds);
                }
                Step::Works(number) => world.works(number),
                Step::Decides(number) => world.decides(number),
                Step::Writes(number) => drop(world.writes(number)),
                Step::Leads(number) => {
                    world.leads(number);
                    without_leader = 0;
                }
                Step::Restarts(number, offset) => world.restarts(number, offset),
                Step::SetsClock(number, offset) => world.sets_clock(number, offset),
                // More often than the bundle has room for, nobody loses it.
                Step::LosesSecret if losses < 15 => {
                    losses += 1;
                    world.loses_secret();
                }
                Step::LosesSecret => {}
            }
            let wrong = world.wrong();
            prop_assert!(wrong.is_none(), "{shown}: {}\n{world:?}", wrong.unwrap());
        }
        // And once nothing happens any more, every replica may have requests, by the newest authority.
        for _ in 0..4 {
            world.leads(0);
            world.wait(15);
        }
        let Stored::Authorities { current, .. } = world.stored() else { panic!("{world:?}") };
        for replica in &world.replicas {
            prop_assert!(replica.has_begun, "{world:?}");
            prop_assert_eq!(replica.leaf.unwrap().authority, current.id);
        }
        prop_assert!(world.bundle().len() <= 18, "{world:?}");
    }
}
