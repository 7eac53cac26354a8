//! Pods that name a profile that does not exist.
//!
//! The operator's finalizer keeps a profile while pods use it. The API server immediately removes a profile that is
//! deleted before it has the finalizer, and the agents remove its file, whatever pods name it. The operator cannot
//! prevent that; it counts the pods.

use k8s_openapi::jiff::Timestamp;

use super::node::Node;
use super::profile_pods::{ProfilePod, UNSCHEDULED};
use super::{Index, after};

impl Index {
    /// How many pods that may run name a profile that does not exist. Their containers find no file when they start
    /// again, unless somebody else has put one there.
    #[must_use]
    pub fn pods_without_profile(&self, now: Timestamp) -> usize {
        let names_missing =
            |user: &&ProfilePod| user.profiles().any(|name| !self.profiles.contains_key(name));
        self.users.all().filter(names_missing).filter(|user| self.may_run(user, now)).count()
    }

    fn may_run(&self, user: &ProfilePod, now: Timestamp) -> bool {
        match &user.node {
            Some(node) => self.nodes.get(node).is_some_and(Node::hosts_live_pods),
            None => now < after(user.created, UNSCHEDULED),
        }
    }
}
