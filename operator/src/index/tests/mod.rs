//! The index, driven synchronously: updates in, decisions out.

mod checks;
mod deletion;
mod denials;
mod exclusions;
mod first_status;
mod malicious_agent;
mod nodes;
mod outdated;
mod random;
mod readiness;
mod report_changes;
mod rollouts;
mod selected_nodes;
mod simulation;
mod starts;
mod trust;
mod unused;

use std::collections::{BTreeMap, BTreeSet};

use api::{FileProblem, OpenEnum, ProblemKind, Removal, SeccompProfileStatus, State};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use profile::ContentHash;
use syscalls::Architecture;

use super::{Index, ListedPods, NodeOperation, Outdated, ProfileOperation, Tally};
use crate::facts::{
    NodeFacts, ObjectVersion, PodFacts, PodKind, ProfileFacts, ProfileOrigin, ReportFacts, RunningUnder,
    UpdateSource,
};

const START: i64 = 1_800_000_000;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(START + second).unwrap()
}

fn version(uid: u32, resource_version: u32) -> ObjectVersion {
    ObjectVersion { uid: format!("uid-{uid}"), resource_version: resource_version.to_string() }
}

fn hash(content: u8) -> ContentHash {
    ContentHash::of(&[content])
}

/// Names and uids of all profiles in the index.
fn profile_uids(index: &Index) -> BTreeMap<String, String> {
    let uid = |(name, profile): (&String, &super::profile::Profile)| {
        (name.clone(), profile.facts.version.uid.clone())
    };
    index.profiles.iter().map(uid).collect()
}

fn profile(name: &str, content: u8) -> ProfileFacts {
    ProfileFacts {
        name: name.to_owned(),
        version: version(1, 1),
        generation: Some(1),
        text: hash(content),
        content: Ok(hash(content)),
        without_report: None,
        unchecked: None,
        node_selector: None,
        deletion: None,
        finalizer: Some(0),
        has_finalizers: true,
        origin: ProfileOrigin::User,
        delete_in_use: false,
        removal_approved: false,
        status: None,
    }
}

fn node(name: &str) -> NodeFacts {
    NodeFacts {
        name: name.to_owned(),
        uid: format!("{name}-1"),
        created: at(-1000),
        selected: true,
        reachable: true,
        answers: true,
        architecture: Some(Architecture::X86_64),
        labels: BTreeMap::new(),
    }
}

fn report(node: &str, files: &[(&str, u8)]) -> ReportFacts {
    ReportFacts {
        node: node.to_owned(),
        version: version(7, 1),
        owner: Some(format!("{node}-1")),
        files: Some(files.iter().map(|(name, content)| (name.to_string(), hash(*content).short())).collect()),
        changed: Some(BTreeMap::new()),
        problems: BTreeMap::new(),
        excluded: BTreeMap::new(),
        has_status: true,
        ready: None,
        containers_start: None,
        start_failures: Vec::new(),
    }
}

fn agent(node: &str, ready: bool) -> PodFacts {
    PodFacts {
        uid: format!("agent-{node}"),
        namespaced_name: format!("ns/agent-{node}"),
        node: Some(node.to_owned()),
        created: at(0),
        kind: PodKind::Agent { ready, since: None },
        failed_starts: Vec::new(),
        running: Vec::new(),
    }
}

fn user(uid: &str, node: Option<&str>, profile: &str) -> PodFacts {
    PodFacts {
        uid: uid.to_owned(),
        namespaced_name: format!("shop/{uid}"),
        node: node.map(str::to_owned),
        created: at(0),
        kind: PodKind::User(BTreeSet::from([profile.to_owned()])),
        failed_starts: Vec::new(),
        running: Vec::new(),
    }
}

/// Two nodes that have profile `a` with content 1, with their agents.
fn two_nodes() -> Index {
    let mut index = Index::new("profiles");
    for name in ["n1", "n2"] {
        index.apply_node(node(name), at(0));
        index.apply_report(report(name, &[("a", 1)]), UpdateSource::Watch, at(0));
        index.apply_pod(agent(name, true), at(0));
    }
    index.apply_profile(profile("a", 1), UpdateSource::Watch, at(0));
    index
}

/// The status that the operator would write for `a` now.
fn status(index: &Index, now: i64) -> SeccompProfileStatus {
    match index.profile_decision("a", at(now)).unwrap().operation {
        ProfileOperation::WriteStatus { status, .. } => *status,
        other => panic!("expected a status, found {other:?}"),
    }
}

/// Like [`status`], after a list of all pods that the index knows.
fn status_after_list(index: &mut Index, now: i64) -> SeccompProfileStatus {
    assert_eq!(index.profile_decision("a", at(now)).unwrap().operation, ProfileOperation::ListPods);
    list(index, &[], now);
    status(index, now)
}

/// Lists all pods for `a`; returns whether the index knows each that uses it.
fn list(index: &mut Index, pods: &[PodFacts], now: i64) -> bool {
    let uid = index.profile_version("a").unwrap().uid.clone();
    index.pods_listed("a", &uid, pods, &BTreeSet::new(), at(now)) == ListedPods::AllKnown
}

/// Stores the status that the operator would write for `a`, as the API server would.
fn store(index: &mut Index, mut facts: ProfileFacts, now: i64) -> ProfileFacts {
    let mut decision = index.profile_decision("a", at(now)).unwrap();
    if decision.operation == ProfileOperation::ListPods {
        list(index, &[], now);
        decision = index.profile_decision("a", at(now)).unwrap();
    }
    if let ProfileOperation::WriteStatus { status, .. } = decision.operation {
        facts.removal_approved = status.removal.is_some();
        facts.status = Some((*status).clone());
        facts.version.resource_version =
            format!("{}", 1 + facts.version.resource_version.parse::<u32>().unwrap());
        index.apply_profile(facts.clone(), UpdateSource::Watch, at(now));
        index.status_written("a", &status, at(now));
    }
    facts
}

fn ready_condition(status: &SeccompProfileStatus) -> (&str, &str) {
    let condition = status.conditions.iter().find(|condition| condition.type_ == "Ready").unwrap();
    (&condition.status, &condition.reason)
}

fn node_condition(index: &Index, node: &str, now: i64) -> Option<(String, String)> {
    match index.decide_node(node, at(now)).unwrap().operation {
        NodeOperation::WriteConditions { conditions, .. } => {
            let ready = conditions.into_iter().find(|condition| condition.type_ == "Ready")?;
            Some((ready.status, ready.reason))
        }
        _ => None,
    }
}
