//! What `restart` does, and what it leaves. Pure.

use k8s_openapi::jiff::Timestamp;

use super::rollout::{Kind, Object};
use crate::outdated::{OutdatedView, OutdatedWorkload};
use crate::owner::GroupKind;
use crate::show::{Paint, Table, age};

/// The workloads to restart, in order, and those that are left as they are.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Plan {
    /// To be restarted, the one with the oldest container first.
    pub(super) restarts: Vec<Restart>,
    /// With no outdated pods but those that were deleted.
    pub(super) ending: Vec<OutdatedWorkload>,
    /// Not to be restarted, each with the reason.
    pub(super) left: Vec<(OutdatedWorkload, String)>,
}

/// A workload to restart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Restart {
    /// What was found about it.
    pub(super) workload: OutdatedWorkload,
    /// Its kind.
    pub(super) kind: Kind,
    /// Its uid.
    pub(super) uid: String,
}

/// What is to be done with an outdated workload.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Decision {
    /// To restart it.
    Restart(Restart),
    /// To wait: it has no outdated pods but those that were deleted.
    Ending(OutdatedWorkload),
    /// To leave it as it is, for this reason.
    Leave(OutdatedWorkload, String),
}

impl Decision {
    /// What is to be done with a workload. `object` is `None` if it does not exist any more.
    #[must_use]
    pub(super) fn of(workload: OutdatedWorkload, object: Option<&Object>) -> Self {
        if workload.is_ending() {
            return Self::Ending(workload);
        }
        let Some(kind) = Kind::of(&workload.kind) else {
            let why = not_restarted(&workload.kind);
            return Self::Leave(workload, why);
        };
        // Its pods end as well.
        let Some(object) = object else {
            return Self::Leave(workload, "it does not exist any more".to_owned());
        };
        match kind.obstacle(object) {
            Some(why) => Self::Leave(workload, why),
            None => Self::Restart(Restart { workload, kind, uid: object.uid.clone() }),
        }
    }
}

impl Plan {
    /// The plan for the workloads of a view, each with its object; `None` if it does not exist any more.
    #[must_use]
    pub(super) fn of(view: &OutdatedView, objects: &[Option<Object>]) -> Self {
        let mut plan = Self::default();
        for (workload, object) in view.workloads.iter().zip(objects) {
            match Decision::of(workload.clone(), object.as_ref()) {
                Decision::Restart(restart) => plan.restarts.push(restart),
                Decision::Ending(workload) => plan.ending.push(workload),
                Decision::Leave(workload, why) => plan.left.push((workload, why)),
            }
        }
        plan
    }

    /// The plan as text.
    #[must_use]
    pub(super) fn render(&self, paint: Paint, now: Timestamp) -> String {
        let mut text = String::new();
        let restarts: Vec<_> = self.restarts.iter().map(|it| &it.workload).collect();
        for (title, workloads) in [
            ("To be restarted, one after the other:\n", restarts),
            ("Not to be restarted, because their old pods are ending:\n", self.ending.iter().collect()),
        ] {
            if workloads.is_empty() {
                continue;
            }
            text += title;
            let mut table = Table::new(["NAMESPACE", "KIND", "NAME", "OUTDATED", "OLDEST"]);
            for it in workloads {
                table.row([
                    (&it.namespace).into(),
                    it.kind.to_string().into(),
                    (&it.name).into(),
                    it.outdated_text().into(),
                    age(it.oldest.as_ref(), now).into(),
                ]);
            }
            text += &table.render(paint);
        }
        if !self.left.is_empty() {
            text += "Not restarted:\n";
            let mut table = Table::new(["NAMESPACE", "KIND", "NAME", "OUTDATED", "WHY"]);
            for (it, why) in &self.left {
                table.row([
                    (&it.namespace).into(),
                    it.kind.to_string().into(),
                    (&it.name).into(),
                    it.outdated_text().into(),
                    why.into(),
                ]);
            }
            text += &table.render(paint);
        }
        text
    }
}

/// Why a workload of another kind is not restarted.
fn not_restarted(kind: &GroupKind) -> String {
    match kind.builtin() {
        Some(("", "Pod")) => "no controller makes it again: delete and create it yourself".to_owned(),
        Some(("", "Node")) => "it is a static pod: change its manifest on the node".to_owned(),
        Some(("batch", "Job")) => "a restart would begin its work anew: it ends by itself".to_owned(),
        _ => format!("a {kind} has no restart of its own that this program knows"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::at;

    fn workload(kind: &str, name: &str, second: i64) -> OutdatedWorkload {
        let api_version = match kind {
            "Pod" | "Node" => "v1",
            "Job" => "batch/v1",
            "Rollout" => "argoproj.io/v1alpha1",
            _ => "apps/v1",
        };
        OutdatedWorkload {
            profile: "audit".into(),
            namespace: "shop".into(),
            kind: GroupKind::of(api_version, kind),
            name: name.into(),
            pods: 3,
            outdated_pods: 2,
            ending_pods: 0,
            outdated_containers: 2,
            oldest: Some(at(second)),
            behind: Vec::new(),
        }
    }

    #[test]
    fn a_plan_shows_what_is_restarted_in_which_order_and_what_is_left_and_why() {
        let workloads = vec![
            workload("Deployment", "web", 100),
            workload("Pod", "alone", 200),
            workload("Node", "node-1", 250),
            workload("StatefulSet", "db", 300),
            workload("Deployment", "paused", 400),
            workload("Job", "nightly", 500),
            workload("DaemonSet", "gone", 600),
            workload("Rollout", "canary", 700),
        ];
        let mut view = OutdatedView::default();
        view.workloads = workloads;
        let object = |spec| Some(Object { uid: "u".into(), spec, ..Object::default() });
        let objects = [
            object(json!({})),
            None,
            None,
            object(json!({})),
            object(json!({ "paused": true })),
            None,
            None,
            None,
        ];
        let plan = Plan::of(&view, &objects);
        assert_eq!(plan.restarts.len(), 2);
        insta::assert_snapshot!(plan.render(Paint::Plain, at(4600).0));
    }

    #[test]
    fn a_workload_is_restarted_as_long_as_an_outdated_pod_of_it_was_not_deleted() {
        let ending = |ending_pods| {
            let mut view = OutdatedView::default();
            view.workloads = vec![OutdatedWorkload { ending_pods, ..workload("Deployment", "web", 100) }];
            Plan::of(&view, &[Some(Object::default())])
        };
        assert_eq!((ending(1).restarts.len(), ending(1).ending.len()), (1, 0));
        assert_eq!((ending(2).restarts.len(), ending(2).ending.len()), (0, 1));
        insta::assert_snapshot!(ending(2).render(Paint::Plain, at(4600).0));
    }

    #[test]
    fn an_empty_plan_is_an_empty_text() {
        assert_eq!(Plan::of(&OutdatedView::default(), &[]).render(Paint::Plain, at(0).0), "");
    }
}
