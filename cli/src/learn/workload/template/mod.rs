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

/// What the name of the profile that logs has beyond the result's.
pub(super) const SUFFIX: &str = "-learning";

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

    /// Whether a `seccompProfile` names the profile that logs, or the result.
    fn names(&self, profile: &Value) -> bool {
        let path = profile["localhostProfile"].as_str().unwrap_or_default();
        let file = path.rsplit('/').next().and_then(|file| file.strip_suffix(".json"));
        let result = self.profile.strip_suffix(SUFFIX);
        file.is_some_and(|file| file == self.profile || Some(file) == result)
    }

    /// Whether a container still has what this program gave it: without a profile of its own it has the pod's.
    fn is_own(&self, container: &Value) -> bool {
        let profile = profile_of(container);
        self.names(profile) || (self.pod.is_some() && profile.is_null())
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

/// The round in which a workload is; 0 for none.
#[must_use]
pub(super) fn round_of(workload: &Value) -> u32 {
    let round = workload["spec"]["template"]["metadata"]["annotations"][ROUND].as_str();
    round.and_then(|round| round.parse().ok()).unwrap_or_default()
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

/// Whether a workload is still under the profile with this file: nobody else has changed what [`pointed`] wrote.
#[must_use]
pub(super) fn is_under(workload: &Value, target: &Target, learning: &ProfileName, path: &str) -> bool {
    pointed(workload, target, learning, path).is_ok_and(|same| same == *workload)
}

/// The workload with what its template had before, where it has the profile that logs or the result; as it is if nothing is
/// stored. Another profile, which somebody has put there since, stays ([`taken`]).
///
/// # Errors
/// The annotation cannot be read.
pub(super) fn restored(workload: &Value) -> Result<Value, WorkloadError> {
    let mut new = workload.clone();
    let Some(stored) = Stored::of(workload)? else { return Ok(new) };
    let spec = &mut new["spec"]["template"]["spec"];
    if let Some(former) = stored.pod.as_ref().filter(|_| stored.names(profile_of(spec))) {
        put_back(spec, former);
    }
    for container in each_mut(spec) {
        let former = stored.containers.get(name_of(container));
        if let Some(former) = former.filter(|_| stored.is_own(container)) {
            put_back(container, former);
        }
    }
    annotate(&mut new["spec"]["template"]["metadata"], ROUND, None);
    Ok(forgotten(&new))
}

/// The places of a workload under a learning profile where somebody else has put another profile since.
///
/// # Errors
/// The annotation cannot be read.
pub(super) fn taken(workload: &Value) -> Result<Vec<String>, WorkloadError> {
    let Some(stored) = Stored::of(workload)? else { return Ok(Vec::new()) };
    let spec = &workload["spec"]["template"]["spec"];
    let of_pod = (stored.pod.is_some() && !stored.names(profile_of(spec))).then(|| "its pods".to_owned());
    let is_taken = |it: &&Value| stored.containers.contains_key(name_of(it)) && !stored.is_own(it);
    let containers = each(spec).filter(is_taken).map(|it| format!("the container {}", name_of(it)));
    Ok(of_pod.into_iter().chain(containers).collect())
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

fn profile_of(owner: &Value) -> &Value {
    &owner["securityContext"]["seccompProfile"]
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
mod tests;
