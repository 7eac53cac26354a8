//! Nodes that a test adds.

use std::thread;

use cluster::Node;

use super::support::{Session, complain};

/// A node that a test added, until this is dropped.
pub(crate) struct Guest<'a> {
    session: &'a Session,
    pub(crate) node: Node,
}

impl<'a> Guest<'a> {
    /// A node that is there.
    pub(crate) fn new(session: &'a Session, node: Node) -> Self {
        Guest { session, node }
    }

    /// Starts one more node, and waits until its agent has every file.
    pub(crate) fn one(session: &'a Session) -> Self {
        let guest = Guest::new(session, session.add_node().unwrap_or_else(|error| panic!("{error}")));
        guest.reported();
        guest
    }

    /// Starts two more nodes, and waits until their agents have every file.
    pub(crate) fn two(session: &'a Session) -> [Self; 2] {
        let guests = thread::scope(|scope| {
            let add = || scope.spawn(|| session.add_node().map(|node| Guest::new(session, node)));
            // Both are waited for before either's failure is told, so that the other one is removed.
            [add(), add()].map(|guest| guest.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
        });
        let guests = guests.map(|guest| guest.unwrap_or_else(|error| panic!("{error}")));
        guests.iter().for_each(Guest::reported);
        guests
    }

    fn reported(&self) {
        let report = format!("nodeprofilestatus/{}", self.node.name());
        self.session.ok(["wait", "--for=create", "--timeout=30s", &report]);
        self.session.ok(["wait", "--for=condition=Ready", "--timeout=60s", &report]);
    }
}

impl Drop for Guest<'_> {
    fn drop(&mut self) {
        complain(self.node.remove());
        complain(self.node.delete_object());
        // Kubernetes collects the pods of a node that is gone after a minute, and others would wait for them.
        let of_node = format!("--field-selector=spec.nodeName={}", self.node.name());
        let delete = ["delete", "pods", "--all-namespaces", "--force", &of_node];
        complain(self.session.kubectl(delete).map(drop));
    }
}
