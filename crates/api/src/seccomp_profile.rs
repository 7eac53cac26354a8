//! `SeccompProfile`: a profile that every node should hold.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{NodeLabelSelector, OpenEnum, Vocabulary, conditions, contents_schema, lenient, node_selector};

/// What a user specifies.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "seccomp.imjasonh.dev",
    version = "v1alpha1",
    kind = "SeccompProfile",
    doc = "A seccomp profile that every node, or every node that it selects, holds as a file for its pods.",
    plural = "seccompprofiles",
    singular = "seccompprofile",
    shortname = "scp",
    category = "seccomp",
    status = "SeccompProfileStatus",
    annotation("helm.sh/resource-policy", "keep"),
    // For a new object only: a longer name that an older definition let in could not be deleted, because the API
    // server would refuse to take the finalizer off.
    validation = Rule::new("oldSelf.hasValue() || size(self.metadata.name) <= 240")
        .optional_old_self(true)
        .message("metadata.name: at most 240 characters, because it becomes a file name"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.ready", description = "Nodes that hold it, of those that should"),
    printcolumn(name = "Status", type_ = "string", json_path = ".status.state", description = "The state, as one word"),
    printcolumn(name = "In-Use", type_ = "boolean", json_path = ".status.inUse", description = "Whether a live pod uses it"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Path", type_ = "string", json_path = ".status.localhostProfile", priority = 1, description = "What a pod writes into localhostProfile"),
    printcolumn(name = "Hash", type_ = "string", json_path = ".status.contentHash", priority = 1, description = "SHA-256 of the file")
)]
pub struct SeccompProfileSpec {
    /// The profile, as JSON.
    // A plain value, not the strict model: a type that refuses what is stored would stop the whole watch.
    #[schemars(schema_with = "contents_schema::contents")]
    pub contents: Value,
    /// Which nodes must have it.
    #[serde(
        default,
        rename = "nodeSelector",
        skip_serializing_if = "Option::is_none",
        deserialize_with = "lenient::field"
    )]
    #[schemars(schema_with = "node_selector::schema")]
    pub node_selector: Option<NodeLabelSelector>,
    /// Whether the kernel records the calls that the profile refuses with an error, for the observer and the node's audit
    /// log. The nodes' file then has SECCOMP_FILTER_FLAG_LOG beside the flags in the contents, and if there are none also
    /// SECCOMP_FILTER_FLAG_SPEC_ALLOW, which runtimes set by themselves. Other bytes, so another hash: containers that
    /// start afterwards have it. runc before 1.2 starts no container under a profile with flags.
    // Without a default in the schema, with which the API server would show every stored profile changed.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub report: Option<bool>,
}

/// The state that the operator reports.
// Each field is read by itself: an operator of another release may say more, or say it otherwise. The API server shows
// the default where nothing is stored. Without it kstatus, on which Flux and `helm --wait` rely, considers a profile
// ready that no operator has reconciled (sigs.k8s.io/cli-utils, pkg/kstatus/status: without conditions it is ready).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("default" = unreconciled()))]
pub struct SeccompProfileStatus {
    /// The metadata.generation on which this status is based.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub observed_generation: Option<i64>,
    /// `sha256:` and the SHA-256 of the bytes that each node should hold.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    #[schemars(length(max = 71))]
    pub content_hash: Option<String>,
    /// The `contentHash` with which the profile was last Ready. It equals `contentHash` only if the profile has been Ready
    /// with its present spec: every node that it selects has had the present contents.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    #[schemars(length(max = 71))]
    pub ready_hash: Option<String>,
    /// What a pod writes into `seccompProfile.localhostProfile`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    #[schemars(length(max = 512))]
    pub localhost_profile: Option<String>,
    /// Nodes that hold exactly these bytes, of those that should: `2/2`.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    #[schemars(length(max = 32))]
    pub ready: Option<String>,
    /// The state, as one word: `Ready`, `Progressing`, `Failed`, `Rejected` or `Deleting`. Another release may write
    /// other values.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub state: Option<OpenEnum<State>>,
    /// The number of nodes that should have the profile, by state.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub nodes: Option<NodeCounts>,
    /// The nodes that cannot hold the profile; at most ten. First those that say why, by name, then those that lack it and
    /// do not say why, because no agent is ready there, none has reported, or the report is full.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::items")]
    #[schemars(length(max = 10))]
    pub failures: Vec<NodeFailure>,
    /// What the rules of `kubectl seccomp lint` find in the contents on the architectures of the cluster's nodes: at most
    /// ten, errors before warnings. Another release may have other rules.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::items")]
    #[schemars(length(max = 10))]
    pub warnings: Vec<ProfileWarning>,
    /// Whether a live pod uses it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub in_use: Option<bool>,
    /// Since when no pod has named it: only of profiles that images bring (`seccomp.imjasonh.dev/from: image`), which the
    /// operator removes after a while. Absent while a pod names it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    #[schemars(schema_with = "time_schema")]
    pub unused_since: Option<Time>,
    /// The number of pods that name it.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub pods: Option<PodCounts>,
    /// `Approved` once the agents may remove the file; never revoked. Any other value is not an approval.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub removal: Option<OpenEnum<Removal>>,
    /// `Accepted` and `Ready`, and `Sound` unless the contents are rejected; also `Deleting` during a deletion, or
    /// `Stalled` if the contents are rejected.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::items")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
}

impl SeccompProfileStatus {
    /// Whether an operator has written it. The API server's default status contains nothing about the profile.
    #[must_use]
    pub fn is_reconciled(&self) -> bool {
        self.observed_generation.is_some() || self.state.is_some()
    }
}

/// A time of whole seconds.
fn time_schema(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "maxLength": 32 })
}

/// The status of a profile that no operator has reconciled.
fn unreconciled() -> Value {
    json!({
        "conditions": [{
            "type": conditions::READY,
            "status": "Unknown",
            "reason": conditions::PENDING,
            "message": "no operator has reconciled it yet",
            "lastTransitionTime": "1970-01-01T00:00:00Z",
        }],
    })
}

/// The state of a profile, as one word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Every node that must have it has it.
    Ready,
    /// Some node does not have it yet.
    Progressing,
    /// Some node cannot have it.
    Failed,
    /// Its contents are not a valid profile.
    Rejected,
    /// It is being deleted.
    Deleting,
}

impl Vocabulary for State {
    const ALL: &'static [Self] =
        &[Self::Ready, Self::Progressing, Self::Failed, Self::Rejected, Self::Deleting];

    fn as_str(self) -> &'static str {
        match self {
            Self::Ready => "Ready",
            Self::Progressing => "Progressing",
            Self::Failed => "Failed",
            Self::Rejected => "Rejected",
            Self::Deleting => "Deleting",
        }
    }
}

/// The approval for the agents to remove the file. Any other value is not an approval.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Removal {
    /// No live pod needs the file.
    Approved,
}

impl Vocabulary for Removal {
    const ALL: &'static [Self] = &[Self::Approved];

    fn as_str(self) -> &'static str {
        match self {
            Self::Approved => "Approved",
        }
    }
}

/// The nodes that should hold a profile; each is in exactly one of the states, so that they add up to `desired`.
// Signed, because the API server knows no unsigned formats and warns of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// Nodes that should hold it.
    pub desired: i32,
    /// Nodes whose disk holds exactly these bytes.
    pub ready: i32,
    /// Nodes that do not hold it yet.
    pub pending: i32,
    /// Nodes whose agent reports that it cannot write the file.
    pub failed: i32,
    /// New nodes whose agent has not reported yet. The operator does not wait for them.
    pub joining: i32,
    /// Nodes that are not Ready in the cluster. The operator does not wait for them.
    pub unreachable: i32,
}

/// The pods that name a profile and have not ended.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PodCounts {
    /// All of them.
    pub using: i32,
    /// Those with a running container that may be under an earlier filter, because it is older than the file on its node,
    /// or the node does not hold the present contents. Absent instead of 0 if `unknown` is not 0.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outdated: Option<i32>,
    /// Those with a running container of which nobody can tell: the agent on its node has not reported, or does not state
    /// since when a file has its contents. Absent if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unknown: Option<i32>,
}

/// Why a node cannot hold a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeFailure {
    /// The node.
    #[schemars(length(max = 253))]
    pub node: String,
    /// The reason, as one word.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// A readable explanation.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What a rule finds in a profile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProfileWarning {
    /// The rule, which `kubectl seccomp rule` explains.
    #[schemars(length(max = 64))]
    pub rule: String,
    /// `error` if the profile does something else than it says, `warning` if it has a consequence that its author may not
    /// know. Another release may write other values.
    #[schemars(length(max = 32))]
    pub severity: String,
    /// The field.
    #[schemars(length(max = 256))]
    pub path: String,
    /// A readable explanation.
    #[schemars(length(max = 1024))]
    pub message: String,
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::CustomResourceExt;

    #[test]
    fn a_profile_that_no_operator_has_reconciled_is_not_ready_by_default() {
        let definition = serde_json::to_value(SeccompProfile::crd()).unwrap();
        let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"];
        assert_eq!(schema["default"], unreconciled());
        let status: SeccompProfileStatus = serde_json::from_value(unreconciled()).unwrap();
        let [ready] = &status.conditions[..] else { panic!("there is one condition") };
        assert_eq!((ready.type_.as_str(), ready.status.as_str()), ("Ready", "Unknown"));
        assert!(!status.is_reconciled());
        // Nothing but conditions: what programs read as the operator's word is absent.
        assert_eq!(
            SeccompProfileStatus { conditions: Vec::new(), ..status },
            SeccompProfileStatus::default()
        );
    }

    #[test]
    fn a_status_that_an_operator_has_written_is_reconciled() {
        let reconciled =
            SeccompProfileStatus { state: Some(State::Progressing.into()), ..Default::default() };
        assert!(reconciled.is_reconciled());
        assert!(!SeccompProfileStatus::default().is_reconciled());
    }
}
