//! Pods with a `RuntimeClass` whose runtime may not apply their profiles.

use std::collections::BTreeMap;

use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::node::v1::RuntimeClass;
use kube::Api;
use kube::api::{ListParams, Patch, PatchParams, PostParams};

use super::*;

/// A namespace without the gate.
const UNGATED: &str = "ungated";

/// A pod that names `profiles/web.json`, with a `RuntimeClass`.
fn classed(name: &str, class: &str) -> Value {
    let mut pod = using(name, "profiles/web.json");
    pod["spec"]["runtimeClassName"] = class.into();
    pod
}

async fn create_class(admin: &Client, name: &str, handler: &str) {
    let classes: Api<RuntimeClass> = Api::all(admin.clone());
    let class = json!({ "metadata": { "name": name }, "handler": handler });
    classes.create(&PostParams::default(), &serde_json::from_value(class).unwrap()).await.unwrap();
}

/// What the gate's Events in a namespace say about runtimes: by the pod's name, the reason, the type and the note.
async fn events(admin: &Client, namespace: &str) -> BTreeMap<String, Vec<[String; 3]>> {
    let events: Api<Event> = Api::namespaced(admin.clone(), namespace);
    let mut by_pod = BTreeMap::<_, Vec<_>>::new();
    for event in events.list(&ListParams::default()).await.unwrap().items {
        let said = [event.reason, event.type_, event.note].map(Option::unwrap);
        if ["ProfileInSandbox", "RuntimeNotKnown"].contains(&said[0].as_str()) {
            by_pod.entry(event.regarding.unwrap().name.unwrap()).or_default().push(said);
        }
    }
    by_pod
}

/// Waits until there are Events about `pod`, and returns those of all pods.
async fn events_until(admin: &Client, namespace: &str, pod: &str) -> BTreeMap<String, Vec<[String; 3]>> {
    until(&format!("an Event about {pod}"), LIMIT, async || {
        let events = events(admin, namespace).await;
        events.contains_key(pod).then_some(events)
    })
    .await
}

fn owned(event: [&str; 3]) -> Vec<[String; 3]> {
    vec![event.map(str::to_owned)]
}

const IN_GVISOR: [&str; 3] = [
    "ProfileInSandbox",
    "Warning",
    "profiles/web.json is not in force on the node's kernel: RuntimeClass boxed (handler runsc) is gVisor, which applies a \
     filter only inside its sandbox and only with --oci-seccomp.",
];

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_whose_runtime_may_not_apply_its_profile_gets_one_event_gated_or_not() {
    let environment = environment().await;
    let admin = &environment.admin;
    for (class, handler) in [("boxed", "runsc"), ("plain", "crun"), ("strange", "spin")] {
        create_class(admin, class, handler).await;
    }
    create_namespace(admin, UNGATED, None).await;
    let mut gate = Some(start_gate(&environment, 0, false, &["--nodes"]));

    // Each would have its Event before the last one.
    create(admin, UNGATED, &classed("in-plain", "plain")).await;
    let mut without_profile = plain("without-profile");
    without_profile["spec"]["runtimeClassName"] = "boxed".into();
    create(admin, UNGATED, &without_profile).await;
    create(admin, UNGATED, &using("without-class", "profiles/web.json")).await;
    create(admin, UNGATED, &classed("in-sandbox", "boxed")).await;
    create(admin, SHOP, &classed("gated", "boxed")).await;
    create(admin, UNGATED, &classed("in-strange", "strange")).await;
    let found = events_until(admin, UNGATED, "in-strange").await;
    let unknown = "It is not known whether the runtime of RuntimeClass strange (handler spin) applies profiles/web.json.";
    let expected = BTreeMap::from([
        ("in-sandbox".to_owned(), owned(IN_GVISOR)),
        ("in-strange".to_owned(), owned(["RuntimeNotKnown", "Normal", unknown])),
    ]);
    assert_eq!(found, expected);
    let gated = events_until(admin, SHOP, "gated").await;
    assert_eq!(gated["gated"], owned(IN_GVISOR));

    // A class that comes while the gate runs, and a pod that is changed after its Event.
    create_class(admin, "new", "kata-qemu").await;
    create(admin, UNGATED, &classed("in-new", "new")).await;
    events_until(admin, UNGATED, "in-new").await;
    let labels = Patch::Merge(json!({ "metadata": { "labels": { "changed": "yes" } } }));
    let changed = pods(admin, UNGATED).patch("in-sandbox", &PatchParams::default(), &labels).await;
    changed.unwrap();
    create(admin, UNGATED, &classed("last", "boxed")).await;
    let found = events_until(admin, UNGATED, "last").await;
    assert!(found["in-new"][0][2].contains("is Kata Containers"), "{found:?}");
    assert_eq!(found["in-sandbox"].len(), 1, "{found:?}");

    // A gate without the part about Nodes sees a pod that is bound at once, too, once it sees pods at all.
    gate.take();
    let _gate = start_gate(&environment, 1, false, &[]);
    create(admin, UNGATED, &classed("seen", "boxed")).await;
    events_until(admin, UNGATED, "seen").await;
    create(admin, UNGATED, &classed("bound-at-once", "boxed")).await;
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": "bound-at-once" },
        "target": { "apiVersion": "v1", "kind": "Node", "name": "node-1" },
    });
    let path = format!("/api/v1/namespaces/{UNGATED}/pods/bound-at-once/binding");
    let request = http::Request::post(path).header("content-type", "application/json");
    admin.request::<Value>(request.body(binding.to_string().into_bytes()).unwrap()).await.unwrap();
    events_until(admin, UNGATED, "bound-at-once").await;
}
