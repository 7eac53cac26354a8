//! `SeccompObservation`: the system calls that filters refused on one node, as its observer counts them.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::{OpenEnum, Vocabulary, lenient};

/// Empty: the observer creates the object and writes its status.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "seccomp.imjasonh.dev",
    version = "v1alpha1",
    kind = "SeccompObservation",
    doc = "The system calls that seccomp filters refused or logged on one node, as its observer counts them. It has the \
           node's name and is deleted with the node.",
    plural = "seccompobservations",
    singular = "seccompobservation",
    shortname = "sobs",
    category = "seccomp",
    status = "SeccompObservationStatus",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn(
        name = "State",
        type_ = "string",
        json_path = ".status.report.state",
        description = "Whether the observer receives the kernel's records"
    ),
    printcolumn(
        name = "Unknown",
        type_ = "integer",
        json_path = ".status.report.unknown",
        description = "Calls whose container is not known"
    ),
    printcolumn(
        name = "Lost",
        type_ = "integer",
        json_path = ".status.report.lost",
        description = "Audit records that the observer missed"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
pub struct SeccompObservationSpec {}

/// Only the node's observer writes it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SeccompObservationStatus {
    /// The observer's report.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub report: Option<ObservationReport>,
}

/// The maximum number of containers in one report.
pub const MAX_OBSERVED_CONTAINERS: usize = 1000;

/// The maximum number of calls of one container in a report.
pub const MAX_OBSERVED_CALLS: usize = 64;

/// What the observer has counted since it first ran on the node; a count that is a week old is left out.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct ObservationReport {
    /// Version of the observer.
    #[serde(deserialize_with = "lenient::field")]
    #[schemars(length(max = 64))]
    pub observer_version: String,
    /// The namespace of the observer's pod.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "lenient::field")]
    #[schemars(length(max = 253))]
    pub namespace: String,
    /// Whether the observer receives the kernel's records: `Observing` or `Blind`. Another release may write other values.
    pub state: OpenEnum<ObserverState>,
    /// Why it is blind, as one word: `NoAuditRead`, `NoAudit`, `OtherNetworkNamespace`, `SocketRefused` or
    /// `SocketFailed`.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "lenient::field")]
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Why it is blind, as readable text.
    #[serde(skip_serializing_if = "String::is_empty", deserialize_with = "lenient::field")]
    #[schemars(length(max = 1024))]
    pub message: String,
    /// The containers whose calls were counted, in the order of their numbers.
    #[serde(skip_serializing_if = "Vec::is_empty", deserialize_with = "lenient::items")]
    #[schemars(length(max = 1000))]
    pub containers: Vec<ObservedContainer>,
    /// Calls of processes outside of all pods.
    #[serde(deserialize_with = "lenient::field")]
    pub outside: i64,
    /// Calls whose container is not known: the process had ended before the observer read its control groups, or the
    /// kubelet had not linked the container's log.
    #[serde(deserialize_with = "lenient::field")]
    pub unknown: i64,
    /// How many of the unknown calls are of containers that may still be named: the kubelet links a container's log only once
    /// it has started.
    #[serde(skip_serializing_if = "is_zero", deserialize_with = "lenient::field")]
    pub unnamed: i64,
    /// Calls that were counted, and that newer ones have displaced from the list.
    #[serde(deserialize_with = "lenient::field")]
    pub forgotten: i64,
    /// Audit records that did not reach the observer, whatever they were about, by gaps in their serial numbers.
    #[serde(deserialize_with = "lenient::field")]
    pub lost: i64,
    /// The kernel's number of the node's present run (`/proc/sys/kernel/random/boot_id`): serial numbers begin again with
    /// each.
    #[serde(deserialize_with = "lenient::field")]
    #[schemars(length(max = 64))]
    pub boot: String,
    /// The serial number of the latest record, from which the next observer continues.
    #[serde(skip_serializing_if = "Option::is_none", deserialize_with = "lenient::field")]
    pub last_serial: Option<i64>,
}

impl ObservationReport {
    /// The calls of [`unknown`](Self::unknown) containers that will not be named any more.
    #[must_use]
    pub const fn never_named(&self) -> i64 {
        self.unknown.saturating_sub(self.unnamed)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde gives it")]
fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// Whether an observer receives the kernel's records.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ObserverState {
    /// It does.
    Observing,
    /// It does not, and the counts are those of an earlier time.
    Blind,
}

impl Vocabulary for ObserverState {
    const ALL: &'static [Self] = &[Self::Observing, Self::Blind];

    fn as_str(self) -> &'static str {
        match self {
            Self::Observing => "Observing",
            Self::Blind => "Blind",
        }
    }
}

impl Default for OpenEnum<ObserverState> {
    fn default() -> Self {
        Self::Known(ObserverState::Blind)
    }
}

/// The calls of one container.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedContainer {
    /// The pod's namespace.
    #[schemars(length(max = 253))]
    pub namespace: String,
    /// The pod's name.
    #[schemars(length(max = 253))]
    pub pod: String,
    /// The pod's uid; absent if the observer does not know it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    #[schemars(length(max = 253))]
    pub pod_uid: String,
    /// The container's name in the pod.
    #[schemars(length(max = 253))]
    pub container: String,
    /// The number that the container runtime gave to the container; a restarted container has another one.
    #[schemars(length(max = 64))]
    pub container_id: String,
    /// Its calls.
    #[serde(default, deserialize_with = "lenient::items")]
    #[schemars(length(max = 64))]
    pub calls: Vec<ObservedCall>,
    /// How often it made other calls, once there was no room for more entries.
    #[serde(default)]
    pub further: i64,
}

/// One system call that a filter did not simply permit.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ObservedCall {
    /// The architecture as in the names of `kubectl seccomp`, such as `x86_64`; a number of the kernel's audit if it has no
    /// name.
    #[schemars(length(max = 32))]
    pub architecture: String,
    /// The number of the call, as a filter sees it.
    pub number: i64,
    /// The name of the call; `syscall_0x1c3` if none is known.
    #[schemars(length(max = 64))]
    pub name: String,
    /// What the filter did, such as `SCMP_ACT_ERRNO`.
    #[schemars(length(max = 32))]
    pub action: String,
    /// How often.
    pub count: i64,
    /// The first time.
    #[schemars(schema_with = "time")]
    pub first: Option<Time>,
    /// The last time.
    #[schemars(schema_with = "time")]
    pub last: Option<Time>,
    /// The program that made it last; at most 128 bytes of its path.
    #[serde(default)]
    #[schemars(length(max = 128))]
    pub program: String,
}

fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time", "nullable": true, "maxLength": 32 })
}
