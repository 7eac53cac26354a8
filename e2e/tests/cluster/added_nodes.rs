//! Nodes that a test adds.

use std::thread;

use cluster::Node;

use super::support::{Session, expect_cleanup};

/// A node that a test added; it is removed when this is dropped.
pub(crate) struct AddedNode<'a> {
    session: &'a Session,
    pub(crate) node: Node,
}

impl<'a> AddedNode<'a> {
    /// An existing node.
    pub(crate) fn new(session: &'a Session, node: Node) -> Self {
        AddedNode { session, node }
    }

    /// Starts one more node, and waits until its agent has every file.
    pub(crate) fn add(session: &'a Session) -> Self {
        let added = AddedNode::new(session, session.add_node().unwrap_or_else(|error| panic!("{error}")));
        added.wait_reported();
        added
    }

    /// Starts two more nodes, and waits until their agents have every file.
    pub(crate) fn add_two(session: &'a Session) -> [Self; 2] {
        let added = thread::scope(|scope| {
            let add = || scope.spawn(|| session.add_node().map(|node| AddedNode::new(session, node)));
            // Waits for both before it reports the failure of one, so that the other one is removed.
            [add(), add()].map(|added| added.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let added = added.map(|added| added.unwrap_or_else(|error| panic!("{error}")));
        added.iter().for_each(AddedNode::wait_reported);
        added
    }

    fn wait_reported(&self) {
        let report = format!("nodeprofilestatus/{}", self.node.name());
        self.session.ok(["wait", "--for=create", "--timeout=30s", &report]);
        self.session.ok(["wait", "--for=condition=Ready", "--timeout=60s", &report]);
    }
}

impl Drop for AddedNode<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.node.remove());
        expect_cleanup(self.node.delete_object());
        // Kubernetes removes the pods of a deleted node only after a minute, and other tests would wait for them.
        let of_node = format!("--field-selector=spec.nodeName={}", self.node.name());
        let delete = ["delete", "pods", "--all-namespaces", "--force", &of_node];
        expect_cleanup(self.session.kubectl(delete).map(drop));
    }
}
