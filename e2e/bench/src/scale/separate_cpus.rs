//! A rollout to agents that do not share the API server's CPUs.
//!
//! In a real cluster each agent runs on its own node's CPU. In the other rollout measurement all agents share the API
//! server's CPUs, so the measured time includes their work. Here one node in ten runs a real agent. On the others a
//! [bare watcher](super::bare_watchers) reports the same as an agent would, and at the same time: after it has received
//! every profile and then no event for as long as an agent waits. The operator is the real one and cannot distinguish
//! them. Unlike an agent, a bare watcher knows how many profiles to expect and reports only once. What an agent's own
//! rule for when to report costs is part of the other measurement.

use std::time::Instant;

use api::NodeName;
use api::pace::Load;
use node_agent::pacing::quiet_period;
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

/// Of this many nodes, one runs a real agent.
const NODES_PER_AGENT: usize = 10;

/// Measures a rollout of new contents for every profile. Neither agents nor an operator run before or after it.
///
/// # Errors
/// A part does not start, or the rollout is not complete in time.
pub(super) async fn measure(testbed: &mut Testbed, plan: &Plan) -> Result<Sample, BenchError> {
    testbed.start_operator()?;
    testbed.operator_ready().await?;
    let tens = || testbed.nodes().chunks(NODES_PER_AGENT).filter_map(<[_]>::split_first);
    let with_agent: Vec<_> = tens().map(|(first, _)| first.clone()).collect();
    let without: Vec<_> = tens().flat_map(|(_, others)| others).cloned().collect();
    phases::start_agents(testbed, &with_agent).await?;
    let connected = bare_watchers::connect_all(testbed, &without, ClientVariant::default()).await?;
    testbed.renew_contents();
    let report = plan.report_of(&testbed.short_hashes()?);

    let meter = Meter::start(testbed)?;
    let start = Instant::now();
    let (mut watchers, has_watchers) = (JoinSet::new(), !connected.is_empty());
    let (nodes, profiles) = (testbed.nodes().len() as u64, testbed.profile_count());
    for watcher in connected {
        watchers.spawn(run_watcher(watcher, nodes, profiles, report.clone()));
    }
    testbed.apply_all().await?;
    let hashes = testbed.hashes()?;
    let rolled_out = async {
        tokio::select! {
            () = testbed.profiles().until(|profiles| profiles.all_ready(&hashes)) => Ok(()),
            // A watcher never ends by itself: if one ends, it has failed.
            failed = bare_watchers::all_ended(&mut watchers), if has_watchers => failed,
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

/// Runs one bare watcher: it receives every profile, waits until no further event comes, reports, and continues to
/// watch.
async fn run_watcher(
    mut watcher: Watcher,
    nodes: u64,
    profiles: usize,
    report: Value,
) -> Result<(), BenchError> {
    let node = watcher.node().parse::<NodeName>();
    let node = node.map_err(|error| BenchError::Unexpected(format!("{}: {error}", watcher.node())))?;
    let quiet = quiet_period(Load { nodes, profiles: profiles as u64 }, &node);
    while watcher.seen() < profiles {
        watcher.next().await?;
    }
    while let Ok(event) = timeout(quiet, watcher.next()).await {
        event?;
    }
    let answer = watcher.answer(report);
    let keep_watching = async {
        loop {
            watcher.next().await?;
        }
    };
    futures::future::try_join(answer, keep_watching).await.map(|((), never)| never)
}
