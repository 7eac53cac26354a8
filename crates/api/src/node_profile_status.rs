//! `NodeProfileStatus`: what lies on one node's disk, said by its agent and judged by the operator.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::CustomResource;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Map;

use crate::{OpenEnum, Vocabulary, conditions, lenient};

/// Nothing yet: the operator creates the object, and that is all it asks of the node.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema, CustomResource)]
#[kube(
    group = "seccomp.imjasonh.dev",
    version = "v1alpha1",
    kind = "NodeProfileStatus",
    doc = "The seccomp profiles on one node, as its agent finds them. It has the node's name and goes with the node.",
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
pub struct NodeProfileStatusSpec {}

/// Two authors: the report is the agent's, all else is the operator's.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeProfileStatusStatus {
    /// What the agent found; only the node's agent writes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub report: Option<Report>,
    /// What the operator makes of it; only the operator writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "conditions::schema")]
    pub conditions: Vec<Condition>,
    /// Profiles under which containers do not start on the node although it has their files, as pods say; the first
    /// by name. It counts beside the condition `ContainersStart` only. Only the operator writes it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    pub start_failures: Vec<StartFailure>,
}

/// Start failures that one status lists at most.
pub const MOST_START_FAILURES: usize = 16;

/// Why containers do not start under a profile on a node that has its file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct StartFailure {
    /// The profile.
    #[schemars(length(max = 253))]
    pub profile: String,
    /// Why, in one word: `FileNotFound`, `NobodyListens` or `StartFailed`.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// The likely cause, and a pod of which it is so, for a person.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What lies on the node's disk.
// Atomic, so that managedFields does not name every file: 148 KB instead of 227 KB for 1,000 files.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(extend("x-kubernetes-map-type" = "atomic"))]
pub struct Report {
    /// Version of the agent.
    #[schemars(length(max = 64))]
    pub agent_version: String,
    /// The directory that the agent keeps.
    #[schemars(length(max = 4096))]
    pub directory: String,
    /// Profile name to the first 32 hexadecimal digits of the SHA-256 of what lies in its file. Files that are
    /// neither a profile's nor the agent's own are not listed.
    #[serde(default)]
    #[schemars(schema_with = "files")]
    pub files: BTreeMap<String, String>,
    /// Profiles whose file is not as it should be; a hundred at most, the first by name; the
    /// message of the last says how many more there are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub problems: Vec<FileProblem>,
    /// How many entries `files` has: a printed column cannot count.
    pub file_count: i32,
}

/// Files that one report lists at most.
pub const MOST_FILES: usize = 10_000;

/// Problems that one report lists at most.
pub const MOST_PROBLEMS: usize = 100;

/// Why a profile's file is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct FileProblem {
    /// The profile.
    #[schemars(length(max = 253))]
    pub name: String,
    /// What kind of problem it is: `Failed`, `Conflict` or `Rejected`. Another release may write another.
    pub state: OpenEnum<FileState>,
    /// Why, in one word of a bounded vocabulary.
    #[schemars(length(max = 64))]
    pub reason: String,
    /// Why, for a person.
    #[schemars(length(max = 1024))]
    pub message: String,
}

/// What kind of problem a file has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum FileState {
    /// It could not be written, read or removed; the agent goes on trying.
    Failed,
    /// Something that is not ours has the name; the agent leaves it alone.
    Conflict,
    /// The profile's contents are invalid; the file stays as it was.
    Rejected,
}

impl Vocabulary for FileState {
    const ALL: &'static [Self] = &[Self::Failed, Self::Conflict, Self::Rejected];

    fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "Failed",
            Self::Conflict => "Conflict",
            Self::Rejected => "Rejected",
        }
    }
}

/// Each field and each entry is read by itself: an agent of another release may say more, or say it otherwise, and what
/// its disk holds counts all the same.
impl<'de> Deserialize<'de> for Report {
    /// # Errors
    /// It is no object, or its `files` are there and are none: then nobody knows what the disk holds, and no report is
    /// better than one of an empty disk.
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
            problems: lenient::list(field("problems")).unwrap_or_default(),
            file_count: lenient::read(field("fileCount")).unwrap_or_default(),
        })
    }
}

fn files(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "Profile name to the first 32 hexadecimal digits of the SHA-256 of what lies in its file.",
        "type": "object",
        "maxProperties": MOST_FILES,
        "additionalProperties": { "type": "string", "maxLength": 32 }
    })
}
