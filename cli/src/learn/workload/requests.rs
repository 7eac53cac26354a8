//! The requests about the workload and the profiles that change: whole objects, so that nothing in them is lost, and only
//! the version that was read is replaced.

use http::{Method, Request};
use kube::Client;
use link::client::within;
use serde_json::{Value, json};

use super::args::WorkloadName;
use super::error::WorkloadError;
use crate::error::{CliError, EDIT, EDITOR};
use crate::manifest::API_VERSION;
use crate::read::PROFILES;
use crate::restart::rollout::Kind;

/// Names this program in `managedFields`.
const FIELD_MANAGER: &str = "kubectl-seccomp";
/// For how many times a change is tried anew because somebody else has changed the object meanwhile.
const TRIES: u32 = 8;

/// Where an object is.
#[derive(Debug, Clone)]
pub(super) struct Place {
    collection: String,
    name: String,
    what: &'static str,
    role: &'static str,
}

impl Place {
    /// A workload.
    pub(super) fn workload(namespace: &str, workload: &WorkloadName) -> Self {
        let what = workload.kind.plural();
        let collection = format!("/apis/apps/v1/namespaces/{namespace}/{what}");
        Self { collection, name: workload.name.clone(), what, role: EDIT }
    }

    /// A `SeccompProfile`.
    pub(super) fn profile(name: &str) -> Self {
        let collection = format!("/apis/{API_VERSION}/{PROFILES}");
        Self { collection, name: name.to_owned(), what: PROFILES, role: EDITOR }
    }

    /// The object; `None` if it does not exist.
    ///
    /// # Errors
    /// It cannot be read.
    pub(super) async fn get(&self, client: &Client) -> Result<Option<Value>, CliError> {
        match self.send(client, Method::GET, &self.path(""), None).await {
            Ok(object) => Ok(Some(object)),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(None),
            Err(error) => Err(self.error(&error, "read")),
        }
    }

    /// Changes the object as `edit` says, if that changes anything. It is read anew if somebody else changes it meanwhile.
    ///
    /// # Errors
    /// It does not exist, it may not be changed, or `edit` fails.
    pub(super) async fn change(
        &self,
        client: &Client,
        edit: impl Fn(&Value) -> Result<Value, WorkloadError>,
    ) -> Result<Value, CliError> {
        for _ in 0..TRIES {
            let Some(object) = self.get(client).await? else {
                return Err(WorkloadError::Missing(format!("{} {}", self.what, self.name)).into());
            };
            let new = edit(&object)?;
            if new == object {
                return Ok(object);
            }
            match self.send(client, Method::PUT, &self.path("?fieldManager="), Some(&new)).await {
                Ok(object) => return Ok(object),
                Err(kube::Error::Api(status)) if status.code == 409 => {}
                Err(error) => return Err(self.error(&error, "change")),
            }
        }
        Err(WorkloadError::Conflict.into())
    }

    /// Creates the object.
    ///
    /// # Errors
    /// It exists, or may not be created.
    pub(super) async fn create(&self, client: &Client, object: &Value) -> Result<Value, CliError> {
        let path = format!("{}?fieldManager={FIELD_MANAGER}", self.collection);
        self.send(client, Method::POST, &path, Some(object))
            .await
            .map_err(|error| self.error(&error, "create"))
    }

    /// Deletes this object; another one of the same name stays.
    ///
    /// # Errors
    /// It may not be deleted.
    pub(super) async fn delete(&self, client: &Client, object: &Value) -> Result<(), CliError> {
        let options = json!({
            "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": { "uid": object["metadata"]["uid"] },
        });
        match self.send(client, Method::DELETE, &self.path(""), Some(&options)).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if matches!(status.code, 404 | 409) => Ok(()),
            Err(error) => Err(self.error(&error, "delete")),
        }
    }

    fn path(&self, query: &str) -> String {
        let manager = if query.is_empty() { "" } else { FIELD_MANAGER };
        format!("{}/{}{query}{manager}", self.collection, self.name)
    }

    async fn send(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Value, kube::Error> {
        let body = body.map(Value::to_string).unwrap_or_default().into_bytes();
        let request = Request::builder().method(method).uri(path).header("content-type", "application/json");
        let request = request.body(body).map_err(kube::Error::HttpError)?;
        within(client.request(request)).await
    }

    fn error(&self, error: &kube::Error, verb: &'static str) -> CliError {
        CliError::of_request(error, verb, self.what, self.role)
    }
}

/// A profile that `learn` makes for a workload.
pub(super) fn profile_object(name: &str, from: &str, workload: &str, spec: Value) -> Value {
    json!({
        "apiVersion": API_VERSION, "kind": "SeccompProfile",
        "metadata": {
            "name": name,
            "labels": { (api::names::FROM): from },
            "annotations": { (FOR): workload },
        },
        "spec": spec,
    })
}

/// Label on a profile, [`api::names::FROM`]: it logs what a workload does.
pub(super) const FROM_LEARNING: &str = "learning";
/// The same: it is what was learned.
pub(super) const FROM_LEARNED: &str = "learned";
/// Annotation on such a profile: the workload.
pub(super) const FOR: &str = "seccomp.imjasonh.dev/workload";

/// Whether an object has this label.
pub(super) fn is_from(object: &Value, from: &str) -> bool {
    object["metadata"]["labels"][api::names::FROM] == from
}

/// Whether a workload of this kind is ready, and what it waits for.
pub(super) fn rollout(kind: Kind, workload: &Value) -> crate::restart::rollout::Rollout {
    kind.rollout(&of_workload(workload))
}

/// The fields that matter for a rollout.
pub(super) fn of_workload(workload: &Value) -> crate::restart::rollout::Object {
    crate::restart::rollout::Object {
        uid: workload["metadata"]["uid"].as_str().unwrap_or_default().to_owned(),
        generation: workload["metadata"]["generation"].as_i64().unwrap_or_default(),
        spec: workload["spec"].clone(),
        status: workload["status"].clone(),
    }
}
