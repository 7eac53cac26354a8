//! A stored `NodeProfileStatus`, as the operator and the node's agent read it. Whoever has an agent's token writes it.
#![no_main]

use api::{FileProblem, MAX_FILES, MAX_PROBLEMS, NodeProfileStatus, ProfileName, Untrusted};
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use node_agent::status_object::{ReportHash, StatusObject};
use operator::facts::{ReportFacts, WatchedReport};
use profile::{ContentHash, ShortHash};
use serde_json::Value;

type Stored = Untrusted<NodeProfileStatus>;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    if let Ok(object) = serde_json::from_slice::<WatchedReport>(bytes) {
        check_bounds(&ReportFacts::of(object));
    }
    if let Some(document) = fuzz::stored(bytes) {
        let object = serde_json::from_str::<Stored>(&document.to_string()).expect("no object ends the watch");
        check_facts(&document, object);
    }
});

fn check_bounds(facts: &ReportFacts) {
    let is_profile = |name: &str| name.parse::<ProfileName>().is_ok();
    let files = facts.files.iter().flatten();
    assert!(files.clone().count() <= MAX_FILES && facts.problems.len() <= MAX_PROBLEMS);
    assert!(files.map(|(name, _)| name).chain(facts.problems.keys()).all(|name| is_profile(name)));
    for (name, FileProblem { name: inner, reason, message, .. }) in &facts.problems {
        assert_eq!(name, inner);
        assert!(reason.chars().count() <= 64 && message.chars().count() <= 512);
    }
}

/// What the operator reads in an object that the API server stores.
fn facts_of(text: &str) -> ReportFacts {
    ReportFacts::of(serde_json::from_str::<WatchedReport>(text).expect("no object ends the watch"))
}

fn check_facts(document: &Value, object: Stored) {
    let facts = facts_of(&document.to_string());
    check_bounds(&facts);
    let (metadata, status) = (&document["metadata"], &document["status"]);
    assert_eq!(facts.node, metadata["name"].as_str().unwrap_or_default());
    assert_eq!(facts.has_status, status.is_object());
    if let Some(files) = &facts.files {
        let said = status["report"]["files"].as_object().into_iter().flatten();
        // A hash in a form of another release stands for bytes of its own.
        let short = |text: &str| {
            text.parse::<ShortHash>().unwrap_or_else(|_| ContentHash::of(text.as_bytes()).short())
        };
        let said = said.filter_map(|(name, hash)| Some((name, short(hash.as_str()?))));
        let said = said.filter(|(name, _)| name.parse::<ProfileName>().is_ok());
        assert!(said.eq(files.iter().map(|(name, hash)| (name, *hash))), "{files:?}");
    }
    // Kube reads required text that is missing as empty.
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    if let Some(ready) = &facts.ready {
        let mut conditions = status["conditions"].as_array().into_iter().flatten();
        assert!(
            conditions.any(|it| it["type"] == "Ready" && text(&it["status"]) == ready.status),
            "{ready:?}"
        );
    }
    if let Some(owner) = &facts.owner {
        let mut owners = metadata["ownerReferences"].as_array().into_iter().flatten();
        assert!(owners.any(|it| it["kind"] == "Node" && text(&it["uid"]) == *owner), "{owner}");
    }

    let again = serde_json::to_string(&object).expect("it can be written");
    assert_eq!(facts_of(&again), facts);
    let again: Stored = serde_json::from_str(&again).expect("what was written can be read");
    let held = StatusObject::from(object);
    assert_eq!(held, StatusObject::from(again));
    let report = status.get("report").filter(|report| !report.is_null());
    assert_eq!(held.report, report.map(ReportHash::of), "the agent knows its own report again");
}
