//! A rollout to agents that take their processor time elsewhere.
//!
//! In a cluster each agent has the processor of its own node. In the rollout that is measured first all of them share the
//! API server's, so that its time is theirs as well. Here one node in ten has its agent; in the others' place stand
//! [bare watchers](super::bare_watchers) that say what agents would say, when they would: the hash of each profile, once they have seen
//! all and have heard nothing more for as long as an agent waits. The operator is the real one and cannot tell them apart.
//! They know how many profiles come and never report twice; what agents do about that is in the first rollout.

use std::time::Instant;

use api::NodeName;
use node_agent::pacing::quiet_among;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bare_watchers::{self, Watcher, Way};
use super::meter::Meter;
use super::phases;
use super::result::Sample;
use super::rollout_floor::Plan;
use super::testbed::World;
use crate::BenchError;

/// One of so many nodes has its agent.
const ONE_IN: usize = 10;

/// Rolls new contents of every profile out. Neither agents nor an operator run before or after it.
///
/// # Errors
/// A part does not start, or the rollout does not come about.
pub(super) async fn measure(world: &mut World, plan: &Plan) -> Result<Sample, BenchError> {
    world.start_operator()?;
    world.operator_ready().await?;
    let tens = || world.nodes().chunks(ONE_IN).filter_map(<[_]>::split_first);
    let with_agent: Vec<_> = tens().map(|(first, _)| first.clone()).collect();
    let without: Vec<_> = tens().flat_map(|(_, others)| others).cloned().collect();
    phases::start_agents(world, &with_agent).await?;
    let connected = bare_watchers::connect_all(world, &without, Way::default()).await?;
    world.renew_contents();
    let report = plan.report_of(&world.short_hashes()?);

    let meter = Meter::start(world)?;
    let start = Instant::now();
    let (mut watchers, any) = (JoinSet::new(), !connected.is_empty());
    let (nodes, profiles) = (world.nodes().len() as u64, world.profile_count());
    for watcher in connected {
        watchers.spawn(stand_in(watcher, nodes, profiles, report.clone()));
    }
    world.apply_all().await?;
    let hashes = world.hashes()?;
    let rolled_out = async {
        tokio::select! {
            () = world.profiles().until(|profiles| profiles.all_ready(&hashes)) => Ok(()),
            // They go on for ever, so that one that ends has failed.
            failed = bare_watchers::all_ended(&mut watchers), if any => failed,
        }
    };
    World::within("every profile being Ready", rolled_out).await??;
    let wall = start.elapsed();
    world.expect_files(&with_agent)?;
    let sample = meter.stop(world, wall).await?;
    watchers.shutdown().await;
    world.stop_operator()?;
    world.agents_mut().stop_all().await?;
    world.drop_all().await?;
    Ok(sample)
}

/// Sees every profile, hears until nothing more comes, and reports; then goes on watching.
async fn stand_in(
    mut watcher: Watcher,
    nodes: u64,
    profiles: usize,
    report: Value,
) -> Result<(), BenchError> {
    let node = watcher.node().parse::<NodeName>();
    let node = node.map_err(|error| BenchError::TooLate(format!("{}: {error}", watcher.node())))?;
    let quiet = quiet_among(nodes, &node);
    while watcher.seen() < profiles {
        watcher.next().await?;
    }
    while let Ok(event) = timeout(quiet, watcher.next()).await {
        event?;
    }
    let answer = watcher.answer(report);
    let goes_on = async {
        loop {
            watcher.next().await?;
        }
    };
    futures::future::try_join(answer, goes_on).await.map(|(_, never)| never)
}
