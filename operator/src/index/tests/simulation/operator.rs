//! The operator around the index, without tasks: feeds deliver changes, the work queue returns the keys that are due,
//! and a reconciliation makes one write, as in `reconcile/`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::names::FINALIZER;
use api::{SeccompProfileStatus, Selection};
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::feed::{AnyFeed, Feed};
use super::server::{Refused, Server, text};
use crate::facts::{AgentPods, ObjectVersion, ProfileFacts, ReportFacts, UpdateSource};
use crate::index::{Index, ListedPods, NodeOperation, ProfileOperation, WorkKey};
use crate::labels::KindLabel;
use crate::queue::WorkQueue;
use crate::watch::{NodeWatch, PodWatch, ProfileWatch, ReportWatch};

/// Stops a key that requeues itself for ever.
const MAX_KEYS: usize = 1000;

pub(super) struct Operator {
    pub(super) index: Index,
    feeds: [Box<dyn AnyFeed>; 4],
    pods: PodWatch,
    pub(super) queue: WorkQueue<WorkKey, Timestamp>,
    /// Keys whose reconciliation failed, to be tried again shortly.
    retries: BTreeSet<WorkKey>,
    /// Answers that are under way. Their keys are still being reconciled.
    answers: VecDeque<PendingAnswer>,
    /// If the next write fails: whether it takes effect nevertheless.
    pub(super) next_write_fails: Option<bool>,
    complete: bool,
    /// When each Node in the index was first seen, by uid. When a watch replays its predecessor's event, its time
    /// starts again.
    pub(super) arrived: BTreeMap<String, Timestamp>,
}

struct PendingAnswer {
    key: WorkKey,
    began: Timestamp,
    requeue_at: Option<Timestamp>,
    content: AnswerContent,
}

enum AnswerContent {
    Nothing,
    Profile(Value, Option<Box<SeccompProfileStatus>>),
    Released(Value, String),
    Report(Value, UpdateSource),
}

impl Operator {
    /// A process that has just begun.
    pub(super) fn new() -> Self {
        let labels = |key: &str| BTreeMap::from([(key.to_owned(), "yes".to_owned())]);
        let pods = PodWatch {
            directory: "profiles".into(),
            agents: AgentPods { namespace: "ns".into(), labels: labels("agent") },
        };
        let nodes = NodeWatch(Selection { labels: labels("selected"), affinity: None });
        Self {
            index: Index::new("profiles"),
            feeds: [
                Box::new(Feed::new(KindLabel::Profile, ProfileWatch)),
                Box::new(Feed::new(KindLabel::Report, ReportWatch)),
                Box::new(Feed::new(KindLabel::Node, nodes)),
                Box::new(Feed::new(KindLabel::Pod, pods.clone())),
            ],
            pods,
            queue: WorkQueue::default(),
            retries: BTreeSet::new(),
            answers: VecDeque::new(),
            next_write_fails: None,
            complete: false,
            arrived: BTreeMap::new(),
        }
    }

    /// Delivers an event, if there is one.
    pub(super) fn deliver(&mut self, kind: KindLabel, server: &Server, now: Timestamp) -> bool {
        let delivered = self.feeds[kind as usize].next(server, &mut self.index, now);
        if !self.complete && self.feeds.iter().all(|feed| feed.has_listed()) {
            self.complete = true;
            self.index.queue_all();
        }
        let known = self.index.nodes.values().filter_map(|node| Some(node.object.as_ref()?.uid.clone()));
        self.arrived = known.map(|uid| (uid.clone(), *self.arrived.get(&uid).unwrap_or(&now))).collect();
        self.collect();
        delivered
    }

    pub(super) fn break_watch(&mut self, kind: KindLabel, reports_error: bool) {
        self.feeds[kind as usize].break_watch(&mut self.index, reports_error);
    }

    pub(super) fn rewind(&mut self, kind: KindLabel, changes: usize) {
        self.feeds[kind as usize].rewind(changes);
    }

    fn collect(&mut self) {
        for key in self.index.take_dirty() {
            self.queue.add(key);
        }
    }

    /// Reconciles at most `most` due keys; `false` if none.
    pub(super) fn reconcile(&mut self, most: usize, server: &mut Server, now: Timestamp) -> bool {
        let mut keys = 0;
        while keys < most
            && let Some(key) = self.queue.take(now, usize::MAX)
        {
            keys += 1;
            match self.complete {
                true => self.reconcile_one(key, server, now),
                false => self.queue.done(key, None),
            }
        }
        keys > 0
    }

    fn reconcile_one(&mut self, key: WorkKey, server: &mut Server, now: Timestamp) {
        let next_write_fails = self.next_write_fails.take();
        if next_write_fails == Some(false) {
            self.retries.insert(key);
            return;
        }
        let result = match &key {
            WorkKey::Profile(name) => self.reconcile_profile(name, server, now),
            WorkKey::Orphan(name) => self.reconcile_orphan(name, server, now),
            WorkKey::Node(name) => self.reconcile_node(name, server, now),
        };
        self.collect();
        match result {
            None => self.queue.done(key, None),
            Some((Ok(AnswerContent::Nothing), requeue_at)) => self.queue.done(key, requeue_at),
            Some((Ok(content), requeue_at)) if next_write_fails.is_none() => {
                self.answers.push_back(PendingAnswer { key, began: now, requeue_at, content });
            }
            Some(_) => {
                self.retries.insert(key);
            }
        }
    }

    /// Queues the keys whose reconciliation failed.
    fn retry(&mut self) {
        for key in std::mem::take(&mut self.retries) {
            self.queue.add(key.clone());
            self.queue.done(key, None);
        }
    }

    fn reconcile_profile(
        &mut self,
        name: &str,
        server: &mut Server,
        now: Timestamp,
    ) -> Option<(Result<AnswerContent, Refused>, Option<Timestamp>)> {
        let mut decision = self.index.decide_profile(name, now)?;
        let version = decision.version.resource_version;
        let mut write = |change: &mut dyn FnMut(&mut Value)| {
            server.change_version(KindLabel::Profile, name, &version, change)
        };
        let result = match decision.operation {
            ProfileOperation::Nothing | ProfileOperation::Defer => Ok(AnswerContent::Nothing),
            ProfileOperation::ListPods => {
                let facts = |pod: &Value| self.pods.facts(&serde_json::from_value(pod.clone()).unwrap());
                let pods: Vec<_> = server.all(KindLabel::Pod).map(|(_, pod)| facts(pod)).collect();
                let uid = &decision.version.uid;
                let mut listed = self.index.pods_listed(name, uid, &pods, &BTreeSet::new(), now);
                if let ListedPods::NodesNotKnown(nodes) = &listed
                    && !server.all(KindLabel::Node).any(|(node, _)| nodes.contains(node))
                {
                    let gone = nodes.clone();
                    listed = self.index.pods_listed(name, uid, &pods, &gone, now);
                }
                if listed != ListedPods::AllKnown {
                    decision.requeue_at = now.checked_add(std::time::Duration::from_secs(10)).ok();
                }
                Ok(AnswerContent::Nothing)
            }
            ProfileOperation::AddFinalizer { has_finalizers } => {
                write(&mut |object| match &mut object["metadata"]["finalizers"] {
                    Value::Array(list) if has_finalizers => list.push(json!(FINALIZER)),
                    list => *list = json!([FINALIZER]),
                })
                .map(|object| AnswerContent::Profile(object, None))
            }
            ProfileOperation::WriteStatus { status, .. } => {
                write(&mut |object| object["status"] = json!(status))
                    .map(|object| AnswerContent::Profile(object, Some(status)))
            }
            ProfileOperation::RemoveFinalizer { finalizer, .. } => write(&mut |object| {
                let list = object["metadata"]["finalizers"].as_array_mut().unwrap();
                assert_eq!(list.remove(finalizer), FINALIZER);
            })
            .map(|object| AnswerContent::Released(object, decision.version.uid)),
            ProfileOperation::Delete { .. } => panic!("{name}: no image has brought it"),
        };
        Some((result, decision.requeue_at))
    }

    fn reconcile_node(
        &mut self,
        name: &str,
        server: &mut Server,
        now: Timestamp,
    ) -> Option<(Result<AnswerContent, Refused>, Option<Timestamp>)> {
        self.index.advance_time(name, now);
        self.index.settle_exclusions(name);
        let mut decision = self.index.decide_node(name, now)?;
        let result = match decision.operation {
            NodeOperation::Nothing => Ok(AnswerContent::Nothing),
            NodeOperation::CreateReport { owner } => {
                let owners = json!([{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": owner }]);
                let report = json!({ "metadata": { "ownerReferences": owners }, "spec": {} });
                server
                    .create(KindLabel::Report, name, &now.to_string(), report)
                    .map(|object| AnswerContent::Report(object, UpdateSource::Created))
            }
            NodeOperation::DeleteReport { version } => delete_report(name, &version, server, now),
            NodeOperation::ListPods { uid } => {
                let facts = |pod: &Value| self.pods.facts(&serde_json::from_value(pod.clone()).unwrap());
                let pods: Vec<_> = server.all(KindLabel::Pod).map(|(_, pod)| facts(pod)).collect();
                if !self.index.pods_of_node_listed(name, &uid, &pods, now) {
                    decision.requeue_at = now.checked_add(std::time::Duration::from_secs(10)).ok();
                }
                Ok(AnswerContent::Nothing)
            }
            NodeOperation::WriteExclusions { version, excluded } => server
                .change_version(KindLabel::Report, name, &version.resource_version, |object| {
                    object["spec"]["excludedProfiles"] = json!(excluded);
                })
                .map(|object| AnswerContent::Report(object, UpdateSource::Answer)),
            NodeOperation::WriteConditions { version, has_status, conditions, .. } => server
                .change_version(KindLabel::Report, name, &version.resource_version, |object| match has_status
                {
                    true => object["status"]["conditions"] = json!(conditions),
                    false => object["status"] = json!({ "conditions": conditions }),
                })
                .map(|object| AnswerContent::Report(object, UpdateSource::Answer)),
        };
        Some((result, decision.requeue_at))
    }

    fn reconcile_orphan(
        &mut self,
        name: &str,
        server: &mut Server,
        now: Timestamp,
    ) -> Option<(Result<AnswerContent, Refused>, Option<Timestamp>)> {
        let decision = self.index.decide_orphan(name, now)?;
        let result = match decision.operation {
            NodeOperation::DeleteReport { version } => delete_report(name, &version, server, now),
            _ => Ok(AnswerContent::Nothing),
        };
        Some((result, decision.requeue_at))
    }

    /// Delivers the answer to an earlier write.
    pub(super) fn deliver_answer(&mut self) -> bool {
        let Some(PendingAnswer { key, began, requeue_at, content }) = self.answers.pop_front() else {
            return false;
        };
        let (WorkKey::Profile(name) | WorkKey::Node(name) | WorkKey::Orphan(name)) = &key;
        let profile = |index: &Index, object| {
            let known = index.profile(name);
            ProfileFacts::given(known, &serde_json::from_value(object).unwrap())
        };
        match content {
            AnswerContent::Nothing => {}
            AnswerContent::Profile(object, status) => {
                let facts = profile(&self.index, object);
                self.index.apply_profile(facts, UpdateSource::Answer, began);
                if let Some(status) = status {
                    self.index.status_written(name, &status, began);
                }
            }
            AnswerContent::Released(object, uid) => match object["metadata"]["finalizers"].as_array() {
                Some(list) if !list.is_empty() => {
                    let facts = profile(&self.index, object);
                    self.index.apply_profile(facts, UpdateSource::Answer, began);
                }
                _ => self.index.delete_profile(name, &uid, began),
            },
            AnswerContent::Report(object, source) => {
                let report = ReportFacts::of(serde_json::from_value(object).unwrap());
                self.index.apply_report(report, source, began);
            }
        }
        self.collect();
        self.queue.done(key, requeue_at);
        true
    }

    /// Delivers all events and answers and reconciles all keys that are due, until nothing is left.
    pub(super) fn run_until_idle(&mut self, server: &mut Server, now: Timestamp) -> Result<(), String> {
        self.next_write_fails = None;
        for _ in 0..200 {
            let mut busy = !self.retries.is_empty();
            self.retry();
            for kind in KindLabel::JUDGED {
                while self.deliver(kind, server, now) {
                    busy = true;
                }
            }
            busy |= self.deliver_answer();
            busy |= self.reconcile(MAX_KEYS, server, now);
            if !busy {
                return Ok(());
            }
        }
        Err(format!("the operator does not settle: {:?}", self.queue))
    }

    /// Moves the clock to `to` and reconciles each key when it is due. `deliver_all`: events and answers arrive without
    /// delay.
    pub(super) fn advance_to(
        &mut self,
        server: &mut Server,
        now: Timestamp,
        to: Timestamp,
        deliver_all: bool,
    ) -> Result<(), String> {
        let mut now = now;
        self.retry();
        for _ in 0..5000 {
            let Some(time) = self.queue.next_timer().filter(|time| *time <= to) else { return Ok(()) };
            now = now.max(time);
            match deliver_all {
                true => self.run_until_idle(server, now)?,
                false => {
                    self.reconcile(MAX_KEYS, server, now);
                }
            }
        }
        Err(format!("the operator does not settle in time: {:?}", self.queue))
    }
}

fn delete_report(
    name: &str,
    version: &ObjectVersion,
    server: &mut Server,
    now: Timestamp,
) -> Result<AnswerContent, Refused> {
    match server.get(KindLabel::Report, name) {
        Some(object) if text(object, "/metadata/resourceVersion") == version.resource_version => {
            server.delete(KindLabel::Report, name, now).map(|_| AnswerContent::Nothing)
        }
        _ => Err(Refused),
    }
}
