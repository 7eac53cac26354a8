//! Pods that name a profile that does not exist.
//!
//! The finalizer holds a profile while pods use it. One that is deleted before the operator has put its finalizer on is
//! gone at once, whatever names it, and the agents remove its file. Nothing in the API server can hold it; what can be
//! done is to say so.

use k8s_openapi::jiff::Timestamp;

use super::node::Node;
use super::users::{UNSCHEDULED, User};
use super::{Index, after};

impl Index {
    /// How many pods that may run name a profile that does not exist. A container of theirs that starts anew finds no
    /// file, unless somebody else put one there.
    #[must_use]
    pub fn pods_without_profile(&self, now: Timestamp) -> usize {
        let lacks = |user: &&User| user.profiles().any(|name| !self.profiles.contains_key(name));
        self.users.all().filter(lacks).filter(|user| self.may_run(user, now)).count()
    }

    fn may_run(&self, user: &User, now: Timestamp) -> bool {
        match &user.node {
            Some(node) => self.nodes.get(node).is_some_and(Node::hosts_live_pods),
            None => now < after(user.created, UNSCHEDULED),
        }
    }
}
