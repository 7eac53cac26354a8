//! The phases that are measured.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::meter::{Meter, Sample};
use super::observed::Reports;
use super::testbed::Testbed;
use crate::BenchError;

/// A phase. They run in this order, each on the state that the previous one left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// All profiles are applied at once, until all are Ready and every file holds its bytes.
    Rollout,
    /// A rollout of new contents of the existing profiles.
    Update,
    /// The operator ends and another starts, until its caches are complete.
    RestartOperator,
    /// All agents end and start at once, until each has the list of profiles on its disk.
    RestartAgents,
    /// One agent starts on a new node, until its first report has arrived.
    FirstReport,
    /// A tenth more nodes join, until all report every file.
    Join,
    /// A tenth of the nodes become unreachable, until every status counts them, and reachable again, until no status
    /// does.
    NotReady,
    /// Nothing happens.
    Rest,
    /// All profiles are deleted, until they are gone and with them every file.
    Delete,
}

impl Phase {
    /// All of them, in order.
    pub const ALL: [Self; 9] = [
        Self::Rollout,
        Self::Update,
        Self::RestartOperator,
        Self::RestartAgents,
        Self::FirstReport,
        Self::Join,
        Self::NotReady,
        Self::Rest,
        Self::Delete,
    ];

    /// Its name in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Rollout => "rollout",
            Self::Update => "update",
            Self::RestartOperator => "restart of the operator",
            Self::RestartAgents => "restart of all agents",
            Self::FirstReport => "start to first report",
            Self::Join => "a tenth joins",
            Self::NotReady => "a tenth lost and found",
            Self::Rest => "rest",
            Self::Delete => "delete",
        }
    }

    /// Runs it, and returns the measures.
    ///
    /// # Errors
    /// It fails, or leaves a file that is wrong.
    pub async fn perform(self, testbed: &mut Testbed, rest: Duration) -> Result<Sample, BenchError> {
        match self {
            Self::Rollout | Self::Update => roll_out(testbed).await,
            Self::RestartOperator => restart_operator(testbed).await,
            Self::RestartAgents => restart_agents(testbed).await,
            Self::FirstReport => first_report(testbed).await,
            Self::Join => join(testbed).await,
            Self::NotReady => lose_and_find(testbed).await,
            Self::Rest => {
                let meter = Meter::start(testbed)?;
                tokio::time::sleep(rest).await;
                meter.stop_now(testbed, rest).await
            }
            Self::Delete => delete(testbed).await,
        }
    }
}

async fn roll_out(testbed: &mut Testbed) -> Result<Sample, BenchError> {
    let meter = Meter::start(testbed)?;
    let start = Instant::now();
    testbed.renew_contents();
    testbed.apply_all().await?;
    let hashes = testbed.hashes()?;
    let ready = testbed.profiles().until(|profiles| profiles.all_ready(&hashes));
    Testbed::within("every profile being Ready", ready).await?;
    let wall = start.elapsed();
    // At once: Ready means that the files are right, so no wait is needed.
    testbed.expect_files(testbed.nodes())?;
    meter.stop(testbed, wall).await
}

async fn delete(testbed: &mut Testbed) -> Result<Sample, BenchError> {
    let meter = Meter::start(testbed)?;
    let start = Instant::now();
    testbed.delete_all().await?;
    Testbed::within("every profile being gone", testbed.profiles().until(|profiles| profiles.none())).await?;
    let wall = start.elapsed();
    testbed.expect_files(testbed.nodes())?;
    meter.stop(testbed, wall).await
}

async fn restart_operator(testbed: &mut Testbed) -> Result<Sample, BenchError> {
    let meter = Meter::start(testbed)?;
    testbed.stop_operator()?;
    let start = Instant::now();
    testbed.start_operator()?;
    testbed.operator_ready().await?;
    meter.stop(testbed, start.elapsed()).await
}

async fn restart_agents(testbed: &mut Testbed) -> Result<Sample, BenchError> {
    let meter = Meter::start(testbed)?;
    testbed.agents_mut().stop_all().await?;
    let nodes = testbed.nodes().to_vec();
    let wall = start_agents(testbed, &nodes).await?;
    meter.stop(testbed, wall).await
}

/// Starts the agents of `nodes` at once; how long it takes until each has the list on its disk.
pub(super) async fn start_agents(testbed: &mut Testbed, nodes: &[String]) -> Result<Duration, BenchError> {
    let start = Instant::now();
    for node in nodes {
        testbed.agents_mut().start(node).await?;
    }
    let agents = testbed.agents();
    let listed = async {
        while agents.starting().next().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    Testbed::within("every agent's list", listed).await?;
    agents.expect_running()?;
    Ok(start.elapsed())
}

async fn first_report(testbed: &mut Testbed) -> Result<Sample, BenchError> {
    let node = ["first-report".to_owned()];
    let reports = Reports::follow(testbed.session().client.clone());
    testbed.agents_mut().register(&node[0]).await?;
    // On a cluster, too, it exists before the agent's image has been pulled.
    Testbed::within("the node's object", reports.until(|reports| reports.exist(node.iter()))).await?;
    let meter = Meter::start(testbed)?;
    let start = Instant::now();
    testbed.agents_mut().start(&node[0]).await?;
    let files = testbed.profile_count();
    Testbed::within("its report", reports.until(|reports| reports.all_hold(node.iter(), files))).await?;
    let sample = meter.stop_now(testbed, start.elapsed()).await?;
    remove_nodes(testbed, &node).await?;
    Ok(sample)
}

async fn join(testbed: &mut Testbed) -> Result<Sample, BenchError> {
    let count = testbed.nodes().len().div_ceil(10);
    let joining: Vec<_> = (0..count).map(|number| format!("joins-{number:05}")).collect();
    let reports = Reports::follow(testbed.session().client.clone());
    let meter = Meter::start(testbed)?;
    let start = Instant::now();
    testbed.agents_mut().join_all(&joining).await?;
    let files = testbed.profile_count();
    Testbed::within("their reports", reports.until(|reports| reports.all_hold(joining.iter(), files)))
        .await?;
    let wall = start.elapsed();
    testbed.expect_files(&joining)?;
    all_count(testbed, testbed.nodes().len() + count, 0).await?;
    let sample = meter.stop(testbed, wall).await?;
    remove_nodes(testbed, &joining).await?;
    Ok(sample)
}

async fn lose_and_find(testbed: &mut Testbed) -> Result<Sample, BenchError> {
    let all = testbed.nodes().len();
    let lost = testbed.nodes()[..all.div_ceil(10)].to_vec();
    let reports = Reports::follow(testbed.session().client.clone());
    let meter = Meter::start(testbed)?;
    let start = Instant::now();
    for (reachable, unreachable, said) in [(false, lost.len(), "Unknown"), (true, 0, "True")] {
        for node in &lost {
            testbed.agents().set_ready(node, reachable).await?;
        }
        let told = reports.until(|reports| reports.all_have_condition(lost.iter(), said));
        Testbed::within("the nodes' conditions", told).await?;
        all_count(testbed, all, unreachable).await?;
    }
    meter.stop(testbed, start.elapsed()).await
}

/// Removes nodes, and waits until no status counts them.
async fn remove_nodes(testbed: &mut Testbed, nodes: &[String]) -> Result<(), BenchError> {
    for node in nodes {
        testbed.agents_mut().remove(node).await?;
    }
    all_count(testbed, testbed.nodes().len(), 0).await
}

/// Waits until every status counts so many nodes. In a large cluster the counts of a Ready profile are written once a
/// minute.
async fn all_count(testbed: &Testbed, desired: usize, unreachable: usize) -> Result<(), BenchError> {
    let counted = testbed.profiles().until(|profiles| profiles.all_count(desired, unreachable));
    Testbed::within("the counts in every status", counted).await
}
