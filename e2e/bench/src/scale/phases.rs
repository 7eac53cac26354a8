//! What happens to the cluster while it is measured.

use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};

use super::meter::{Meter, Sample};
use super::observed::Reports;
use super::testbed::World;
use crate::BenchError;

/// What can happen. They come in this order, each on what the one before it left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Phase {
    /// All profiles are applied at once, until all are Ready and every file holds its bytes.
    Rollout,
    /// The same with new contents of the profiles that are there.
    Update,
    /// The operator ends and another starts, until it knows everything.
    RestartOperator,
    /// All agents end and start at once, until each has the list of profiles on its disk.
    RestartAgents,
    /// One agent starts on a new node, until its first report has arrived.
    FirstReport,
    /// A tenth more nodes join, until all report every file.
    Join,
    /// A tenth of the nodes are lost, until every status says so, and found again, until every status says that.
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

    /// Lets it happen, and says what it took.
    ///
    /// # Errors
    /// It does not come about, or leaves a file that is wrong.
    pub async fn perform(self, world: &mut World, rest: Duration) -> Result<Sample, BenchError> {
        match self {
            Self::Rollout | Self::Update => roll_out(world).await,
            Self::RestartOperator => restart_operator(world).await,
            Self::RestartAgents => restart_agents(world).await,
            Self::FirstReport => first_report(world).await,
            Self::Join => join(world).await,
            Self::NotReady => lose_and_find(world).await,
            Self::Rest => {
                let meter = Meter::start(world)?;
                tokio::time::sleep(rest).await;
                meter.stop_now(world, rest).await
            }
            Self::Delete => delete(world).await,
        }
    }
}

async fn roll_out(world: &mut World) -> Result<Sample, BenchError> {
    let meter = Meter::start(world)?;
    let start = Instant::now();
    world.renew_contents();
    world.apply_all().await?;
    let hashes = world.hashes()?;
    let ready = world.profiles().until(|profiles| profiles.all_ready(&hashes));
    World::within("every profile being Ready", ready).await?;
    let wall = start.elapsed();
    // Not later: Ready means bytes, and nobody waits for them here.
    world.expect_files(world.nodes())?;
    meter.stop(world, wall).await
}

async fn delete(world: &mut World) -> Result<Sample, BenchError> {
    let meter = Meter::start(world)?;
    let start = Instant::now();
    world.delete_all().await?;
    World::within("every profile being gone", world.profiles().until(|profiles| profiles.none())).await?;
    let wall = start.elapsed();
    world.expect_files(world.nodes())?;
    meter.stop(world, wall).await
}

async fn restart_operator(world: &mut World) -> Result<Sample, BenchError> {
    let meter = Meter::start(world)?;
    world.stop_operator()?;
    let start = Instant::now();
    world.start_operator()?;
    world.operator_ready().await?;
    meter.stop(world, start.elapsed()).await
}

async fn restart_agents(world: &mut World) -> Result<Sample, BenchError> {
    let meter = Meter::start(world)?;
    world.agents_mut().stop_all().await?;
    let nodes = world.nodes().to_vec();
    let wall = start_agents(world, &nodes).await?;
    meter.stop(world, wall).await
}

/// Starts the agents of `nodes` at once; how long it takes until each has the list on its disk.
pub(super) async fn start_agents(world: &mut World, nodes: &[String]) -> Result<Duration, BenchError> {
    let start = Instant::now();
    for node in nodes {
        world.agents_mut().start(node).await?;
    }
    let agents = world.agents();
    let listed = async {
        while agents.starting().next().is_some() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    World::within("every agent's list", listed).await?;
    agents.expect_running()?;
    Ok(start.elapsed())
}

async fn first_report(world: &mut World) -> Result<Sample, BenchError> {
    let node = ["first-report".to_owned()];
    let reports = Reports::follow(world.session().client.clone());
    world.agents_mut().register(&node[0]).await?;
    // On a cluster, too, it is there before the agent's image has been pulled.
    World::within("the node's object", reports.until(|reports| reports.exist(node.iter()))).await?;
    let meter = Meter::start(world)?;
    let start = Instant::now();
    world.agents_mut().start(&node[0]).await?;
    let files = world.profile_count();
    World::within("its report", reports.until(|reports| reports.all_hold(node.iter(), files))).await?;
    let sample = meter.stop_now(world, start.elapsed()).await?;
    leave(world, &node).await?;
    Ok(sample)
}

async fn join(world: &mut World) -> Result<Sample, BenchError> {
    let count = world.nodes().len().div_ceil(10);
    let joining: Vec<_> = (0..count).map(|number| format!("joins-{number:05}")).collect();
    let reports = Reports::follow(world.session().client.clone());
    let meter = Meter::start(world)?;
    let start = Instant::now();
    world.agents_mut().join_all(&joining).await?;
    let files = world.profile_count();
    World::within("their reports", reports.until(|reports| reports.all_hold(joining.iter(), files))).await?;
    let wall = start.elapsed();
    world.expect_files(&joining)?;
    all_count(world, world.nodes().len() + count, 0).await?;
    let sample = meter.stop(world, wall).await?;
    leave(world, &joining).await?;
    Ok(sample)
}

async fn lose_and_find(world: &mut World) -> Result<Sample, BenchError> {
    let all = world.nodes().len();
    let lost = world.nodes()[..all.div_ceil(10)].to_vec();
    let reports = Reports::follow(world.session().client.clone());
    let meter = Meter::start(world)?;
    let start = Instant::now();
    for (reachable, unreachable, said) in [(false, lost.len(), "Unknown"), (true, 0, "True")] {
        for node in &lost {
            world.agents().call(node, reachable).await?;
        }
        let told = reports.until(|reports| reports.all_say(lost.iter(), said));
        World::within("the nodes' conditions", told).await?;
        all_count(world, all, unreachable).await?;
    }
    meter.stop(world, start.elapsed()).await
}

/// Removes nodes, and waits until no status counts them.
async fn leave(world: &mut World, nodes: &[String]) -> Result<(), BenchError> {
    for node in nodes {
        world.agents_mut().leave(node).await?;
    }
    all_count(world, world.nodes().len(), 0).await
}

/// Waits until every status counts so many nodes. In a large cluster a settled profile says so once a minute.
async fn all_count(world: &World, desired: usize, unreachable: usize) -> Result<(), BenchError> {
    let counted = world.profiles().until(|profiles| profiles.all_count(desired, unreachable));
    World::within("the counts in every status", counted).await
}
