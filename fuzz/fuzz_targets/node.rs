//! A Node, as the operator's watch reads it. The node's kubelet writes its status and some of its labels.
#![no_main]

use std::collections::BTreeMap;

use api::Selection;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use operator::facts::{NodeFacts, WatchedNode};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<WatchedNode>(bytes).map(|node| facts(&node));
    if let Some(document) = fuzz::stored(bytes) {
        match serde_json::from_str(&document.to_string()) {
            // An array may stand for an object to serde; the API server sends none.
            Ok(node) if is_node(&document) => check(&document, &facts(&node)),
            Ok(node) => drop(facts(&node)),
            Err(error) => assert!(!is_node(&document), "{error}: no node ends the watch"),
        }
    }
});

fn facts(node: &WatchedNode) -> NodeFacts {
    let labels = BTreeMap::from([("app".into(), "agent".into())]);
    NodeFacts::of(node, &Selection { labels, affinity: None })
}

/// Whether the fields that are watched have the types that the API server gives them; it sends no other.
fn is_node(node: &Value) -> bool {
    let conditions = node["status"].get("conditions");
    let info = node["status"].get("nodeInfo");
    let is_text = |value: Option<&Value>| value.is_none_or(Value::is_string);
    let spec = node.get("spec");
    let taints = spec.and_then(|spec| spec.get("taints"));
    spec.is_none_or(Value::is_object)
        && taints.is_none_or(Value::is_array)
        && node.get("status").is_none_or(Value::is_object)
        && info.is_none_or(|info| info.is_object() && info.get("architecture").is_none_or(Value::is_string))
        && conditions.is_none_or(|list| {
            list.as_array().is_some_and(|items| {
                items.iter().all(|it| {
                    let changed = it.get("lastTransitionTime").filter(|time| !time.is_null());
                    it["type"].is_string()
                        && it["status"].is_string()
                        && [it.get("reason"), it.get("message"), changed].into_iter().all(is_text)
                })
            })
        })
}

fn check(node: &Value, facts: &NodeFacts) {
    let metadata = &node["metadata"];
    assert_eq!(facts.name, metadata["name"].as_str().unwrap_or_default());
    assert_eq!(facts.uid, metadata["uid"].as_str().unwrap_or_default());
    assert_eq!(facts.selected, metadata["labels"]["app"] == "agent");
    let conditions = node["status"]["conditions"].as_array().into_iter().flatten();
    let ready_is =
        |status: &str| conditions.clone().any(|it| it["type"] == "Ready" && it["status"] == status);
    assert_eq!(facts.reachable, ready_is("True"));
    assert_eq!(facts.answers, ready_is("True") || ready_is("False"));
}
