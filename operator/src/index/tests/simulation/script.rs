//! The random actions: changes of objects, and what happens to the watches and to the operator.

use std::collections::BTreeMap;

use k8s_openapi::jiff::Timestamp;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::server::{Server, text};
use crate::labels::KindLabel;

#[derive(Debug, Clone)]
pub(super) enum Action {
    Change(Change),
    Time { seconds: u64 },
    Deliver { kind: usize, events: usize },
    BreakWatch { kind: usize, noticed: bool },
    Rewind { kind: usize, changes: usize },
    Reconcile { most: usize },
    Answer,
    FailNextWrite { takes_effect: bool },
    Restart,
    Settle,
}

/// A change by another program or a user.
#[derive(Debug, Clone)]
pub(super) enum Change {
    /// With the operator's finalizer from its creation on if the API server adds it.
    Profile {
        name: u8,
        content: u8,
        finalizer: bool,
    },
    DeleteProfile {
        name: u8,
    },
    AllowDeletionInUse {
        name: u8,
        on: bool,
    },
    /// Somebody adds or removes a finalizer of another program.
    OtherFinalizer {
        name: u8,
        on: bool,
    },
    /// Somebody removes every finalizer.
    RemoveFinalizers {
        name: u8,
    },
    /// Somebody other than the operator writes the status.
    ProfileStatus {
        name: u8,
        status: Value,
    },
    Node {
        name: u8,
        selected: bool,
        /// The status of its Ready condition.
        ready: &'static str,
        created: Option<&'static str>,
    },
    DeleteNode {
        name: u8,
    },
    /// The agent reports the files of a node that follows every profile.
    Agent {
        node: u8,
        changed: BTreeMap<String, u8>,
    },
    Report {
        node: u8,
        status: Value,
    },
    /// Somebody other than the operator creates a report.
    Orphan {
        node: u8,
    },
    DeleteReport {
        node: u8,
    },
    AgentPod {
        node: u8,
        turn: u8,
        ready: bool,
        labelled: bool,
    },
    UserPod {
        name: u8,
        node: Option<u8>,
        profile: u8,
        place: &'static str,
    },
    EndPod {
        name: u8,
        phase: &'static str,
    },
    /// The kubelet reports the pod's containers as running: it accepted the pod at one of these seconds and started them
    /// some seconds later.
    StartPod {
        name: u8,
        accepted: u8,
        later: u8,
    },
    DeletePod {
        name: String,
    },
    /// The garbage collector runs.
    CollectGarbage,
}

fn contents(content: u8) -> Value {
    match content {
        0 => json!({ "defaultAction": "SCMP_ACT_LOG" }),
        1 => json!({ "defaultAction": "SCMP_ACT_ALLOW" }),
        2 => json!({ "defaultAction": "SCMP_ACT_ERRNO" }),
        3 => json!({ "defaultAction": "SCMP_ACT_NONSENSE" }),
        _ => json!(7),
    }
}

fn hash(content: u8) -> String {
    let parsed = profile::Profile::from_value(&contents(content));
    parsed.map_or_else(|_| "nonsense".into(), |profile| profile.canonical().hash().short().to_string())
}

/// A status as an agent writes it, or one that no agent should write.
fn report_status() -> impl Strategy<Value = Value> {
    let file = (0..4u8, 0..5u8).prop_map(|(name, content)| (format!("p{name}"), hash(content)));
    let problem = (0..4u8, select(vec!["Failed", "Conflict", "Rejected", "OtherRelease"]), 0..3u8)
        .prop_map(|(name, state, number)| json!({ "name": format!("p{name}"), "state": state, "reason": "Io", "message": format!("message {number}") }));
    let files = proptest::collection::btree_map("p[0-3]|x", file.prop_map(|(_, hash)| hash), 0..4);
    let problems = proptest::collection::vec(problem, 0..3);
    prop_oneof![
        8 => (files, problems, proptest::option::of(changed())).prop_map(|(files, problems, changed)| {
            let changed = changed.as_ref().map(times);
            json!({ "report": {
                "agentVersion": "1", "directory": "d", "fileCount": files.len(), "files": files, "problems": problems,
                "changed": changed,
            } })
        }),
        1 => select(vec![
            json!(null), json!(7), json!({}), json!({ "report": 7 }), json!({ "report": { "files": [] } }),
            json!({ "conditions": [{ "type": "Ready", "status": "True", "reason": "AllProfiles" }] }),
            json!({ "conditions": [{
                "type": "Ready", "status": "False", "reason": "AgentDown", "message": "",
                "lastTransitionTime": "2027-01-15T07:00:00Z"
            }] }),
        ]),
    ]
}

/// A time of a node's clock.
pub(super) fn node_time(second: u8) -> String {
    Timestamp::from_second(1_700_000_000 + i64::from(second)).unwrap().to_string()
}

/// Since when files have had their bytes: at the times at which pods start.
fn changed() -> impl Strategy<Value = BTreeMap<String, u8>> {
    proptest::collection::btree_map("p[0-3]", 0..12u8, 0..4)
}

fn times(changed: &BTreeMap<String, u8>) -> BTreeMap<&String, String> {
    changed.iter().map(|(name, second)| (name, node_time(*second))).collect()
}

fn profile_status() -> impl Strategy<Value = Value> {
    select(vec![
        json!(null),
        json!(7),
        json!({ "state": "OtherRelease" }),
        json!({ "ready": "9/9", "conditions": [] }),
        json!({ "removal": "Approved" }),
    ])
}

fn change() -> impl Strategy<Value = Change> {
    let name = || 0..4u8;
    let node = || 0..3u8;
    let created = select(vec![
        None,
        None,
        None,
        Some("2001-01-01T00:00:00Z"),
        Some("9998-01-01T00:00:00Z"),
        Some("9999-12-31T23:59:59Z"),
    ]);
    let on = || proptest::bool::weighted(0.8);
    let place = select(vec!["pod", "containers", "initContainers", "ephemeralContainers"]);
    prop_oneof![
        6 => (name(), 0..5u8, any::<bool>())
            .prop_map(|(name, content, finalizer)| Change::Profile { name, content, finalizer }),
        3 => name().prop_map(|name| Change::DeleteProfile { name }),
        1 => (name(), on()).prop_map(|(name, on)| Change::AllowDeletionInUse { name, on }),
        1 => (name(), any::<bool>()).prop_map(|(name, on)| Change::OtherFinalizer { name, on }),
        1 => name().prop_map(|name| Change::RemoveFinalizers { name }),
        1 => (name(), profile_status()).prop_map(|(name, status)| Change::ProfileStatus { name, status }),
        5 => (node(), on(), select(vec!["True", "True", "Unknown", "False"]), created)
            .prop_map(|(name, selected, ready, created)| Change::Node { name, selected, ready, created }),
        2 => node().prop_map(|name| Change::DeleteNode { name }),
        8 => (node(), changed()).prop_map(|(node, changed)| Change::Agent { node, changed }),
        3 => (node(), report_status()).prop_map(|(node, status)| Change::Report { node, status }),
        1 => node().prop_map(|node| Change::Orphan { node }),
        1 => node().prop_map(|node| Change::DeleteReport { node }),
        5 => (node(), 0..2u8, on(), proptest::bool::weighted(0.9))
            .prop_map(|(node, turn, ready, labelled)| Change::AgentPod { node, turn, ready, labelled }),
        4 => (0..7u8, proptest::option::weighted(0.6, node()), name(), place)
            .prop_map(|(name, node, profile, place)| Change::UserPod { name, node, profile, place }),
        2 => (0..7u8, select(vec!["Running", "Succeeded", "Failed"]))
            .prop_map(|(name, phase)| Change::EndPod { name, phase }),
        4 => (0..7u8, 0..10u8, 0..4u8)
            .prop_map(|(name, accepted, later)| Change::StartPod { name, accepted, later }),
        2 => (0..7u8).prop_map(|name| Change::DeletePod { name: format!("web{name}") }),
        1 => (node(), 0..2u8)
            .prop_map(|(node, turn)| Change::DeletePod { name: format!("agent-n{node}-{turn}") }),
        2 => Just(Change::CollectGarbage),
    ]
}

pub(super) fn action() -> impl Strategy<Value = Action> {
    let kind = || 0..4usize;
    prop_oneof![
        30 => change().prop_map(Action::Change),
        6 => prop_oneof![1..10u64, 10..200u64, 200..1000u64].prop_map(|seconds| Action::Time { seconds }),
        20 => (kind(), 1..8usize).prop_map(|(kind, events)| Action::Deliver { kind, events }),
        3 => (kind(), any::<bool>()).prop_map(|(kind, noticed)| Action::BreakWatch { kind, noticed }),
        1 => (kind(), 1..4usize).prop_map(|(kind, changes)| Action::Rewind { kind, changes }),
        8 => (1..5usize).prop_map(|most| Action::Reconcile { most }),
        8 => Just(Action::Answer),
        2 => any::<bool>().prop_map(|takes_effect| Action::FailNextWrite { takes_effect }),
        1 => Just(Action::Restart),
        6 => Just(Action::Settle),
    ]
}

impl Change {
    /// Makes the change, if it is possible.
    pub(super) fn make(&self, server: &mut Server, now: Timestamp) {
        // A change that is not possible is skipped.
        let _ = match self {
            Self::Profile { name, content, finalizer } => {
                let (name, spec) = (format!("p{name}"), json!({ "contents": contents(*content) }));
                let mut object = json!({ "spec": spec });
                if *finalizer {
                    object["metadata"] = json!({ "finalizers": [api::names::FINALIZER] });
                }
                server
                    .create(KindLabel::Profile, &name, &now.to_string(), object)
                    .or_else(|_| server.change(KindLabel::Profile, &name, |object| object["spec"] = spec))
            }
            Self::DeleteProfile { name } => server.delete(KindLabel::Profile, &format!("p{name}"), now),
            Self::AllowDeletionInUse { name, on } => {
                server.change(KindLabel::Profile, &format!("p{name}"), |object| {
                    object["metadata"]["annotations"] = json!({ api::names::DELETE_IN_USE: on.to_string() });
                })
            }
            Self::OtherFinalizer { name, on } => {
                server.change(KindLabel::Profile, &format!("p{name}"), |object| {
                    let list = &mut object["metadata"]["finalizers"];
                    let mut finalizers: Vec<_> = list.as_array().cloned().unwrap_or_default();
                    finalizers.retain(|it| it != "someone/else");
                    if *on {
                        finalizers.insert(0, json!("someone/else"));
                    }
                    *list = json!(finalizers);
                })
            }
            Self::RemoveFinalizers { name } => {
                server.change(KindLabel::Profile, &format!("p{name}"), |object| {
                    object["metadata"]["finalizers"] = json!([]);
                })
            }
            Self::ProfileStatus { name, status } => {
                server.change(KindLabel::Profile, &format!("p{name}"), |object| {
                    object["status"] = status.clone();
                })
            }
            Self::Node { name, selected, ready, created } => {
                let name = format!("n{name}");
                let labels = json!({ "selected": if *selected { "yes" } else { "no" } });
                let status = json!({ "conditions": [{ "type": "Ready", "status": ready }] });
                let created = created.map_or_else(|| now.to_string(), str::to_owned);
                let object = json!({ "metadata": { "labels": labels }, "status": status });
                server.create(KindLabel::Node, &name, &created, object).or_else(|_| {
                    server.change(KindLabel::Node, &name, |object| {
                        object["metadata"]["labels"] = labels;
                        object["status"] = status;
                    })
                })
            }
            Self::DeleteNode { name } => server.delete(KindLabel::Node, &format!("n{name}"), now),
            Self::Agent { node, changed } => {
                let files: serde_json::Map<_, _> = server
                    .all(KindLabel::Profile)
                    .filter(|(_, profile)| profile["status"]["removal"] != "Approved")
                    .filter_map(|(name, profile)| {
                        let parsed = profile::Profile::from_value(&profile["spec"]["contents"]).ok()?;
                        Some((name.clone(), json!(parsed.canonical().hash().short().to_string())))
                    })
                    .collect();
                let report = json!({
                    "agentVersion": "1", "directory": "d", "fileCount": files.len(), "files": files,
                    "changed": times(changed),
                });
                server.change(KindLabel::Report, &format!("n{node}"), |object| {
                    if !object["status"].is_object() {
                        object["status"] = json!({});
                    }
                    object["status"]["report"] = report;
                })
            }
            Self::Report { node, status } => {
                server.change(KindLabel::Report, &format!("n{node}"), |object| {
                    object["status"] = status.clone();
                })
            }
            Self::Orphan { node } => {
                server.create(KindLabel::Report, &format!("n{node}"), &now.to_string(), json!({ "spec": {} }))
            }
            Self::DeleteReport { node } => server.delete(KindLabel::Report, &format!("n{node}"), now),
            Self::AgentPod { node, turn, ready, labelled } => {
                let name = format!("agent-n{node}-{turn}");
                let labels = json!({ "agent": if *labelled { "yes" } else { "no" } });
                let ready = if *ready { "True" } else { "False" };
                let status = json!({ "phase": "Running", "conditions": [
                    { "type": "Ready", "status": ready, "lastTransitionTime": now.to_string() }
                ] });
                let object = json!({
                    "metadata": { "namespace": "ns", "labels": labels },
                    "spec": { "nodeName": format!("n{node}") },
                    "status": status
                });
                server.create(KindLabel::Pod, &name, &now.to_string(), object).or_else(|_| {
                    server.change(KindLabel::Pod, &name, |object| {
                        object["metadata"]["labels"] = labels;
                        if text(object, "/status/conditions/0/status") != ready {
                            object["status"] = status;
                        }
                    })
                })
            }
            Self::UserPod { name, node, profile, place } => {
                let name = format!("web{name}");
                let context = json!({ "seccompProfile": {
                    "type": "Localhost", "localhostProfile": format!("profiles/p{profile}.json")
                } });
                let mut spec = match *place {
                    "pod" => json!({ "securityContext": context, "containers": [{ "name": "main" }] }),
                    place => {
                        json!({ place: [{ "name": "other" }, { "name": place, "securityContext": context }] })
                    }
                };
                if let Some(node) = node {
                    spec["nodeName"] = json!(format!("n{node}"));
                }
                let object = json!({ "metadata": { "namespace": "shop" }, "spec": spec });
                server.create(KindLabel::Pod, &name, &now.to_string(), object).or_else(|_| {
                    server.change(KindLabel::Pod, &name, |object| {
                        // A pod is bound once, and only an ephemeral container may be added.
                        if let (Value::Null, Some(node)) = (&object["spec"]["nodeName"], node) {
                            object["spec"]["nodeName"] = json!(format!("n{node}"));
                        }
                        if *place == "ephemeralContainers" {
                            object["spec"]["ephemeralContainers"] =
                                json!([{ "name": place, "securityContext": context }]);
                        }
                    })
                })
            }
            Self::EndPod { name, phase } => server.change(KindLabel::Pod, &format!("web{name}"), |object| {
                object["status"] = json!({ "phase": phase });
            }),
            Self::StartPod { name, accepted, later } => {
                server.change(KindLabel::Pod, &format!("web{name}"), |object| {
                    let lists = ["containers", "initContainers", "ephemeralContainers"];
                    let keys = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
                    object["status"] = json!({ "phase": "Running", "startTime": node_time(*accepted) });
                    for (list, key) in lists.iter().zip(keys) {
                        let containers = object["spec"][list].as_array().cloned().unwrap_or_default();
                        let running = json!({ "running": { "startedAt": node_time(accepted + later) } });
                        let status = |it: &Value| json!({ "name": it["name"], "state": running });
                        object["status"][key] = containers.iter().map(status).collect();
                    }
                })
            }
            Self::DeletePod { name } => server.delete(KindLabel::Pod, name, now),
            Self::CollectGarbage => {
                collect_garbage(server, now);
                return;
            }
        };
    }
}

/// Deletes the reports whose owner does not exist, and the pods on Nodes that do not.
fn collect_garbage(server: &mut Server, now: Timestamp) {
    let nodes: Vec<_> =
        server.all(KindLabel::Node).map(|(name, node)| (name.clone(), text(node, "/metadata/uid"))).collect();
    let orphans: Vec<_> = server
        .all(KindLabel::Report)
        .filter(|(_, report)| {
            let owner = text(report, "/metadata/ownerReferences/0/uid");
            !owner.is_empty() && nodes.iter().all(|(_, uid)| *uid != owner)
        })
        .map(|(name, _)| (KindLabel::Report, name.clone()))
        .collect();
    let lost: Vec<_> = server
        .all(KindLabel::Pod)
        .filter(|(_, pod)| {
            let node = text(pod, "/spec/nodeName");
            !node.is_empty() && nodes.iter().all(|(name, _)| *name != node)
        })
        .map(|(name, _)| (KindLabel::Pod, name.clone()))
        .collect();
    for (kind, name) in orphans.into_iter().chain(lost) {
        let _ = server.delete(kind, &name, now);
    }
}
