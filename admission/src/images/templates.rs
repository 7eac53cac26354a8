//! Templates of pods, in Deployments and the like: the tags of images that a request changes become digests.
//!
//! Only digests: the profiles of images are given to each pod when it is created. An object that a controller owns is left
//! alone. The Deployment controller, for example, compares its ReplicaSets with its own template; one that was changed
//! counts as a collision, and it makes another for ever (`pkg/controller/deployment/sync.go` of Kubernetes 1.37.2). An
//! image that a request does not change stays as it is, so that scaling or restarting a workload moves it to no other
//! image.

use std::collections::BTreeSet;

use registry::Reference;
use serde_json::{Value, json};

use super::choice::Why;
use super::plan::few;
use super::pod::{About, Container, Pod};
use crate::review::Verdict;
use crate::warn::bounded;

/// Where a template is in the `spec` of an object: in a Deployment, StatefulSet, DaemonSet, ReplicaSet,
/// ReplicationController or Job, and in a CronJob.
const PLACES: [&str; 2] = ["/template/spec", "/jobTemplate/spec/template/spec"];

/// The kinds of containers that a template has.
const KINDS: [&str; 2] = ["initContainers", "containers"];

/// The pod of the template in the `spec` of an object, with only those containers whose image differs from that in
/// `old`, the stored `spec`. Their paths are those in the object. `None` without such a container.
///
/// # Errors
/// The template is none; the API server refuses it.
pub fn changed(spec: &Value, old: Option<&Value>) -> Result<Option<Pod>, serde_json::Error> {
    let Some((place, template)) = PLACES.iter().find_map(|place| Some((place, spec.pointer(place)?))) else {
        return Ok(None);
    };
    let stored = old.and_then(|old| old.pointer(place)).map(images).unwrap_or_default();
    let mut pod = Pod::of(template, About::NewPod)?;
    let changed: BTreeSet<_> = images(template).difference(&stored).copied().collect();
    let is_changed = |it: &Container| {
        let kind = it.path.split('/').nth(2).unwrap_or_default();
        changed.contains(&(kind, &it.name, &it.image))
    };
    pod.containers.retain(|it| is_changed(it) && !has_digest(&it.image));
    for container in &mut pod.containers {
        // It begins with the `/spec` of a pod.
        container.path = container.path.replacen("/spec", &format!("/spec{place}"), 1);
    }
    Ok((!pod.containers.is_empty()).then_some(pod))
}

/// Kind, name and image of each container.
fn images(template: &Value) -> BTreeSet<(&str, &str, &str)> {
    let of_kind = |kind: &'static str| {
        let all = template[kind].as_array().into_iter().flatten();
        all.filter_map(move |it| Some((kind, it["name"].as_str()?, it["image"].as_str()?)))
    };
    KINDS.into_iter().flat_map(of_kind).collect()
}

fn has_digest(image: &str) -> bool {
    Reference::parse(image).is_ok_and(|image| image.digest().is_some())
}

/// What is done to an object, of what is known of the images in its template: each with its digest, or why that is not
/// known. Such an image keeps its tag; each pod is looked at when it is created.
#[must_use]
pub fn plan(found: &[(Container, Result<Reference, Why>)]) -> Verdict {
    let mut verdict = Verdict::default();
    for (Container { path, name, image, .. }, pinned) in found {
        match pinned {
            Ok(pinned) => {
                let path = format!("{path}/image");
                verdict.patch.push(json!({ "op": "replace", "path": path, "value": pinned.to_string() }));
            }
            Err(why) => {
                let line = format!("container {name}: image {image}: {}; it keeps its tag", why.message);
                verdict.warnings.push(bounded(&line));
            }
        }
    }
    few(&mut verdict.warnings, "more containers whose images keep their tag");
    verdict
}

#[cfg(test)]
mod tests {
    use registry::Digest;

    use super::*;

    fn deployment(web: &str, log: &str) -> Value {
        json!({ "replicas": 1, "template": { "metadata": {}, "spec": {
            "initContainers": [{ "name": "web", "image": log }],
            "containers": [{ "name": "web", "image": web }, { "name": "log", "image": log }],
        } } })
    }

    fn paths(spec: &Value, old: Option<&Value>) -> Vec<String> {
        let pod = changed(spec, old).unwrap();
        pod.into_iter().flat_map(|pod| pod.containers).map(|it| it.path).collect()
    }

    fn pinned(image: &str) -> Reference {
        Reference::parse(image).unwrap().pinned(Digest::of(image.as_bytes()))
    }

    /// The object with the digests that are known.
    fn applied(spec: &Value, old: Option<&Value>, known: impl Fn(&str) -> bool) -> (Value, Vec<String>) {
        let pod = changed(spec, old).unwrap().unwrap_or_default();
        let look = |image: &str| match known(image) {
            true => Ok(pinned(image)),
            false => Err(Why { reason: "RegistryTimeout", message: "no answer".to_owned() }),
        };
        let found: Vec<_> = pod.containers.into_iter().map(|it| (it.clone(), look(&it.image))).collect();
        let verdict = plan(&found);
        let mut object = json!({ "spec": spec });
        let patch: json_patch::Patch = serde_json::from_value(json!(verdict.patch)).unwrap();
        json_patch::patch(&mut object, &patch).unwrap();
        assert_eq!(verdict.refusal, None);
        (object["spec"].clone(), verdict.warnings)
    }

    #[test]
    fn every_image_of_a_new_template_gets_its_digest_and_a_second_request_changes_nothing() {
        let spec = deployment("web:1", "log:1");
        let (once, warnings) = applied(&spec, None, |_| true);
        assert_eq!((&warnings[..], &once["replicas"]), (&[][..], &json!(1)));
        let pod = &once["template"]["spec"];
        assert_eq!(pod["initContainers"][0]["image"], pinned("log:1").to_string());
        assert_eq!(pod["containers"][0]["image"], pinned("web:1").to_string());
        assert_eq!(pod["containers"][1]["image"], pinned("log:1").to_string());
        assert!(paths(&once, None).is_empty() && paths(&once, Some(&spec)).is_empty());
    }

    #[test]
    fn of_an_update_only_the_images_that_it_changes_are_looked_at() {
        let old = deployment("web:1", "log:1");
        assert!(paths(&json!({ "replicas": 3, "template": old["template"] }), Some(&old)).is_empty());
        assert_eq!(paths(&deployment("web:2", "log:1"), Some(&old)), ["/spec/template/spec/containers/0"]);
        // Whoever applies the manifest again, which has the tag, asks for the digest that the tag has now.
        let (stored, _) = applied(&old, None, |_| true);
        assert_eq!(paths(&old, Some(&stored)).len(), 3);
        // A container that is another one, although one of its name had the image.
        let mut moved = old.clone();
        moved["template"]["spec"]["initContainers"] = json!([{ "name": "log", "image": "log:1" }]);
        assert_eq!(paths(&moved, Some(&old)), ["/spec/template/spec/initContainers/0"]);
    }

    #[test]
    fn a_cron_jobs_template_is_in_another_place_and_other_objects_have_none() {
        let template = json!({ "spec": { "containers": [{ "name": "a", "image": "a:1" }] } });
        let spec = json!({ "schedule": "* * * * *", "jobTemplate": { "spec": { "template": template } } });
        assert_eq!(paths(&spec, None), ["/spec/jobTemplate/spec/template/spec/containers/0"]);
        let (once, _) = applied(&spec, None, |_| true);
        let containers = &once["jobTemplate"]["spec"]["template"]["spec"]["containers"];
        assert_eq!(containers[0]["image"], pinned("a:1").to_string());
        for other in [json!({}), json!(null), json!({ "template": 1 }), json!({ "replicas": 1 })] {
            assert!(changed(&other, None).is_ok_and(|pod| pod.is_none()), "{other}");
        }
    }

    #[test]
    fn an_image_that_cannot_be_looked_at_keeps_its_tag_with_a_warning() {
        let spec = deployment("web:1", "log:1");
        let (once, warnings) = applied(&spec, None, |image| image != "web:1");
        assert_eq!(once["template"]["spec"]["containers"][0]["image"], "web:1");
        assert_eq!(once["template"]["spec"]["containers"][1]["image"], pinned("log:1").to_string());
        assert_eq!(warnings, ["container web: image web:1: no answer; it keeps its tag"]);
    }

    #[test]
    fn what_is_left_alone_in_a_pod_is_left_alone_in_a_template() {
        let mut spec = deployment("web:1", "log:1");
        spec["template"]["spec"]["os"] = json!({ "name": "windows" });
        assert!(paths(&spec, None).is_empty());
    }

    proptest::proptest! {
        #[test]
        fn an_object_that_is_stored_with_its_digests_is_never_changed_again(
            web in "[a-c](:[12])?", log in "[a-c](:[12])?", old in proptest::option::of("[a-c](:[12])?")
        ) {
            let old = old.map(|image| deployment(&image, "log"));
            let (once, _) = applied(&deployment(&web, &log), old.as_ref(), |_| true);
            proptest::prop_assert!(paths(&once, old.as_ref()).is_empty());
            proptest::prop_assert!(paths(&once, Some(&once)).is_empty());
        }
    }
}
