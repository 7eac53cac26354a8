//! Any updates in any order, against a naive model of the cluster.

use std::time::Duration;

use api::{FileProblem, OpenEnum, ProblemKind};
use profile::ContentHash;
use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::json;

use super::super::decision::NodeWrite;
use super::super::decision::tests::written;
use super::super::startup_node::ListedTaint;
use super::*;
use crate::facts::{NodeCondition, ObjectVersion, PodKind};

const RULES: Rules = Rules { release_with_problems: false, unknown_after: Duration::from_mins(5) };

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + second).unwrap()
}

/// One change of the cluster of one node `n`.
#[derive(Debug, Clone)]
enum Update {
    Profile {
        name: u8,
        content: Option<u8>,
        deleting: bool,
    },
    ProfileGone {
        name: u8,
    },
    Node {
        selected: bool,
    },
    /// The Node is deleted and registers again, with the taint.
    Replaced,
    Report {
        files: Option<Vec<(u8, u8)>>,
        problems: Vec<(u8, ProblemKind)>,
    },
    Agent {
        ready: Option<bool>,
    },
    /// Somebody puts the taint on.
    Tainted,
    /// The gate restarts: it keeps nothing but what is stored in the cluster.
    Restart,
    Time {
        seconds: i64,
    },
}

fn update() -> impl Strategy<Value = Update> {
    let (name, content) = (0..3u8, 0..2u8);
    let kinds =
        prop_oneof![Just(ProblemKind::Conflict), Just(ProblemKind::Rejected), Just(ProblemKind::Failed)];
    prop_oneof![
        3 => (name.clone(), proptest::option::weighted(0.8, content.clone()), proptest::bool::weighted(0.2))
            .prop_map(|(name, content, deleting)| Update::Profile { name, content, deleting }),
        1 => name.clone().prop_map(|name| Update::ProfileGone { name }),
        1 => proptest::bool::weighted(0.7).prop_map(|selected| Update::Node { selected }),
        1 => Just(Update::Replaced),
        5 => (
            proptest::option::weighted(0.9, vec((name.clone(), content), 0..4)),
            vec((name, kinds), 0..2)
        )
            .prop_map(|(files, problems)| Update::Report { files, problems }),
        2 => proptest::option::of(any::<bool>()).prop_map(|ready| Update::Agent { ready }),
        1 => Just(Update::Tainted),
        1 => Just(Update::Restart),
        3 => (1..400i64).prop_map(|seconds| Update::Time { seconds }),
    ]
}

/// The uid of the Node that owns it, the files, and the problems.
type StoredReport = (u32, Option<BTreeMap<u8, u8>>, BTreeMap<u8, ProblemKind>);

/// What is stored in the cluster.
#[derive(Debug, Clone, Default)]
struct Model {
    profiles: BTreeMap<u8, (Option<u8>, bool)>,
    uid: u32,
    created: i64,
    selected: bool,
    report: Option<StoredReport>,
    agent: Option<bool>,
    taints: Vec<ListedTaint>,
    condition: Option<NodeCondition>,
    /// Since when no agent has been ready.
    down_since: i64,
    now: i64,
}

impl Model {
    fn profile(&self, name: u8) -> ProfileFacts {
        let (content, deleting) = self.profiles[&name];
        ProfileFacts {
            name: format!("p{name}"),
            version: ObjectVersion::default(),
            generation: Some(1),
            text: ContentHash::of(&[content.unwrap_or(9)]),
            content: content.map(|content| ContentHash::of(&[content])).ok_or("invalid".to_owned()),
            without_report: None,
            unchecked: None,
            node_selector: None,
            deletion: deleting.then(|| at(0)),
            finalizer: Some(0),
            has_finalizers: true,
            origin: crate::facts::ProfileOrigin::User,
            delete_in_use: false,
            removal_approved: false,
            status: None,
        }
    }

    fn node(&self) -> NodeFacts {
        NodeFacts {
            name: "n".to_owned(),
            uid: self.uid.to_string(),
            created: at(self.created),
            selected: self.selected,
            reachable: true,
            answers: true,
            architecture: None,
            labels: BTreeMap::new(),
        }
    }

    fn report(&self) -> Option<ReportFacts> {
        let (owner, files, problems) = self.report.as_ref()?;
        let problem = |(name, kind): (&u8, &ProblemKind)| {
            let problem = FileProblem {
                name: format!("p{name}"),
                state: OpenEnum::Known(*kind),
                reason: String::new(),
                message: String::new(),
            };
            (problem.name.clone(), problem)
        };
        let file = |(name, content): (&u8, &u8)| (format!("p{name}"), ContentHash::of(&[*content]).short());
        Some(ReportFacts {
            node: "n".to_owned(),
            version: ObjectVersion::default(),
            owner: Some(owner.to_string()),
            files: files.as_ref().map(|files| files.iter().map(file).collect()),
            changed: None,
            problems: problems.iter().map(problem).collect(),
            excluded: BTreeMap::new(),
            has_status: true,
            ready: None,
            containers_start: None,
            start_failures: Vec::new(),
        })
    }

    fn agent(&self) -> Option<PodFacts> {
        Some(PodFacts {
            uid: "agent".to_owned(),
            namespaced_name: "ns/agent".to_owned(),
            node: Some("n".to_owned()),
            created: at(0),
            kind: PodKind::Agent { ready: self.agent?, since: Some(at(self.down_since)) },
            failed_starts: Vec::new(),
            running: Vec::new(),
        })
    }

    /// The profiles that the node should report and does not, by definition.
    fn missing(&self) -> BTreeSet<u8> {
        let files = self.report.as_ref().filter(|report| report.0 == self.uid).and_then(|it| it.1.as_ref());
        let has = |name: &u8, content: u8| files.and_then(|files| files.get(name)) == Some(&content);
        let missing = |(name, (content, deleting)): (&u8, &(Option<u8>, bool))| {
            content.is_some_and(|content| !deleting && !has(name, content)).then_some(*name)
        };
        self.profiles.iter().filter_map(missing).collect()
    }

    fn is_complete(&self) -> bool {
        let reported = self.report.as_ref().is_some_and(|report| report.0 == self.uid && report.1.is_some());
        self.selected && reported && self.missing().is_empty()
    }

    fn update(&mut self, update: &Update, cluster: &mut Cluster, rules: Rules) {
        let source = UpdateSource::List;
        match update {
            Update::Profile { name, content, deleting } => {
                self.profiles.insert(*name, (*content, *deleting));
                cluster.apply_profile(self.profile(*name), source, at(self.now));
            }
            Update::ProfileGone { name } => {
                self.profiles.remove(name);
                cluster.delete_profile(&format!("p{name}"), "", at(self.now));
            }
            Update::Node { selected } => {
                self.selected = *selected;
                cluster.apply_node(self.node(), self.startup_node(), source, at(self.now));
            }
            Update::Replaced => {
                cluster.delete_node("n", &self.uid.to_string(), at(self.now));
                (self.uid, self.created) = (self.uid + 1, self.now);
                (self.taints, self.condition) = (tainted(), None);
                cluster.apply_node(self.node(), self.startup_node(), source, at(self.now));
            }
            Update::Report { files, problems } => {
                let files = files.as_ref().map(|files| files.iter().copied().collect());
                self.report = Some((self.uid, files, problems.iter().copied().collect()));
                let report = self.report().expect("it was just set");
                cluster.apply_report(report, source, at(self.now));
            }
            Update::Agent { ready } => {
                if self.agent == Some(true) && *ready != Some(true) {
                    self.down_since = self.now;
                }
                self.agent = *ready;
                match self.agent() {
                    Some(pod) => cluster.apply_pod(pod, at(self.now)),
                    None => cluster.delete_pod("agent", at(self.now)),
                }
            }
            Update::Tainted => {
                self.taints = tainted();
                cluster.apply_node(self.node(), self.startup_node(), source, at(self.now));
            }
            Update::Restart => *cluster = self.listed(rules),
            Update::Time { seconds } => self.now += seconds,
        }
    }

    fn startup_node(&self) -> StartupNode {
        StartupNode {
            version: self.version(),
            taints: self.taints.clone(),
            condition: self.condition.clone(),
        }
    }

    fn version(&self) -> ObjectVersion {
        ObjectVersion { uid: self.uid.to_string(), resource_version: String::new() }
    }

    /// What a process knows that has just listed everything.
    fn listed(&self, rules: Rules) -> Cluster {
        let mut cluster = Cluster::new("profiles", rules);
        cluster.apply_node(self.node(), self.startup_node(), UpdateSource::List, at(self.now));
        for name in self.profiles.keys() {
            cluster.apply_profile(self.profile(*name), UpdateSource::List, at(self.now));
        }
        if let Some(report) = self.report() {
            cluster.apply_report(report, UpdateSource::List, at(self.now));
        }
        if let Some(pod) = self.agent() {
            cluster.apply_pod(pod, at(self.now));
        }
        cluster
    }

    /// Writes until there is nothing to write; returns the writes and when to decide again.
    fn settle(&mut self, cluster: &mut Cluster) -> (Vec<NodeWrite>, Option<Timestamp>) {
        let mut writes = Vec::new();
        loop {
            let decision = cluster.decide("n", at(self.now)).expect("the Node exists");
            let Some(write) = decision.write else { return (writes, decision.requeue_at) };
            let node = written(&self.startup_node(), &write, at(self.now));
            (self.taints, self.condition) = (node.taints.clone(), node.condition.clone());
            cluster.apply_node(self.node(), node, UpdateSource::Answer, at(self.now));
            writes.push(write);
            assert!(writes.len() <= 2, "{writes:?}");
        }
    }
}

fn tainted() -> Vec<ListedTaint> {
    let entry = json!({ "key": "readiness.k8s.io/seccomp-profiles", "effect": "NoSchedule" });
    vec![ListedTaint { position: 0, entry }]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]
    #[test]
    fn the_taint_goes_exactly_when_the_node_is_complete(
        updates in vec(update(), 1..40),
        release_with_problems in any::<bool>(),
    ) {
        let rules = Rules { release_with_problems, ..RULES };
        let mut model = Model { selected: true, taints: tainted(), ..Model::default() };
        let mut cluster = model.listed(rules);
        let (_, mut due) = model.settle(&mut cluster);
        for update in &updates {
            if let Update::Time { seconds } = update {
                // By time alone nothing changes before the decision is due again.
                let later = model.now + seconds;
                let before = due.map_or(later, |due| later.min(due.as_second() - at(0).as_second() - 1));
                if before > model.now {
                    let decision = cluster.decide("n", at(before)).expect("the Node exists");
                    prop_assert_eq!(decision.write, None);
                }
            }
            cluster.take_dirty();
            model.update(update, &mut cluster, rules);
            let is_queued = cluster.take_dirty().contains("n");
            let was_tainted = !model.taints.is_empty();
            let writes;
            (writes, due) = model.settle(&mut cluster);
            // Whatever changes a decision queues the Node.
            let was_awaited = matches!(update, Update::Time { .. } | Update::Restart);
            prop_assert!(is_queued || was_awaited || writes.is_empty(), "{:?}", writes);
            let reason = model.condition.as_ref().map(|condition| condition.reason.clone());
            let is_down = model.agent != Some(true) && reason.as_deref() == Some("AgentDown");
            let no_agent = !model.selected && model.now >= model.created + 30;
            let is_tainted = !model.taints.is_empty();
            if model.is_complete() && !is_down || no_agent {
                prop_assert!(!is_tainted);
            } else if was_tainted && !is_tainted {
                // Only the rules can have released it: every missing profile has a lasting problem.
                let problems = model.report.as_ref().map(|report| &report.2);
                let is_lasting = |name| matches!(
                    problems.and_then(|problems| problems.get(name)),
                    Some(ProblemKind::Conflict | ProblemKind::Rejected)
                );
                let lasting = model.missing().iter().all(is_lasting);
                prop_assert!(release_with_problems && lasting && model.selected, "{:?}", writes);
            }
            let status = model.condition.as_ref().map(|condition| condition.status.as_str());
            if status == Some("True") && !model.is_complete() {
                // For some seconds, and then the decision is due again.
                prop_assert!(due.is_some_and(|due| due <= at(model.now + 30)));
            }
            if model.is_complete() && !is_down {
                prop_assert_eq!(status, Some("True"));
            }
        }
    }
}

#[test]
fn while_profiles_may_be_missing_nothing_is_written() {
    let mut model = Model { selected: true, taints: tainted(), ..Model::default() };
    let mut cluster = model.listed(RULES);
    model.update(&Update::Report { files: Some(Vec::new()), problems: Vec::new() }, &mut cluster, RULES);
    cluster.profiles_may_be_incomplete();
    assert_eq!(cluster.decide("n", at(1)), None);
    cluster.take_dirty();
    cluster.profiles_complete();
    assert!(cluster.take_dirty().contains("n"));
    assert!(matches!(cluster.decide("n", at(1)).unwrap().write, Some(NodeWrite::RemoveTaints(_))));
}

#[test]
fn an_event_that_is_older_than_the_answer_to_a_write_does_not_bring_the_taint_back() {
    let mut model = Model { selected: true, taints: tainted(), ..Model::default() };
    let mut cluster = model.listed(RULES);
    let node = |version: &str, taints: Vec<ListedTaint>| StartupNode {
        version: ObjectVersion { uid: "0".to_owned(), resource_version: version.to_owned() },
        taints,
        condition: None,
    };
    cluster.apply_node(model.node(), node("7", Vec::new()), UpdateSource::Watch, at(0));
    cluster.apply_node(model.node(), node("6", tainted()), UpdateSource::Watch, at(0));
    assert_eq!(cluster.tainted(), 0);
    model.now = 1;
    cluster.apply_node(model.node(), node("8", tainted()), UpdateSource::Watch, at(1));
    assert_eq!(cluster.tainted(), 1);
}

#[test]
fn a_taint_is_as_old_as_its_node_unless_the_node_was_seen_without_it() {
    let mut model = Model { selected: true, created: -100, taints: tainted(), ..Model::default() };
    let mut cluster = model.listed(RULES);
    assert_eq!(cluster.tainted_since(), Some(at(-100)));
    let node = |version: &str, taints: Vec<ListedTaint>| StartupNode {
        version: ObjectVersion { uid: "0".to_owned(), resource_version: version.to_owned() },
        taints,
        condition: None,
    };
    cluster.apply_node(model.node(), node("7", Vec::new()), UpdateSource::Watch, at(1));
    assert_eq!(cluster.tainted_since(), None);
    for (version, now) in [("8", 2), ("9", 3)] {
        model.now = now;
        cluster.apply_node(model.node(), node(version, tainted()), UpdateSource::Watch, at(now));
        assert_eq!(cluster.tainted_since(), Some(at(2)));
    }
    cluster.delete_node("n", "0", at(4));
    assert_eq!(cluster.tainted_since(), None);
}
