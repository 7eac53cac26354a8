//! Which nodes declare that they get profiles from registries.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use daemon::metrics::Watch;
use k8s_openapi::api::core::v1::Node;
use kube::Client;
use kube::core::ObjectMeta;
use kube_runtime::watcher::Config;
use link::chain;
use link::changes::{Change, Changes};
use link::watch::WatchStream;
use serde::Deserialize;
use tracing::warn;

use super::landing::Landing;
use crate::certificates::keeper::WATCH;

/// The feature in `status.declaredFeatures`: `nodedeclaredfeatures/features/securityprofileoci` of
/// k8s.io/component-helpers v0.38.0-beta.0. A kubelet declares it if its gate is on and its runtime has the feature.
pub const FEATURE: &str = "SecurityProfileOCI";

/// Nodes in one page of a list.
const PAGE: u32 = 100;

/// A Node, as far as this is concerned.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct WatchedNode {
    #[serde(deserialize_with = "api::metadata::lenient")]
    metadata: ObjectMeta,
    #[serde(default)]
    status: Status,
}
api::watched_as!(WatchedNode, Node);

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Status {
    declared_features: Option<Vec<String>>,
}

#[derive(Debug)]
struct Known {
    uid: Box<str>,
    labels: BTreeMap<String, String>,
    declares: bool,
}

/// The nodes.
#[derive(Debug, Default)]
pub struct Nodes(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    /// Whether none is missing.
    is_complete: bool,
    nodes: BTreeMap<Box<str>, Known>,
}

impl Nodes {
    /// Whether every node that a pod can land on declares the feature. It is `false` without such a node, because one that
    /// comes later may not declare it, and while it is not known which nodes there are.
    #[must_use]
    pub fn all_declare(&self, landing: &Landing) -> bool {
        let state = self.state();
        let mut possible =
            state.nodes.iter().filter(|(name, node)| landing.is_possible_on(name, &node.labels)).peekable();
        state.is_complete && possible.peek().is_some() && possible.all(|(_, node)| node.declares)
    }

    /// Keeps up with the nodes, for ever.
    pub async fn follow(&self, client: Client, measured: Watch) {
        let config = Config::default().page_size(PAGE).timeout(WATCH.as_secs() as u32);
        let stream = WatchStream::<WatchedNode>::observed(client, config, measured);
        // A list shows when no node is missing any more.
        let mut changes = Changes::new(stream.listing_after_failures());
        loop {
            match changes.next().await {
                Ok(change) => self.take(change),
                Err(error) => {
                    warn!(error = %chain(&error), "the watch of the nodes failed");
                    self.state().is_complete = false;
                }
            }
        }
    }

    pub(super) fn take(&self, change: Change<WatchedNode>) {
        let mut state = self.state();
        match change {
            Change::Apply(WatchedNode { metadata, status }, _) => {
                let features = status.declared_features.unwrap_or_default();
                let node = Known {
                    uid: metadata.uid.unwrap_or_default().into(),
                    labels: metadata.labels.unwrap_or_default(),
                    declares: features.iter().any(|feature| feature == FEATURE),
                };
                state.nodes.insert(metadata.name.unwrap_or_default().into(), node);
            }
            Change::Gone(gone) => {
                if state.nodes.get(&gone.key.name).is_some_and(|node| node.uid == gone.uid) {
                    state.nodes.remove(&gone.key.name);
                }
            }
            Change::Complete => state.is_complete = true,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code that can panic runs while it is locked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A Node that declares these features.
#[cfg(test)]
pub(super) fn example(name: &str, pool: &str, features: &serde_json::Value) -> WatchedNode {
    let metadata = serde_json::json!({ "name": name, "uid": name, "labels": { "pool": pool } });
    let status = serde_json::json!({ "declaredFeatures": features });
    serde_json::from_value(serde_json::json!({ "metadata": metadata, "status": status })).unwrap()
}

#[cfg(test)]
mod tests {
    use link::changes::{ObjectId, Origin};
    use serde_json::{Value, json};

    use super::super::landing;
    use super::*;

    fn with(nodes: &[(&str, &str, Value)]) -> Nodes {
        let all = Nodes::default();
        for (name, pool, features) in nodes {
            all.take(Change::Apply(example(name, pool, features), Origin::List));
        }
        all.take(Change::Complete);
        all
    }

    fn anywhere() -> Landing {
        landing::of(&json!({})).unwrap()
    }

    fn in_pool(pool: &str) -> Landing {
        landing::of(&json!({ "nodeSelector": { "pool": pool } })).unwrap()
    }

    #[test]
    fn every_node_that_a_pod_can_land_on_must_declare_the_feature() {
        let nodes = with(&[
            ("a", "new", json!(["GuaranteedQoSPodCPUResize", FEATURE])),
            ("b", "old", json!(["GuaranteedQoSPodCPUResize"])),
            ("c", "none", json!(null)),
        ]);
        assert!(nodes.all_declare(&in_pool("new")));
        for landing in [in_pool("old"), in_pool("none"), anywhere()] {
            assert!(!nodes.all_declare(&landing), "{landing:?}");
        }
        // A node of the pool may come.
        assert!(!nodes.all_declare(&in_pool("empty")));
    }

    #[test]
    fn it_is_no_until_all_nodes_are_known_and_changes_with_them() {
        let nodes = Nodes::default();
        let change = |change| nodes.take(change);
        change(Change::Apply(example("a", "new", &json!([FEATURE])), Origin::List));
        assert!(!nodes.all_declare(&anywhere()));
        change(Change::Complete);
        assert!(nodes.all_declare(&anywhere()));
        change(Change::Apply(example("b", "new", &json!([])), Origin::Watch));
        assert!(!nodes.all_declare(&anywhere()));
        let gone = example("b", "new", &json!([]));
        let mut other = ObjectId::of(&gone.metadata);
        other.uid = "another".into();
        change(Change::Gone(other));
        assert!(
            !nodes.all_declare(&anywhere()),
            "the end of an earlier node of the name is not that of this one"
        );
        change(Change::Gone(ObjectId::of(&gone.metadata)));
        assert!(nodes.all_declare(&anywhere()));
    }

    proptest::proptest! {
        #[test]
        fn a_pod_never_gets_an_artifact_where_a_node_it_can_land_on_does_not_declare_it(
            all in proptest::collection::vec((0_u8..3, proptest::bool::ANY), 0..6), pool in proptest::option::of(0_u8..3)
        ) {
            let features = |declares: bool| if declares { json!([FEATURE]) } else { json!([]) };
            let described: Vec<_> =
                all.iter().enumerate().map(|(at, (pool, it))| (format!("n{at}"), pool.to_string(), features(*it))).collect();
            let described: Vec<_> = described.iter().map(|(name, pool, it)| (&**name, &**pool, it.clone())).collect();
            let landing = pool.map_or_else(anywhere, |pool| in_pool(&pool.to_string()));
            let mut possible = all.iter().filter(|(of, _)| pool.is_none_or(|pool| pool == *of)).peekable();
            let expected = possible.peek().is_some() && possible.all(|(_, declares)| *declares);
            proptest::prop_assert_eq!(with(&described).all_declare(&landing), expected);
        }
    }
}
