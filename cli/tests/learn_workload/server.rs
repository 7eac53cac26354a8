//! The API server of a cluster with the Deployment `web`.

use std::collections::BTreeMap;
use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use tokio::time::Instant;

const WORKLOAD: &str = "/apis/apps/v1/namespaces/shop/deployments/web";

/// A cluster with the Deployment `web`, whose program makes more calls in each of its generations, and an observer.
pub(super) struct Server {
    pub(super) workload: Value,
    /// As it was in the beginning.
    pub(super) before: Value,
    pub(super) profiles: BTreeMap<String, Value>,
    /// The calls that the program makes, by the number of the template's generation; the last goes for all later ones.
    pub(super) program: Vec<Vec<&'static str>>,
    /// The generation of the template.
    pub(super) template: usize,
    /// What was logged so far, by pod.
    pub(super) logged: BTreeMap<String, Vec<String>>,
    /// How many records were lost, by the time since the beginning.
    pub(super) lost: fn(Duration) -> i64,
    /// How many calls of unknown containers there were, by the same time.
    pub(super) unknown: fn(Duration) -> i64,
    /// How many of these are of containers that may still be named.
    pub(super) unnamed: fn(Duration) -> i64,
    pub(super) begun: Instant,
    pub(super) observer: bool,
    /// Whether a webhook adds a container to each pod.
    pub(super) injected: bool,
    /// Whether pods under this file become ready.
    pub(super) ready: fn(&str) -> bool,
    /// For how many looks at the workload it stays ready under the result, if not for ever.
    pub(super) stays_ready: Option<u32>,
    /// For how many looks it is not ready then, if not for ever.
    pub(super) recovers: Option<u32>,
    /// How often it was looked at under the result.
    pub(super) looks: u32,
    /// What happens to it under the result, while it must stay ready.
    pub(super) event: Event,
    /// What somebody else does after each rollout.
    pub(super) meddled: Meddled,
    /// The phase of its pod, by the time since the beginning; `None` for no pod.
    pub(super) phase: fn(Duration) -> Option<&'static str>,
    /// Whether the observer's pod is ready, by the time since the beginning.
    pub(super) is_observing: fn(Duration) -> bool,
    /// What happens once, after these seconds.
    pub(super) later: Option<Later>,
    /// After how many further changes it answers no more.
    pub(super) cut: Option<usize>,
    /// How many requests that change something fail for the moment.
    pub(super) failing: usize,
    /// What was changed.
    pub(super) changes: Vec<String>,
}

/// What happens after some seconds.
pub(super) type Later = (u64, fn(&mut Server));

/// What happens to the workload under the result.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Event {
    Nothing,
    /// Its container is started anew when it is not ready.
    Restart,
    /// Somebody else gives the template another profile.
    TakenOut,
}

/// What somebody else does to the workload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Meddled {
    Nothing,
    /// The whole template is replaced.
    Template,
    /// The profile in the template is put back; what the manifest does not name stays.
    Profile,
}

impl Server {
    pub(super) fn new() -> Self {
        let default = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
        let workload = json!({
            "apiVersion": "apps/v1", "kind": "Deployment",
            "metadata": { "name": "web", "namespace": "shop", "uid": "u", "generation": 1, "resourceVersion": "1" },
            "spec": { "replicas": 1, "template": {
                "metadata": { "labels": { "app": "web" } },
                "spec": { "securityContext": default, "containers": [{ "name": "main" }, { "name": "helper" }] },
            } },
        });
        Self {
            before: workload["spec"].clone(),
            workload,
            profiles: BTreeMap::new(),
            program: vec![vec![], vec!["read", "openat"], vec!["read", "openat", "mmap"]],
            template: 0,
            logged: BTreeMap::new(),
            lost: |_| 0,
            unknown: |_| 0,
            unnamed: |_| 0,
            begun: Instant::now(),
            observer: true,
            injected: false,
            ready: |_| true,
            stays_ready: None,
            recovers: None,
            event: Event::Nothing,
            looks: 0,
            meddled: Meddled::Nothing,
            phase: |_| Some("Running"),
            is_observing: |_| true,
            later: None,
            cut: None,
            failing: 0,
            changes: Vec::new(),
        }
    }

    pub(super) fn file(&self) -> String {
        let profile = &self.workload["spec"]["template"]["spec"]["securityContext"]["seccompProfile"];
        profile["localhostProfile"].as_str().unwrap_or_default().to_owned()
    }

    /// What the profile of the pods does with a call.
    fn action(&self, call: &str) -> Option<String> {
        let file = self.file();
        let name = file.strip_prefix("profiles/")?.strip_suffix(".json")?;
        let contents = &self.profiles.get(name)?["spec"]["contents"];
        let mut rules = contents["syscalls"].as_array().unwrap().iter();
        let rule = rules.find(|rule| rule["names"].as_array().unwrap().iter().any(|it| it == call));
        rule.map(|rule| rule["action"].as_str().unwrap().to_owned())
    }

    fn pod(&self) -> Option<Value> {
        let name = format!("web-{}", self.template);
        let phase = (self.phase)(self.begun.elapsed())?;
        let is_anew = self.event == Event::Restart && self.stays_ready == Some(0);
        let started = if is_anew { "2026-01-01T00:00:09Z" } else { "2026-01-01T00:00:01Z" };
        Some(json!({
            "metadata": { "name": name, "namespace": "shop", "uid": format!("uid-{name}"), "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "web-rs", "uid": "u", "controller": true },
            ] },
            "spec": {
                "nodeName": "node-1", "securityContext": self.workload["spec"]["template"]["spec"]["securityContext"],
                "containers": [{ "name": "main" }, { "name": "helper" }, { "name": "injected" }],
            },
            "status": { "phase": phase, "startTime": "2026-01-01T00:00:00Z", "containerStatuses": [
                { "name": "main", "state": { "running": { "startedAt": started } } },
            ] },
        }))
    }

    fn observers_pod(&self) -> Value {
        let status = if (self.is_observing)(self.begun.elapsed()) { "True" } else { "False" };
        json!({
            "metadata": { "name": "observer-1", "namespace": "seccomp-profile" },
            "spec": { "nodeName": "node-1", "containers": [] },
            "status": { "phase": "Running", "conditions": [{ "type": "Ready", "status": status }] },
        })
    }

    /// The report of the node; the pod's program goes on.
    fn observation(&mut self) -> Value {
        let pod = format!("web-{}", self.template);
        let calls = self.program[self.template.min(self.program.len() - 1)].clone();
        for call in calls {
            let is_logged = self.action(call).as_deref() == Some("SCMP_ACT_LOG");
            let logged = self.logged.entry(pod.clone()).or_default();
            if is_logged && !logged.iter().any(|it| it == call) {
                logged.push(call.to_owned());
            }
        }
        let container = if self.injected { "injected" } else { "main" };
        let containers =
            self.logged.iter().map(|(pod, calls)| {
                let calls = calls.iter().map(|call| json!({
                "architecture": "x86_64", "number": 1, "name": call, "action": "SCMP_ACT_LOG", "count": 7,
                "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:01:00Z", "program": "/bin/web",
            }));
                json!({
                    "namespace": "shop", "pod": pod, "podUid": format!("uid-{pod}"), "container": container,
                    "containerId": format!("c-{pod}"), "calls": calls.collect::<Vec<_>>(),
                })
            });
        json!({ "metadata": { "name": "node-1" }, "spec": {}, "status": { "report": {
            "observerVersion": "0.1.0", "state": "Observing", "containers": containers.collect::<Vec<_>>(),
            "outside": 0, "unknown": (self.unknown)(self.begun.elapsed()), "unnamed": (self.unnamed)(self.begun.elapsed()),
            "forgotten": 0, "lost": (self.lost)(self.begun.elapsed()), "boot": "b",
        } } })
    }

    fn profile(&self, name: &str) -> Option<Value> {
        let mut profile = self.profiles.get(name)?.clone();
        profile["status"] = json!({
            "observedGeneration": profile["metadata"]["generation"], "state": "Ready",
            "localhostProfile": format!("profiles/{name}.json"),
            "conditions": [{
                "type": "Ready", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z",
            }],
        });
        Some(profile)
    }

    pub(super) fn answer(&mut self, method: &Method, path: &str, query: &str, body: &[u8]) -> (u16, Value) {
        let list = |items: Vec<Value>| {
            (200, json!({ "kind": "List", "apiVersion": "v1", "metadata": {}, "items": items }))
        };
        let name = path.rsplit_once('/').unwrap().1;
        if let Some((seconds, later)) = self.later
            && self.begun.elapsed().as_secs() >= seconds
        {
            self.later = None;
            later(self);
        }
        if *method != Method::GET {
            if self.failing > 0 {
                self.failing -= 1;
                return failure(503, name);
            }
            self.cut = self.cut.map(|cut| cut - 1);
            return self.change(method, path, serde_json::from_slice(body).unwrap_or_default());
        }
        match name {
            _ if path.contains("/seccompprofiles/") => match self.profile(name) {
                Some(profile) => (200, profile),
                None => failure(404, name),
            },
            "web" => {
                let mut is_ready = (self.ready)(&self.file());
                if self.file() == "profiles/web.json" {
                    self.looks += 1;
                    if self.event == Event::TakenOut && self.looks == 20 {
                        let seccomp = json!({ "seccompProfile": { "type": "RuntimeDefault" } });
                        self.workload["spec"]["template"]["spec"]["securityContext"] = seccomp;
                    }
                    if self.stays_ready == Some(0) && self.recovers != Some(0) {
                        is_ready = false;
                        self.recovers = self.recovers.map(|looks| looks - 1);
                    }
                    self.stays_ready = self.stays_ready.map(|looks| looks.saturating_sub(1));
                }
                let mut workload = self.workload.clone();
                workload["status"] = json!({
                    "observedGeneration": workload["metadata"]["generation"], "replicas": 1, "updatedReplicas": 1,
                    "availableReplicas": i32::from(is_ready),
                });
                (200, workload)
            }
            "seccompprofiles" => list(self.profiles.keys().filter_map(|name| self.profile(name)).collect()),
            "nodeprofilestatuses" => list(Vec::new()),
            "seccompobservations" => {
                let observation = self.observation();
                list(Vec::from_iter(self.observer.then_some(observation)))
            }
            "pods" if query.contains("observer") => list(vec![self.observers_pod()]),
            "pods" if query.contains("labelSelector") => list(Vec::new()),
            "pods" => list(Vec::from_iter(self.pod())),
            "replicasets" => {
                list(vec![json!({ "metadata": { "name": "web-rs", "namespace": "shop", "ownerReferences": [
                { "apiVersion": "apps/v1", "kind": "Deployment", "name": "web", "uid": "u", "controller": true },
            ] } })])
            }
            other => panic!("{method} {other}"),
        }
    }

    fn change(&mut self, method: &Method, path: &str, mut object: Value) -> (u16, Value) {
        let name = path.rsplit_once('/').unwrap().1;
        if path == WORKLOAD {
            assert_eq!(object["metadata"]["resourceVersion"], self.workload["metadata"]["resourceVersion"]);
            let generation = self.workload["metadata"]["generation"].as_i64().unwrap() + 1;
            if object["spec"]["template"] != self.workload["spec"]["template"] {
                self.template += 1;
                self.changes.push("rollout".to_owned());
            }
            object["metadata"]["generation"] = json!(generation);
            object["metadata"]["resourceVersion"] = json!(generation.to_string());
            object.as_object_mut().unwrap().remove("status");
            self.workload = object.clone();
            match self.meddled {
                Meddled::Nothing => {}
                Meddled::Template => self.workload["spec"] = self.before.clone(),
                Meddled::Profile => {
                    self.workload["spec"]["template"]["spec"] = self.before["template"]["spec"].clone();
                }
            }
            return (200, object);
        }
        match *method {
            Method::POST => {
                let name = object["metadata"]["name"].as_str().unwrap().to_owned();
                object["metadata"]["generation"] = json!(1);
                object["metadata"]["resourceVersion"] = json!("1");
                self.changes.push(format!("create {name}"));
                self.profiles.insert(name, object.clone());
                (201, object)
            }
            Method::PUT => {
                let generation = self.profiles[name]["metadata"]["generation"].as_i64().unwrap() + 1;
                object["metadata"]["generation"] = json!(generation);
                object.as_object_mut().unwrap().remove("status");
                self.changes.push(format!("update {name}"));
                self.profiles.insert(name.to_owned(), object.clone());
                (200, object)
            }
            Method::DELETE => {
                self.changes.push(format!("delete {name}"));
                let deleted = self.profiles.remove(name);
                (200, deleted.unwrap())
            }
            _ => panic!("{method} {path}"),
        }
    }
}

fn failure(code: u16, name: &str) -> (u16, Value) {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "message": "not found", "code": code,
        "reason": "NotFound", "details": { "name": name },
    });
    (code, status)
}
