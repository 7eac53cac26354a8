//! The operator around the index, without tasks: feeds bring news, what is due is looked at, a look writes one thing,
//! timers bring objects back. The steps are those of `reconcile.rs`, the store's part that of kube-runtime's applier.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use api::SeccompProfileStatus;
use api::names::FINALIZER;
use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::feed::{AnyFeed, Feed};
use super::server::{KINDS, Kind, Refused, Server, text};
use crate::facts::{AgentPods, ProfileFacts, ReportFacts, Source, Version};
use crate::index::{Index, Listed, NodeOperation, ProfileOperation};
use crate::selection::Selection;
use crate::watch::{Nodes, Pods, Profiles, Reports};

type Name = (Kind, String);

pub(super) struct Operator {
    pub(super) index: Index,
    feeds: [Box<dyn AnyFeed>; 4],
    pods: Pods,
    due: BTreeSet<Name>,
    /// When objects are due again; one time each, as the applier keeps them.
    pub(super) timers: BTreeMap<Name, Timestamp>,
    /// Failed writes, to be tried again shortly.
    retries: BTreeSet<Name>,
    /// Answers that are under way. Nothing is looked at while one about it is.
    answers: VecDeque<Answer>,
    /// Whether the next write fails, and if so, whether it happens all the same.
    pub(super) trouble: Option<bool>,
    complete: bool,
    /// When each Node that is known, by uid, was heard of. One whose predecessor a watch brings once more is new again.
    pub(super) arrived: BTreeMap<String, Timestamp>,
}

struct Answer {
    about: Name,
    looked: Timestamp,
    requeue_at: Option<Timestamp>,
    news: News,
}

enum News {
    Nothing,
    Profile(Value, Option<Box<SeccompProfileStatus>>),
    Released(Value, String),
    Report(Value, Source),
}

impl Operator {
    /// A process that has just begun.
    pub(super) fn new() -> Self {
        let labels = |key: &str| BTreeMap::from([(key.to_owned(), "yes".to_owned())]);
        let pods = Pods {
            directory: "profiles".into(),
            agents: AgentPods { namespace: "ns".into(), labels: labels("agent") },
        };
        let nodes = Nodes(Selection { labels: labels("selected"), affinity: None });
        Self {
            index: Index::new("profiles"),
            feeds: [
                Box::new(Feed::new(Kind::Profile, Profiles)),
                Box::new(Feed::new(Kind::Report, Reports)),
                Box::new(Feed::new(Kind::Node, nodes)),
                Box::new(Feed::new(Kind::Pod, pods.clone())),
            ],
            pods,
            due: BTreeSet::new(),
            timers: BTreeMap::new(),
            retries: BTreeSet::new(),
            answers: VecDeque::new(),
            trouble: None,
            complete: false,
            arrived: BTreeMap::new(),
        }
    }

    /// One event of one kind.
    pub(super) fn deliver(&mut self, kind: Kind, server: &Server, now: Timestamp) -> bool {
        let brought = self.feeds[kind as usize].next(server, &mut self.index, now);
        if !self.complete && self.feeds.iter().all(|feed| feed.has_listed()) {
            self.complete = true;
            self.index.touch_all();
        }
        let known = self.index.nodes.values().filter_map(|node| Some(node.object.as_ref()?.uid.clone()));
        self.arrived = known.map(|uid| (uid.clone(), *self.arrived.get(&uid).unwrap_or(&now))).collect();
        self.collect();
        brought
    }

    pub(super) fn lose(&mut self, kind: Kind, told: bool) {
        self.feeds[kind as usize].lose(&mut self.index, told);
    }

    pub(super) fn rewind(&mut self, kind: Kind, changes: usize) {
        self.feeds[kind as usize].rewind(changes);
    }

    fn collect(&mut self) {
        let dirty = self.index.take_dirty();
        self.due.extend(dirty.profiles.into_iter().map(|name| (Kind::Profile, name)));
        self.due.extend(dirty.nodes.into_iter().map(|name| (Kind::Node, name)));
        self.due.extend(dirty.orphans.into_iter().map(|name| (Kind::Report, name)));
    }

    /// Looks at the first few that are due.
    pub(super) fn look(&mut self, most: usize, server: &mut Server, now: Timestamp) -> bool {
        let free = |name: &&Name| !self.answers.iter().any(|answer| answer.about == **name);
        let names: Vec<_> = self.due.iter().filter(free).take(most).cloned().collect();
        for name in &names {
            self.due.remove(name);
            if self.complete && self.feeds[name.0 as usize].names().contains(&name.1) {
                self.timers.remove(name);
                self.look_at(name.clone(), server, now);
            }
        }
        !names.is_empty()
    }

    fn look_at(&mut self, name: Name, server: &mut Server, now: Timestamp) {
        let trouble = self.trouble.take();
        if trouble == Some(false) {
            self.retries.insert(name);
            return;
        }
        let step = match name.0 {
            Kind::Profile => self.step_profile(&name.1, server, now),
            Kind::Report => self.step_orphan(&name.1, server, now),
            _ => self.step_node(&name.1, server, now),
        };
        self.collect();
        match step {
            None => {}
            Some((Ok(News::Nothing), requeue_at)) => self.timers.extend(requeue_at.map(|time| (name, time))),
            Some((Ok(news), requeue_at)) if trouble.is_none() => {
                self.answers.push_back(Answer { about: name, looked: now, requeue_at, news });
            }
            Some(_) => {
                self.retries.insert(name);
            }
        }
    }

    fn step_profile(
        &mut self,
        name: &str,
        server: &mut Server,
        now: Timestamp,
    ) -> Option<(Result<News, Refused>, Option<Timestamp>)> {
        let mut verdict = self.index.verdict_on_profile(name, now)?;
        let version = verdict.version.resource_version;
        let mut write =
            |change: &mut dyn FnMut(&mut Value)| server.change_version(Kind::Profile, name, &version, change);
        let done = match verdict.step {
            ProfileOperation::Nothing | ProfileOperation::HoldBack => Ok(News::Nothing),
            ProfileOperation::ListPods => {
                let facts = |pod: &Value| self.pods.facts(&serde_json::from_value(pod.clone()).unwrap());
                let pods: Vec<_> = server.all(Kind::Pod).map(|(_, pod)| facts(pod)).collect();
                let uid = &verdict.version.uid;
                let mut listed = self.index.pods_listed(name, uid, &pods, &BTreeSet::new(), now);
                if let Listed::NodesNotKnown(nodes) = &listed
                    && !server.all(Kind::Node).any(|(node, _)| nodes.contains(node))
                {
                    let gone = nodes.clone();
                    listed = self.index.pods_listed(name, uid, &pods, &gone, now);
                }
                if listed != Listed::AllKnown {
                    verdict.requeue_at = now.checked_add(std::time::Duration::from_secs(10)).ok();
                }
                Ok(News::Nothing)
            }
            ProfileOperation::AddFinalizer { has_finalizers } => {
                write(&mut |object| match &mut object["metadata"]["finalizers"] {
                    Value::Array(list) if has_finalizers => list.push(json!(FINALIZER)),
                    list => *list = json!([FINALIZER]),
                })
                .map(|object| News::Profile(object, None))
            }
            ProfileOperation::WriteStatus { status, .. } => {
                write(&mut |object| object["status"] = json!(status))
                    .map(|object| News::Profile(object, Some(status)))
            }
            ProfileOperation::Release { finalizer, .. } => write(&mut |object| {
                let list = object["metadata"]["finalizers"].as_array_mut().unwrap();
                assert_eq!(list.remove(finalizer), FINALIZER);
            })
            .map(|object| News::Released(object, verdict.version.uid)),
        };
        Some((done, verdict.requeue_at))
    }

    fn step_node(
        &mut self,
        name: &str,
        server: &mut Server,
        now: Timestamp,
    ) -> Option<(Result<News, Refused>, Option<Timestamp>)> {
        self.index.pass_time(name, now);
        let verdict = self.index.judge_node(name, now)?;
        let done = match verdict.step {
            NodeOperation::Nothing => Ok(News::Nothing),
            NodeOperation::CreateReport { owner } => {
                let owners = json!([{ "apiVersion": "v1", "kind": "Node", "name": name, "uid": owner }]);
                let report = json!({ "metadata": { "ownerReferences": owners }, "spec": {} });
                server
                    .create(Kind::Report, name, &now.to_string(), report)
                    .map(|object| News::Report(object, Source::Created))
            }
            NodeOperation::DeleteReport { version } => delete_report(name, &version, server, now),
            NodeOperation::WriteConditions { version, has_status, conditions, .. } => server
                .change_version(Kind::Report, name, &version.resource_version, |object| match has_status {
                    true => object["status"]["conditions"] = json!(conditions),
                    false => object["status"] = json!({ "conditions": conditions }),
                })
                .map(|object| News::Report(object, Source::Answer)),
        };
        Some((done, verdict.requeue_at))
    }

    fn step_orphan(
        &mut self,
        name: &str,
        server: &mut Server,
        now: Timestamp,
    ) -> Option<(Result<News, Refused>, Option<Timestamp>)> {
        let verdict = self.index.judge_orphan(name, now)?;
        let done = match verdict.step {
            NodeOperation::DeleteReport { version } => delete_report(name, &version, server, now),
            _ => Ok(News::Nothing),
        };
        Some((done, verdict.requeue_at))
    }

    /// The answer to an earlier write comes.
    pub(super) fn answer(&mut self) -> bool {
        let Some(Answer { about, looked, requeue_at, news }) = self.answers.pop_front() else { return false };
        let profile = |index: &Index, object| {
            let known = index.profile(&about.1);
            ProfileFacts::given(known, &serde_json::from_value(object).unwrap())
        };
        match news {
            News::Nothing => {}
            News::Profile(object, status) => {
                let facts = profile(&self.index, object);
                self.index.apply_profile(facts, Source::Answer, looked);
                if let Some(status) = status {
                    self.index.status_written(&about.1, &status, looked);
                }
            }
            News::Released(object, uid) => match object["metadata"]["finalizers"].as_array() {
                Some(list) if !list.is_empty() => {
                    let facts = profile(&self.index, object);
                    self.index.apply_profile(facts, Source::Answer, looked);
                }
                _ => self.index.delete_profile(&about.1, &uid, looked),
            },
            News::Report(object, source) => {
                let report = ReportFacts::of(serde_json::from_value(object).unwrap());
                self.index.apply_report(report, source, looked);
            }
        }
        self.collect();
        self.timers.extend(requeue_at.map(|time| (about, time)));
        true
    }

    /// Brings everything and does everything that is due, until nothing is.
    pub(super) fn settle(&mut self, server: &mut Server, now: Timestamp) -> Result<(), String> {
        self.trouble = None;
        for _ in 0..200 {
            let mut busy = !self.retries.is_empty();
            self.due.append(&mut self.retries);
            for kind in KINDS {
                while self.deliver(kind, server, now) {
                    busy = true;
                }
            }
            busy |= self.answer();
            busy |= self.look(usize::MAX, server, now);
            if !busy {
                return Ok(());
            }
        }
        Err(format!("the operator does not come to rest: {:?}", self.due))
    }

    /// Time passes; what is due by then is looked at when it is. `settling`: news comes at once.
    pub(super) fn pass(
        &mut self,
        server: &mut Server,
        now: Timestamp,
        to: Timestamp,
        settling: bool,
    ) -> Result<(), String> {
        let mut now = now;
        self.due.append(&mut self.retries);
        for _ in 0..5000 {
            let Some((name, time)) = self.timers.iter().min_by_key(|(_, time)| **time) else { return Ok(()) };
            if *time > to {
                return Ok(());
            }
            now = now.max(*time);
            let name = name.clone();
            self.timers.remove(&name);
            self.due.insert(name);
            match settling {
                true => self.settle(server, now)?,
                false => {
                    self.look(usize::MAX, server, now);
                }
            }
        }
        Err(format!("the operator does not come to rest in time: {:?}", self.timers))
    }
}

fn delete_report(
    name: &str,
    version: &Version,
    server: &mut Server,
    now: Timestamp,
) -> Result<News, Refused> {
    match server.get(Kind::Report, name) {
        Some(object) if text(object, "/metadata/resourceVersion") == version.resource_version => {
            server.delete(Kind::Report, name, now).map(|_| News::Nothing)
        }
        _ => Err(Refused),
    }
}
