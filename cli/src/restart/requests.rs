//! The requests about the workloads that are restarted.

use std::fmt::Debug;

use api::Untrusted;
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment, StatefulSet};
use k8s_openapi::jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::core::NamespaceResourceScope;
use kube::{Api, Client, Resource};
use link::client::within;
use serde_json::Value;

use super::plan::Restart;
use super::rollout::{self, Kind, Object};
use crate::error::{CliError, EDIT, VIEW};
use crate::outdated::OutdatedWorkload;

/// Names this program in `managedFields`.
const FIELD_MANAGER: &str = "kubectl-seccomp";

/// The workload; `None` if it does not exist, or is of a kind that is not restarted.
///
/// # Errors
/// It cannot be read.
pub(super) async fn object(client: &Client, workload: &OutdatedWorkload) -> Result<Option<Object>, CliError> {
    let Some(kind) = Kind::of(&workload.kind) else { return Ok(None) };
    let (namespace, name) = (&workload.namespace, &workload.name);
    let read = match kind {
        Kind::Deployment => get::<Deployment>(client, namespace, name).await,
        Kind::StatefulSet => get::<StatefulSet>(client, namespace, name).await,
        Kind::DaemonSet => get::<DaemonSet>(client, namespace, name).await,
    };
    match read {
        Ok(object) => Ok(Some(object)),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
        Err(error) => Err(CliError::of(&error, kind.plural(), VIEW)),
    }
}

/// Restarts the workload, if it exists.
///
/// # Errors
/// The API server refuses it: the user lacks the right, or the object is another one by now.
pub(super) async fn restart(client: &Client, restart: &Restart, now: Timestamp) -> Result<(), CliError> {
    let (namespace, name) = (&restart.workload.namespace, &restart.workload.name);
    let now = Timestamp::from_second(now.as_second()).unwrap_or(now).to_string();
    let patch = rollout::patch(&restart.uid, &now);
    let patched = match restart.kind {
        Kind::Deployment => send::<Deployment>(client, namespace, name, &patch).await,
        Kind::StatefulSet => send::<StatefulSet>(client, namespace, name, &patch).await,
        Kind::DaemonSet => send::<DaemonSet>(client, namespace, name, &patch).await,
    };
    match patched {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        patched => patched.map_err(|error| CliError::of(&error, restart.kind.plural(), EDIT)),
    }
}

async fn get<K>(client: &Client, namespace: &str, name: &str) -> Result<Object, kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let api = Api::<Untrusted<K>>::namespaced(client.clone(), namespace);
    let object = within(api.get(name)).await?;
    Ok(Object {
        uid: object.metadata.uid.unwrap_or_default(),
        generation: object.metadata.generation.unwrap_or_default(),
        spec: object.spec,
        status: object.status,
    })
}

async fn send<K>(client: &Client, namespace: &str, name: &str, patch: &Value) -> Result<(), kube::Error>
where
    K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Clone + Debug,
{
    let api = Api::<Untrusted<K>>::namespaced(client.clone(), namespace);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PatchParams::default() };
    within(api.patch(name, &params, &Patch::Merge(patch))).await.map(drop)
}
