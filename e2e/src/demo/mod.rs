//! Shows and checks the whole life of a profile on a real cluster: every claim that is printed is asserted.
//!
//! The acts, in order: [`rollout`] (applied, Ready on every node), [`pods`] (the kernel obeys), [`added_node`] (a node
//! joins), then [`rollout`] again (edited, deleted). [`story`] prints and counts, [`evidence`] is what the nodes hold.

mod added_node;
mod evidence;
mod pods;
mod rollout;
mod story;

use std::process::ExitCode;

use cluster::TargetCluster;
use cluster::{Client, Cluster, ClusterError, NAMESPACE};
use xtask::workspace::repository;

use evidence::Evidence;
use story::Story;

/// The profiles of the project's folder `profiles/`.
const PROFILES: [&str; 4] = ["audit", "fine-grained", "runtime-default", "violation"];

/// The cluster and the output of the demo.
struct Demo<'a> {
    client: &'a Client,
    /// `None` for an external cluster: then no node is added.
    local: Option<&'a Cluster>,
    evidence: Evidence<'a>,
    story: Story,
}

/// Runs the demo on the cluster that `start` returns, which has the chart. Ends the cluster unless it shall be kept.
pub(crate) fn run(
    start: impl FnOnce() -> Result<TargetCluster, ClusterError>,
    keep: bool,
) -> Result<ExitCode, ClusterError> {
    let mut story = Story::new();
    story.section("A real Kubernetes is started, and the chart installed");
    let running = start()?;
    let local = match &running {
        TargetCluster::Local(cluster) => Some(cluster),
        TargetCluster::Kind(_) | TargetCluster::External(_) => None,
    };
    let client = running.client();
    let evidence = local.map_or(Evidence::Reports(client), Evidence::Disks);
    let mut stage = Demo { client, local, evidence, story };
    // If other objects have our names, the demo has made nothing that it could remove.
    let free = stage.refuse_to_overwrite();
    let clears = matches!(running, TargetCluster::External(_)) && !keep && free.is_ok();
    let told = free.and_then(|()| stage.play());
    let cleared = if clears { stage.clear() } else { Ok(()) };
    let mut story = stage.story;
    story.section("The end");
    let exports = running.exports();
    let ended = if keep { Ok(()) } else { running.end() };
    if keep {
        story.say("The cluster stays. A shell that evaluates these lines can use it:");
        println!("{exports}");
    }
    told.and(cleared).and(ended)?;
    Ok(story.end())
}

impl Demo<'_> {
    fn play(&mut self) -> Result<(), ClusterError> {
        self.show_the_cluster()?;
        self.profiles_become_ready()?;
        self.pods_run_under_them()?;
        if let Some(cluster) = self.local {
            self.a_node_joins(cluster)?;
        }
        self.a_profile_is_edited()?;
        self.a_profile_is_deleted()
    }

    /// On an external cluster, profiles and pods of our names may belong to others.
    fn refuse_to_overwrite(&mut self) -> Result<(), ClusterError> {
        if self.local.is_some() {
            return Ok(());
        }
        let folders = ["profiles", "pods"].map(folder);
        let there = ["get", "--ignore-not-found", "-o", "name", "-f", &folders[0], "-f", &folders[1]];
        match self.client.kubectl(there)?.trim() {
            "" => Ok(()),
            names => Err(ClusterError::InTheWay(names.replace('\n', ", "))),
        }
    }

    fn show_the_cluster(&mut self) -> Result<(), ClusterError> {
        self.kubectl(&["get", "nodes"])?;
        self.kubectl(&["get", "pods", "--namespace", NAMESPACE, "-o", "wide"])?;
        Ok(())
    }

    /// Removes what the demo made.
    fn clear(&mut self) -> Result<(), ClusterError> {
        let folders = ["pods", "profiles"].map(folder);
        self.client.kubectl(["delete", "--ignore-not-found", "-f", &folders[0], "-f", &folders[1]])?;
        Ok(())
    }

    /// Runs kubectl and shows the command with what it printed.
    fn kubectl(&mut self, arguments: &[&str]) -> Result<String, ClusterError> {
        self.story.command(arguments);
        let printed = self.client.kubectl(arguments)?;
        self.story.printed(&printed);
        Ok(printed)
    }
}

/// A folder of the repository.
fn folder(name: &str) -> String {
    repository().join(name).display().to_string()
}
