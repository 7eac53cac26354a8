//! Objects as the API server returns them, for tests.

use api::{Report, WatchedPod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use crate::facts::{Agents, NodeFacts, ProfileSummary, Snapshot};

/// This many seconds after the epoch.
pub(crate) fn at(seconds: i64) -> Time {
    Time(Timestamp::from_second(seconds).unwrap())
}

/// The profile `{"defaultAction":"SCMP_ACT_LOG"}`, with a status that has not been ready since `since`.
pub(crate) fn profile(name: &str, since: i64) -> ProfileSummary {
    profile_with(name, "Progressing", ("False", "RollingOut", "0 of 1 nodes hold it"), since)
}

/// The same in another state.
pub(crate) fn profile_with(
    name: &str,
    state: &str,
    (status, reason, message): (&str, &str, &str),
    since: i64,
) -> ProfileSummary {
    let object = json!({
        "metadata": { "name": name, "generation": 1 },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
        "status": {
            "observedGeneration": 1, "state": state, "ready": "1/2", "inUse": true,
            "contentHash": "sha256:ada4d9a50895dd58cd1fd2a2deb4d6c96fd3a0126a4dd1da48ab9cb4fbc7b9f1",
            "localhostProfile": format!("profiles/{name}.json"),
            "conditions": [{
                "type": "Ready", "status": status, "reason": reason, "message": message, "observedGeneration": 1,
                "lastTransitionTime": at(since).0.to_string(),
            }],
        },
    });
    ProfileSummary::of(&serde_json::from_value(object).unwrap())
}

/// A node with its condition `Ready`: status, reason, time of the last change.
pub(crate) fn node(name: &str, ready: Option<(&str, &str, i64)>, report: Option<Report>) -> NodeFacts {
    let conditions = ready.map(|(status, reason, since)| {
        json!({ "type": "Ready", "status": status, "reason": reason, "message": "", "lastTransitionTime": at(since).0.to_string() })
    });
    let object = json!({
        "metadata": { "name": name, "creationTimestamp": "1970-01-01T00:00:00Z" },
        "status": { "report": report, "conditions": conditions.into_iter().collect::<Vec<_>>() },
    });
    NodeFacts::of(&serde_json::from_value(object).unwrap())
}

/// A report with these files and problems.
#[expect(clippy::unnecessary_wraps, reason = "a node has a report or none")]
pub(crate) fn report(files: Value, problems: Value) -> Option<Report> {
    let count = files.as_object().unwrap().len();
    let report = json!({
        "agentVersion": "0.1.0", "directory": "/var/lib/kubelet/seccomp/profiles", "fileCount": count,
        "files": files, "problems": problems,
    });
    Some(serde_json::from_value(report).unwrap())
}

/// The pods of agents: node, whether ready, since when.
pub(crate) fn agents(pods: &[(&str, bool, i64)]) -> Agents {
    let pod = |(node, ready, since): &(&str, bool, i64)| -> WatchedPod {
        let status = if *ready { "True" } else { "False" };
        let pod = json!({
            "metadata": { "name": format!("agent-{node}"), "namespace": "seccomp-profile" },
            "spec": { "nodeName": node },
            "status": { "conditions": [{ "type": "Ready", "status": status, "lastTransitionTime": at(*since).0.to_string() }] },
        });
        serde_json::from_value(pod).unwrap()
    };
    Agents::of(&pods.iter().map(pod).collect::<Vec<_>>())
}

/// A snapshot of these.
pub(crate) fn snapshot(profiles: Vec<ProfileSummary>, nodes: Vec<NodeFacts>) -> Snapshot {
    Snapshot {
        profiles: profiles.into_iter().map(|profile| (profile.name.clone(), profile)).collect(),
        nodes: nodes.into_iter().map(|node| (node.name.clone(), node)).collect(),
        agents: Agents::Unknown,
        existing: None,
    }
}
