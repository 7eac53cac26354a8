//! Pods that nothing kept from a node which does not hold their profile.

use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;

use super::super::some_nodes::{apply_for, excluded, label, two_pools};
use super::*;

/// A namespace without the gate.
const UNGATED: &str = "ungated";

/// A pod that is bound to a node and names the profile `some`.
fn bound(name: &str, node: &str) -> Value {
    let mut pod = using(name, "profiles/some.json");
    pod["spec"]["nodeName"] = node.into();
    pod
}

/// The Events about pods that the gate has published, by the pod's name.
async fn events(environment: &Environment) -> Vec<(String, String)> {
    let events: Api<Event> = Api::namespaced(environment.admin.clone(), UNGATED);
    let all = events.list(&ListParams::default()).await.unwrap().items;
    let of_ours = all.into_iter().filter(|event| event.reason.as_deref() == Some("ProfileNotForNode"));
    of_ours.map(|event| (event.regarding.unwrap().name.unwrap(), event.note.unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pod_on_a_node_without_its_profile_gets_one_event_and_both_parts_share_their_watches() {
    let environment = environment().await;
    let admin = &environment.admin;
    let _operator = start_operator(&environment);
    let _agents = two_pools(&environment).await;
    let log = environment.server.audit();
    let _gate = start_gate(&environment, 0, false, &["--nodes"]);
    create_namespace(admin, UNGATED, None).await;
    let some = apply_for(&environment, "some", "web").await;
    excluded(&environment, "node-2", json!({ "some": some })).await;

    // The first would have its Event before the second if it had one.
    create(admin, UNGATED, &bound("well-placed", "node-1")).await;
    create(admin, UNGATED, &bound("misplaced", "node-2")).await;
    let first = until("an Event about the misplaced pod", LIMIT, async || {
        let events = events(&environment).await;
        (!events.is_empty()).then_some(events)
    })
    .await;
    let note = "The node node-2 does not hold profiles/some.json: spec.nodeSelector of the SeccompProfile does not select \
                it. Give the pod the same node selector, or label the node.";
    assert_eq!(first, [("misplaced".to_owned(), note.to_owned())]);

    // Whoever gets the next Event sees that the first pod has got no other one, whatever has changed since.
    label(&environment, "node-2", "other").await;
    create(admin, UNGATED, &bound("misplaced-too", "node-2")).await;
    let both = until("an Event about the next pod", LIMIT, async || {
        let mut events = events(&environment).await;
        events.sort();
        (events.len() > 1).then_some(events)
    })
    .await;
    assert_eq!(both.iter().map(|(pod, _)| pod.as_str()).collect::<Vec<_>>(), ["misplaced", "misplaced-too"]);

    let requests = log.requests().unwrap();
    let by_gate = |verb: &str, resource: &str| {
        let of_gate = requests.iter().filter(|request| request.account().ends_with("-gate"));
        let accepted = of_gate.filter(|request| request.was_accepted());
        accepted.filter(|request| request.verb == verb && request.resource() == resource).count()
    };
    let count = |resource: &str| (by_gate("list", resource), by_gate("watch", resource));
    let counted = ["seccompprofiles", "nodeprofilestatuses", "nodes", "pods"].map(count);
    // Pods that have not started, and the agents'.
    let shared = counted.map(|(lists, _)| lists);
    assert_eq!(shared, [1, 1, 1, 2], "{counted:?}");
}
