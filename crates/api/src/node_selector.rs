//! `spec.nodeSelector` of a profile: which nodes must have it.
//!
//! It is a label selector. The schema admits only what the API server accepts in the node affinity of a pod, too, because
//! pods get the same requirements (`operator/src/gate/pods/narrowing.rs`).

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::NodeSelectorRequirement;
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::{Text, lenient};

/// The most labels, and the most expressions.
const MAX_REQUIREMENTS: usize = 16;
/// The most values of one expression.
const MAX_VALUES: usize = 32;
/// The longest key: a prefix of 253 characters, a slash and a name of 63.
const MAX_KEY: usize = 317;
/// The longest prefix of a key.
const MAX_PREFIX: usize = 253;
/// A label's key: `k8s.io/apimachinery`, `pkg/util/validation` (`IsQualifiedName`). Its prefix is a name of DNS
/// (`IsDNS1123Subdomain`). The API server refuses any other key in the affinity of a pod, so that no gate could be lifted.
/// It has no backslash, which would end the text in an expression of the schema.
const KEY: &str = "^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// A label's value: the same, `IsValidLabelValue`.
const VALUE: &str = "^([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?$";

/// Which nodes must have a profile, by their labels: those that meet every requirement. An empty one selects all nodes.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct NodeLabelSelector {
    /// Labels that a node has with exactly these values.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub match_labels: BTreeMap<String, String>,
    /// Further requirements.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub match_expressions: Vec<NodeLabelRequirement>,
}

/// A requirement for one label of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct NodeLabelRequirement {
    /// The label's key.
    pub key: String,
    /// What must hold for its value.
    pub operator: LabelOperator,
    /// The values, for `In` and `NotIn`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<String>,
}

/// What must hold for the value of a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum LabelOperator {
    /// It is one of the values.
    In,
    /// It is none of the values, or the label is absent.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is absent.
    DoesNotExist,
}

/// The part of a profile's `spec` that selects nodes.
#[derive(Deserialize)]
struct Selecting {
    #[serde(default, rename = "nodeSelector", deserialize_with = "lenient::field")]
    node_selector: Option<NodeLabelSelector>,
}

impl LabelOperator {
    /// Its name, the same in the node affinity of a pod.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
        }
    }
}

impl NodeLabelSelector {
    /// The selector in the `spec` of a profile. One that cannot be read selects all nodes: a file too many is harmless.
    #[must_use]
    pub fn of_spec(spec: &Text) -> Option<Self> {
        let Selecting { node_selector } = serde_json::from_str(spec.as_str()).ok()?;
        node_selector.filter(|selector| *selector != Self::default())
    }

    /// Whether the `spec` of a profile has a selector. Of most, which have none, the text alone shows it.
    #[must_use]
    pub fn is_in(spec: &Text) -> bool {
        spec.as_str().contains("nodeSelector") && Self::of_spec(spec).is_some()
    }

    /// Whether a node with these labels must have the profile.
    #[must_use]
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        self.match_labels.iter().all(|(key, value)| labels.get(key) == Some(value))
            && self.match_expressions.iter().all(|requirement| requirement.matches(labels))
    }

    /// The same requirements for the node affinity of a pod.
    pub fn requirements(&self) -> impl Iterator<Item = NodeSelectorRequirement> {
        let labels = self.match_labels.iter().map(|(key, value)| NodeSelectorRequirement {
            key: key.clone(),
            operator: LabelOperator::In.as_str().to_owned(),
            values: Some(vec![value.clone()]),
        });
        labels.chain(self.match_expressions.iter().map(|it| NodeSelectorRequirement {
            key: it.key.clone(),
            operator: it.operator.as_str().to_owned(),
            values: Some(it.values.clone()).filter(|values| !values.is_empty()),
        }))
    }
}

impl NodeLabelRequirement {
    fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            LabelOperator::In => value.is_some_and(|value| self.values.contains(value)),
            LabelOperator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            LabelOperator::Exists => value.is_some(),
            LabelOperator::DoesNotExist => value.is_none(),
        }
    }
}

pub(crate) fn schema(_: &mut SchemaGenerator) -> Schema {
    let rule = |rule: String, message: &str| json!({ "rule": rule, "message": message });
    json_schema!({
        "description": "Which nodes must have the profile, by their labels: those that meet every requirement. Only they count \
                        in the status. Without it, all nodes that have an agent.",
        "type": "object",
        "nullable": true,
        "properties": {
            "matchLabels": {
                "description": "Labels that a node has with exactly these values.",
                "type": "object",
                "nullable": true,
                "maxProperties": MAX_REQUIREMENTS,
                "additionalProperties": { "type": "string", "maxLength": 63, "pattern": VALUE },
                "x-kubernetes-validations": [rule(
                    format!("self.all(key, size(key) <= {MAX_KEY} && key.indexOf('/') <= {MAX_PREFIX} && key.matches('{KEY}'))"),
                    "a key is not that of a label",
                )]
            },
            "matchExpressions": {
                "description": "Further requirements.",
                "type": "array",
                "nullable": true,
                "maxItems": MAX_REQUIREMENTS,
                "items": {
                    "type": "object",
                    "required": ["key", "operator"],
                    "properties": {
                        "key": {
                            "description": "The label's key.",
                            "type": "string",
                            "maxLength": MAX_KEY,
                            "pattern": KEY
                        },
                        "operator": {
                            "description": "What must hold for the label's value.",
                            "type": "string",
                            "enum": ["In", "NotIn", "Exists", "DoesNotExist"]
                        },
                        "values": {
                            "description": "The values, for `In` and `NotIn`.",
                            "type": "array",
                            "nullable": true,
                            "maxItems": MAX_VALUES,
                            "items": { "type": "string", "maxLength": 63, "pattern": VALUE }
                        }
                    },
                    "x-kubernetes-validations": [
                        rule(
                            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)"
                                .to_owned(),
                            "In and NotIn need values, Exists and DoesNotExist take none",
                        ),
                        rule(
                            format!("self.key.indexOf('/') <= {MAX_PREFIX}"),
                            "a key is not that of a label",
                        )
                    ]
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    fn of_spec(spec: Value) -> Option<NodeLabelSelector> {
        NodeLabelSelector::of_spec(&serde_json::from_value(spec).unwrap())
    }

    fn selector(selector: Value) -> NodeLabelSelector {
        of_spec(json!({ "contents": {}, "nodeSelector": selector })).unwrap()
    }

    #[test]
    fn a_node_must_meet_every_requirement() {
        let both = selector(json!({
            "matchLabels": { "pool": "web" },
            "matchExpressions": [{ "key": "zone", "operator": "NotIn", "values": ["b", "c"] }],
        }));
        assert!(both.matches(&labels(&[("pool", "web"), ("zone", "a")])));
        assert!(both.matches(&labels(&[("pool", "web")])), "an absent label has none of the values");
        assert!(!both.matches(&labels(&[("pool", "web"), ("zone", "b")])));
        assert!(!both.matches(&labels(&[("pool", "db"), ("zone", "a")])));
        assert!(!both.matches(&labels(&[])));
    }

    #[test]
    fn each_operator_is_that_of_a_label_selector() {
        for (operator, values, with, other, without) in [
            ("In", json!(["a"]), true, false, false),
            ("NotIn", json!(["a"]), false, true, true),
            ("Exists", json!([]), true, true, false),
            ("DoesNotExist", json!(null), false, false, true),
        ] {
            let mut requirement = json!({ "key": "zone", "operator": operator });
            if !values.is_null() {
                requirement["values"] = values;
            }
            let selector = selector(json!({ "matchExpressions": [requirement] }));
            let matches = |pairs: &[(&str, &str)]| selector.matches(&labels(pairs));
            assert_eq!(
                (matches(&[("zone", "a")]), matches(&[("zone", "b")]), matches(&[])),
                (with, other, without),
                "{operator}"
            );
        }
    }

    #[test]
    fn a_pod_gets_the_same_requirements() {
        let selector = selector(json!({
            "matchLabels": { "pool": "web" },
            "matchExpressions": [{ "key": "gpu", "operator": "Exists" }],
        }));
        let requirements: Vec<_> = selector.requirements().collect();
        assert_eq!(
            serde_json::to_value(requirements).unwrap(),
            json!([
                { "key": "pool", "operator": "In", "values": ["web"] },
                { "key": "gpu", "operator": "Exists" },
            ])
        );
    }

    #[test]
    fn without_a_readable_selector_all_nodes_are_selected() {
        for spec in [
            json!({}),
            json!(7),
            json!({ "nodeSelector": null }),
            json!({ "nodeSelector": {} }),
            json!({ "nodeSelector": "web" }),
            json!({ "nodeSelector": { "matchExpressions": [{ "key": "a", "operator": "Gt" }] } }),
        ] {
            assert_eq!(of_spec(spec.clone()), None, "{spec}");
            assert!(!NodeLabelSelector::is_in(&serde_json::from_value(spec).unwrap()));
        }
    }
}
