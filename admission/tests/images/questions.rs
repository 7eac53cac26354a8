//! Answers are remembered, and what was the answer to one question is never that to another.

use admission::images::choice::Brings;
use admission::images::lookup::Lookup;
use registry::Keyring;
use registry::testing::{INDEX, MANIFEST, RunningRegistry, TestRegistry};
use serde_json::Value;

use crate::{client, client_of, host, image};

/// The type of the configuration of an artifact with a profile.
const TYPE: &str = "application/vnd.cncf.seccomp-profile.config.v1+json";

/// A profile that permits one call, which the default of runtimes permits on all architectures.
fn permitting(call: &str) -> String {
    format!(
        r#"{{"defaultAction":"SCMP_ACT_ERRNO","syscalls":[{{"names":["{call}"],"action":"SCMP_ACT_ALLOW"}}]}}"#
    )
}

/// The calls that a profile permits.
fn permitted(contents: &str) -> String {
    let contents: Value = serde_json::from_str(contents).unwrap();
    let rules = contents["syscalls"].as_array().unwrap().iter();
    let permitting = rules.filter(|rule| rule["action"] == "SCMP_ACT_ALLOW");
    let names = permitting.flat_map(|rule| rule["names"].as_array().unwrap());
    names.map(|name| name.as_str().unwrap()).collect::<Vec<_>>().join(" ")
}

/// What the image brings to a container: the calls that its profile permits, or why there is none.
async fn brought(
    lookup: &Lookup,
    registry: &RunningRegistry,
    architectures: &[&str],
    container: &str,
) -> String {
    let architectures: Vec<_> = architectures.iter().map(|it| (*it).to_owned()).collect();
    let (reference, keyring) = (image(registry, 1), Keyring::default());
    match lookup.image("shop", &reference, &keyring, &architectures, container).await {
        Ok(found) => match &found.brings {
            Brings::Nothing => "nothing".to_owned(),
            Brings::Profile { profile, .. } => permitted(&profile.contents),
            Brings::Unusable(why) | Brings::Differing(why) => why.reason.to_owned(),
        },
        Err(why) => why.reason.to_owned(),
    }
}

/// Asks all questions twice, in both orders, and demands that the registry was asked at the first time alone.
async fn ask_all(lookup: &Lookup, registry: &RunningRegistry, questions: &[(&[&str], &str, &str)]) {
    for (architectures, container, expected) in questions {
        let answer = brought(lookup, registry, architectures, container).await;
        assert_eq!(answer, *expected, "{container} on {architectures:?}");
    }
    let asked = registry.asked().len();
    for (architectures, container, expected) in questions.iter().rev() {
        let answer = brought(lookup, registry, architectures, container).await;
        assert_eq!(answer, *expected, "{container} on {architectures:?}, again");
    }
    assert_eq!(registry.asked().len(), asked, "{:?}", registry.asked());
}

#[tokio::test]
async fn what_an_image_brings_to_one_container_is_never_the_answer_for_another_one() {
    let mut artifacts = TestRegistry::new("team/app");
    for (tag, call) in [("one", "read"), ("two", "write"), ("others", "close")] {
        let config = artifacts.blob(TYPE, "{}");
        let layer = artifacts.blob("application/json", &permitting(call));
        let text =
            format!(r#"{{"schemaVersion":2,"mediaType":"{MANIFEST}","config":{config},"layers":[{layer}]}}"#);
        artifacts.tag(tag, MANIFEST, text);
    }
    let artifacts = artifacts.start().await;
    let of = |key: &str, tag: &str| {
        format!(r#""seccomp-profile.crio.io/{key}":"{}/team/app:{tag}""#, host(&artifacts))
    };
    let mut images = TestRegistry::new("team/app");
    let annotations = [of("one", "one"), of("two", "two"), of("POD", "others")].join(",");
    let text = images.image("amd64", None, &annotations);
    images.tag("1", MANIFEST, text);
    let images = images.start().await;
    let lookup = Lookup::new(client_of(&[&images, &artifacts]), None).unwrap();
    let questions: [(&[&str], &str, &str); 3] =
        [(&["amd64"], "one", "read"), (&["amd64"], "two", "write"), (&["amd64"], "three", "close")];
    ask_all(&lookup, &images, &questions).await;
}

#[tokio::test]
async fn what_an_image_brings_on_some_architectures_is_never_the_answer_on_others() {
    let mut images = TestRegistry::new("team/app");
    let entries = [("amd64", "read"), ("arm64", "write")].map(|(architecture, call)| {
        let text = images.image(architecture, Some(&permitting(call)), "");
        let descriptor = images.manifest(MANIFEST, text);
        format!(r#"{descriptor},"platform":{{"os":"linux","architecture":"{architecture}"}}}}"#)
    });
    let index = format!(r#"{{"schemaVersion":2,"mediaType":"{INDEX}","manifests":[{}]}}"#, entries.join(","));
    images.tag("1", INDEX, index);
    let images = images.start().await;
    let lookup = Lookup::new(client(&images), None).unwrap();
    let questions: [(&[&str], &str, &str); 6] = [
        (&["amd64"], "main", "read"),
        (&["arm64"], "main", "write"),
        (&["amd64", "arm64"], "main", "ProfilesDiffer"),
        (&["s390x"], "main", "NoPlatform"),
        (&["amd64", "s390x"], "main", "read"),
        // A container that is called as an architecture.
        (&["arm64"], "amd64", "write"),
    ];
    ask_all(&lookup, &images, &questions).await;
}
