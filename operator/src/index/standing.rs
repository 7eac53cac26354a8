//! What is known of the files of one node, for a program that decides whether pods may be scheduled there.

use api::{OpenEnum, ProblemKind};
use k8s_openapi::jiff::Timestamp;

use super::Index;
use super::node::Node;
use super::profile::Profile;

/// What is known of one node and its files, whatever follows from it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeStanding {
    /// The uid of the Node.
    pub uid: String,
    /// Whether an agent should run there.
    pub selected: bool,
    /// When it joined the cluster, or when this process first saw it, if that is earlier.
    pub joined: Timestamp,
    /// Whether its agent has reported.
    pub reported: bool,
    /// Since when no agent is ready on it, if none is. After a start of this process: at least since then.
    pub agent_down_since: Option<Timestamp>,
    /// The accepted profiles that are not being deleted and that the node should hold and does not, in the order of
    /// their names.
    pub missing: Vec<MissingProfile>,
    /// Since when this process has known that the node lacks a profile or has not reported.
    pub behind_since: Option<Timestamp>,
}

/// A profile that a node should hold and does not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingProfile {
    /// The profile's name.
    pub name: String,
    /// The problem that the agent reports, if it reports one. A state of another release counts as
    /// [`ProblemKind::Failed`]: the agent may still write the file.
    pub problem: Option<ProblemKind>,
}

impl Index {
    /// What is known of the node `name`; `None` if there is no such Node.
    #[must_use]
    pub fn node_standing(&self, name: &str) -> Option<NodeStanding> {
        let node = self.nodes.get(name)?;
        let object = node.object.as_ref()?;
        Some(NodeStanding {
            uid: object.uid.clone(),
            selected: object.selected,
            joined: node.joined(object),
            reported: node.has_reported(),
            agent_down_since: node.agents_down_since(),
            missing: self.missing_profiles(node),
            behind_since: node.behind,
        })
    }

    /// Costs work in proportion to the number of profiles only where the node lacks one.
    fn missing_profiles(&self, node: &Node) -> Vec<MissingProfile> {
        if node.lacking() == 0 {
            return Vec::new();
        }
        let mut files = node.reported_files();
        let missing = |(name, profile): (&String, &Profile)| {
            let file = files.of(name);
            let lacks = node.lacks(file, profile) && !profile.facts.deleting();
            let problem = file.problem().map(|problem| match problem.state {
                OpenEnum::Known(kind) => kind,
                OpenEnum::Unknown(_) => ProblemKind::Failed,
            });
            lacks.then(|| MissingProfile { name: name.clone(), problem })
        };
        self.profiles.iter().filter_map(missing).collect()
    }

    /// The nodes that lack some profile.
    pub fn lacking_nodes(&self) -> impl Iterator<Item = &str> {
        self.nodes.iter().filter(|(_, node)| node.lacking() > 0).map(|(name, _)| name.as_str())
    }
}
