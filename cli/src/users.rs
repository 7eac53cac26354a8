//! `users`: which pods and workloads name which profile, and which name one that does not exist.

use std::collections::{BTreeMap, BTreeSet};

use api::{PodSpec, ProfileName, Untrusted};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::facts::{NodeFacts, ProfileSummary};
use crate::owner::{GroupKind, Owner};
use crate::show::{Cell, Paint, Table, Tone, escaped};
use crate::unenforced::{Circumstances, Unenforced};

/// The pods and workloads that were found, and the kinds that could not be listed.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct UsersView {
    /// Each pod or workload with each profile that it names.
    pub users: Vec<User>,
    /// Kinds that the user may not list, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// The requested profile.
    #[serde(skip)]
    only: Option<String>,
}

/// A pod or workload that names a profile.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct User {
    /// The profile.
    pub profile: String,
    /// Whether the profile exists.
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
    /// Why the filter may not be enforced.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unenforced: Vec<Unenforced>,
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
    /// The kind of the controller that created it, if any.
    owner: Option<GroupKind>,
    phase: Option<String>,
    spec: PodSpec,
    circumstances: Circumstances,
}

impl Candidate {
    /// A pod; `None` if it has ended, or its spec cannot be read.
    #[must_use]
    pub fn pod(pod: &Untrusted<Pod>) -> Option<Self> {
        let phase = pod.status.get("phase").and_then(Value::as_str);
        if matches!(phase, Some("Succeeded" | "Failed")) {
            return None;
        }
        let spec = PodSpec::deserialize(&pod.spec).ok()?;
        let circumstances = Circumstances::of(&pod.metadata, &pod.spec);
        Some(Self { phase: phase.map(str::to_owned), ..Self::new("Pod", &pod.metadata, spec, circumstances) })
    }

    /// A workload, by its `spec`; `None` if it has no template that can be read.
    #[must_use]
    pub fn workload(kind: &'static str, metadata: &ObjectMeta, spec: &Value) -> Option<Self> {
        let job = spec.pointer("/jobTemplate/spec").unwrap_or(spec);
        let template = job.get("template")?;
        let pod = template.get("spec")?;
        let spec = PodSpec::deserialize(pod).ok()?;
        let annotations = template.pointer("/metadata/annotations").cloned().unwrap_or_default();
        let of_pods =
            ObjectMeta { annotations: serde_json::from_value(annotations).ok(), ..ObjectMeta::default() };
        Some(Self::new(kind, metadata, spec, Circumstances::of(&of_pods, pod)))
    }

    fn new(kind: &'static str, metadata: &ObjectMeta, spec: PodSpec, circumstances: Circumstances) -> Self {
        Self {
            namespace: metadata.namespace.clone().unwrap_or_default(),
            kind,
            name: metadata.name.clone().unwrap_or_default(),
            owner: Owner::of(metadata).map(|owner| owner.kind),
            phase: None,
            spec,
            circumstances,
        }
    }

    /// The profiles that it names, each with the reasons why its filter may not be enforced.
    fn asks(
        &self,
        directory: &str,
        handlers: &BTreeMap<String, String>,
    ) -> BTreeMap<ProfileName, Vec<Unenforced>> {
        let annotated = self.circumstances.annotated(directory).into_iter();
        let mut asks: BTreeMap<_, _> = annotated
            .map(|(profile, key)| (profile, vec![Unenforced::Annotation { annotation: key.to_owned() }]))
            .collect();
        // A field takes precedence over annotations.
        for profile in self.spec.profiles(directory) {
            let unenforced = self.circumstances.unenforced(&profile, directory, handlers);
            asks.insert(profile, unenforced);
        }
        asks
    }

    /// Whether it is an intermediate object, such as a ReplicaSet, whose workload is shown itself.
    fn is_intermediate(&self, read: &BTreeSet<&str>) -> bool {
        let owner = self.owner.as_ref().and_then(GroupKind::builtin);
        self.kind != "Pod" && owner.is_some_and(|(_, kind)| read.contains(kind))
    }
}

impl UsersView {
    /// The `candidates` that name the profile `only`, or any profile; `read` are the kinds that could be listed,
    /// `handlers` the handlers of the `RuntimeClasses` by name.
    #[must_use]
    pub fn of(
        candidates: &[Candidate],
        read: &BTreeSet<&str>,
        profiles: &BTreeMap<String, ProfileSummary>,
        directory: &str,
        handlers: &BTreeMap<String, String>,
        only: Option<&str>,
    ) -> Self {
        let mut users: Vec<_> = candidates
            .iter()
            .filter(|candidate| !candidate.is_intermediate(read))
            .flat_map(|candidate| {
                candidate.asks(directory, handlers).into_iter().map(move |(profile, unenforced)| User {
                    exists: profiles.contains_key(profile.as_str()),
                    profile: profile.to_string(),
                    namespace: candidate.namespace.clone(),
                    kind: candidate.kind.to_owned(),
                    name: candidate.name.clone(),
                    phase: candidate.phase.clone(),
                    node: candidate.spec.node().map(str::to_owned),
                    unenforced,
                })
            })
            .filter(|user| only.is_none_or(|only| only == user.profile))
            .collect();
        users.sort_unstable();
        Self { users, unread: Vec::new(), only: only.map(str::to_owned) }
    }

    /// Whether the handlers of the `RuntimeClasses` are needed.
    #[must_use]
    pub fn wants_handlers(&self) -> bool {
        let mut unenforced = self.users.iter().flat_map(|user| &user.unenforced);
        unenforced.any(|it| matches!(it, Unenforced::UnknownRuntime { handler: None, .. }))
    }

    /// The view as text, without the kinds that could not be listed.
    #[must_use]
    pub fn render(&self, paint: Paint) -> String {
        if self.users.is_empty() {
            let what = self.only.as_deref().unwrap_or("a profile");
            return format!("No pod or workload that could be listed names {}.\n", escaped(what));
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
            state.extend(user.unenforced.iter().map(ToString::to_string));
            let tone = match (user.exists, user.unenforced.is_empty()) {
                (false, _) => Tone::Bad,
                (true, false) => Tone::Waiting,
                (true, true) => Tone::Plain,
            };
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

/// The directory of the profiles below the kubelet's `seccomp/`, from a status or a report.
#[must_use]
pub fn directory(profiles: &BTreeMap<String, ProfileSummary>, nodes: &BTreeMap<String, NodeFacts>) -> String {
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
        let owners = owner.map(|kind| {
            let (kind, group) = kind.split_once('.').unwrap_or((kind, "apps"));
            json!({ "apiVersion": format!("{group}/v1"), "kind": kind, "name": "o", "uid": "u", "controller": true })
        });
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

    #[test]
    fn the_base_of_what_a_runtime_gets_from_a_registry_has_users_too() {
        let base = json!({ "type": "Localhost", "localhostProfile": "profiles/base.json" });
        let oci = json!({ "ref": "registry.example/app@sha256:00", "baseProfile": base });
        let container = json!({ "securityContext": { "seccompProfile": { "type": "OCI", "oci": oci } } });
        let template = json!({ "template": { "metadata": {}, "spec": { "containers": [container] } } });
        let users: Vec<_> = workload("Deployment", "web", None, &template).into_iter().collect();
        let (read, profiles) = (["Deployment"].into(), BTreeMap::new());
        let view = UsersView::of(&users, &read, &profiles, "profiles", &handlers(), Some("base"));
        assert_eq!(view.users.len(), 1);
        assert_eq!(view.users[0].name, "web");
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
        UsersView::of(&shop(), &read.iter().copied().collect(), &profiles, "profiles", &handlers(), only)
            .render(Paint::Plain)
    }

    fn handlers() -> BTreeMap<String, String> {
        let handlers = [("gvisor", "runsc"), ("kata", "kata-qemu"), ("gpu", "nvidia"), ("wasm", "spin")];
        handlers.map(|(name, handler)| (name.to_owned(), handler.to_owned())).into()
    }

    /// A pod as [`pod`] creates it, with these additional fields of the spec and annotations.
    fn odd(name: &str, profiles: &[&str], annotations: &Value, more: &Value) -> Candidate {
        let mut spec = spec(profiles);
        spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        let mut metadata = metadata(name, None);
        metadata["annotations"] = annotations.clone();
        let pod = json!({ "metadata": metadata, "spec": spec, "status": { "phase": "Running" } });
        Candidate::pod(&serde_json::from_value(pod).unwrap()).unwrap()
    }

    fn view_of(candidates: &[Candidate]) -> UsersView {
        let profiles = snapshot(vec![profile("audit", 1)], vec![]).profiles;
        UsersView::of(candidates, &BTreeSet::from(["Pod"]), &profiles, "profiles", &handlers(), None)
    }

    #[test]
    fn a_pod_that_uses_only_the_old_annotation_is_shown_as_without_the_filter() {
        const POD: &str = "seccomp.security.alpha.kubernetes.io/pod";
        const MAIN: &str = "container.seccomp.security.alpha.kubernetes.io/main";
        let none = json!({});
        let template = json!({ "template": {
            "metadata": { "annotations": { (POD): "localhost/profiles/audit.json" } }, "spec": { "containers": [{}] },
        } });
        let view = view_of(&[
            odd("by-pod", &[], &json!({ (POD): "localhost/profiles/audit.json" }), &none),
            odd("by-container", &[], &json!({ (MAIN): "localhost/profiles//adult.json" }), &none),
            odd("by-both", &["audit"], &json!({ (POD): "localhost/profiles/audit.json" }), &none),
            odd(
                "others",
                &[],
                &json!({ (POD): "runtime/default", (MAIN): "localhost/other/audit.json", "a": "b" }),
                &none,
            ),
            workload("Deployment", "old", None, &template).unwrap(),
        ]);
        insta::assert_snapshot!(view.render(Paint::Plain));
        assert!(!view.wants_handlers());
    }

    #[test]
    fn a_filter_that_applies_only_inside_a_sandbox_or_not_at_all_is_shown_as_such() {
        let class = |name: &str| json!({ "runtimeClassName": name });
        let none = json!({});
        let privileged = json!({
            "securityContext": { "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/audit.json" } },
            "containers": [
                { "name": "plain" },
                { "name": "big", "securityContext": { "privileged": true } },
                { "name": "own", "securityContext": { "privileged": true, "seccompProfile": { "type": "RuntimeDefault" } } },
            ],
        });
        let view = view_of(&[
            odd("gvisor", &["audit"], &none, &class("gvisor")),
            odd("kata", &["audit"], &none, &class("kata")),
            odd("gpu", &["audit"], &none, &class("gpu")),
            odd("wasm", &["audit"], &none, &class("wasm")),
            odd("gone", &["audit"], &none, &class("gone")),
            odd("idle", &[], &none, &class("kata")),
            odd("privileged", &[], &none, &privileged),
        ]);
        insta::assert_snapshot!(view.render(Paint::Plain));
        insta::assert_snapshot!("unenforced_for_programs", serde_json::to_string_pretty(&view).unwrap());
        assert!(view.wants_handlers(), "of the class that is gone");
    }

    #[test]
    fn pods_and_workloads_are_shown_with_every_profile_that_they_name() {
        insta::assert_snapshot!(view(&["Pod", "Deployment", "ReplicaSet", "CronJob", "Job"], None));
    }

    #[test]
    fn an_object_between_a_workload_and_its_pods_is_shown_only_if_the_workload_cannot_be_read() {
        insta::assert_snapshot!(view(&["Pod", "ReplicaSet", "Job"], Some("audit")));
    }

    #[test]
    fn an_object_of_another_products_controller_is_shown_itself() {
        let is_hidden = |owner| {
            let set = workload("StatefulSet", "db", Some(owner), &template(&["audit"])).unwrap();
            set.is_intermediate(&BTreeSet::from(["Deployment"]))
        };
        assert!(is_hidden("Deployment"));
        assert!(!is_hidden("Deployment.example.org"));
    }

    #[test]
    fn a_template_that_names_a_profile_that_does_not_exist_is_marked() {
        insta::assert_snapshot!(view(&["Pod", "CronJob"], Some("adult")), @r"
        PROFILE   NAMESPACE   KIND      NAME      STATE
        adult     shop        CronJob   nightly   there is no such profile
        ");
        assert_eq!(view(&[], Some("unused")), "No pod or workload that could be listed names unused.\n");
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
