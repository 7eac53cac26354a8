//! The profiles in a workload's pod template: which its containers have, and how they get another one and the former one
//! again. Pure.

use std::collections::BTreeMap;

use api::ProfileName;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::error::WorkloadError;

/// Annotation on a workload that is under a learning profile: what its template had before, so that a run that was killed
/// can be continued or undone.
pub(super) const LEARNING: &str = "seccomp.imjasonh.dev/learning";
/// Annotation on the template: the round. Another round is another template, so that the controller replaces the pods.
pub(super) const ROUND: &str = "seccomp.imjasonh.dev/learning-round";

/// The profile that containers have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Present {
    /// The file of a `SeccompProfile`.
    Ours(ProfileName),
    /// The runtime's default.
    RuntimeDefault,
    /// None; with the words of the template.
    Unconfined(&'static str),
}

/// Which containers learn, and where their profile is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Target {
    /// All: the pod's field.
    Pod,
    /// The container of this name: its own field.
    Container(String),
}

/// What a place had before.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Former {
    #[serde(skip_serializing_if = "Option::is_none")]
    seccomp_profile: Option<Value>,
    /// Whether it had no securityContext at all.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    bare: bool,
}

/// What the template had before, as the annotation stores it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Stored {
    /// The learning profile.
    pub(super) profile: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pod: Option<Former>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    containers: BTreeMap<String, Former>,
}

/// What is known of the containers that learn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Containers {
    /// The profile that all of them have.
    pub(super) present: Present,
    /// Capabilities that a container adds to those that runtimes give by default.
    pub(super) added_capabilities: Vec<String>,
    /// Whether every container lacks the capability to change its root.
    pub(super) drops_chroot: bool,
    /// Whether all, some or none have `allowPrivilegeEscalation: false`.
    pub(super) privilege_escalation: Vec<bool>,
}

impl Target {
    /// The place for the option `--only`.
    #[must_use]
    pub(super) fn of(only: Option<&str>) -> Self {
        only.map_or(Self::Pod, |name| Self::Container(name.to_owned()))
    }

    fn includes(&self, container: &str) -> bool {
        match self {
            Self::Pod => true,
            Self::Container(name) => name == container,
        }
    }
}

impl Stored {
    /// What a workload says of an earlier run; `None` if it is not under a learning profile.
    ///
    /// # Errors
    /// The annotation cannot be read.
    pub(super) fn of(workload: &Value) -> Result<Option<Self>, WorkloadError> {
        let Some(text) = workload["metadata"]["annotations"][LEARNING].as_str() else { return Ok(None) };
        serde_json::from_str(text).map(Some).map_err(|_| WorkloadError::Annotation(LEARNING))
    }
}

/// The containers of a workload that learn. `directory` is the directory of the profiles below the kubelet's `seccomp/`.
///
/// # Errors
/// There is no such container, they have different profiles or one that is none of ours, or no filter is in force.
pub(super) fn containers(
    workload: &Value,
    target: &Target,
    directory: &str,
) -> Result<Containers, WorkloadError> {
    let spec = &workload["spec"]["template"]["spec"];
    let of_pod = &spec["securityContext"]["seccompProfile"];
    let mut found = Containers {
        present: Present::Unconfined(""),
        added_capabilities: Vec::new(),
        drops_chroot: true,
        privilege_escalation: Vec::new(),
    };
    let mut fields: Vec<(String, &Value)> = Vec::new();
    for container in each(spec).filter(|it| target.includes(name_of(it))) {
        let (name, context) = (name_of(container).to_owned(), &container["securityContext"]);
        if context["privileged"] == true {
            return Err(WorkloadError::Privileged(name));
        }
        let own = &context["seccompProfile"];
        fields.push((name, if own.is_null() { of_pod } else { own }));
        let [added, dropped] = ["add", "drop"].map(|field| words(&context["capabilities"][field]));
        let has_chroot = |words: &[String]| words.iter().any(|it| it == "ALL" || it == "SYS_CHROOT");
        found.drops_chroot &= has_chroot(&dropped) && !has_chroot(&added);
        found.added_capabilities.extend(added);
        found.privilege_escalation.push(context["allowPrivilegeEscalation"] != false);
    }
    let Some((_, first)) = fields.first() else {
        let Target::Container(name) = target else { return Err(WorkloadError::NoContainers) };
        return Err(WorkloadError::NoContainer(name.clone()));
    };
    let of_first = present(first, directory)?;
    for (_, field) in &fields {
        if present(field, directory)? != of_first {
            let all = fields.iter().map(|(name, field)| format!("{name}: {}", described(field)));
            return Err(WorkloadError::Different(all.collect()));
        }
    }
    found.present = of_first;
    Ok(found)
}

/// The profile of a `seccompProfile`.
fn present(field: &Value, directory: &str) -> Result<Present, WorkloadError> {
    match field["type"].as_str() {
        None => Ok(Present::Unconfined("none")),
        Some("Unconfined") => Ok(Present::Unconfined("Unconfined")),
        Some("RuntimeDefault") => Ok(Present::RuntimeDefault),
        _ => {
            let path = field["localhostProfile"].as_str().unwrap_or_default();
            let name = ProfileName::from_localhost_profile(path, directory);
            name.map(Present::Ours).ok_or_else(|| WorkloadError::NotOurs(described(field)))
        }
    }
}

fn described(field: &Value) -> String {
    let kind = field["type"].as_str().unwrap_or("none");
    match field["localhostProfile"].as_str() {
        Some(path) => format!("{kind} {path}"),
        None => kind.to_owned(),
    }
}

/// The workload under a learning profile, in this round. What it had before is stored with it.
///
/// # Errors
/// What an earlier run has stored cannot be read.
pub(super) fn under_learning(
    workload: &Value,
    target: &Target,
    profile: &ProfileName,
    path: &str,
    round: u32,
) -> Result<Value, WorkloadError> {
    let mut new = pointed(workload, target, profile, path)?;
    annotate(&mut new["spec"]["template"]["metadata"], ROUND, Some(&round.to_string()));
    Ok(new)
}

/// The workload under the profile with this file. What it had before `learning` is stored with it.
///
/// # Errors
/// What an earlier run has stored cannot be read.
pub(super) fn pointed(
    workload: &Value,
    target: &Target,
    learning: &ProfileName,
    path: &str,
) -> Result<Value, WorkloadError> {
    let mut new = restored(workload)?;
    let stored =
        Stored { profile: learning.to_string(), ..point(&mut new["spec"]["template"]["spec"], target, path) };
    annotate(&mut new["metadata"], LEARNING, Some(&json!(stored).to_string()));
    Ok(new)
}

/// Whether a workload is still in this round: nobody else has changed what this program wrote, neither the annotations nor
/// the profiles. What applies a manifest again may put only the latter back.
#[must_use]
pub(super) fn is_in_round(
    workload: &Value,
    target: &Target,
    profile: &ProfileName,
    path: &str,
    round: u32,
) -> bool {
    under_learning(workload, target, profile, path, round).is_ok_and(|same| same == *workload)
}

/// The workload with what its template had before; as it is if nothing is stored.
///
/// # Errors
/// The annotation cannot be read.
pub(super) fn restored(workload: &Value) -> Result<Value, WorkloadError> {
    let mut new = workload.clone();
    let Some(stored) = Stored::of(workload)? else { return Ok(new) };
    let spec = &mut new["spec"]["template"]["spec"];
    if let Some(former) = &stored.pod {
        put_back(spec, former);
    }
    for container in each_mut(spec) {
        if let Some(former) = stored.containers.get(name_of(container)) {
            put_back(container, former);
        }
    }
    annotate(&mut new["spec"]["template"]["metadata"], ROUND, None);
    Ok(forgotten(&new))
}

/// The workload without what is stored with it.
pub(super) fn forgotten(workload: &Value) -> Value {
    let mut new = workload.clone();
    annotate(&mut new["metadata"], LEARNING, None);
    new
}

/// Names a profile where the target says so, and nowhere else. Returns what was there.
fn point(spec: &mut Value, target: &Target, path: &str) -> Stored {
    let profile = json!({ "type": "Localhost", "localhostProfile": path });
    let mut stored = Stored { profile: String::new(), pod: None, containers: BTreeMap::new() };
    if *target == Target::Pod {
        stored.pod = Some(put(spec, Some(profile.clone())));
    }
    for container in each_mut(spec).filter(|it| target.includes(name_of(it))) {
        let name = name_of(container).to_owned();
        match target {
            // Its own profile would take precedence.
            Target::Pod if container["securityContext"]["seccompProfile"].is_null() => {}
            Target::Pod => _ = stored.containers.insert(name, put(container, None)),
            Target::Container(_) => _ = stored.containers.insert(name, put(container, Some(profile.clone()))),
        }
    }
    stored
}

/// Sets the profile of a pod or a container, or removes it. Returns what was there.
fn put(owner: &mut Value, profile: Option<Value>) -> Former {
    let bare = !owner["securityContext"].is_object();
    if bare {
        owner["securityContext"] = Value::Object(Map::new());
    }
    let context = &mut owner["securityContext"];
    let former = Some(context["seccompProfile"].take()).filter(|it| !it.is_null());
    match profile {
        Some(profile) => context["seccompProfile"] = profile,
        None => _ = context.as_object_mut().map(|fields| fields.remove("seccompProfile")),
    }
    Former { seccomp_profile: former, bare }
}

fn put_back(owner: &mut Value, former: &Former) {
    put(owner, former.seccomp_profile.clone());
    let is_empty = owner["securityContext"].as_object().is_some_and(Map::is_empty);
    if former.bare && is_empty {
        _ = owner.as_object_mut().map(|fields| fields.remove("securityContext"));
    }
}

/// Sets or removes an annotation, without leaving an empty map.
fn annotate(metadata: &mut Value, key: &str, value: Option<&str>) {
    match value {
        Some(value) => metadata["annotations"][key] = json!(value),
        None => {
            let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) else {
                return;
            };
            annotations.remove(key);
            if annotations.is_empty() {
                _ = metadata.as_object_mut().map(|fields| fields.remove("annotations"));
            }
        }
    }
}

fn each(spec: &Value) -> impl Iterator<Item = &Value> {
    ["initContainers", "containers"]
        .into_iter()
        .flat_map(|field| spec[field].as_array().into_iter().flatten())
}

fn each_mut(spec: &mut Value) -> impl Iterator<Item = &mut Value> {
    let fields = spec.as_object_mut().into_iter().flatten();
    let lists = fields.filter(|(field, _)| ["initContainers", "containers"].contains(&field.as_str()));
    lists.flat_map(|(_, list)| list.as_array_mut().into_iter().flatten())
}

fn name_of(container: &Value) -> &str {
    container["name"].as_str().unwrap_or_default()
}

/// Capabilities, without the prefix that Kubernetes accepts as well.
fn words(list: &Value) -> Vec<String> {
    let words = list.as_array().into_iter().flatten().filter_map(Value::as_str);
    words.map(|word| word.strip_prefix("CAP_").unwrap_or(word).to_owned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATH: &str = "profiles/web-learning.json";

    fn workload(pod: Value, containers: Value) -> Value {
        json!({
            "metadata": { "name": "web", "uid": "u", "resourceVersion": "7" },
            "spec": { "replicas": 2, "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "securityContext": pod, "containers": containers },
            } },
        })
    }

    fn name() -> ProfileName {
        "web-learning".parse().unwrap()
    }

    fn default() -> Value {
        json!({ "seccompProfile": { "type": "RuntimeDefault" } })
    }

    fn found(pod: Value, containers: Value, target: &Target) -> Result<Containers, WorkloadError> {
        super::containers(&workload(pod, containers), target, "profiles")
    }

    #[test]
    fn a_containers_own_profile_takes_precedence_and_different_ones_are_an_error_that_names_them() {
        let ours =
            json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/a.json" } });
        let both = json!([{ "name": "main" }, { "name": "proxy", "securityContext": ours }]);
        let error = found(default(), both.clone(), &Target::Pod).unwrap_err();
        assert!(matches!(&error, WorkloadError::Different(all) if all.len() == 2), "{error}");
        assert!(error.to_string().contains("proxy: Localhost profiles/a.json"), "{error}");
        assert!(error.to_string().contains("--only"), "{error}");
        let present = |name: &str| found(default(), both.clone(), &Target::of(Some(name))).unwrap().present;
        assert_eq!(present("main"), Present::RuntimeDefault);
        assert_eq!(present("proxy"), Present::Ours("a".parse().unwrap()));
        assert!(matches!(
            found(default(), both.clone(), &Target::of(Some("gone"))).unwrap_err(),
            WorkloadError::NoContainer(_)
        ));
        let alone = found(json!({}), json!([{ "name": "main" }]), &Target::Pod).unwrap();
        assert_eq!(alone.present, Present::Unconfined("none"));
    }

    #[test]
    fn a_file_that_is_none_of_ours_and_a_privileged_container_are_errors() {
        let other = json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": "mine/a.json" } });
        let error = found(other, json!([{ "name": "main" }]), &Target::Pod).unwrap_err();
        assert!(error.to_string().contains("mine/a.json"), "{error}");
        let privileged = json!([{ "name": "main", "securityContext": { "privileged": true } }]);
        assert!(matches!(found(default(), privileged, &Target::Pod), Err(WorkloadError::Privileged(_))));
    }

    #[test]
    fn the_workload_has_exactly_what_it_had_before_after_any_number_of_rounds() {
        let own = json!({ "runAsUser": 7, "seccompProfile": { "type": "RuntimeDefault" } });
        for (pod, containers, target) in [
            (json!({}), json!([{ "name": "main" }]), Target::Pod),
            (default(), json!([{ "name": "main" }, { "name": "b", "securityContext": own }]), Target::Pod),
            (default(), json!([{ "name": "main" }, { "name": "b" }]), Target::of(Some("b"))),
            (json!({}), json!([{ "name": "b", "securityContext": {} }]), Target::of(Some("b"))),
            (json!({}), json!([{ "name": "b", "securityContext": own }]), Target::of(Some("b"))),
            (Value::Null, json!([{ "name": "b" }]), Target::Pod),
        ] {
            let mut before = workload(pod, containers);
            if before["spec"]["template"]["spec"]["securityContext"].is_null() {
                before["spec"]["template"]["spec"].as_object_mut().unwrap().remove("securityContext");
            }
            let first = under_learning(&before, &target, &name(), PATH, 1).unwrap();
            let second = under_learning(&first, &target, &name(), PATH, 2).unwrap();
            assert_ne!(first["spec"]["template"], second["spec"]["template"], "the pods are replaced");
            assert_eq!(Stored::of(&second).unwrap().unwrap().profile, "web-learning");
            assert_eq!(restored(&second).unwrap(), before);
            let is_in = |it: &Value, round| is_in_round(it, &target, &name(), PATH, round);
            assert!(is_in(&first, 1) && is_in(&second, 2));
            assert!(!is_in(&first, 2) && !is_in(&before, 1));
            // Its manifest was applied again: what it does not name stays.
            let mut applied = second.clone();
            applied["spec"]["template"]["spec"] = before["spec"]["template"]["spec"].clone();
            assert!(!is_in(&applied, 2), "{applied}");
            let other = if target == Target::Pod { Target::of(Some("b")) } else { Target::Pod };
            let continued = under_learning(&second, &other, &name(), PATH, 3).unwrap();
            assert_eq!(restored(&continued).unwrap(), before, "with another --only");
            let done = pointed(&second, &target, &name(), "profiles/web.json").unwrap();
            assert_eq!(restored(&done).unwrap(), before);
        }
    }

    #[test]
    fn all_learning_containers_have_the_profile_and_no_other_one() {
        let own = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
        let both = json!([{ "name": "main" }, { "name": "b", "securityContext": own }]);
        let under = |target: &Target| {
            let new = under_learning(&workload(default(), both.clone()), target, &name(), PATH, 1).unwrap();
            ["main", "b"].map(|container| {
                let found = super::containers(&new, &Target::of(Some(container)), "profiles");
                found.unwrap().present == Present::Ours(name())
            })
        };
        assert_eq!(under(&Target::Pod), [true, true]);
        assert_eq!(under(&Target::of(Some("b"))), [false, true]);
    }

    #[test]
    fn what_is_stored_is_forgotten_in_the_end() {
        let learning =
            under_learning(&workload(default(), json!([{ "name": "a" }])), &Target::Pod, &name(), PATH, 1);
        let done =
            forgotten(&pointed(&learning.unwrap(), &Target::Pod, &name(), "profiles/web.json").unwrap());
        assert!(!done.to_string().contains("learning"), "{done}");
        assert_eq!(restored(&done).unwrap(), done);
    }
}
