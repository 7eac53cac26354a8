//! On which nodes a pod can land.
//!
//! What keeps it from more nodes, such as taints, is left out: a node too many means a file instead of an artifact.

use std::collections::BTreeMap;

use api::Selection;
use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement};
use serde::Deserialize;
use serde_json::Value;

use crate::images::affinity::Affinity;

/// The nodes that a pod can land on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Landing {
    /// The only one, if the pod names it, or is there.
    node: Option<String>,
    /// What its labels and its name must be.
    selection: Selection,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    node_name: Option<String>,
    node_selector: Option<BTreeMap<String, String>>,
    affinity: Option<Affinity>,
}

/// The most labels, expressions and values with which a pod selects nodes. Each is compared with each node, and a pod is as
/// large as etcd takes it.
const MOST: usize = 1_000;

/// Where a pod with this `spec` can land; `None` if it cannot be read, or selects nodes by more than a thousand
/// expressions and values.
#[must_use]
pub fn of(spec: &Value) -> Option<Landing> {
    let Spec { node_name, node_selector, affinity } = Spec::deserialize(spec).ok()?;
    let labels = node_selector.unwrap_or_default();
    let required = affinity.as_ref().and_then(Affinity::required);
    if labels.len() + required.map_or(0, size) > MOST {
        return None;
    }
    let selection = Selection { labels, affinity: required.cloned() };
    Some(Landing { node: node_name.filter(|name| !name.is_empty()), selection })
}

/// How many terms, expressions and values there are.
fn size(required: &NodeSelector) -> usize {
    let of_all = |all: &Option<Vec<NodeSelectorRequirement>>| -> usize {
        all.iter().flatten().map(|it| 1 + it.values.as_ref().map_or(0, Vec::len)).sum()
    };
    let terms = required.node_selector_terms.iter();
    terms.map(|term| 1 + of_all(&term.match_expressions) + of_all(&term.match_fields)).sum()
}

impl Landing {
    /// Whether it can be on the node `name` with these labels. Where it names its node, its selector does not matter: no
    /// scheduler looks at it.
    #[must_use]
    pub fn is_possible_on(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        match &self.node {
            Some(node) => node == name,
            None => self.selection.matches(name, labels),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn can_land(spec: &Value, name: &str, labels: Value) -> bool {
        of(spec).unwrap().is_possible_on(name, &serde_json::from_value(labels).unwrap())
    }

    fn requiring(terms: &Value) -> Value {
        let required = json!({ "nodeSelectorTerms": terms });
        json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } } })
    }

    #[test]
    fn a_pod_can_land_where_its_selector_and_one_term_of_its_affinity_are_met() {
        assert!(can_land(&json!({}), "a", json!({})));
        let web = json!({ "nodeSelector": { "pool": "web" } });
        assert!(can_land(&web, "a", json!({ "pool": "web" })) && !can_land(&web, "a", json!({})));
        let mut both = requiring(&json!([
            { "matchExpressions": [{ "key": "zone", "operator": "NotIn", "values": ["b"] }] },
            { "matchExpressions": [{ "key": "gpus", "operator": "Gt", "values": ["3"] }] },
        ]));
        both["nodeSelector"] = web["nodeSelector"].clone();
        assert!(can_land(&both, "a", json!({ "pool": "web", "zone": "a" })));
        assert!(can_land(&both, "a", json!({ "pool": "web", "zone": "b", "gpus": "4" })));
        assert!(!can_land(&both, "a", json!({ "pool": "web", "zone": "b", "gpus": "3" })));
        assert!(!can_land(&both, "a", json!({ "zone": "a" })));
    }

    #[test]
    fn a_pod_of_a_daemon_set_and_one_that_names_its_node_can_land_there_alone() {
        let fields = json!([{ "key": "metadata.name", "operator": "In", "values": ["a"] }]);
        let of_daemon_set = requiring(&json!([{ "matchFields": fields }]));
        assert!(can_land(&of_daemon_set, "a", json!({})) && !can_land(&of_daemon_set, "b", json!({})));
        let named = json!({ "nodeName": "a", "nodeSelector": { "pool": "web" } });
        assert!(can_land(&named, "a", json!({})) && !can_land(&named, "b", json!({ "pool": "web" })));
    }

    #[test]
    fn a_selection_of_more_than_a_thousand_parts_is_not_compared_with_nodes() {
        let values = |count: usize| json!({ "key": "a", "operator": "NotIn", "values": vec!["b"; count] });
        // The term and its expression count, too.
        assert!(of(&requiring(&json!([{ "matchExpressions": [values(MOST - 2)] }]))).is_some());
        let labels: BTreeMap<_, _> = (0..=MOST).map(|number| (number.to_string(), "")).collect();
        for large in [
            requiring(&json!([{ "matchExpressions": [values(MOST - 1)] }])),
            requiring(&json!([{ "matchFields": vec![values(0); MOST] }])),
            requiring(&json!(vec![json!({}); MOST + 1])),
            json!({ "nodeSelector": labels }),
        ] {
            assert_eq!(of(&large), None);
        }
    }

    #[test]
    fn what_only_makes_other_nodes_unlikely_excludes_none() {
        let spec = json!({ "affinity": { "nodeAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [] } } });
        assert!(can_land(&spec, "a", json!({})));
        assert_eq!(of(&json!({ "nodeSelector": 7 })), None);
    }
}
