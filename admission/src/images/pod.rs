//! Which containers of a pod are looked at.
//!
//! Left alone are: a container that sets a profile itself, every container of a pod that sets one for all, privileged
//! containers, which run without a filter, and pods for Windows, which has none.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::NodeSelectorTerm;
use serde::Deserialize;
use serde_json::Value;

use super::affinity::Affinity;

/// The label of nodes with their architecture.
const ARCHITECTURE: &str = "kubernetes.io/arch";
/// The label of nodes with their operating system.
const SYSTEM: &str = "kubernetes.io/os";

/// A container that is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Container {
    /// Where it is in the pod: a JSON pointer (RFC 6901).
    pub path: String,
    /// Its name.
    pub name: String,
    /// Its image, as the pod has it.
    pub image: String,
    /// Whether it has a security context, so that the profile is added to that.
    pub has_security_context: bool,
}

/// A pod, as far as images are concerned.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Pod {
    /// The containers that are looked at.
    pub containers: Vec<Container>,
    /// The names of its pull secrets. The API server has added those of its account by now (the admission plugin
    /// `ServiceAccount`, which comes before webhooks in `pkg/kubeapiserver/options/plugins.go` of Kubernetes 1.37.2).
    pub pull_secrets: Vec<String>,
    /// The architectures that it names; `None` if it names none.
    pub architectures: Option<BTreeSet<String>>,
}

/// Which containers a request is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum About<'a> {
    /// Those of a new pod.
    NewPod,
    /// Ephemeral ones that are added to a pod, which had this `spec`.
    Ephemeral(&'a Value),
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Spec {
    containers: Option<Vec<One>>,
    init_containers: Option<Vec<One>>,
    ephemeral_containers: Option<Vec<One>>,
    image_pull_secrets: Option<Vec<Named>>,
    node_selector: Option<BTreeMap<String, String>>,
    affinity: Option<Affinity>,
    os: Option<Named>,
    security_context: Option<Context>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct One {
    name: String,
    image: String,
    security_context: Option<Context>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Context {
    privileged: Option<bool>,
    seccomp_profile: Option<Value>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Named {
    name: String,
}

impl Pod {
    /// The pod with this `spec`.
    ///
    /// # Errors
    /// It is none; the API server refuses it.
    pub fn of(spec: &Value, about: About<'_>) -> Result<Self, serde_json::Error> {
        let spec = Spec::deserialize(spec)?;
        let old = match about {
            About::NewPod => None,
            About::Ephemeral(old) => Some(Spec::deserialize(old)?),
        };
        let is_windows = spec.os.as_ref().is_some_and(|os| os.name == "windows")
            || spec.node_selector.iter().flatten().any(|(key, value)| key == SYSTEM && value == "windows");
        if is_windows || spec.security_context.as_ref().is_some_and(|it| it.seccomp_profile.is_some()) {
            return Ok(Self::default());
        }
        let containers = match old {
            None => {
                let init = looked_at("initContainers", spec.init_containers.iter().flatten(), |_| true);
                init.chain(looked_at("containers", spec.containers.iter().flatten(), |_| true)).collect()
            }
            Some(old) => {
                let before: BTreeSet<_> =
                    old.ephemeral_containers.iter().flatten().map(|it| &*it.name).collect();
                let is_new = |name: &str| !before.contains(name);
                looked_at("ephemeralContainers", spec.ephemeral_containers.iter().flatten(), is_new).collect()
            }
        };
        let pull_secrets = spec.image_pull_secrets.iter().flatten().map(|it| it.name.clone());
        let pull_secrets = pull_secrets.filter(|name| !name.is_empty()).collect();
        Ok(Self { containers, pull_secrets, architectures: spec.architectures() })
    }
}

/// The containers of one kind that are looked at.
fn looked_at<'a>(
    kind: &'static str,
    all: impl Iterator<Item = &'a One>,
    is_new: impl Fn(&str) -> bool,
) -> impl Iterator<Item = Container> {
    all.enumerate().filter_map(move |(at, one)| {
        let context = one.security_context.as_ref();
        let is_left_alone =
            context.is_some_and(|it| it.seccomp_profile.is_some() || it.privileged == Some(true));
        (is_new(&one.name) && !is_left_alone && !one.image.is_empty()).then(|| Container {
            path: format!("/spec/{kind}/{at}"),
            name: one.name.clone(),
            image: one.image.clone(),
            has_security_context: context.is_some(),
        })
    })
}

impl Spec {
    /// The architectures that the node selector and the required node affinity name. A term without one permits all.
    fn architectures(&self) -> Option<BTreeSet<String>> {
        let selected = self.node_selector.as_ref().and_then(|all| all.get(ARCHITECTURE));
        if let Some(architecture) = selected {
            return Some([architecture.clone()].into());
        }
        let required = self.affinity.as_ref()?.required()?;
        let of_term = |term: &NodeSelectorTerm| {
            let mut named = term
                .match_expressions
                .iter()
                .flatten()
                .filter(|it| it.key == ARCHITECTURE && it.operator == "In")
                .map(|it| it.values.iter().flatten().cloned().collect::<BTreeSet<_>>());
            let first = named.next()?;
            Some(named.fold(first, |all, next| all.intersection(&next).cloned().collect()))
        };
        let mut all = BTreeSet::new();
        for term in &required.node_selector_terms {
            all.extend(of_term(term)?);
        }
        (!all.is_empty()).then_some(all)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn paths(spec: &Value) -> Vec<String> {
        Pod::of(spec, About::NewPod).unwrap().containers.into_iter().map(|it| it.path).collect()
    }

    #[test]
    fn every_container_is_looked_at_unless_it_sets_a_profile_or_is_privileged() {
        let own = json!({ "seccompProfile": { "type": "Unconfined" } });
        let spec = json!({
            "initContainers": [
                { "name": "sidecar", "image": "s", "restartPolicy": "Always" },
                { "name": "own", "image": "s", "securityContext": own },
            ],
            "containers": [
                { "name": "a", "image": "a", "securityContext": { "runAsNonRoot": true } },
                { "name": "b", "image": "b", "securityContext": { "privileged": true } },
                { "name": "c", "image": "c", "securityContext": { "privileged": false } },
                { "name": "later", "image": "" },
            ],
        });
        assert_eq!(paths(&spec), ["/spec/initContainers/0", "/spec/containers/0", "/spec/containers/2"]);
        let pod = Pod::of(&spec, About::NewPod).unwrap();
        let contexts: Vec<_> = pod.containers.iter().map(|it| it.has_security_context).collect();
        assert_eq!(contexts, [false, true, true]);
    }

    #[test]
    fn a_pod_that_sets_a_profile_for_all_and_one_for_windows_are_left_alone() {
        let containers = json!([{ "name": "a", "image": "a" }]);
        for more in [
            json!({ "securityContext": { "seccompProfile": { "type": "RuntimeDefault" } } }),
            json!({ "os": { "name": "windows" } }),
            json!({ "nodeSelector": { "kubernetes.io/os": "windows" } }),
        ] {
            let mut spec = more;
            spec["containers"] = containers.clone();
            assert!(paths(&spec).is_empty(), "{spec}");
        }
        assert!(paths(&json!({ "containers": null })).is_empty());
        assert_eq!(paths(&json!({ "containers": containers, "securityContext": {} })).len(), 1);
    }

    #[test]
    fn of_ephemeral_containers_only_those_that_are_added_are_looked_at() {
        let one = |name: &str| json!({ "name": name, "image": "debug" });
        let old = json!({ "containers": [one("a")], "ephemeralContainers": [one("first")] });
        let new = json!({ "containers": [one("a")], "ephemeralContainers": [one("first"), one("second")] });
        let pod = Pod::of(&new, About::Ephemeral(&old)).unwrap();
        let [added] = &pod.containers[..] else { panic!("{pod:?}") };
        assert_eq!((&*added.path, &*added.name), ("/spec/ephemeralContainers/1", "second"));
    }

    #[test]
    fn the_architectures_of_a_pod_are_those_that_it_requires() {
        let of = |more: Value| Pod::of(&more, About::NewPod).unwrap().architectures;
        let set = |names: &[&str]| Some(names.iter().map(|it| (*it).to_owned()).collect::<BTreeSet<_>>());
        let affinity = |terms: Value| {
            let required = json!({ "nodeSelectorTerms": terms });
            json!({ "affinity": { "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": required } } })
        };
        let is_in = |values: &[&str]| json!({ "key": ARCHITECTURE, "operator": "In", "values": values });
        assert_eq!(of(json!({})), None);
        assert_eq!(of(json!({ "nodeSelector": { ARCHITECTURE: "arm64" } })), set(&["arm64"]));
        assert_eq!(
            of(affinity(json!([
                { "matchExpressions": [is_in(&["amd64", "arm64"]), is_in(&["arm64", "s390x"])] },
                { "matchExpressions": [is_in(&["s390x"])] },
            ]))),
            set(&["arm64", "s390x"])
        );
        // The second term permits every architecture.
        assert_eq!(of(affinity(json!([{ "matchExpressions": [is_in(&["arm64"])] }, {}]))), None);
        let not = json!({ "key": ARCHITECTURE, "operator": "NotIn", "values": ["arm64"] });
        assert_eq!(of(affinity(json!([{ "matchExpressions": [not] }]))), None);
    }

    proptest::proptest! {
        #[test]
        fn whatever_a_spec_is_it_is_read_or_an_error(text in "[\\[\\]{}:,\"a0 ]{0,60}") {
            if let Ok(spec) = serde_json::from_str::<Value>(&text) {
                let _ = Pod::of(&spec, About::NewPod);
            }
        }
    }
}
