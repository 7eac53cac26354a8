//! A node joins, and is counted only once it has every file.

use cluster::{Cluster, ClusterError};

use super::{Demo, PROFILES};
use crate::view;

impl Demo<'_> {
    pub(super) fn a_node_joins(&mut self, cluster: &Cluster) -> Result<(), ClusterError> {
        self.story.section("A third node joins, and has every profile before it is counted");
        let join = view::add_and_check_node(cluster, &PROFILES)?;
        let name = join.node.name();
        for (profile, after) in &join.counted {
            let seconds = after.as_secs_f64();
            self.story.say(&format!("{profile}: 3/3, {seconds:.1} s after the start of {name}"));
        }
        let claim = format!("whenever a status counted {name}, its disk held the bytes of the hash shown");
        self.story.claim(&claim, join.premature.is_empty(), || join.premature.join("; "));
        let object = format!("nodeprofilestatus/{name}");
        self.kubectl(&["wait", "--for=condition=Ready", &object, "--timeout=30s"])?;
        self.kubectl(&["get", "seccompprofiles"])?;
        self.kubectl(&["get", "nodeprofilestatuses"])?;
        PROFILES.iter().try_for_each(|name| self.every_node_holds(name).map(drop))
    }
}
