//! Adds a node and checks its disk whenever a status counts it as ready.

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use cluster::wait::WaitError;
use cluster::{Cluster, ClusterError, Node};
use xtask::files::FileError;
use xtask::interrupt;

use super::{ProfileView, Watch, disk};

/// The longest time from a node's start until all profiles count it; seconds on an idle machine.
const LIMIT: Duration = Duration::from_mins(2);

/// How a node joined.
#[derive(Debug)]
pub struct Join {
    /// The node.
    pub node: Node,
    /// Profiles that were shown ready on all nodes, the new one among them, each with the time from the node's start.
    pub counted: Vec<(String, Duration)>,
    /// Statuses that counted the node before its file had the hash shown.
    pub premature: Vec<String>,
}

/// Adds a node and checks its disk at every status that counts it, until all `profiles` do.
///
/// # Errors
/// When the node does not start or is not counted in time.
pub fn add_and_check_node(cluster: &Cluster, profiles: &[&str]) -> Result<Join, ClusterError> {
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
            premature.extend(mismatch(cluster, &view)?);
            if missing.remove(view.name()) {
                counted.push((view.name().to_owned(), start.elapsed()));
            }
        }
        // Returns the error of a failed start.
        let node = adding.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))?;
        if missing.is_empty() {
            return Ok(Join { node, counted, premature });
        }
        let what = format!("{} being counted for {missing:?}", node.name());
        Err(WaitError::TooLate { what, limit: LIMIT }.into())
    })
}

/// How the newest node's file differs from the hash in the status.
fn mismatch(cluster: &Cluster, view: &ProfileView) -> Result<Option<String>, FileError> {
    let Some(node) = cluster.nodes()?.pop() else { return Ok(None) };
    let found = disk::hash(&node, view.name())?.unwrap_or_else(|| "no file".to_owned());
    let shown = view.content_hash();
    let (name, node) = (view.name(), node.name());
    Ok((found != shown).then(|| format!("{name}: {node} is counted for {shown}, its disk holds {found}")))
}
