//! The commands' one-time requests to the API server.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;

use api::{
    NodeProfileStatus, SeccompObservation, SeccompProfile, Untrusted, WatchedPod, WatchedRuntimeClass,
};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, ReplicaSet, StatefulSet};
use k8s_openapi::api::batch::v1::{CronJob, Job};
use k8s_openapi::api::core::v1::{Node, Pod, ReplicationController};
use kube::api::ListParams;
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use link::client::within;
use serde::de::DeserializeOwned;

use crate::denials::{Contents, DenialsView, Known, Observed, PodFacts, Wanted};
use crate::error::{CliError, VIEW, VIEWER};
use crate::facts::{Agents, NodeFacts, ProfileSummary, Snapshot};
use crate::outdated::{OutdatedView, ReplicaSetOwners, UserPod};
use crate::owner::Owner;
use crate::users::{self, Candidate, Unread};

/// The label selector of the agents' pods, which is the same for every release name.
pub(crate) const AGENT_PODS: &str =
    "app.kubernetes.io/name=seccomp-profile,app.kubernetes.io/component=node-agent";
/// The same of the observers' pods.
const OBSERVER_PODS: &str = "app.kubernetes.io/name=seccomp-profile,app.kubernetes.io/component=observer";
/// The plurals of the kinds.
pub(crate) const PROFILES: &str = "seccompprofiles";
pub(crate) const NODES: &str = "nodeprofilestatuses";
pub(crate) const OBSERVATIONS: &str = "seccompobservations";

/// The maximum number of objects in one page, because a profile that was stored without bounds takes megabytes.
pub(crate) const PROFILES_A_PAGE: u32 = 20;
const PAGE: u32 = 250;

/// The stored profile of this name.
///
/// # Errors
/// It does not exist or cannot be read.
pub async fn profile(client: &Client, name: &str) -> Result<Untrusted<SeccompProfile>, CliError> {
    let profiles = Api::<Untrusted<SeccompProfile>>::all(client.clone());
    match within(profiles.get(name)).await {
        Ok(profile) => Ok(profile),
        // If the kind does not exist, the answer names no object.
        Err(kube::Error::Api(status))
            if status.code == 404 && status.details.as_ref().is_some_and(|details| details.name == name) =>
        {
            Err(CliError::NoProfile(name.to_owned()))
        }
        Err(error) => Err(CliError::of(&error, PROFILES, VIEWER)),
    }
}

/// The profiles, or the one of this name, with all nodes.
///
/// # Errors
/// The profile does not exist, or something cannot be read. It is not an error if the agents' pods may not be listed.
pub async fn snapshot(client: &Client, only: Option<&str>) -> Result<Snapshot, CliError> {
    let profiles = profiles(client, only).await?;
    let nodes = list(Api::<Untrusted<NodeProfileStatus>>::all(client.clone()), PAGE, None).await;
    let nodes = nodes.map_err(|error| CliError::of(&error, NODES, VIEWER))?;
    let agents = pods_by_node(client, AGENT_PODS).await?;
    let nodes = nodes.iter().map(NodeFacts::of).map(|node| (node.name.clone(), node)).collect();
    Ok(Snapshot { profiles, nodes, agents, existing: None })
}

/// The observers' pods; unknown if the user may not list them.
///
/// # Errors
/// The API server does not answer.
pub async fn observers(client: &Client) -> Result<Agents, CliError> {
    pods_by_node(client, OBSERVER_PODS).await
}

/// The pods with these labels in all namespaces; unknown if the user may not list them.
async fn pods_by_node(client: &Client, labels: &str) -> Result<Agents, CliError> {
    match list(Api::<WatchedPod>::all(client.clone()), PAGE, Some(labels)).await {
        Ok(pods) => Ok(Agents::of(&pods)),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(Agents::Unknown),
        Err(error) => Err(CliError::of(&error, "pods", VIEW)),
    }
}

/// The names of the cluster's Nodes; `None` if the user may not list them.
///
/// # Errors
/// The API server does not answer.
pub async fn existing_nodes(client: &Client) -> Result<Option<BTreeSet<String>>, CliError> {
    match list_as(Api::<Untrusted<Node>>::all(client.clone()), PAGE, None, |node| node.metadata.name).await {
        Ok(names) => Ok(Some(names.into_iter().collect())),
        Err(kube::Error::Api(status)) if status.code == 403 => Ok(None),
        Err(error) => Err(CliError::of(&error, "nodes", VIEW)),
    }
}

async fn profiles(client: &Client, only: Option<&str>) -> Result<BTreeMap<String, ProfileSummary>, CliError> {
    let profiles = match only {
        Some(name) => vec![profile(client, name).await?],
        None => list(Api::<Untrusted<SeccompProfile>>::all(client.clone()), PROFILES_A_PAGE, None)
            .await
            .map_err(|error| CliError::of(&error, PROFILES, VIEWER))?,
    };
    Ok(profiles.iter().map(ProfileSummary::of).map(|profile| (profile.name.clone(), profile)).collect())
}

/// The workloads with containers that may be under an earlier filter of the profile `only`, or of any in the snapshot.
///
/// # Errors
/// The pods cannot be listed. It is not an error if the `ReplicaSets` may not be listed: they then stand for themselves.
pub async fn outdated(
    client: &Client,
    namespace: Option<&str>,
    snapshot: &Snapshot,
    only: Option<&str>,
) -> Result<OutdatedView, CliError> {
    let directory = users::directory(&snapshot.profiles, &snapshot.nodes);
    let user = |pod: WatchedPod| UserPod::of(&pod, &directory);
    let pods = list_as(namespaced::<WatchedPod>(client, namespace), PAGE, None, user).await;
    let pods = pods.map_err(|error| CliError::of(&error, "pods", VIEW))?;
    let mut found = Workloads::default();
    let mut owners = ReplicaSetOwners::new();
    if pods.iter().any(UserPod::is_of_replica_set) {
        owners = found.replica_set_owners(client, namespace).await?;
    }
    let mut view = OutdatedView::of(&pods, &owners, snapshot, only);
    view.unread = found.unread;
    view.namespace = namespace.map(str::to_owned);
    Ok(view)
}

/// The calls that the observers have counted, of the profile or the pod that `what` names.
///
/// # Errors
/// The observations or the pods cannot be listed. It is not an error if the `ReplicaSets` may not be listed: they then
/// stand for themselves.
pub async fn denials(
    client: &Client,
    namespace: Option<&str>,
    what: Option<&str>,
) -> Result<DenialsView, CliError> {
    let snapshot = snapshot(client, None).await?;
    let directory = users::directory(&snapshot.profiles, &snapshot.nodes);
    let facts = |pod: WatchedPod| PodFacts::of(pod);
    let Observations { observed, pods, owners, unread } =
        observations(client, namespace, facts, PodFacts::is_of_replica_set).await?;
    let mut view = DenialsView::of(Known {
        observed: &observed,
        pods: &pods,
        owners: &owners,
        directory: &directory,
        namespace,
        wanted: &Wanted::of(what),
    });
    let mut contents = Contents::new();
    for name in view.profiles() {
        match profile(client, name).await {
            Ok(mut profile) => {
                contents.insert(name.to_owned(), profile.spec["contents"].take());
            }
            // A pod may name a profile that is gone.
            Err(CliError::NoProfile(_)) => {}
            Err(error) => return Err(error),
        }
    }
    view.explain(&contents);
    view.unread = unread;
    Ok(view)
}

/// What the observers report, and the pods of which they may speak.
#[derive(Debug)]
pub struct Observations<P> {
    /// The observation of each node.
    pub observed: Vec<Observed>,
    /// The pods.
    pub pods: Vec<P>,
    /// The controllers of the `ReplicaSets`; empty if the user may not list them.
    pub owners: ReplicaSetOwners,
    /// Kinds that the user may not list.
    pub unread: Vec<Unread>,
}

/// What the observers report, and the pods, of which `kept` remains.
///
/// # Errors
/// The observations or the pods cannot be listed.
pub async fn observations<P>(
    client: &Client,
    namespace: Option<&str>,
    kept: impl Fn(WatchedPod) -> P,
    is_of_replica_set: impl Fn(&P) -> bool,
) -> Result<Observations<P>, CliError> {
    let observations = Api::<Untrusted<SeccompObservation>>::all(client.clone());
    // One has up to a thousand containers.
    let observed = list_as(observations, PROFILES_A_PAGE, None, |it| Some(Observed::of(it))).await;
    let observed = observed.map_err(|error| CliError::of(&error, OBSERVATIONS, VIEWER))?;
    let pods = list_as(namespaced::<WatchedPod>(client, namespace), PAGE, None, |pod| Some(kept(pod))).await;
    let pods = pods.map_err(|error| CliError::of(&error, "pods", VIEW))?;
    let mut found = Workloads::default();
    let mut owners = ReplicaSetOwners::new();
    if pods.iter().any(is_of_replica_set) {
        owners = found.replica_set_owners(client, namespace).await?;
    }
    Ok(Observations { observed, pods, owners, unread: found.unread })
}

/// The pods and workloads of a cluster, or of one namespace.
#[derive(Debug, Default)]
pub struct Workloads {
    /// The pods and workloads.
    pub candidates: Vec<Candidate>,
    /// The kinds that could be listed.
    pub read: BTreeSet<&'static str>,
    /// The kinds that could not be listed.
    pub unread: Vec<Unread>,
}

/// Lists every kind of object that may name a profile, as far as the user may list it.
///
/// # Errors
/// The API server does not answer. A kind that the user may not list is not an error.
pub async fn workloads(client: &Client, namespace: Option<&str>) -> Result<Workloads, CliError> {
    let mut found = Workloads::default();
    let pods = list_as(namespaced::<Untrusted<Pod>>(client, namespace), PAGE, None, |it| Candidate::pod(&it));
    let pods = found.take("Pod", "pods", pods.await)?;
    found.candidates.extend(pods.into_iter().flatten());
    found.add::<Deployment>(client, namespace, "deployments").await?;
    found.add::<DaemonSet>(client, namespace, "daemonsets").await?;
    found.add::<StatefulSet>(client, namespace, "statefulsets").await?;
    found.add::<ReplicaSet>(client, namespace, "replicasets").await?;
    found.add::<Job>(client, namespace, "jobs").await?;
    found.add::<CronJob>(client, namespace, "cronjobs").await?;
    found.add::<ReplicationController>(client, namespace, "replicationcontrollers").await?;
    Ok(found)
}

impl Workloads {
    async fn add<K>(
        &mut self,
        client: &Client,
        namespace: Option<&str>,
        plural: &'static str,
    ) -> Result<(), CliError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + k8s_openapi::Resource + Clone + Debug,
    {
        let candidate = |it: Untrusted<K>| Candidate::workload(K::KIND, &it.metadata, &it.spec);
        let listed = list_as(namespaced(client, namespace), PAGE, None, candidate).await;
        let candidates = self.take(K::KIND, plural, listed)?;
        self.candidates.extend(candidates.into_iter().flatten());
        Ok(())
    }

    /// The controllers of the `ReplicaSets`. If the user may not list them, the result is empty and this is recorded.
    ///
    /// # Errors
    /// The API server does not answer.
    async fn replica_set_owners(
        &mut self,
        client: &Client,
        namespace: Option<&str>,
    ) -> Result<ReplicaSetOwners, CliError> {
        let owned = |set: Untrusted<ReplicaSet>| {
            let (namespace, name) = (set.metadata.namespace.clone()?, set.metadata.name.clone()?);
            Some(((namespace, name), Owner::of(&set.metadata)?))
        };
        let listed = list_as(namespaced::<Untrusted<ReplicaSet>>(client, namespace), PAGE, None, owned).await;
        Ok(self.take("ReplicaSet", "replicasets", listed)?.into_iter().flatten().collect())
    }

    /// The handlers of the `RuntimeClasses`, by name. If the user may not list them, the result is empty and this is
    /// recorded.
    ///
    /// # Errors
    /// The API server does not answer.
    pub async fn handlers(&mut self, client: &Client) -> Result<BTreeMap<String, String>, CliError> {
        let named = |class: WatchedRuntimeClass| Some((class.metadata.name?, class.handler));
        let listed = list_as(Api::<WatchedRuntimeClass>::all(client.clone()), PAGE, None, named).await;
        let classes = self.take("RuntimeClass", "runtimeclasses.node.k8s.io", listed)?;
        Ok(classes.into_iter().flatten().collect())
    }

    /// Records whether a kind could be listed.
    fn take<T>(
        &mut self,
        kind: &'static str,
        plural: &'static str,
        listed: Result<T, kube::Error>,
    ) -> Result<Option<T>, CliError> {
        match listed {
            Ok(listed) => {
                self.read.insert(kind);
                Ok(Some(listed))
            }
            Err(kube::Error::Api(status)) if matches!(status.code, 403 | 404) => {
                self.unread.push(Unread { kind: plural.to_owned(), message: status.message.clone() });
                Ok(None)
            }
            Err(error) => Err(CliError::of(&error, plural, VIEW)),
        }
    }
}

fn namespaced<K>(client: &Client, namespace: Option<&str>) -> Api<K>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope>,
{
    match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::all(client.clone()),
    }
}

/// A complete list, page by page.
async fn list<K>(api: Api<K>, page: u32, labels: Option<&str>) -> Result<Vec<K>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    list_as(api, page, labels, Some).await
}

/// The facts from the objects of a complete list; at most one page of objects is in memory at a time.
async fn list_as<K, T>(
    api: Api<K>,
    page: u32,
    labels: Option<&str>,
    kept: impl Fn(K) -> Option<T>,
) -> Result<Vec<T>, kube::Error>
where
    K: Clone + DeserializeOwned + Debug,
{
    let mut params = ListParams::default().limit(page);
    params.label_selector = labels.map(str::to_owned);
    let mut all = Vec::new();
    loop {
        let list = within(api.list(&params)).await?;
        all.extend(list.items.into_iter().filter_map(&kept));
        match list.metadata.continue_.filter(|next| !next.is_empty()) {
            Some(next) => params.continue_token = Some(next),
            None => return Ok(all),
        }
    }
}
