//! The expected statuses, computed from the current objects alone, for every profile and every node, each time from
//! scratch.
//!
//! Times that no object records (since when the process has seen a node, seen no ready agent on it, seen it behind, or
//! seen a removal approved) come from the index, and are checked against the objects where possible.

use api::names::{DELETE_IN_USE, FINALIZER};
use api::{
    NodeCounts, NodeFailure, OpenEnum, PodCounts, ProblemKind, Removal, Report, SeccompProfileStatus, State,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff::Timestamp;
use profile::Profile;
use serde_json::Value;

use super::operator::Operator;
use super::server::{Server, text};
use crate::index::AgentState;
use crate::labels::KindLabel;

/// Computes what the operator must have written.
pub(super) struct NaiveModel<'a> {
    pub(super) server: &'a Server,
    pub(super) operator: &'a Operator,
    pub(super) now: Timestamp,
    /// Since when the index has had all objects.
    pub(super) synced_since: Timestamp,
}

/// What the API server must have stored for a profile.
#[derive(Debug, PartialEq)]
pub(super) enum Expected {
    /// Anything: the operator has removed its finalizer from the deleted profile.
    Released,
    /// Anything else than this object: the operator must have made this write by now.
    Overdue(&'static str),
    /// This status, apart from the transition times.
    Status(Box<SeccompProfileStatus>),
}

fn seconds(from: Timestamp, to: Timestamp) -> i64 {
    to.as_second().saturating_sub(from.as_second())
}

fn time(object: &Value, pointer: &str) -> Option<Timestamp> {
    object.pointer(pointer)?.as_str()?.parse().ok()
}

fn created(object: &Value) -> Timestamp {
    time(object, "/metadata/creationTimestamp").unwrap_or(Timestamp::UNIX_EPOCH)
}

fn is_deleted(object: &Value) -> bool {
    !object["metadata"]["deletionTimestamp"].is_null()
}

/// Whether its file may be removed. Somebody may have written so into the first status of a profile that nobody
/// deleted.
fn is_approved(profile: &Value) -> bool {
    is_deleted(profile) && profile["status"]["removal"] == "Approved"
}

fn is_agent(pod: &Value) -> bool {
    text(pod, "/metadata/namespace") == "ns" && text(pod, "/metadata/labels/agent") == "yes"
}

fn condition<'a>(object: &'a Value, kind: &str) -> Option<&'a Value> {
    object["status"]["conditions"].as_array()?.iter().find(|condition| condition["type"] == kind)
}

fn is_true(object: &Value, kind: &str) -> bool {
    condition(object, kind).is_some_and(|condition| condition["status"] == "True")
}

impl NaiveModel<'_> {
    fn report_of(&self, node: &Value) -> Option<Report> {
        let report = self.server.get(KindLabel::Report, &text(node, "/metadata/name"))?;
        let owner = report["metadata"]["ownerReferences"].as_array()?.iter().find(|o| o["kind"] == "Node")?;
        let content = report["status"]["report"].clone();
        (owner["uid"] == node["metadata"]["uid"]).then(|| serde_json::from_value(content).ok())?
    }

    fn agent_ready(&self, node: &str) -> bool {
        self.server.all(KindLabel::Pod).any(|(_, pod)| {
            is_agent(pod) && text(pod, "/spec/nodeName") == node && is_true(pod, "Ready") && !is_deleted(pod)
        })
    }

    pub(super) fn agent_state(&self, node: &Value) -> Option<AgentState> {
        let name = text(node, "/metadata/name");
        if node["metadata"]["labels"]["selected"] != "yes" {
            return None;
        }
        let indexed = &self.operator.index.nodes[&name];
        let arrived = self.operator.arrived[&text(node, "/metadata/uid")];
        // A creation time in the future is ignored: the node then counts as created when the index first saw it.
        let age_from = if created(node) <= arrived { created(node) } else { indexed.first_seen() };
        assert!(
            age_from <= arrived,
            "the index has seen {name} since {age_from}, and it arrived at {arrived}"
        );
        let reported = self.report_of(node).is_some();
        let down = indexed.agents_down_since();
        assert_eq!(down.is_none(), self.agent_ready(&name), "whether an agent is ready on {name}");
        let down = down.is_some_and(|since| {
            seconds(since, self.now) >= 300 || seconds(self.synced_since, self.now) >= 300
        });
        Some(if !reported && seconds(age_from, self.now) < 120 {
            AgentState::Joining
        } else if !is_true(node, "Ready") {
            AgentState::Unreachable
        } else if down {
            AgentState::Down
        } else if reported {
            AgentState::Reporting
        } else {
            AgentState::Silent
        })
    }

    fn contents(profile: &Value) -> Result<Profile, String> {
        let contents = profile["spec"].get("contents").unwrap_or(&Value::Null);
        Profile::from_value(contents).map_err(|error| error.under("spec.contents").to_string())
    }

    fn lacks(&self, profile: &Value, node: &Value) -> bool {
        let Ok(contents) = Self::contents(profile) else { return false };
        let hash = contents.canonical().hash().short().to_string();
        let report = self.report_of(node);
        !is_approved(profile)
            && report.and_then(|report| report.files.get(&text(profile, "/metadata/name")).cloned())
                != Some(hash)
    }

    /// The pods that use a profile and may run.
    fn live_pods(&self, profile: &str) -> Vec<String> {
        let path = format!("profiles/{profile}.json");
        let names_profile = |object: &Value| {
            object.pointer("/securityContext/seccompProfile/localhostProfile").is_some_and(|it| *it == path)
        };
        let live = |pod: &Value| {
            let spec = &pod["spec"];
            let containers = ["containers", "initContainers", "ephemeralContainers"];
            let mut all = containers.iter().filter_map(|kind| spec[kind].as_array()).flatten();
            let ended = ["Succeeded", "Failed"].contains(&text(pod, "/status/phase").as_str());
            let node = text(pod, "/spec/nodeName");
            let placed = match self.server.get(KindLabel::Node, &node) {
                // A node whose kubelet reports that it is not ready runs its pods nevertheless.
                Some(node) => condition(node, "Ready").is_some_and(|ready| ready["status"] != "Unknown"),
                None => node.is_empty() && seconds(created(pod), self.now) < 600,
            };
            !is_agent(pod) && !ended && placed && (names_profile(spec) || all.any(names_profile))
        };
        let mut pods: Vec<_> = self
            .server
            .all(KindLabel::Pod)
            .filter(|(_, pod)| live(pod))
            .map(|(name, pod)| format!("{}/{name}", text(pod, "/metadata/namespace")))
            .collect();
        pods.sort();
        pods
    }

    /// How many pods name a profile, and how many have a container that is older than its file.
    fn pod_counts(&self, profile: &str, object: &Value) -> PodCounts {
        let path = format!("profiles/{profile}.json");
        let wanted =
            Self::contents(object).ok().map(|contents| contents.canonical().hash().short().to_string());
        let (mut using, mut outdated, mut unknown) = (0, 0, 0);
        for (_, pod) in self.server.all(KindLabel::Pod).filter(|(_, pod)| !is_agent(pod)) {
            let spec = &pod["spec"];
            let of = |parent: &Value| parent["securityContext"]["seccompProfile"]["localhostProfile"].clone();
            let kinds = ["containers", "initContainers", "ephemeralContainers"];
            let containers = kinds.iter().filter_map(|kind| spec[kind].as_array()).flatten();
            let effective = |it: &Value| if of(it).is_null() { of(spec) } else { of(it) };
            let names = of(spec) == path || containers.clone().any(|it| of(it) == path);
            let ended = ["Succeeded", "Failed"].contains(&text(pod, "/status/phase").as_str());
            if !names || ended {
                continue;
            }
            using += 1;
            if is_approved(object) {
                continue;
            }
            let node = self.server.get(KindLabel::Node, &text(pod, "/spec/nodeName"));
            let report = node.and_then(|node| self.report_of(node));
            let started = |container: &Value| {
                let keys = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
                let mut statuses = keys.iter().filter_map(|key| pod["status"][key].as_array()).flatten();
                let status = statuses.find(|status| status["name"] == container["name"])?;
                time(status, "/state/running/startedAt")
            };
            // `None` if nobody can tell.
            let is_outdated = |started: Timestamp| {
                let report = report.as_ref()?;
                match (&wanted, report.files.get(profile)) {
                    (Some(wanted), file) if file != Some(wanted) => Some(true),
                    (None, None) => None,
                    _ => Some(report.changed.as_ref()?.get(profile).is_some_and(|changed| {
                        let accepted = time(pod, "/status/startTime").unwrap();
                        accepted < changed.0 && seconds(changed.0, started) <= 240
                    })),
                }
            };
            let running = containers.filter(|it| effective(it) == path).filter_map(started);
            let judged: Vec<_> = running.map(is_outdated).collect();
            outdated += i32::from(judged.contains(&Some(true)));
            unknown += i32::from(judged.contains(&None));
        }
        let is_known = outdated > 0 || unknown == 0;
        PodCounts { using, outdated: is_known.then_some(outdated), unknown: (unknown > 0).then_some(unknown) }
    }

    /// What the status of the profile `object` must be.
    pub(super) fn expected_profile(&self, object: &Value) -> Expected {
        let name = text(object, "/metadata/name");
        let deleting = is_deleted(object);
        let has_our_finalizer =
            object["metadata"]["finalizers"].as_array().is_some_and(|l| l.iter().any(|f| f == FINALIZER));
        let approved = is_approved(object);
        match (deleting, has_our_finalizer) {
            (false, false) => return Expected::Overdue("it must have our finalizer"),
            (true, false) => return Expected::Released,
            _ => {}
        }
        let contents = Self::contents(object);
        let hash = contents.as_ref().ok().map(|contents| contents.canonical().hash());
        let mut counts = NodeCounts::default();
        let (mut waiting, mut holding) = (Vec::new(), Vec::new());
        let (mut failures, mut silent) = (Vec::new(), Vec::new());
        for (node_name, node) in self.server.all(KindLabel::Node) {
            let Some(agent_state) = self.agent_state(node) else { continue };
            let report = self.report_of(node).unwrap_or_default();
            // A hash in the format of another release counts as a file: the deletion waits until it is removed.
            let file = report.files.get(&name);
            let has = file.is_some() && file == hash.as_ref().map(|hash| hash.short().to_string()).as_ref();
            let problem = report.problems.iter().rfind(|problem| problem.name == name);
            counts.desired += 1;
            let mut pending = |why: &str| {
                counts.pending += 1;
                waiting.push(format!("{node_name}{why}"));
            };
            let mut silent_node = |reason: &str, message: &str| {
                silent.push(NodeFailure {
                    node: node_name.clone(),
                    reason: reason.to_owned(),
                    message: message.to_owned(),
                });
            };
            match (agent_state, problem) {
                (AgentState::Joining, _) => counts.joining += 1,
                (AgentState::Unreachable, _) => counts.unreachable += 1,
                (AgentState::Down, _) => {
                    pending(" (AgentDown)");
                    silent_node("AgentDown", "no agent has been ready on the node for minutes");
                }
                (AgentState::Silent, _) => {
                    pending(" (NoReport)");
                    silent_node("NoReport", "the node's agent has never reported");
                }
                (AgentState::Reporting, _) if has => counts.ready += 1,
                (AgentState::Reporting, Some(problem)) if hash.is_some() => {
                    counts.failed += 1;
                    failures.push(NodeFailure {
                        node: node_name.clone(),
                        reason: problem.reason.clone(),
                        message: match problem.state.known() {
                            Some(_) => problem.message.clone(),
                            None => format!(
                                "the agent reports {}, which this operator does not know: {}",
                                problem.state.as_str(),
                                problem.message
                            ),
                        },
                    });
                }
                (AgentState::Reporting, _) => pending(""),
            }
            let without_file = [Some(ProblemKind::Conflict), Some(ProblemKind::Rejected)];
            let may_hold = problem.is_some_and(|problem| !without_file.contains(&problem.state.known()));
            if agent_state != AgentState::Unreachable && (file.is_some() || may_hold) {
                holding.push(node_name.clone());
            }
        }
        failures.extend(silent);
        failures.truncate(10);
        let indexed = &self.operator.index.profiles[&name];
        if deleting && approved {
            let since = indexed.approved_since.unwrap();
            if holding.is_empty() || seconds(since, self.now) >= 120 {
                return Expected::Overdue("it must be released");
            }
        }
        let pods = self.live_pods(&name);
        let forced = object["metadata"]["annotations"][DELETE_IN_USE] == "true";
        let approve = approved || deleting && (forced || pods.is_empty());
        let conditions = conditions(object, &contents, counts, approve, &waiting, &holding, &pods);
        let is_ready_now = conditions.iter().any(|it| it.type_ == "Ready" && it.status == "True");
        let was_ready = object["status"]["conditions"]
            .as_array()
            .is_some_and(|all| all.iter().any(|it| it["type"] == "Ready" && it["status"] == "True"));
        let kept = object["status"][if was_ready { "contentHash" } else { "readyHash" }].as_str();
        let present = hash.map(|hash| hash.to_string());
        let same_spec = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let kept = kept.filter(|kept| same_spec || Some(*kept) != present.as_deref());
        Expected::Status(Box::new(SeccompProfileStatus {
            observed_generation: object["metadata"]["generation"].as_i64(),
            ready_hash: if is_ready_now { present.clone() } else { kept.map(str::to_owned) },
            content_hash: present,
            localhost_profile: Some(format!("profiles/{name}.json")),
            ready: Some(format!("{}/{}", counts.ready, counts.desired)),
            state: Some(OpenEnum::Known(match &contents {
                _ if deleting => State::Deleting,
                Err(_) => State::Rejected,
                Ok(_) if counts.failed > 0 => State::Failed,
                Ok(_) if is_ready(counts) && !approve => State::Ready,
                Ok(_) => State::Progressing,
            })),
            nodes: Some(counts),
            failures,
            in_use: Some(!pods.is_empty()),
            pods: Some(self.pod_counts(&name, object)),
            unused_since: None,
            removal: approve.then(|| Removal::Approved.into()),
            // The simulated operator checks nothing.
            warnings: Vec::new(),
            conditions,
        }))
    }

    /// Status and reason of the condition that the report of the node `object` must have; `None` where none is
    /// required yet.
    pub(super) fn expected_node_condition(&self, object: &Value) -> Option<(&'static str, &'static str)> {
        let behind = self.operator.index.nodes[&text(object, "/metadata/name")].behind;
        let agent_state = self.agent_state(object)?;
        let lacks = self.server.all(KindLabel::Profile).any(|(_, profile)| self.lacks(profile, object));
        assert_eq!(behind.is_some(), lacks || agent_state == AgentState::Silent, "whether it is behind");
        let in_grace = behind.is_some_and(|since| seconds(since, self.now) < 30);
        match agent_state {
            AgentState::Joining => None,
            AgentState::Unreachable => Some(("Unknown", "NodeUnreachable")),
            AgentState::Down => Some(("False", "AgentDown")),
            _ if in_grace => None,
            AgentState::Silent => Some(("False", "NoReport")),
            AgentState::Reporting if lacks => Some(("False", "Behind")),
            AgentState::Reporting => Some(("True", "AllProfiles")),
        }
    }
}

pub(super) fn is_ready(counts: NodeCounts) -> bool {
    counts.ready > 0 && counts.pending == 0 && counts.failed == 0
}

fn conditions(
    object: &Value,
    contents: &Result<Profile, String>,
    counts: NodeCounts,
    approve: bool,
    waiting: &[String],
    holding: &[String],
    pods: &[String],
) -> Vec<Condition> {
    let list = |names: &[String]| match names.len() {
        0..=5 => names.join(", "),
        all => format!("{} and {} more", names[..5].join(", "), all - 5),
    };
    let condition = |kind: &str, status: bool, reason: &str, message: String| Condition {
        type_: kind.into(),
        status: if status { "True" } else { "False" }.into(),
        reason: reason.into(),
        message,
        observed_generation: object["metadata"]["generation"].as_i64(),
        last_transition_time: Time(Timestamp::UNIX_EPOCH),
    };
    let (accepted, why) = match contents {
        Ok(_) => ("Valid", "the profile is valid".to_owned()),
        Err(error) => ("InvalidProfile", error.clone()),
    };
    let mut message = format!("{} of {} nodes hold it", counts.ready, counts.desired);
    for (number, what) in
        [(counts.failed, "failed"), (counts.joining, "joining"), (counts.unreachable, "unreachable")]
    {
        if number > 0 {
            message += &format!("; {number} {what}");
        }
    }
    if !waiting.is_empty() {
        message += &format!("; waiting for {}", list(waiting));
    }
    let (reason, message) = match () {
        () if contents.is_err() => {
            ("InvalidProfile", "the profile is invalid; files stay as they were".to_owned())
        }
        () if approve => ("RemovalApproved", "the file is being removed from the nodes".to_owned()),
        () if counts.failed > 0 => ("NodesFailed", message),
        () if counts.pending > 0 => ("RollingOut", message),
        () if counts.ready == 0 => ("NoNodes", message),
        () => ("AllNodesReady", message),
    };
    let mut conditions = vec![
        condition("Accepted", contents.is_ok(), accepted, why),
        condition("Ready", reason == "AllNodesReady", reason, message),
    ];
    if is_deleted(object) {
        let (reason, message) = if approve && holding.is_empty() {
            ("RemovingFiles", "no reachable node holds the file".to_owned())
        } else if approve {
            ("RemovingFiles", format!("waiting for nodes to remove the file: {}", list(holding)))
        } else if pods.is_empty() {
            (
                "PodsUnknown",
                "the operator's cache may lack pods or nodes: the file stays until it is known that no pod uses it".to_owned(),
            )
        } else {
            let plural = if pods.len() == 1 { "pod uses" } else { "pods use" };
            let (number, names) = (pods.len(), list(pods));
            let how = "the annotation seccomp.imjasonh.dev/delete-in-use: \"true\" deletes it anyway";
            ("InUse", format!("{number} {plural} it: {names}; {how}"))
        };
        conditions.push(condition("Deleting", true, reason, message));
    } else if contents.is_err() {
        let message = "the profile cannot become ready: the condition Accepted gives the reason".to_owned();
        conditions.push(condition("Stalled", true, "InvalidProfile", message));
    }
    conditions
}
