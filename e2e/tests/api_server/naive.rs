//! Computes every status from all objects and disks, without any code of the operator.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;

use api::names::{DELETE_IN_USE, FINALIZER};
use api::{NodeProfileStatus, SeccompProfile, Untrusted};
use bench::api_server::Agents;
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::ListParams;
use kube::{Api, Client};
use serde::Serialize;
use serde_json::{Value, json};

use super::support::{bytes_of, hash_of};

/// All objects of the API server.
pub(crate) struct Objects {
    nodes: BTreeMap<String, Value>,
    pods: Vec<Value>,
    profiles: BTreeMap<String, Value>,
    reports: BTreeMap<String, Value>,
}

impl Objects {
    pub(crate) async fn read(admin: &Client) -> Self {
        Self {
            nodes: by_name(all(Api::<Node>::all(admin.clone())).await),
            pods: all(Api::<Pod>::namespaced(admin.clone(), "default")).await,
            profiles: by_name(all(Api::<Untrusted<SeccompProfile>>::all(admin.clone())).await),
            reports: by_name(all(Api::<Untrusted<NodeProfileStatus>>::all(admin.clone())).await),
        }
    }

    /// How many profiles and nodes there are.
    pub(crate) fn count(&self) -> (usize, usize) {
        (self.profiles.len(), self.nodes.len())
    }

    /// How many profiles wait for pods, and how many nodes cannot be reached.
    pub(crate) fn waiting_and_unreachable(&self) -> (usize, usize) {
        let deleting = self.profiles.values().filter(|profile| is_deleting(profile)).count();
        (deleting, self.nodes.values().filter(|node| !is_reachable(node)).count())
    }

    /// Fails with the first difference.
    pub(crate) fn check(&self, agents: &Agents) -> Result<(), String> {
        for name in self.reports.keys() {
            expect_equal(&format!("the report {name}: its node"), &self.nodes.contains_key(name), &true)?;
        }
        for (name, node) in &self.nodes {
            self.check_node(name, node)?;
            self.check_disk(name, agents)?;
        }
        self.profiles.iter().try_for_each(|(name, profile)| self.check_profile(name, profile))
    }

    fn check_node(&self, name: &str, node: &Value) -> Result<(), String> {
        let report = self.reports.get(name).ok_or_else(|| format!("the node {name} has no report"))?;
        let owners = &report["metadata"]["ownerReferences"];
        expect_equal(&format!("the report {name}: owner"), &owners[0]["uid"], &node["metadata"]["uid"])?;
        let wanted: BTreeMap<_, _> =
            self.profiles.iter().map(|(name, profile)| (name.clone(), short_hash(profile))).collect();
        let report = &report["status"];
        expect_equal(&format!("the report {name}: files"), &report["report"]["files"], &json!(wanted))?;
        expect_equal(
            &format!("the report {name}: count"),
            &report["report"]["fileCount"],
            &json!(wanted.len()),
        )?;
        let condition = match is_reachable(node) {
            true => json!(["Ready", "True", "AllProfiles"]),
            false => json!(["Ready", "Unknown", "NodeUnreachable"]),
        };
        expect_equal(&format!("the report {name}: conditions"), &conditions(report), &json!([condition]))
    }

    fn check_disk(&self, node: &str, agents: &Agents) -> Result<(), String> {
        let directory = fs::read_dir(agents.directory(node)).map_err(|error| format!("{node}: {error}"))?;
        let names = directory.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        // Names that begin with a dot are the agent's own files.
        let names: BTreeSet<_> = names.filter(|name| !name.starts_with('.')).collect();
        let wanted: BTreeSet<_> = self.profiles.keys().map(|name| format!("{name}.json")).collect();
        expect_equal(&format!("the disk of {node}"), &names, &wanted)?;
        for (name, profile) in &self.profiles {
            let bytes = fs::read(agents.directory(node).join(format!("{name}.json")));
            let bytes = bytes.map_err(|error| format!("{node}: {name}: {error}"))?;
            let wanted = bytes_of(&profile["spec"]["contents"]);
            expect_equal(&format!("the disk of {node}: {name}"), &bytes, &wanted)?;
        }
        Ok(())
    }

    fn check_profile(&self, name: &str, profile: &Value) -> Result<(), String> {
        let metadata = &profile["metadata"];
        let live = self.live_pods(name);
        let deleting = is_deleting(profile);
        let in_spite = metadata["annotations"][DELETE_IN_USE] == "true";
        if deleting && (live == 0 || in_spite) {
            return Err(format!("{name} should be gone: {profile}"));
        }
        expect_equal(&format!("{name}: finalizers"), &metadata["finalizers"], &json!([FINALIZER]))?;

        let hash = short_hash(profile);
        let (mut ready, mut pending, mut unreachable) = (0, 0, 0);
        for (node, object) in &self.nodes {
            let held = &self.reports[node]["status"]["report"]["files"][name];
            *match (is_reachable(object), *held == hash.as_str()) {
                (false, _) => &mut unreachable,
                (true, true) => &mut ready,
                (true, false) => &mut pending,
            } += 1;
        }
        let desired = self.nodes.len();
        let is_ready = ready > 0 && pending == 0;
        let (status, reason) = match (is_ready, pending) {
            (true, _) => ("True", "AllNodesReady"),
            (false, 0) => ("False", "NoNodes"),
            (false, _) => ("False", "RollingOut"),
        };
        let mut wanted_conditions =
            vec![json!(["Accepted", "True", "Valid"]), json!(["Ready", status, reason])];
        if deleting {
            wanted_conditions.push(json!(["Deleting", "True", "InUse"]));
        }
        // The contents of these tests permit a call that does not exist. A profile that was deleted at once was not
        // checked.
        let found = &profile["status"]["warnings"];
        if !deleting || found.is_array() {
            wanted_conditions.push(json!(["Sound", "False", "UnknownSyscall"]));
            expect_equal(&format!("{name}: warnings"), &found[0]["rule"], &json!("unknown-syscall"))?;
        }
        let state = match (deleting, is_ready) {
            (true, _) => "Deleting",
            (false, true) => "Ready",
            (false, false) => "Progressing",
        };
        let wanted = json!({
            "observedGeneration": metadata["generation"],
            "contentHash": hash_of(&profile["spec"]["contents"]),
            "localhostProfile": format!("profiles/{name}.json"),
            "ready": format!("{ready}/{desired}"),
            "state": state,
            "nodes": {
                "desired": desired, "ready": ready, "pending": pending, "failed": 0, "joining": 0,
                "unreachable": unreachable,
            },
            "inUse": live > 0,
            "pods": { "using": self.naming_pods(name), "outdated": 0 },
            "conditions": wanted_conditions,
        });
        let mut status = profile["status"].clone();
        status["conditions"] = conditions(&profile["status"]);
        status.as_object_mut().map(|fields| fields.remove("warnings"));
        // What was ready before is not known here.
        let ready_hash = status.as_object_mut().and_then(|fields| fields.remove("readyHash"));
        expect_equal(name, &status, &wanted)?;
        if is_ready {
            let hash = json!(hash_of(&profile["spec"]["contents"]));
            expect_equal(&format!("{name}: readyHash"), &ready_hash.unwrap_or_default(), &hash)?;
        }
        if deleting {
            let message = profile["status"]["conditions"][2]["message"].as_str().unwrap_or_default();
            let number = message.split(' ').next().unwrap_or_default();
            expect_equal(&format!("{name}: pods that hold it"), &number, &live.to_string().as_str())?;
        }
        Ok(())
    }

    /// Pods that name a profile and have not ended. No kubelet runs, so that no container does.
    fn naming_pods(&self, profile: &str) -> usize {
        let path = format!("profiles/{profile}.json");
        let names = |pod: &&Value| {
            let ended =
                ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default());
            pod["spec"]["securityContext"]["seccompProfile"]["localhostProfile"] == path.as_str() && !ended
        };
        self.pods.iter().filter(names).count()
    }

    /// Pods that need the file of a profile: they have not ended, and are not scheduled or are on an existing,
    /// reachable node.
    fn live_pods(&self, profile: &str) -> usize {
        let path = format!("profiles/{profile}.json");
        let is_live = |pod: &&Value| {
            let uses = pod["spec"]["securityContext"]["seccompProfile"]["localhostProfile"] == path.as_str();
            let ended =
                ["Succeeded", "Failed"].contains(&pod["status"]["phase"].as_str().unwrap_or_default());
            let node = pod["spec"]["nodeName"].as_str();
            uses && !ended && node.is_none_or(|node| self.nodes.get(node).is_some_and(answers))
        };
        self.pods.iter().filter(is_live).count()
    }
}

async fn all<K>(api: Api<K>) -> Vec<Value>
where
    K: Clone + std::fmt::Debug + serde::de::DeserializeOwned + Serialize,
{
    let list = api.list(&ListParams::default()).await.unwrap();
    list.items.iter().map(|object| serde_json::to_value(object).unwrap()).collect()
}

fn by_name(objects: Vec<Value>) -> BTreeMap<String, Value> {
    let name = |object: &Value| object["metadata"]["name"].as_str().unwrap().to_owned();
    objects.into_iter().map(|object| (name(&object), object)).collect()
}

fn is_reachable(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|found| found["type"] == "Ready" && found["status"] == "True")
}

/// Whether its kubelet reports a state, including that it is not ready.
fn answers(node: &Value) -> bool {
    let conditions = node["status"]["conditions"].as_array();
    conditions.into_iter().flatten().any(|found| found["type"] == "Ready" && found["status"] != "Unknown")
}

fn is_deleting(profile: &Value) -> bool {
    profile["metadata"].get("deletionTimestamp").is_some_and(|time| !time.is_null())
}

/// The hash with which a report lists the profile's file.
fn short_hash(profile: &Value) -> String {
    hash_of(&profile["spec"]["contents"])["sha256:".len()..][..32].to_owned()
}

/// Type, status and reason of each condition.
fn conditions(status: &Value) -> Value {
    let conditions = status["conditions"].as_array();
    let short = |found: &Value| json!([found["type"], found["status"], found["reason"]]);
    conditions.into_iter().flatten().map(short).collect()
}

fn expect_equal<T: PartialEq + std::fmt::Debug>(what: &str, found: &T, wanted: &T) -> Result<(), String> {
    if found == wanted { Ok(()) } else { Err(format!("{what}:\n  found  {found:?}\n  wanted {wanted:?}")) }
}
