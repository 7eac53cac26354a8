//! A stored `SeccompProfile`, as the watches of the agents and of the operator read it.
#![no_main]

use std::time::Instant;

use api::names::FINALIZER;
use api::{ProfileName, SeccompProfile, Untrusted};
use kube_runtime::watcher::Event;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use link::changes::KnownObjects;
use node_agent::budget::Budget;
use node_agent::goal::{Goal, Listeners};
use node_agent::profiles::{Outcome, Profiles};
use node_agent::watched_profile::WatchedProfile as AgentsProfile;
use operator::facts::{ProfileFacts, WatchedProfile};
use profile::{ContentHash, Profile};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let (agents, operators) =
        (serde_json::from_slice::<AgentsProfile>(bytes), serde_json::from_slice::<WatchedProfile>(bytes));
    assert_eq!(agents.is_ok(), operators.is_ok(), "what ends one watch ends the other");
    if let (Ok(watched), Ok(object)) = (agents, operators) {
        check_agreement(watched, &object);
    }
    if let Some(document) = fuzz::stored(bytes) {
        let object =
            serde_json::from_str::<WatchedProfile>(&document.to_string()).expect("no object ends the watch");
        check_facts(&document, &object);
    }
});

/// What an event of one object comes to.
fn outcome((existing, profiles): &mut (KnownObjects, Profiles), event: Event<AgentsProfile>) -> Outcome {
    let mut changes = existing.take(event);
    let outcome = profiles.take(changes.next().expect("an object is a change"), Instant::now());
    assert!(changes.next().is_none(), "one object is one change");
    outcome
}

/// The agents and the operator, each by its own code, come to the same.
fn check_agreement(watched: AgentsProfile, object: &WatchedProfile) {
    let facts = ProfileFacts::of(object);
    let mut agent = (KnownObjects::default(), Profiles::new(Listeners::Admitted, Budget::default()));
    let mut careful_agent = (KnownObjects::default(), Profiles::default());
    let first = outcome(&mut agent, Event::Apply(watched.clone()));
    let again = outcome(&mut agent, Event::Apply(watched.clone()));
    assert_eq!(again, Outcome::Rollout, "what is known changes nothing");
    let listed = outcome(&mut agent, Event::InitApply(watched.clone()));
    assert_eq!(listed, Outcome::Nothing, "nor does a list of it");
    let careful = outcome(&mut careful_agent, Event::Apply(watched.clone()));
    let gone = outcome(&mut agent, Event::Delete(watched));
    assert!(
        facts.deletion.is_some() || !facts.removal_approved,
        "no file goes of a profile that nobody deleted"
    );
    match (first, facts.name.parse::<ProfileName>()) {
        (Outcome::Goal(name, goal), Ok(expected)) => {
            assert_eq!(name, expected);
            let removal = Outcome::Goal(name, Goal::Removal);
            assert_eq!(gone, if goal == Goal::Removal { Outcome::Nothing } else { removal });
            check_goal(&goal, &careful, &facts);
        }
        (Outcome::Misnamed { name, message: Some(_) }, Err(_)) => {
            assert_eq!(*name, *facts.name);
            assert_eq!(gone, Outcome::Misnamed { name, message: None });
        }
        (other, name) => panic!("{name:?}: {other:?}"),
    }
}

/// `goal` is what the facts say; `careful` is what an agent makes of the profile that takes no listeners.
fn check_goal(goal: &Goal, careful: &Outcome, facts: &ProfileFacts) {
    let Outcome::Goal(_, careful) = careful else { panic!("{careful:?}") };
    assert_eq!(*goal == Goal::Removal, facts.removal_approved);
    match goal {
        Goal::File { bytes, hash } => {
            let bytes = bytes.bytes();
            assert_eq!(*hash, ContentHash::of(&bytes));
            let profile = Profile::from_slice(&bytes).expect("the file holds a profile");
            assert_eq!(*profile.canonical().bytes(), *bytes);
            assert_eq!(facts.content.as_ref().ok(), Some(hash));
            match profile.listener() {
                Some(_) => assert!(matches!(careful, Goal::Rejected { reason: "ListenersDisabled", .. })),
                None => assert_eq!(careful, goal),
            }
        }
        Goal::Rejected { message: why, .. } => {
            assert!(why.starts_with("spec.contents"), "{why}");
            assert_eq!(facts.content.as_ref().err().map(String::as_str), Some(&**why));
        }
        Goal::OverBudget(refusal) => panic!("{refusal}"),
        Goal::Removal => {}
    }
}

fn check_facts(document: &Value, object: &WatchedProfile) {
    let facts = ProfileFacts::of(object);
    let metadata = &document["metadata"];
    assert_eq!(facts.name, metadata["name"].as_str().unwrap_or_default());
    assert_eq!(facts.version.uid, metadata["uid"].as_str().unwrap_or_default());
    assert_eq!(facts.version.resource_version, metadata["resourceVersion"].as_str().unwrap_or_default());
    assert_eq!(
        facts.deletion.is_some(),
        !metadata["deletionTimestamp"].is_null(),
        "a deletion is never overlooked"
    );
    let finalizers: Vec<_> =
        metadata["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    assert_eq!(facts.finalizer, finalizers.iter().position(|finalizer| *finalizer == FINALIZER));
    assert_eq!(facts.has_finalizers, !finalizers.is_empty());
    assert_eq!(facts.delete_in_use, metadata["annotations"][api::names::DELETE_IN_USE] == "true");

    assert_eq!(ProfileFacts::given(Some(&facts), object), facts, "what is known is what was read");
    let tree: Untrusted<SeccompProfile> = serde_json::from_value(document.clone()).expect("it can be read");
    let again = serde_json::to_string(&tree).expect("it can be written");
    let again = serde_json::from_str(&again).expect("what was written can be read");
    assert_eq!(ProfileFacts { text: facts.text.clone(), ..ProfileFacts::of(&again) }, facts);
}
