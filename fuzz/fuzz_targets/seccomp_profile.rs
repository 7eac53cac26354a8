//! A stored `SeccompProfile`, as the watches of the agents and of the operator read it.
#![no_main]

use std::time::Instant;

use api::names::FINALIZER;
use api::{ProfileName, SeccompProfile, Untrusted};
use kube_runtime::watcher::Event;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use node_agent::budget::Budget;
use node_agent::desired::{Desired, Listeners, ProfileEvent, Want};
use node_agent::disk::Goal;
use node_agent::reading::{Outcome, Reading, Watched};
use operator::facts::{ProfileFacts, WatchedProfile};
use profile::{ContentHash, Profile};
use serde_json::Value;

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let (agents, operators) =
        (serde_json::from_slice::<Watched>(bytes), serde_json::from_slice::<WatchedProfile>(bytes));
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

/// The agents and the operator, each by its own code, come to the same.
fn check_agreement(watched: Watched, object: &WatchedProfile) {
    let mut reading = Reading::new(Listeners::Admitted, Budget::default());
    let facts = ProfileFacts::of(object);
    let mut event = |event| reading.event(event, Instant::now());
    let Outcome::News(ProfileEvent::Apply(read)) = event(Event::Apply(watched.clone())) else {
        panic!("what comes for the first time is news");
    };
    assert_eq!(event(Event::Apply(watched.clone())), Outcome::Echo, "what is known is no news");
    let known = watched.clone();
    let listed = event(Event::InitApply(watched));
    assert_eq!(
        listed,
        Outcome::News(ProfileEvent::InitApply(read.clone())),
        "what is known is what was read"
    );
    let want = &read.want;
    let careful = match Reading::default().event(Event::Apply(known), Instant::now()) {
        Outcome::News(ProfileEvent::Apply(read)) => read.want,
        other => panic!("{other:?}"),
    };
    let name = facts.name.parse::<ProfileName>();
    assert_eq!(*want == Want::Removal, facts.removal_approved);
    assert!(
        facts.deletion.is_some() || !facts.removal_approved,
        "no file goes of a profile that nobody deleted"
    );
    let goal = match want {
        Want::File { bytes, hash } => {
            assert_eq!(*hash, ContentHash::of(bytes));
            let profile = Profile::from_slice(bytes).expect("the file holds a profile");
            assert_eq!(*profile.canonical().bytes(), **bytes);
            assert_eq!(facts.content.as_ref().ok(), name.is_ok().then_some(hash));
            match profile.listener() {
                Some(_) => assert!(matches!(careful, Want::Rejected { reason: "ListenersDisabled", .. })),
                None => assert_eq!(careful, *want),
            }
            Goal::Hold(*hash)
        }
        Want::Rejected { message: why, .. } => {
            assert!(why.starts_with("spec.contents"), "{why}");
            if name.is_ok() {
                assert_eq!(facts.content.as_ref().err().map(String::as_str), Some(&**why));
            }
            Goal::Leave
        }
        Want::Refused(refusal) => panic!("{refusal}"),
        Want::Removal => Goal::Gone,
    };

    let mut desired = Desired::default();
    desired.change(ProfileEvent::Init);
    assert_eq!((&*read.name, &*read.uid), (&*facts.name, facts.version.uid.as_str()));
    desired.change(ProfileEvent::InitApply(read));
    desired.change(ProfileEvent::InitDone);
    match name {
        Ok(name) => assert_eq!((desired.goal(&name), desired.misnamed().count()), (goal, 0)),
        Err(_) => assert_eq!((desired.names().count(), desired.misnamed().count()), (0, 1)),
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
