//! `users`: which pods and workloads name which profile, and which name one that there is not.

use std::collections::{BTreeMap, BTreeSet};

use api::{PodSpec, WatchedPod};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::facts::{NodeFacts, ProfileFacts};
use crate::show::{Cell, Paint, Table, Tone};

/// What was found, and what could not be looked at.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UsersView {
    /// Each pod or workload with each profile that it names.
    pub users: Vec<User>,
    /// Kinds that whoever asks may not list, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// The profile that was asked for.
    #[serde(skip)]
    only: Option<String>,
}

/// A pod or workload that names a profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct User {
    /// The profile.
    pub profile: String,
    /// Whether there is such a profile.
    pub exists: bool,
    /// The pod's or workload's namespace.
    pub namespace: String,
    /// Its kind.
    pub kind: String,
    /// Its name.
    pub name: String,
    /// The phase of a pod; absent for workloads.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// The node of a pod.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A kind that could not be listed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Unread {
    /// Its plural, as RBAC names it.
    pub kind: String,
    /// Why.
    pub message: String,
}

/// A pod, or a template that pods are made from.
#[derive(Debug, Clone)]
pub struct Candidate {
    namespace: String,
    kind: &'static str,
    name: String,
    /// The kind of the controller that made it, if one did.
    owner: Option<String>,
    phase: Option<String>,
    spec: PodSpec,
}

impl Candidate {
    /// A pod, unless it has ended.
    #[must_use]
    pub fn pod(pod: &WatchedPod) -> Option<Self> {
        (!pod.has_ended()).then(|| Self {
            phase: pod.phase().map(str::to_owned),
            ..Self::new("Pod", &pod.metadata, pod.spec.clone())
        })
    }

    /// A workload, by its `spec`; `None` if it has no template that can be read.
    #[must_use]
    pub fn workload(kind: &'static str, metadata: &ObjectMeta, spec: &Value) -> Option<Self> {
        let job = spec.pointer("/jobTemplate/spec").unwrap_or(spec);
        let template = PodSpec::deserialize(job.pointer("/template/spec")?).ok()?;
        Some(Self::new(kind, metadata, template))
    }

    fn new(kind: &'static str, metadata: &ObjectMeta, spec: PodSpec) -> Self {
        let mut owners = metadata.owner_references.iter().flatten();
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            kind,
            name: metadata.name.clone().unwrap_or_default(),
            owner: owners.find(|owner| owner.controller == Some(true)).map(|owner| owner.kind.clone()),
            phase: None,
            spec,
        }
    }

    /// Whether it is only a step from a workload that is shown itself to its pods.
    fn is_step(&self, read: &BTreeSet<&str>) -> bool {
        self.kind != "Pod" && self.owner.as_deref().is_some_and(|owner| read.contains(owner))
    }
}

impl UsersView {
    /// Which of `candidates` name the profile `only`, or any; `read` are the kinds that could be listed.
    #[must_use]
    pub fn of(
        candidates: &[Candidate],
        read: &BTreeSet<&str>,
        profiles: &BTreeMap<String, ProfileFacts>,
        directory: &str,
        only: Option<&str>,
    ) -> Self {
        let mut users: Vec<_> = candidates
            .iter()
            .filter(|candidate| !candidate.is_step(read))
            .flat_map(|candidate| {
                candidate.spec.profiles(directory).into_iter().map(move |profile| User {
                    exists: profiles.contains_key(profile.as_str()),
                    profile: profile.to_string(),
                    namespace: candidate.namespace.clone(),
                    kind: candidate.kind.to_owned(),
                    name: candidate.name.clone(),
                    phase: candidate.phase.clone(),
                    node: candidate.spec.node().map(str::to_owned),
                })
            })
            .filter(|user| only.is_none_or(|only| only == user.profile))
            .collect();
        users.sort_unstable();
        Self { users, unread: Vec::new(), only: only.map(str::to_owned) }
    }

    /// The view for a person. What could not be read is said elsewhere.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        if self.users.is_empty() {
            let what = self.only.as_deref().unwrap_or("a profile");
            return format!("No pod or workload that could be read names {what}.\n");
        }
        let mut table = Table::new(["PROFILE", "NAMESPACE", "KIND", "NAME", "STATE"]);
        for user in &self.users {
            let mut state: Vec<String> = Vec::new();
            if !user.exists {
                state.push("there is no such profile".to_owned());
            }
            match (&user.phase, &user.node) {
                (Some(phase), Some(node)) => state.push(format!("{phase} on {node}")),
                (phase, _) => state.extend(phase.clone()),
            }
            let tone = if user.exists { Tone::Plain } else { Tone::Bad };
            table.row([
                Cell::toned(&user.profile, tone),
                (&user.namespace).into(),
                (&user.kind).into(),
                (&user.name).into(),
                Cell::toned(state.join("; "), tone),
            ]);
        }
        table.render(paint)
    }
}

/// Where profiles lie below the kubelet's `seccomp/`, as the operator or an agent says it.
#[must_use]
pub fn directory(profiles: &BTreeMap<String, ProfileFacts>, nodes: &BTreeMap<String, NodeFacts>) -> String {
    let by_operator = profiles.values().find_map(|profile| {
        let path = profile.status.as_ref()?.localhost_profile.as_deref()?;
        path.strip_suffix(&format!("/{}.json", profile.name)).map(str::to_owned)
    });
    let by_agent = || {
        let said = nodes.values().find_map(|node| node.report.as_ref())?;
        said.directory.rsplit_once("/seccomp/").map(|(_, directory)| directory.to_owned())
    };
    by_operator.or_else(by_agent).unwrap_or_else(|| api::names::DEFAULT_DIRECTORY.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{node, profile, report, snapshot};
    use serde_json::json;

    fn spec(profiles: &[&str]) -> Value {
        let containers = profiles.iter().map(|profile| {
            json!({ "securityContext": { "seccompProfile": { "type": "Localhost", "localhostProfile": format!("profiles/{profile}.json") } } })
        });
        json!({ "containers": containers.collect::<Vec<_>>() })
    }

    fn metadata(name: &str, owner: Option<&str>) -> Value {
        let owners = owner.map(
            |kind| json!({ "apiVersion": "v1", "kind": kind, "name": "o", "uid": "u", "controller": true }),
        );
        json!({ "name": name, "namespace": "shop", "ownerReferences": owners.into_iter().collect::<Vec<_>>() })
    }

    fn pod(name: &str, profiles: &[&str], phase: &str) -> Option<Candidate> {
        let mut spec = spec(profiles);
        spec["nodeName"] = json!("node-1");
        let pod = json!({ "metadata": metadata(name, Some("ReplicaSet")), "spec": spec, "status": { "phase": phase } });
        Candidate::pod(&serde_json::from_value(pod).unwrap())
    }

    fn workload(kind: &'static str, name: &str, owner: Option<&str>, spec: &Value) -> Option<Candidate> {
        Candidate::workload(kind, &serde_json::from_value(metadata(name, owner)).unwrap(), spec)
    }

    fn template(profiles: &[&str]) -> Value {
        json!({ "replicas": 1, "template": { "metadata": {}, "spec": spec(profiles) } })
    }

    fn shop() -> Vec<Candidate> {
        [
            pod("web-1", &["audit"], "Running"),
            pod("web-0", &["audit"], "Succeeded"),
            workload("Deployment", "web", None, &template(&["audit"])),
            workload("ReplicaSet", "web-1", Some("Deployment"), &template(&["audit"])),
            workload(
                "CronJob",
                "nightly",
                None,
                &json!({ "jobTemplate": { "spec": template(&["adult", "audit"]) } }),
            ),
            workload("Job", "nightly-1", Some("CronJob"), &template(&["audit"])),
            workload("StatefulSet", "db", None, &template(&[])),
            workload("DaemonSet", "broken", None, &json!({ "template": 7 })),
        ]
        .into_iter()
        .flatten()
        .collect()
    }

    fn view(read: &[&str], only: Option<&str>) -> String {
        let profiles = snapshot(vec![profile("audit", 1), profile("unused", 1)], vec![]).profiles;
        UsersView::of(&shop(), &read.iter().copied().collect(), &profiles, "profiles", only)
            .render(Paint::Plain)
    }

    #[test]
    fn pods_and_workloads_are_shown_with_every_profile_that_they_name() {
        insta::assert_snapshot!(view(&["Pod", "Deployment", "ReplicaSet", "CronJob", "Job"], None));
    }

    #[test]
    fn a_step_between_a_workload_and_its_pods_is_shown_only_where_the_workload_cannot_be_read() {
        insta::assert_snapshot!(view(&["Pod", "ReplicaSet", "Job"], Some("audit")));
    }

    #[test]
    fn a_template_that_names_a_profile_which_there_is_not_is_shown_as_that() {
        insta::assert_snapshot!(view(&["Pod", "CronJob"], Some("adult")), @r"
        PROFILE   NAMESPACE   KIND      NAME      STATE
        adult     shop        CronJob   nightly   there is no such profile
        ");
        assert_eq!(view(&[], Some("unused")), "No pod or workload that could be read names unused.\n");
    }

    #[test]
    fn the_directory_is_the_one_that_the_cluster_uses() {
        let of = |profiles, nodes| {
            let snapshot = snapshot(profiles, nodes);
            directory(&snapshot.profiles, &snapshot.nodes)
        };
        let mut moved = profile("audit", 1);
        moved.status.as_mut().unwrap().localhost_profile = Some("a/b/audit.json".into());
        assert_eq!(of(vec![moved], vec![]), "a/b");
        let mut report = report(json!({}), json!([]));
        report.as_mut().unwrap().directory = "/var/lib/kubelet/seccomp/ours".into();
        assert_eq!(of(vec![], vec![node("n", None, report)]), "ours");
        assert_eq!(of(vec![], vec![]), "profiles");
    }
}
