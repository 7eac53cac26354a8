//! Writes to the API server: each is bound to the version on which its decision is based.
//!
//! Each patch sets `metadata.resourceVersion`, which makes the API server answer 409 if the object has changed since.
//! (Without it, a late status patch changes a profile that was recreated under the same name, whatever `uid` the patch
//! has; this was tried.) The answer has the new version, which goes into the index at once.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use api::names::{FINALIZER, GROUP, OPERATOR_FIELD_MANAGER};
use api::{NodeProfileStatus, NodeProfileStatusSpec, SeccompProfile, SeccompProfileStatus, StartFailure};
use daemon::metrics::{Label, register};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, OwnerReference};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource};
use kube_runtime::events::{Recorder, Reporter};
use link::chain;
use link::client::within;
use prometheus::{IntCounterVec, Opts, Registry};
use serde_json::{Value, json};
use tracing::debug;

use crate::denied_call::DeniedCall;
use crate::facts::{ObjectVersion, WatchedProfile, WatchedReport};
use crate::notice::Notice;

/// A write that did not happen.
#[derive(Debug, thiserror::Error)]
pub enum WriteError {
    /// The object has changed since the decision; its watch event is still to come.
    #[error("changed since the decision")]
    Conflict,
    /// The object was deleted since the decision; its watch event is still to come.
    #[error("deleted since the decision")]
    Gone,
    /// The API server refuses the write.
    #[error("refused: {0}")]
    Refused(#[source] kube::Error),
    /// The API server did not answer, or with a server error.
    #[error("no answer: {0}")]
    Unavailable(#[source] kube::Error),
    /// Nothing was written, because pods or nodes cannot be listed.
    #[error("no list: {0}")]
    Unlisted(#[source] kube::Error),
}

impl WriteError {
    /// The outcome of the write.
    #[must_use]
    pub fn outcome(&self) -> WriteOutcome {
        match self {
            Self::Conflict => WriteOutcome::Conflict,
            Self::Gone => WriteOutcome::Gone,
            Self::Refused(_) => WriteOutcome::Refused,
            Self::Unavailable(_) | Self::Unlisted(_) => WriteOutcome::Unavailable,
        }
    }

    /// The reason, from a bounded set, for metrics and logs.
    #[must_use]
    pub fn reason(&self) -> &'static str {
        self.outcome().as_str()
    }
}

/// What became of a write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WriteOutcome {
    /// It was made.
    Ok,
    /// [`WriteError::Conflict`].
    Conflict,
    /// [`WriteError::Gone`].
    Gone,
    /// [`WriteError::Refused`].
    Refused,
    /// [`WriteError::Unavailable`] or [`WriteError::Unlisted`].
    Unavailable,
}

impl WriteOutcome {
    /// The outcome of a result.
    #[must_use]
    pub fn of(result: Result<(), &WriteError>) -> Self {
        result.map_or_else(WriteError::outcome, |()| Self::Ok)
    }
}

impl Label for WriteOutcome {
    const ALL: &'static [Self] = &[Self::Ok, Self::Conflict, Self::Gone, Self::Refused, Self::Unavailable];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "Ok",
            Self::Conflict => "Conflict",
            Self::Gone => "Gone",
            Self::Refused => "Refused",
            Self::Unavailable => "Unavailable",
        }
    }
}

impl From<kube::Error> for WriteError {
    fn from(error: kube::Error) -> Self {
        match &error {
            kube::Error::Api(status) => match status.code {
                409 => Self::Conflict,
                404 => Self::Gone,
                // 410: no API server answers a write so; a broken proxy in between does.
                410 | 429 | 500.. => Self::Unavailable(error),
                _ => Self::Refused(error),
            },
            _ => Self::Unavailable(error),
        }
    }
}

/// What the operator writes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Write {
    /// Its finalizer, added to or removed from a profile.
    Finalizer,
    /// A profile's status.
    ProfileStatus,
    /// The deletion of a profile that an image has brought and that no pod names any more.
    ImageProfile,
    /// A node's report, created or deleted.
    NodeReport,
    /// The conditions of a node's report.
    NodeCondition,
    /// Which profiles a node must not hold.
    NodeExclusion,
    /// An Event.
    Event,
}

impl Label for Write {
    const ALL: &'static [Self] = &[
        Self::Finalizer,
        Self::ProfileStatus,
        Self::ImageProfile,
        Self::NodeReport,
        Self::NodeCondition,
        Self::NodeExclusion,
        Self::Event,
    ];

    fn as_str(self) -> &'static str {
        match self {
            Self::Finalizer => "finalizer",
            Self::ProfileStatus => "profile-status",
            Self::ImageProfile => "image-profile",
            Self::NodeReport => "node-report",
            Self::NodeCondition => "node-condition",
            Self::NodeExclusion => "node-exclusion",
            Self::Event => "event",
        }
    }
}

/// Writes to the API server, counted by what was written.
#[derive(Debug, Clone)]
pub struct Writes<W>(IntCounterVec, PhantomData<W>);

impl<W: Label> Writes<W> {
    /// New counters in `registry`, with series for all values of their labels.
    ///
    /// # Errors
    /// `registry` holds metrics of this name already.
    pub fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let writes = Opts::new(
            "seccomp_profile_api_writes_total",
            "Writes to the API server, by what was written and outcome. The lease is not among them.",
        );
        let writes =
            Self(register(registry, IntCounterVec::new(writes, &["write", "outcome"])?)?, PhantomData);
        for write in W::ALL {
            for outcome in WriteOutcome::ALL {
                writes.0.with_label_values(&[write.as_str(), outcome.as_str()]);
            }
        }
        Ok(writes)
    }

    /// Counts one.
    pub fn count(&self, write: W, result: Result<(), &WriteError>) {
        self.0.with_label_values(&[write.as_str(), WriteOutcome::of(result).as_str()]).inc();
    }
}

/// The operator's writes.
#[derive(Clone)]
pub struct Writer {
    profiles: Api<WatchedProfile>,
    reports: Api<WatchedReport>,
    new_reports: Api<NodeProfileStatus>,
    recorder: Recorder,
    count: Writes<Write>,
}

impl Writer {
    /// A writer that uses `client` and counts its writes in `count`.
    #[must_use]
    pub fn new(client: Client, count: Writes<Write>) -> Self {
        let reporter =
            Reporter { controller: OPERATOR_FIELD_MANAGER.into(), instance: std::env::var("HOSTNAME").ok() };
        Self {
            profiles: Api::all(client.clone()),
            reports: Api::all(client.clone()),
            new_reports: Api::all(client.clone()),
            recorder: Recorder::new(client, reporter),
            count,
        }
    }

    /// Adds the operator's finalizer to a profile.
    ///
    /// # Errors
    /// The write did not happen.
    pub async fn add_finalizer(
        &self,
        name: &str,
        version: &ObjectVersion,
        has_finalizers: bool,
    ) -> Result<WatchedProfile, WriteError> {
        let add = if has_finalizers {
            json!({ "op": "add", "path": "/metadata/finalizers/-", "value": FINALIZER })
        } else {
            json!({ "op": "add", "path": "/metadata/finalizers", "value": [FINALIZER] })
        };
        let (params, patch) = bound_to(version, vec![add], OPERATOR_FIELD_MANAGER)?;
        self.counted(Write::Finalizer, within(self.profiles.patch(name, &params, &patch)).await)
    }

    /// Removes the operator's finalizer from a profile. With its last finalizer, the API server removes the profile.
    ///
    /// # Errors
    /// The write did not happen.
    pub async fn remove_finalizer(
        &self,
        name: &str,
        version: &ObjectVersion,
        at: usize,
    ) -> Result<WatchedProfile, WriteError> {
        let path = format!("/metadata/finalizers/{at}");
        let remove = vec![
            json!({ "op": "test", "path": "/metadata/uid", "value": version.uid }),
            json!({ "op": "test", "path": path, "value": FINALIZER }),
            json!({ "op": "remove", "path": path }),
        ];
        let (params, patch) = bound_to(version, remove, OPERATOR_FIELD_MANAGER)?;
        let answer = within(self.profiles.patch(name, &params, &patch)).await;
        self.counted(Write::Finalizer, answer).map_err(|error| match error {
            // A `test` failed: the object has changed or was replaced.
            WriteError::Refused(kube::Error::Api(status)) if status.code == 422 => WriteError::Conflict,
            error => error,
        })
    }

    /// Replaces a profile's status.
    ///
    /// # Errors
    /// The write did not happen.
    pub async fn profile_status(
        &self,
        name: &str,
        version: &ObjectVersion,
        status: &SeccompProfileStatus,
    ) -> Result<WatchedProfile, WriteError> {
        let replace = json!({ "op": "add", "path": "/status", "value": status });
        let (params, patch) = bound_to(version, vec![replace], OPERATOR_FIELD_MANAGER)?;
        self.counted(Write::ProfileStatus, within(self.profiles.patch_status(name, &params, &patch)).await)
    }

    /// Reads a profile.
    ///
    /// # Errors
    /// There was no answer.
    pub async fn profile(&self, name: &str) -> Result<WatchedProfile, kube::Error> {
        within(self.profiles.get(name)).await
    }

    /// Begins the deletion of a profile. Returns the profile while its finalizers keep it.
    ///
    /// # Errors
    /// The write did not happen.
    pub async fn delete_profile(
        &self,
        name: &str,
        version: &ObjectVersion,
    ) -> Result<Option<WatchedProfile>, WriteError> {
        let deleted = within(self.profiles.delete(name, &only(version))).await;
        self.counted(Write::ImageProfile, deleted.map(|deleted| deleted.left()))
    }

    /// Creates the report of a node, owned by the Node with uid `owner`.
    ///
    /// # Errors
    /// The write did not happen.
    pub async fn create_report(&self, node: &str, owner: &str) -> Result<WatchedReport, WriteError> {
        let mut object = NodeProfileStatus::new(node, NodeProfileStatusSpec::default());
        object.metadata.owner_references = Some(vec![OwnerReference {
            api_version: "v1".into(),
            kind: "Node".into(),
            name: node.into(),
            uid: owner.into(),
            block_owner_deletion: Some(false),
            controller: None,
        }]);
        let post = PostParams { field_manager: Some(OPERATOR_FIELD_MANAGER.into()), ..PostParams::default() };
        let created = within(self.new_reports.create(&post, &object)).await;
        let created = created.and_then(|object| {
            serde_json::to_value(object).and_then(serde_json::from_value).map_err(kube::Error::SerdeError)
        });
        self.counted(Write::NodeReport, created)
    }

    /// Deletes the report of a node on which no agent runs any more, or that does not exist.
    ///
    /// # Errors
    /// The write did not happen.
    pub async fn delete_report(&self, node: &str, version: &ObjectVersion) -> Result<(), WriteError> {
        let deleted = within(self.reports.delete(node, &only(version))).await;
        self.counted(Write::NodeReport, deleted.map(|_| ()))
    }

    /// Writes the conditions of a node's report, and the start failures unless they are `None`.
    ///
    /// # Errors
    /// The write did not happen.
    pub async fn node_conditions(
        &self,
        node: &str,
        version: &ObjectVersion,
        has_status: bool,
        conditions: &[Condition],
        start_failures: Option<&[StartFailure]>,
    ) -> Result<WatchedReport, WriteError> {
        let mut writes = Vec::new();
        if !has_status {
            writes.push(json!({ "op": "add", "path": "/status", "value": {} }));
        }
        writes.push(json!({ "op": "add", "path": "/status/conditions", "value": conditions }));
        if let Some(failures) = start_failures {
            let path = "/status/startFailures";
            writes.push(json!({ "op": "add", "path": path, "value": failures }));
            if failures.is_empty() {
                // Added above and removed here, because a patch that removes an absent field fails.
                writes.push(json!({ "op": "remove", "path": path }));
            }
        }
        let (params, patch) = bound_to(version, writes, OPERATOR_FIELD_MANAGER)?;
        self.counted(Write::NodeCondition, within(self.reports.patch_status(node, &params, &patch)).await)
    }

    /// Replaces the profiles that a node must not hold, each with its uid.
    ///
    /// # Errors
    /// The write did not happen.
    pub async fn node_exclusions(
        &self,
        node: &str,
        version: &ObjectVersion,
        excluded: &BTreeMap<String, String>,
    ) -> Result<WatchedReport, WriteError> {
        let path = "/spec/excludedProfiles";
        let mut writes = vec![json!({ "op": "add", "path": path, "value": excluded })];
        if excluded.is_empty() {
            // Added above and removed here, because a patch that removes an absent field fails.
            writes.push(json!({ "op": "remove", "path": path }));
        }
        let (params, patch) = bound_to(version, writes, OPERATOR_FIELD_MANAGER)?;
        self.counted(Write::NodeExclusion, within(self.reports.patch(node, &params, &patch)).await)
    }

    /// Publishes an Event about a profile. A failure is only logged, because the status has the same information.
    pub async fn publish(&self, name: &str, version: &ObjectVersion, notice: Notice, detail: Option<&str>) {
        self.publish_about(SeccompProfile::kind(&()).into_owned(), name, version, notice, detail).await;
    }

    /// Publishes an Event about a node's report.
    pub async fn publish_about_node(&self, name: &str, version: &ObjectVersion, notice: Notice) {
        self.publish_about(NodeProfileStatus::kind(&()).into_owned(), name, version, notice, None).await;
    }

    async fn publish_about(
        &self,
        kind: String,
        name: &str,
        version: &ObjectVersion,
        notice: Notice,
        detail: Option<&str>,
    ) {
        let reference = k8s_openapi::api::core::v1::ObjectReference {
            api_version: Some(format!("{GROUP}/v1alpha1")),
            kind: Some(kind),
            name: Some(name.to_owned()),
            uid: Some(version.uid.clone()),
            ..Default::default()
        };
        let published = within(self.recorder.publish(&notice.event(detail), &reference)).await;
        if let Err(error) = self.counted(Write::Event, published) {
            debug!(name, reason = notice.reason(), error = %chain(&error), "event lost");
        }
    }

    /// Publishes an Event about a call that the filter of a pod's container refused. A failure is only logged, because the
    /// node's observation has the same information.
    pub async fn publish_denied_call(&self, call: &DeniedCall) {
        let published = within(self.recorder.publish(&call.event(), &call.reference())).await;
        if let Err(error) = self.counted(Write::Event, published) {
            let (namespace, pod, reason) = (&call.namespace, &call.pod, call.reason.reason());
            debug!(namespace, pod, reason, error = %chain(&error), "event lost");
        }
    }

    fn counted<T>(&self, write: Write, result: Result<T, kube::Error>) -> Result<T, WriteError> {
        let result = result.map_err(WriteError::from);
        self.count.count(write, result.as_ref().map(drop));
        result
    }
}

/// The deletion of `version` of an object.
fn only(version: &ObjectVersion) -> DeleteParams {
    let preconditions = Preconditions {
        uid: Some(version.uid.clone()),
        resource_version: Some(version.resource_version.clone()),
    };
    DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() }
}

/// A JSON patch of `operations` that only applies to `version` of the object.
///
/// # Errors
/// An operation is not one of a JSON patch.
pub(crate) fn bound_to(
    version: &ObjectVersion,
    operations: Vec<Value>,
    field_manager: &str,
) -> Result<(PatchParams, Patch<()>), WriteError> {
    let mut patch = vec![
        json!({ "op": "replace", "path": "/metadata/resourceVersion", "value": version.resource_version }),
    ];
    patch.extend(operations);
    let patch =
        serde_json::from_value(patch.into()).map_err(kube::Error::SerdeError).map_err(WriteError::Refused)?;
    let params = PatchParams { field_manager: Some(field_manager.to_owned()), ..PatchParams::default() };
    Ok((params, Patch::Json(patch)))
}
