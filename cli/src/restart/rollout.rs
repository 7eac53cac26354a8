//! Whether a workload can be restarted, and whether its restart is complete. Pure.

use serde_json::{Value, json};

use crate::owner::GroupKind;

/// A kind whose controller replaces its pods after a change of their template.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A Deployment.
    Deployment,
    /// A `StatefulSet`.
    StatefulSet,
    /// A `DaemonSet`.
    DaemonSet,
}

/// The fields of a workload that matter here.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct Object {
    /// Its uid.
    pub(crate) uid: String,
    /// `metadata.generation`.
    pub(crate) generation: i64,
    /// Its spec.
    pub(crate) spec: Value,
    /// Its status.
    pub(crate) status: Value,
}

/// How far a restart is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rollout {
    /// Every pod is new and ready.
    Done,
    /// Not yet.
    Waiting(String),
    /// It will not become ready by itself.
    Failed(String),
}

/// The annotation of the template that `kubectl rollout restart` sets.
pub(crate) const RESTARTED_AT: &str = "kubectl.kubernetes.io/restartedAt";

impl Kind {
    /// Kubernetes' own kind of this name.
    #[must_use]
    pub(crate) fn of(kind: &GroupKind) -> Option<Self> {
        match kind.builtin()? {
            ("apps", "Deployment") => Some(Self::Deployment),
            ("apps", "StatefulSet") => Some(Self::StatefulSet),
            ("apps", "DaemonSet") => Some(Self::DaemonSet),
            _ => None,
        }
    }

    /// Its plural, as RBAC names it.
    #[must_use]
    pub(crate) fn plural(self) -> &'static str {
        match self {
            Self::Deployment => "deployments",
            Self::StatefulSet => "statefulsets",
            Self::DaemonSet => "daemonsets",
        }
    }

    /// Why a change of the template does not replace all pods; `None` if it does.
    #[must_use]
    pub(crate) fn obstacle(self, object: &Object) -> Option<String> {
        let spec = &object.spec;
        let strategy = spec["updateStrategy"]["type"].as_str();
        match self {
            Self::Deployment if spec["paused"] == true => {
                Some("it is paused: resume it with `kubectl rollout resume`".to_owned())
            }
            Self::Deployment => None,
            Self::StatefulSet | Self::DaemonSet if strategy == Some("OnDelete") => {
                Some("its strategy is OnDelete: delete its pods yourself".to_owned())
            }
            Self::StatefulSet => {
                let partition =
                    spec["updateStrategy"]["rollingUpdate"]["partition"].as_i64().unwrap_or_default();
                let held = partition > 0;
                held.then(|| format!("its partition keeps the first {partition} pods as they are"))
            }
            Self::DaemonSet => None,
        }
    }

    /// How far a restart is, by the rules of `kubectl rollout status`.
    #[must_use]
    pub(crate) fn rollout(self, object: &Object) -> Rollout {
        let status = |field: &str| object.status[field].as_i64().unwrap_or_default();
        if status("observedGeneration") < object.generation {
            return Rollout::Waiting("its controller has not seen the change".to_owned());
        }
        let (wanted, updated, available) = match self {
            Self::Deployment => {
                let conditions = object.status["conditions"].as_array();
                let mut conditions = conditions.into_iter().flatten();
                if conditions.any(|it| it["reason"] == "ProgressDeadlineExceeded") {
                    return Rollout::Failed("its progress deadline is exceeded".to_owned());
                }
                let updated = status("updatedReplicas");
                let old = status("replicas") - updated;
                if old > 0 {
                    return Rollout::Waiting(format!("{old} old pods are still there"));
                }
                (replicas(object), updated, status("availableReplicas"))
            }
            Self::StatefulSet => {
                let is_updated = object.status["updateRevision"] == object.status["currentRevision"];
                let updated = if is_updated { replicas(object) } else { status("updatedReplicas") };
                (replicas(object), updated, status("readyReplicas"))
            }
            Self::DaemonSet => (
                status("desiredNumberScheduled"),
                status("updatedNumberScheduled"),
                status("numberAvailable"),
            ),
        };
        if updated < wanted {
            Rollout::Waiting(format!("{updated} of {wanted} pods are new"))
        } else if available < wanted {
            Rollout::Waiting(format!("{available} of {wanted} pods are ready"))
        } else {
            Rollout::Done
        }
    }
}

fn replicas(object: &Object) -> i64 {
    object.spec["replicas"].as_i64().unwrap_or(1)
}

/// The patch that restarts the workload with this uid at `now`, as `kubectl rollout restart` does. The API server refuses
/// it for another object of the same name.
#[must_use]
pub(crate) fn patch(uid: &str, now: &str) -> Value {
    let annotations = json!({ RESTARTED_AT: now });
    json!({
        "metadata": { "uid": uid },
        "spec": { "template": { "metadata": { "annotations": annotations } } },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn object(spec: Value, status: Value) -> Object {
        Object { uid: "u".into(), generation: 2, spec, status }
    }

    fn waits(kind: Kind, status: Value) -> String {
        match kind.rollout(&object(json!({ "replicas": 3 }), status)) {
            Rollout::Waiting(why) => why,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_deployment_is_done_once_every_pod_is_new_and_available_and_no_old_one_is_left() {
        use Kind::Deployment;
        let status = |replicas: i64, updated: i64, available: i64| {
            json!({
                "observedGeneration": 2, "replicas": replicas, "updatedReplicas": updated, "availableReplicas": available,
            })
        };
        assert_eq!(
            waits(Deployment, json!({ "observedGeneration": 1 })),
            "its controller has not seen the change"
        );
        assert_eq!(waits(Deployment, status(2, 2, 2)), "2 of 3 pods are new");
        assert_eq!(waits(Deployment, status(4, 3, 3)), "1 old pods are still there");
        assert_eq!(waits(Deployment, status(3, 3, 2)), "2 of 3 pods are ready");
        assert_eq!(Deployment.rollout(&object(json!({ "replicas": 3 }), status(3, 3, 3))), Rollout::Done);
        let mut stuck = status(4, 3, 2);
        stuck["conditions"] = json!([{ "type": "Progressing", "reason": "ProgressDeadlineExceeded" }]);
        assert!(matches!(Deployment.rollout(&object(json!({}), stuck)), Rollout::Failed(_)));
    }

    #[test]
    fn a_stateful_set_is_done_once_its_revisions_are_the_same_and_every_pod_is_ready() {
        use Kind::StatefulSet;
        let status = |current: &str, updated: i64, ready: i64| {
            json!({
                "observedGeneration": 2, "currentRevision": current, "updateRevision": "new", "updatedReplicas": updated,
                "readyReplicas": ready,
            })
        };
        assert_eq!(waits(StatefulSet, status("old", 1, 3)), "1 of 3 pods are new");
        assert_eq!(waits(StatefulSet, status("new", 0, 2)), "2 of 3 pods are ready");
        assert_eq!(
            StatefulSet.rollout(&object(json!({ "replicas": 3 }), status("new", 0, 3))),
            Rollout::Done
        );
    }

    #[test]
    fn a_daemon_set_is_done_once_every_node_has_a_new_pod() {
        use Kind::DaemonSet;
        let status = |updated: i64, available: i64| {
            json!({
                "observedGeneration": 2, "desiredNumberScheduled": 3, "updatedNumberScheduled": updated,
                "numberAvailable": available,
            })
        };
        assert_eq!(waits(DaemonSet, status(1, 3)), "1 of 3 pods are new");
        assert_eq!(waits(DaemonSet, status(3, 2)), "2 of 3 pods are ready");
        assert_eq!(DaemonSet.rollout(&object(json!({}), status(3, 3))), Rollout::Done);
    }

    #[test]
    fn a_workload_whose_pods_a_change_does_not_replace_is_recognized() {
        let obstacle = |kind: Kind, spec: Value| kind.obstacle(&object(spec, Value::Null));
        let on_delete = json!({ "updateStrategy": { "type": "OnDelete" } });
        let part =
            json!({ "updateStrategy": { "type": "RollingUpdate", "rollingUpdate": { "partition": 2 } } });
        assert!(obstacle(Kind::Deployment, json!({ "paused": true })).unwrap().contains("paused"));
        assert!(obstacle(Kind::StatefulSet, on_delete.clone()).unwrap().contains("OnDelete"));
        assert!(obstacle(Kind::DaemonSet, on_delete).unwrap().contains("OnDelete"));
        assert!(obstacle(Kind::StatefulSet, part).unwrap().contains("first 2 pods"));
        for kind in [Kind::Deployment, Kind::StatefulSet, Kind::DaemonSet] {
            assert_eq!(obstacle(kind, json!({ "paused": false, "updateStrategy": {} })), None);
            assert!(!kind.plural().is_empty());
        }
        for kind in ["Deployment", "StatefulSet", "DaemonSet"] {
            assert!(Kind::of(&GroupKind::of("apps/v1", kind)).is_some());
            assert_eq!(Kind::of(&GroupKind::of("apps.kruise.io/v1", kind)), None);
        }
        assert_eq!(Kind::of(&GroupKind::of("batch/v1", "Job")), None);
    }
}
