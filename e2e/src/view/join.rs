//! A node that joins, with an eye on its disk each time the API server counts it.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use cluster::wait::WaitError;
use cluster::{Cluster, ClusterError, Node};
use xtask::files::FileError;
use xtask::interrupt;

use super::{ProfileView, Watch, disk};

/// How long after its start a node may take to be counted everywhere; some seconds on an idle machine.
const LIMIT: Duration = Duration::from_secs(120);

/// How a node joined.
#[derive(Debug)]
pub struct Join {
    /// The node.
    pub node: Node,
    /// Profiles that were shown ready on all nodes, the new one among them, each with the time from the node's start.
    pub counted: Vec<(String, Duration)>,
    /// Each time that such a profile was not on the new node's disk with the bytes of the hash shown.
    pub premature: Vec<String>,
}

/// Starts one more node and looks at its disk at every status that counts it ready, until all `profiles` do.
///
/// # Errors
/// When the node does not start or is not counted in time.
pub fn add_node(cluster: &Cluster, profiles: &[&str]) -> Result<Join, ClusterError> {
    let nodes = cluster.nodes()?.len() + 1;
    let watch = Watch::objects(cluster.client(), &["seccompprofiles"])?;
    let start = Instant::now();
    thread::scope(|scope| {
        let adding = scope.spawn(|| cluster.add_node());
        let mut missing: BTreeSet<&str> = profiles.iter().copied().collect();
        let mut counted = Vec::new();
        let mut premature = Vec::new();
        while !missing.is_empty() && start.elapsed() < LIMIT {
            let failed = adding.is_finished() && cluster.nodes()?.len() < nodes;
            if failed || interrupt::check().is_err() {
                break;
            }
            let Some(event) = watch.next(Duration::from_millis(100)) else { continue };
            let view = ProfileView::from(event.object);
            if view.count("ready") != i64::try_from(nodes).ok() {
                continue;
            }
            premature.extend(unlike(cluster, &view)?);
            if missing.remove(view.name()) {
                counted.push((view.name().to_owned(), start.elapsed()));
            }
        }
        // What failed, or was interrupted, says so here.
        let node = adding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        if missing.is_empty() {
            return Ok(Join { node, counted, premature });
        }
        let what = format!("{} being counted for {missing:?}", node.name());
        Err(WaitError::TooLate { what, limit: LIMIT }.into())
    })
}

/// What is wrong with the newest node's file of a profile that counts it.
fn unlike(cluster: &Cluster, view: &ProfileView) -> Result<Option<String>, FileError> {
    let Some(node) = cluster.nodes()?.pop() else { return Ok(None) };
    let found = disk::hash(&node, view.name())?.unwrap_or_else(|| "no file".to_owned());
    let shown = view.content_hash();
    let (name, node) = (view.name(), node.name());
    Ok((found != shown).then(|| format!("{name}: {node} is counted for {shown}, its disk holds {found}")))
}
