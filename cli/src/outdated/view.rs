//! The answer of `users --outdated`.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use serde::Serialize;

use super::{Comparison, Found, ReplicaSetOwners, UserPod, Workload, compare};
use crate::facts::Snapshot;
use crate::owner::GroupKind;
use crate::show::{Cell, Paint, Table, Tone, age, count, escaped};
use crate::users::Unread;

/// The longest list of nodes in a text.
const MAX_NAMED: usize = 5;

/// The workloads with outdated containers, the one with the oldest container first.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct OutdatedView {
    /// The workloads, once for each profile.
    pub workloads: Vec<OutdatedWorkload>,
    /// Pods of which it is not known.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unknown: Vec<UnknownAge>,
    /// Kinds that the user may not list, with the reason.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Unread>,
    /// The namespace whose pods were listed; `None` for all.
    #[serde(skip)]
    pub namespace: Option<String>,
    /// The requested profile.
    #[serde(skip)]
    only: Option<String>,
}

/// A workload with containers that may be under an earlier filter.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OutdatedWorkload {
    /// The profile.
    pub profile: String,
    /// The workload's namespace.
    pub namespace: String,
    /// Its kind: `Pod` for a pod that no controller made.
    pub kind: GroupKind,
    /// Its name.
    pub name: String,
    /// Its pods that name the profile and have not ended.
    pub pods: usize,
    /// Those with such a container.
    pub outdated_pods: usize,
    /// Those of the latter that were deleted, and end by themselves.
    pub ending_pods: usize,
    /// Such containers.
    pub outdated_containers: usize,
    /// When the oldest of them started, by its node's clock.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub oldest: Option<Time>,
    /// Nodes of such containers that do not hold the profile's present contents: a restart there does not help.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub behind: Vec<String>,
}

/// Running pods of which nobody can tell under which filter they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct UnknownAge {
    /// The profile.
    pub profile: String,
    /// How many pods.
    pub pods: usize,
    /// Their nodes: the agent has not reported, or is of a release that does not state since when a file has its
    /// contents.
    pub nodes: Vec<String>,
}

impl OutdatedView {
    /// The workloads under the profile `only`, or under any profile of the snapshot.
    #[must_use]
    pub fn of(pods: &[UserPod], owners: &ReplicaSetOwners, snapshot: &Snapshot, only: Option<&str>) -> Self {
        let Comparison { found, unknown } = compare(pods, owners, snapshot, only);
        let found = found.into_iter().filter(|(_, found)| found.outdated_pods > 0);
        let mut workloads: Vec<_> = found
            .map(|((profile, workload), found)| OutdatedWorkload::new(profile, workload, found))
            .collect();
        workloads.sort_by_key(|it| it.oldest.as_ref().map(|oldest| oldest.0));
        let unknown = unknown.into_iter().map(|(profile, pods)| {
            let mut nodes: Vec<_> = pods.iter().filter_map(|pod| pod.node.clone()).collect();
            nodes.sort_unstable();
            nodes.dedup();
            UnknownAge { profile: profile.to_owned(), pods: pods.len(), nodes }
        });
        let (unknown, only) = (unknown.collect(), only.map(str::to_owned));
        Self { workloads, unknown, unread: Vec::new(), namespace: None, only }
    }

    /// The view as text, without what is not known.
    #[must_use]
    pub fn render(&self, paint: Paint, now: Timestamp) -> String {
        if self.workloads.is_empty() {
            let whose = self.only.as_deref().unwrap_or("its profile");
            let place =
                self.namespace.as_ref().map(|it| format!(" in the namespace {it}")).unwrap_or_default();
            return format!(
                "No container{} that could be checked is older than the file of {}.\n",
                escaped(place),
                escaped(whose)
            );
        }
        let mut table = Table::new(["PROFILE", "NAMESPACE", "KIND", "NAME", "OUTDATED", "OLDEST", "NOTE"]);
        for it in &self.workloads {
            table.row([
                (&it.profile).into(),
                (&it.namespace).into(),
                it.kind.to_string().into(),
                (&it.name).into(),
                Cell::toned(it.outdated_text(), Tone::Waiting),
                age(it.oldest.as_ref(), now).into(),
                Cell::toned(it.note(), Tone::Bad),
            ]);
        }
        table.render(paint)
    }

    /// Whether no container of the listed pods is under an earlier filter; false if nobody can tell it of some.
    #[must_use]
    pub fn is_none_left(&self) -> bool {
        self.workloads.is_empty() && self.unknown.is_empty()
    }

    /// What the answer does not cover.
    #[must_use]
    pub fn remarks(&self) -> Vec<String> {
        let unknown = self.unknown.iter().map(|it| {
            format!(
                "not known: {} under {} on {}: the agent there has not reported, or is of a release that does not \
                 state since when a file has its contents",
                count(it.pods, "pod"),
                it.profile,
                named(&it.nodes)
            )
        });
        let unread = self.unread.iter().map(|it| format!("not checked: {}: {}", it.kind, it.message));
        unknown.chain(unread).collect()
    }
}

impl OutdatedWorkload {
    fn new(profile: String, workload: Workload, found: Found) -> Self {
        let Workload { namespace, kind, name } = workload;
        Self {
            profile,
            namespace,
            kind,
            name,
            pods: found.pods,
            outdated_pods: found.outdated_pods,
            ending_pods: found.ending_pods,
            outdated_containers: found.outdated_containers,
            oldest: found.oldest,
            behind: found.behind.into_iter().collect(),
        }
    }

    /// How many of its pods are outdated.
    #[must_use]
    pub fn outdated_text(&self) -> String {
        format!("{} of {}", self.outdated_pods, count(self.pods, "pod"))
    }

    /// The workload itself.
    #[must_use]
    pub fn workload(&self) -> Workload {
        let Self { namespace, kind, name, .. } = self;
        Workload { namespace: namespace.clone(), kind: kind.clone(), name: name.clone() }
    }

    /// Its kind, namespace and name.
    #[must_use]
    pub fn title(&self) -> String {
        format!("{} {}/{}", self.kind, self.namespace, self.name)
    }

    /// Whether each of its outdated pods was deleted: a restart would replace the new ones.
    #[must_use]
    pub fn is_ending(&self) -> bool {
        self.ending_pods >= self.outdated_pods
    }

    /// Why a restart does not help, if it does not.
    #[must_use]
    pub fn note(&self) -> String {
        match self.behind.len() {
            0 => String::new(),
            1 => format!("{} does not hold the present contents", self.behind[0]),
            _ => format!("{} do not hold the present contents", named(&self.behind)),
        }
    }
}

fn named(nodes: &[String]) -> String {
    let mut text = nodes.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join(", ");
    if nodes.len() > MAX_NAMED {
        text += &format!(" and {} more", nodes.len() - MAX_NAMED);
    }
    text
}
