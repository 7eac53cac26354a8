//! A Pod, as the operator's watch reads it. Whoever may create one writes its spec, the node its status.
#![no_main]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Component, Path};

use api::ProfileName;
use libfuzzer_sys::{fuzz_mutator, fuzz_target};
use operator::facts::{AgentPods, PodFacts, PodKind, WatchedPod};
use serde_json::Value;

const DIRECTORY: &str = "profiles";
const CONTAINERS: [&str; 3] = ["containers", "initContainers", "ephemeralContainers"];
/// The lists of statuses, one for each.
const STATUSES: [&str; 3] = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];

fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    fuzz::mutate::mutate(data, size, max_size, seed)
});

fuzz_target!(|bytes: &[u8]| {
    let _ = serde_json::from_slice::<WatchedPod>(bytes).map(|pod| facts(&pod));
    if let Some(document) = fuzz::stored(bytes) {
        match serde_json::from_str(&document.to_string()) {
            // An array may stand for an object to serde; the API server sends none.
            Ok(pod) if is_pod(&document) => check(&document, &facts(&pod)),
            Ok(pod) => drop(facts(&pod)),
            Err(error) => assert!(!is_pod(&document), "{error}: no pod ends the watch"),
        }
    }
});

fn agents() -> AgentPods {
    AgentPods { namespace: "system".into(), labels: BTreeMap::from([("app".into(), "agent".into())]) }
}

fn facts(pod: &WatchedPod) -> PodFacts {
    PodFacts::of(pod, DIRECTORY, &agents())
}

/// Whether the fields that are watched have the types that the API server gives them; it sends no other.
fn is_pod(pod: &Value) -> bool {
    fn optional(value: &Value, is: impl Fn(&Value) -> bool) -> bool {
        value.is_null() || is(value)
    }
    fn list(parent: &Value, key: &str, is: impl Fn(&Value) -> bool) -> bool {
        parent.get(key).is_none_or(|list| list.as_array().is_some_and(|items| items.iter().all(is)))
    }
    let object = |parent: &Value, key: &str| parent.get(key).is_none_or(Value::is_object);
    let context = |parent: &Value| {
        let context = &parent["securityContext"];
        let profile = &context["seccompProfile"];
        optional(context, Value::is_object)
            && optional(profile, Value::is_object)
            && optional(&profile["localhostProfile"], Value::is_string)
            && optional(&profile["oci"], Value::is_object)
            && optional(&profile["oci"]["baseProfile"], Value::is_object)
    };
    let text = |parent: &Value, key: &str| parent.get(key).is_none_or(Value::is_string);
    let words = |it: &Value| {
        text(it, "reason") && text(it, "message") && optional(&it["finishedAt"], Value::is_string)
    };
    let state = |parent: &Value, key: &str| {
        let state = &parent[key];
        object(parent, key)
            && ["waiting", "terminated"]
                .iter()
                .all(|key| optional(&state[*key], |it| it.is_object() && words(it)))
            && optional(&state["running"], |it| {
                it.is_object() && optional(&it["startedAt"], Value::is_string)
            })
    };
    let container = |it: &Value| it.is_object() && text(it, "name") && context(it);
    let (spec, status) = (&pod["spec"], &pod["status"]);
    object(pod, "spec")
        && object(pod, "status")
        && optional(&spec["nodeName"], Value::is_string)
        && context(spec)
        && CONTAINERS.iter().all(|key| list(spec, key, container))
        && STATUSES.iter().all(|key| {
            list(status, key, |it| {
                it.is_object() && text(it, "name") && state(it, "state") && state(it, "lastState")
            })
        })
        && optional(&status["phase"], Value::is_string)
        && optional(&status["startTime"], Value::is_string)
        && list(status, "conditions", |it| {
            it["type"].is_string()
                && it["status"].is_string()
                && optional(&it["lastTransitionTime"], Value::is_string)
        })
}

fn check(pod: &Value, facts: &PodFacts) {
    let (metadata, spec, status) = (&pod["metadata"], &pod["spec"], &pod["status"]);
    assert_eq!(facts.uid, metadata["uid"].as_str().unwrap_or_default());
    assert_eq!(facts.node.as_deref(), spec["nodeName"].as_str().filter(|name| !name.is_empty()));
    let conditions = status["conditions"].as_array().into_iter().flatten();
    let ready = conditions.clone().find(|it| it["type"] == "Ready").is_some_and(|it| it["status"] == "True");
    let is_agent = metadata["namespace"] == "system" && metadata["labels"]["app"] == "agent";
    let ended = status["phase"] == "Succeeded" || status["phase"] == "Failed";
    let used = used(spec);
    assert!(facts.failed_starts.len() <= 8);
    for start in &facts.failed_starts {
        assert!(used.contains(&start.profile), "a profile that the pod does not use is to blame: {start:?}");
        assert!(
            start.place.as_ref().is_none_or(|place| place.len() <= 256 && !place.contains(char::is_control))
        );
    }
    assert!(facts.running.is_empty() || matches!(facts.kind, PodKind::User(_)));
    assert!(facts.running.iter().all(|it| used.contains(&it.profile)), "{:?}", facts.running);
    match &facts.kind {
        PodKind::Agent { ready: said, .. } => {
            assert!(is_agent);
            assert_eq!(*said, ready && metadata["deletionTimestamp"].is_null());
        }
        PodKind::User(profiles) => {
            assert!(!is_agent && !ended);
            assert_eq!(*profiles, used, "no profile that a pod uses is overlooked");
        }
        PodKind::Other => assert!(!is_agent && (ended || used.is_empty()), "{used:?}"),
    }
}

/// The profiles of ours that a spec names anywhere.
fn used(spec: &Value) -> BTreeSet<String> {
    let containers = CONTAINERS.iter().flat_map(|key| spec[*key].as_array().into_iter().flatten());
    std::iter::once(spec)
        .chain(containers)
        .map(|it| &it["securityContext"]["seccompProfile"])
        .flat_map(|it| [&it["localhostProfile"], &it["oci"]["baseProfile"]["localhostProfile"]])
        .filter_map(|it| it.as_str().and_then(name))
        .collect()
}

/// By the components that the standard library sees in the path; an absolute one is not sent.
fn name(path: &str) -> Option<String> {
    let components = Path::new(path.trim_start_matches('/')).components();
    let parts: Vec<_> = components
        .filter(|part| *part != Component::CurDir)
        .map(|part| part.as_os_str().to_string_lossy().into_owned())
        .collect();
    let [directory, file] = parts.as_slice() else { return None };
    let name = file.strip_suffix(".json")?;
    (directory == DIRECTORY && name.parse::<ProfileName>().is_ok()).then(|| name.to_owned())
}
