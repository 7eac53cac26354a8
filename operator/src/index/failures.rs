//! The nodes that a profile's status names because they cannot hold it, with the reason of each.

use std::sync::Arc;

use api::{NodeFailure, OpenEnum};

use super::Index;
use super::profile::Profile;
use crate::status;

impl Index {
    /// The nodes that cannot hold a profile: first those that report why, then those that do not hold it and do not say.
    /// In each part the first by name.
    pub(super) fn failures(&self, name: &str, profile: &Profile) -> Vec<NodeFailure> {
        let reported = profile.failed.iter().filter_map(|node| self.reported_failure(node, name));
        let silent = profile.pending.intersection(&self.silent).filter_map(|node| {
            let (reason, message) = self.nodes.get(&**node)?.silence()?;
            Some(failure(node, reason, message))
        });
        reported.chain(silent).take(status::MAX_FAILURES).collect()
    }

    fn reported_failure(&self, node: &Arc<str>, profile: &str) -> Option<NodeFailure> {
        let problem = self.nodes.get(&**node)?.current_report()?.problems.get(profile)?;
        Some(match &problem.state {
            OpenEnum::Known(_) => failure(node, &problem.reason, &problem.message),
            OpenEnum::Unknown(state) => {
                let message = format!(
                    "the agent reports {state}, which this operator does not know: {}",
                    problem.message
                );
                failure(node, &problem.reason, &message)
            }
        })
    }
}

fn failure(node: &Arc<str>, reason: &str, message: &str) -> NodeFailure {
    NodeFailure {
        node: node.to_string(),
        reason: status::bounded(reason, 64),
        message: status::bounded(message, 512),
    }
}
