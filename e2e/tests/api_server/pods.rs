//! Pods that tests send to the API server, and what it stores.

use api::names::SCHEDULING_GATE;
use k8s_openapi::api::core::v1::{Namespace, Pod, ServiceAccount};
use kube::api::{ApiResource, DynamicObject, PostParams};
use kube::{Api, Client};
use serde_json::{Value, json};

/// Creates a namespace with this metadata, and the account that its pods have.
pub(crate) async fn create_namespace(admin: &Client, name: &str, metadata: &Value) {
    let mut namespace = json!({ "metadata": metadata });
    namespace["metadata"]["name"] = name.into();
    let namespaces: Api<Namespace> = Api::all(admin.clone());
    namespaces.create(&PostParams::default(), &serde_json::from_value(namespace).unwrap()).await.unwrap();
    let account = json!({ "metadata": { "name": "default" }, "automountServiceAccountToken": false });
    let accounts: Api<ServiceAccount> = Api::namespaced(admin.clone(), name);
    accounts.create(&PostParams::default(), &serde_json::from_value(account).unwrap()).await.unwrap();
}

/// Pods without types, so that every field is seen as it is stored.
pub(crate) fn pods(admin: &Client, namespace: &str) -> Api<DynamicObject> {
    Api::namespaced_with(admin.clone(), namespace, &ApiResource::erase::<Pod>(&()))
}

pub(crate) fn object(pod: &Value) -> DynamicObject {
    serde_json::from_value(pod.clone()).unwrap()
}

pub(crate) fn stored(pod: DynamicObject) -> Value {
    serde_json::to_value(pod).unwrap()
}

pub(crate) async fn create(admin: &Client, namespace: &str, pod: &Value) -> Value {
    stored(pods(admin, namespace).create(&PostParams::default(), &object(pod)).await.unwrap())
}

pub(crate) async fn dry_run(admin: &Client, namespace: &str, pod: &Value) -> Value {
    let params = PostParams { dry_run: true, ..PostParams::default() };
    stored(pods(admin, namespace).create(&params, &object(pod)).await.unwrap())
}

pub(crate) fn localhost(path: &str) -> Value {
    json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": path } })
}

/// A pod of one container without a profile.
pub(crate) fn plain(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name },
        "spec": { "containers": [{ "name": "main", "image": "none" }] },
    })
}

/// A pod under the profile at this path.
pub(crate) fn using(name: &str, path: &str) -> Value {
    let mut pod = plain(name);
    pod["spec"]["securityContext"] = localhost(path);
    pod
}

/// The scheduling gates of a pod.
pub(crate) fn gates(pod: &Value) -> Vec<&str> {
    let gates = pod["spec"]["schedulingGates"].as_array();
    gates.into_iter().flatten().filter_map(|gate| gate["name"].as_str()).collect()
}

pub(crate) fn is_gated(pod: &Value) -> bool {
    gates(pod).contains(&SCHEDULING_GATE)
}
