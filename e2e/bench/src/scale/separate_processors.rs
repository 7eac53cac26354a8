//! A rollout to agents that do not share the API server's processors.
//!
//! In a cluster each agent has the processor of its own node. In the rollout that is measured first, all of them share
//! the API server's, so that its time includes theirs. Here one node in ten has its agent; the others are replaced by
//! [bare watchers](super::bare_watchers) that report what agents would, at the same time: the hash of each profile,
//! once they have received all and no further event for as long as an agent waits. The operator is the real one and
//! cannot distinguish them. They expect a given number of profiles and never report twice; the first rollout includes
//! the cost of the agents' own rule.

use std::time::Instant;

use api::NodeName;
use node_agent::pacing::quiet_among;
use serde_json::Value;
use tokio::task::JoinSet;
use tokio::time::timeout;

use super::bare_watchers::{self, ClientVariant, Watcher};
use super::meter::Meter;
use super::phases;
use super::result::Sample;
use super::rollout_floor::Plan;
use super::testbed::Testbed;
use crate::BenchError;

/// One in this many nodes has its agent.
const ONE_IN: usize = 10;

/// Rolls new contents of every profile out. Neither agents nor an operator run before or after it.
///
/// # Errors
/// A part does not start, or the rollout does not come about.
pub(super) async fn measure(testbed: &mut Testbed, plan: &Plan) -> Result<Sample, BenchError> {
    testbed.start_operator()?;
    testbed.operator_ready().await?;
    let tens = || testbed.nodes().chunks(ONE_IN).filter_map(<[_]>::split_first);
    let with_agent: Vec<_> = tens().map(|(first, _)| first.clone()).collect();
    let without: Vec<_> = tens().flat_map(|(_, others)| others).cloned().collect();
    phases::start_agents(testbed, &with_agent).await?;
    let connected = bare_watchers::connect_all(testbed, &without, ClientVariant::default()).await?;
    testbed.renew_contents();
    let report = plan.report_of(&testbed.short_hashes()?);

    let meter = Meter::start(testbed)?;
    let start = Instant::now();
    let (mut watchers, any) = (JoinSet::new(), !connected.is_empty());
    let (nodes, profiles) = (testbed.nodes().len() as u64, testbed.profile_count());
    for watcher in connected {
        watchers.spawn(stand_in(watcher, nodes, profiles, report.clone()));
    }
    testbed.apply_all().await?;
    let hashes = testbed.hashes()?;
    let rolled_out = async {
        tokio::select! {
            () = testbed.profiles().until(|profiles| profiles.all_ready(&hashes)) => Ok(()),
            // They never end, so one that ends has failed.
            failed = bare_watchers::all_ended(&mut watchers), if any => failed,
        }
    };
    Testbed::within("every profile being Ready", rolled_out).await??;
    let wall = start.elapsed();
    testbed.expect_files(&with_agent)?;
    let sample = meter.stop(testbed, wall).await?;
    watchers.shutdown().await;
    testbed.stop_operator()?;
    testbed.agents_mut().stop_all().await?;
    testbed.delete_all_without_operator().await?;
    Ok(sample)
}

/// Receives every profile, waits until no further event comes, and reports; then it continues to watch.
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
    futures::future::try_join(answer, goes_on).await.map(|((), never)| never)
}
