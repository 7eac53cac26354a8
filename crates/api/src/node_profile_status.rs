//! `NodeProfileStatus`: the files on one node's disk, as its agent reports them, and the operator's conditions.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};

use crate::{OpenEnum, Vocabulary, conditions, lenient};

/// What the operator tells the node's agent.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "seccomp.imjasonh.dev",
    version = "v1alpha1",
    kind = "NodeProfileStatus",
    doc = "The seccomp profiles on one node, as its agent finds them. It has the node's name and is deleted with the node.",
    plural = "nodeprofilestatuses",
    singular = "nodeprofilestatus",
    shortname = "nps",
    category = "seccomp",
    status = "NodeProfileStatusStatus",
    annotation("helm.sh/resource-policy", "keep"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = r#".status.conditions[?(@.type=="Ready")].status"#,
        description = "Whether the node has every profile"
    ),
    printcolumn(
        name = "Files",
        type_ = "integer",
        json_path = ".status.report.fileCount",
        description = "Profiles on the node's disk"
    ),
    printcolumn(
        name = "Agent",
        type_ = "string",
        json_path = ".status.report.agentVersion",
        description = "Version of the node's agent"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct NodeProfileStatusSpec {
    /// Profiles that do not select the node, by name, each with its uid: the agent removes their files. Only the operator
    /// writes it. A profile that pods on the node use is not listed before they have ended. If there is no room for all, the
    /// node keeps the files of the others.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "excluded_profiles")]
    pub excluded_profiles: BTreeMap<String, String>,
}

impl NodeProfileStatusSpec {
    /// The profiles in the unvalidated `spec` of a stored object that do not select its node, with their uids. What
    /// cannot be read excludes nothing: a file too many is harmless.
    #[must_use]
    pub fn excluded_in(spec: &Value) -> BTreeMap<String, String> {
        let excluded = spec.get("excludedProfiles").cloned().and_then(lenient::texts);
        excluded.unwrap_or_default().into_iter().take(MAX_EXCLUDED).collect()
    }
}

/// The maximum number of excluded profiles in one object.
pub const MAX_EXCLUDED: usize = 1000;

/// The maximum of bytes that the excluded profiles take in one object. Reports may take most of what etcd accepts in one
/// request, and need room for their problems, too.
pub const MAX_EXCLUDED_BYTES: usize = 64 * 1024;

/// The agent writes the report, the operator writes the other fields.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeProfileStatusStatus {
    /// The agent's report; only the node's agent writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// The operator's conditions; only the operator writes them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// Profiles under which containers do not start on the node although it has their files, according to the pods'
    /// status; the first by name. Valid only together with the condition `ContainersStart`. Only the operator writes
    /// it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub start_failures: Vec<StartFailure>,
}

/// The maximum number of start failures in one status.
pub const MAX_START_FAILURES: usize = 16;

/// Why containers do not start under a profile on a node that has its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartFailure {
    /// The profile.
    #[schemars(length(max = 253))]
    pub profile: String,
    /// The reason, as one word: `FileNotFound`, `ListenerUnreachable` or `StartFailed`.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The likely cause, and a pod as an example, as readable text.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The files on the node's disk.
// Atomic, so that managedFields does not name every file: 148 KB instead of 227 KB for 1,000 files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Report {
    /// Version of the agent.
    #[schemars(length(max = 64))]
    pub agent_version: String,
    /// The directory that the agent manages.
    #[schemars(length(max = 4096))]
    pub directory: String,
    /// Profile name to the first 32 hexadecimal digits of the SHA-256 of its file's contents. Files that belong neither
    /// to a profile nor to the agent are not listed.
    #[serde(default)]
    #[schemars(schema_with = "files")]
    pub files: BTreeMap<String, String>,
    /// Profile name to the time, by the node's clock and rounded up to a second, since when its file has had its present
    /// bytes. Only files that replaced other bytes are listed, the latest ones if there is no room for all. An agent of a
    /// release that does not state it writes no such field at all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "changed")]
    pub changed: Option<BTreeMap<String, Time>>,
    /// Profiles whose file is missing or wrong; at most a hundred, the first by name. The message of the last one
    /// contains the number of further ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub problems: Vec<FileProblem>,
    /// The number of entries in `files`, because a printed column cannot count.
    pub file_count: i32,
}

/// The maximum number of files in one report.
pub const MAX_FILES: usize = 10_000;

/// The maximum number of problems in one report.
pub const MAX_PROBLEMS: usize = 100;

/// Why a profile's file is missing or wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileProblem {
    /// The profile.
    #[schemars(length(max = 253))]
    pub name: String,
    /// The kind of problem: `Failed`, `Conflict` or `Rejected`. Another release may write other values.
    pub state: OpenEnum<ProblemKind>,
    /// The reason, as one word of a bounded set.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// A readable explanation.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// The kind of problem of a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProblemKind {
    /// The agent could not write, read or remove the file, and keeps retrying.
    Failed,
    /// A file of another owner has the name; the agent does not change it.
    Conflict,
    /// The profile is invalid, or names a listener where none is allowed; the file stays unchanged.
    Rejected,
}

impl Vocabulary for ProblemKind {
    const ALL: &'static [Self] = &[Self::Failed, Self::Conflict, Self::Rejected];

    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Conflict => "Conflict",
            Self::Rejected => "Rejected",
        }
    }
}

/// Each field and each entry is decoded separately, because an agent of another release may write other fields or
/// values, and its files count all the same.
impl<'de> Deserialize<'de> for Report {
    /// # Errors
    /// The value is not an object, or its `files` are not an object. In that case the files on the disk are unknown,
    /// and no report is better than a report of an empty disk.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        // No derived reading, which takes a list for an object with its fields in order.
        let mut fields = Map::deserialize(deserializer)?;
        let files = match fields.remove("files") {
            None => BTreeMap::new(),
            Some(files) => {
                lenient::texts(files).ok_or_else(|| D::Error::custom("files: expected an object"))?
            }
        };
        let mut field = |name: &str| fields.remove(name).unwrap_or_default();
        Ok(Self {
            agent_version: lenient::read(field("agentVersion")).unwrap_or_default(),
            directory: lenient::read(field("directory")).unwrap_or_default(),
            files,
            changed: lenient::entries(field("changed")),
            problems: lenient::list(field("problems")).unwrap_or_default(),
            file_count: lenient::read(field("fileCount")).unwrap_or_default(),
        })
    }
}

// Atomic, so that managedFields does not name every profile.
fn excluded_profiles(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Profiles that do not select the node, by name, each with its uid: the agent removes their files. \
                        Only the operator writes it. A profile that pods on the node use is not listed before they have \
                        ended. If there is no room for all, the node keeps the files of the others.",
        "type": "object",
        "maxProperties": MAX_EXCLUDED,
        "additionalProperties": { "type": "string", "maxLength": 64 },
        "x-kubernetes-map-type": "atomic"
    })
}

fn files(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Profile name to the first 32 hexadecimal digits of the SHA-256 of its file's contents.",
        "type": "object",
        "maxProperties": MAX_FILES,
        "additionalProperties": { "type": "string", "maxLength": 32 }
    })
}

fn changed(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Profile name to the time since when its file has had its present bytes.",
        "type": "object",
        "nullable": true,
        "maxProperties": MAX_FILES,
        "additionalProperties": { "type": "string", "format": "date-time", "maxLength": 32 }
    })
}
