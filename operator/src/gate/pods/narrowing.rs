//! Which nodes a pod may run on once its gate is lifted: those that its profiles select, without the nodes that cannot
//! hold them, by required node affinity in the same patch. One update later the API server would refuse it.
//!
//! What the API server accepts for a gated pod (1.37, `ValidatePodUpdate` in k8s.io/kubernetes,
//! pkg/apis/core/validation): where nothing is required, any terms; otherwise requirements appended at the end of each
//! term. A term without any requirement, which no node matches, must stay so. A requirement about `metadata.name` has
//! exactly one value.

use std::collections::BTreeSet;

use api::RequiredNodeAffinity;
use k8s_openapi::api::core::v1::{NodeSelectorRequirement, NodeSelectorTerm};
use serde_json::{Map, Value, json};

/// Where the terms are in a pod.
const TERMS: &str =
    "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution/nodeSelectorTerms";

/// The only field of a node that a pod can select.
const NODE_NAME: &str = "metadata.name";

/// The nodes that a pod may run on.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Narrowing {
    /// The names of nodes that it must not run on.
    pub left_out: BTreeSet<String>,
    /// What the labels of its node must be.
    pub required: Vec<NodeSelectorRequirement>,
}

/// Whether a term has no requirement, so that no node matches it.
fn matches_nothing(term: &NodeSelectorTerm) -> bool {
    let is_empty = |list: &Option<Vec<NodeSelectorRequirement>>| list.as_ref().is_none_or(Vec::is_empty);
    is_empty(&term.match_expressions) && is_empty(&term.match_fields)
}

/// The only nodes that match a term, if it names them, as those of a DaemonSet's pods do.
fn named_by(term: &NodeSelectorTerm) -> Option<&[String]> {
    let fields = term.match_fields.as_ref()?;
    let named = fields.iter().find(|field| field.key == NODE_NAME && field.operator == "In")?;
    named.values.as_deref()
}

/// The only nodes on which a pod can run, if it names them.
#[must_use]
pub fn named_nodes(affinity: &RequiredNodeAffinity) -> Option<BTreeSet<&str>> {
    let RequiredNodeAffinity::Terms(terms) = affinity else { return None };
    let mut names = BTreeSet::new();
    for term in terms.iter().filter(|term| !matches_nothing(term)) {
        names.extend(named_by(term)?.iter().map(String::as_str));
    }
    Some(names)
}

impl Narrowing {
    /// The operations of a JSON patch that add this to `affinity`.
    #[must_use]
    pub fn operations(&self, affinity: &RequiredNodeAffinity) -> Vec<Value> {
        if self.left_out.is_empty() && self.required.is_empty() {
            return Vec::new();
        }
        let fields: Vec<Value> = self
            .left_out
            .iter()
            .map(|node| json!({ "key": NODE_NAME, "operator": "NotIn", "values": [node] }))
            .collect();
        let expressions: Vec<Value> = self.required.iter().map(|requirement| json!(requirement)).collect();
        let lists = [("matchExpressions", expressions), ("matchFields", fields)];
        let lists = || lists.iter().filter(|(_, items)| !items.is_empty());
        let term: Map<_, _> = lists().map(|(list, items)| ((*list).to_owned(), json!(items))).collect();
        let required = json!({ "nodeSelectorTerms": [term] });
        let nodes = json!({ "requiredDuringSchedulingIgnoredDuringExecution": required });
        let add = |path: String, value: Value| json!({ "op": "add", "path": path, "value": value });
        let (path, value) = match affinity {
            RequiredNodeAffinity::NoAffinity => ("/spec/affinity", json!({ "nodeAffinity": nodes })),
            RequiredNodeAffinity::NoNodeAffinity => ("/spec/affinity/nodeAffinity", nodes),
            RequiredNodeAffinity::NothingRequired => (TERMS.trim_end_matches("/nodeSelectorTerms"), required),
            RequiredNodeAffinity::Terms(terms) => {
                let terms = terms.iter().enumerate().filter(|(_, term)| !matches_nothing(term));
                let mut operations = Vec::new();
                for (at, term) in terms {
                    for (list, items) in lists() {
                        let path = format!("{TERMS}/{at}/{list}");
                        let exists = match *list {
                            "matchFields" => term.match_fields.is_some(),
                            _ => term.match_expressions.is_some(),
                        };
                        if exists {
                            let append = |item: &Value| add(format!("{path}/-"), item.clone());
                            operations.extend(items.iter().map(append));
                        } else {
                            operations.push(add(path, json!(items)));
                        }
                    }
                }
                return operations;
            }
        };
        vec![add(path.to_owned(), value)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn narrowing(nodes: &[&str]) -> Narrowing {
        Narrowing { left_out: nodes.iter().map(ToString::to_string).collect(), required: Vec::new() }
    }

    fn terms(terms: Value) -> RequiredNodeAffinity {
        RequiredNodeAffinity::Terms(serde_json::from_value(terms).unwrap())
    }

    fn not_in(node: &str) -> Value {
        json!({ "key": "metadata.name", "operator": "NotIn", "values": [node] })
    }

    #[test]
    fn where_nothing_is_required_the_first_missing_part_is_added() {
        let required = json!({ "nodeSelectorTerms": [{ "matchFields": [not_in("n1"), not_in("n2")] }] });
        let nodes = json!({ "requiredDuringSchedulingIgnoredDuringExecution": required });
        for (affinity, path, value) in [
            (RequiredNodeAffinity::NoAffinity, "/spec/affinity", json!({ "nodeAffinity": nodes })),
            (RequiredNodeAffinity::NoNodeAffinity, "/spec/affinity/nodeAffinity", nodes),
            (
                RequiredNodeAffinity::NothingRequired,
                "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution",
                required,
            ),
        ] {
            let operations = narrowing(&["n1", "n2"]).operations(&affinity);
            assert_eq!(operations, [json!({ "op": "add", "path": path, "value": value })]);
        }
    }

    #[test]
    fn every_term_gets_the_requirements_at_its_end_and_one_that_matches_nothing_stays_so() {
        let disk = json!({ "key": "disk", "operator": "In", "values": ["fast"] });
        let affinity = terms(json!([{ "matchExpressions": [disk] }, {}, { "matchFields": [not_in("n9")] }]));
        let add = |path: &str, value: Value| json!({ "op": "add", "path": format!("{TERMS}/{path}"), "value": value });
        assert_eq!(
            narrowing(&["n1", "n2"]).operations(&affinity),
            [
                add("0/matchFields", json!([not_in("n1"), not_in("n2")])),
                add("2/matchFields/-", not_in("n1")),
                add("2/matchFields/-", not_in("n2")),
            ]
        );
    }

    #[test]
    fn the_labels_that_profiles_select_are_required_in_every_term() {
        let in_pool = json!({ "key": "pool", "operator": "In", "values": ["web"] });
        let required = vec![serde_json::from_value(in_pool.clone()).unwrap()];
        let narrowing = Narrowing { left_out: BTreeSet::from(["n1".to_owned()]), required };
        let term = json!({ "matchExpressions": [in_pool], "matchFields": [not_in("n1")] });
        let required = json!({ "nodeSelectorTerms": [term] });
        assert_eq!(
            narrowing.operations(&RequiredNodeAffinity::NothingRequired)[0]["value"],
            required,
            "one term with both"
        );
        let disk = json!({ "key": "disk", "operator": "In", "values": ["fast"] });
        let affinity = terms(json!([{ "matchExpressions": [disk] }, {}, { "matchFields": [not_in("n9")] }]));
        let add = |path: &str, value: Value| json!({ "op": "add", "path": format!("{TERMS}/{path}"), "value": value });
        assert_eq!(
            narrowing.operations(&affinity),
            [
                add("0/matchExpressions/-", in_pool.clone()),
                add("0/matchFields", json!([not_in("n1")])),
                add("2/matchExpressions", json!([in_pool])),
                add("2/matchFields/-", not_in("n1")),
            ]
        );
    }

    #[test]
    fn without_nodes_to_leave_out_nothing_is_added() {
        assert_eq!(Narrowing::default().operations(&RequiredNodeAffinity::NoAffinity), [] as [Value; 0]);
    }

    #[test]
    fn the_node_of_a_daemon_sets_pod_is_known() {
        let named = |node: &str| json!({ "matchFields": [{ "key": "metadata.name", "operator": "In", "values": [node] }] });
        let of_daemon_set = terms(json!([named("n1")]));
        assert_eq!(named_nodes(&of_daemon_set), Some(BTreeSet::from(["n1"])));
        assert_eq!(
            named_nodes(&terms(json!([named("n1"), {}, named("n2")]))),
            Some(BTreeSet::from(["n1", "n2"]))
        );
        assert_eq!(named_nodes(&terms(json!([named("n1"), { "matchFields": [not_in("n2")] }]))), None);
        assert_eq!(named_nodes(&RequiredNodeAffinity::NoAffinity), None);
    }
}
