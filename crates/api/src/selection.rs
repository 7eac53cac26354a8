//! Which nodes a pod can land on: its node selector and its required node affinity.
//!
//! For the agents' DaemonSet, the chart renders one value into it and into the operator's options, so that both select the
//! same nodes. The rules are the scheduler's: a node must match one of the terms, and within it every requirement; an
//! empty term matches no node.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};

/// Which nodes are selected.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Selection {
    /// Labels that a node must have.
    pub labels: BTreeMap<String, String>,
    /// Required node affinity.
    pub affinity: Option<NodeSelector>,
}

impl Selection {
    /// Whether the node `name` with `labels` is selected.
    #[must_use]
    pub fn matches(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.affinity.as_ref().is_none_or(|affinity| {
                affinity.node_selector_terms.iter().any(|term| matches_term(term, name, labels))
            })
    }
}

fn matches_term(term: &NodeSelectorTerm, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    (!expressions.is_empty() || !fields.is_empty())
        && expressions.iter().all(|e| matches_requirement(e, labels.get(&e.key).map(String::as_str)))
        // The scheduler supports one field.
        && fields.iter().all(|f| f.key == "metadata.name" && matches_requirement(f, Some(name)))
}

fn matches_requirement(requirement: &NodeSelectorRequirement, found: Option<&str>) -> bool {
    let values = requirement.values.as_deref().unwrap_or_default();
    let listed = |found| values.iter().any(|value| value == found);
    let compare = |holds: fn(&i64, &i64) -> bool| match (found.map(str::parse), values) {
        (Some(Ok(found)), [bound]) => bound.parse().is_ok_and(|bound| holds(&found, &bound)),
        _ => false,
    };
    match requirement.operator.as_str() {
        "In" => found.is_some_and(listed),
        "NotIn" => !found.is_some_and(listed),
        "Exists" => found.is_some(),
        "DoesNotExist" => found.is_none(),
        "Gt" => compare(i64::gt),
        "Lt" => compare(i64::lt),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn selected(affinity: Value, labels: &[(&str, &str)]) -> bool {
        let selection =
            Selection { labels: BTreeMap::new(), affinity: serde_json::from_value(affinity).unwrap() };
        selection.matches("node-1", &labels.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    fn term(expression: Value) -> Value {
        json!({ "nodeSelectorTerms": [{ "matchExpressions": [expression] }] })
    }

    #[test]
    fn every_label_of_the_selector_must_be_there() {
        let selection = Selection { labels: BTreeMap::from([("os".into(), "linux".into())]), affinity: None };
        let labels =
            |os: &str| BTreeMap::from([("os".to_owned(), os.to_owned()), ("x".to_owned(), String::new())]);
        assert!(selection.matches("n", &labels("linux")));
        assert!(!selection.matches("n", &labels("windows")));
        assert!(!selection.matches("n", &BTreeMap::new()));
        assert!(Selection::default().matches("n", &BTreeMap::new()));
    }

    #[test]
    fn operators_mean_the_same_as_to_the_scheduler() {
        for (operator, values, labels, expected) in [
            ("In", json!(["a", "b"]), &[("k", "b")][..], true),
            ("In", json!(["a"]), &[("k", "b")], false),
            ("In", json!(["a"]), &[], false),
            ("NotIn", json!(["a"]), &[("k", "b")], true),
            ("NotIn", json!(["a"]), &[], true),
            ("NotIn", json!(["a"]), &[("k", "a")], false),
            ("Exists", json!(null), &[("k", "")], true),
            ("Exists", json!(null), &[], false),
            ("DoesNotExist", json!(null), &[], true),
            ("DoesNotExist", json!(null), &[("k", "")], false),
            ("Gt", json!(["5"]), &[("k", "6")], true),
            ("Gt", json!(["5"]), &[("k", "5")], false),
            ("Gt", json!(["5"]), &[("k", "x")], false),
            ("Lt", json!(["5"]), &[("k", "4")], true),
            ("Lt", json!(["5"]), &[], false),
            ("Like", json!(["5"]), &[("k", "5")], false),
        ] {
            let affinity = term(json!({ "key": "k", "operator": operator, "values": values }));
            assert_eq!(selected(affinity, labels), expected, "{operator} {values} {labels:?}");
        }
    }

    #[test]
    fn terms_are_alternatives_and_an_empty_term_matches_nothing() {
        let on = |name: &str| json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [name] }] });
        assert!(selected(json!({ "nodeSelectorTerms": [on("node-2"), on("node-1")] }), &[]));
        assert!(!selected(json!({ "nodeSelectorTerms": [on("node-2")] }), &[]));
        assert!(!selected(json!({ "nodeSelectorTerms": [{}] }), &[]));
        assert!(!selected(json!({ "nodeSelectorTerms": [] }), &[]));
    }
}
