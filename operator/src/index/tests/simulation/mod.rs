//! The whole operator against a naive recomputation: objects that change at random, watches that deliver the changes
//! late, twice or not at all, writes that fail or whose answers are late. Once every change has arrived, the stored
//! statuses must be those that follow from the objects alone. The operator reconciles only keys that are due, so that
//! the test also finds a change that failed to queue a key.

mod feed;
mod naive;
mod operator;
mod script;
mod server;

use std::collections::BTreeMap;
use std::time::Duration;

use api::{SeccompProfileStatus, State, conditions};
use k8s_openapi::jiff::Timestamp;
use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use serde_json::Value;

use self::naive::{Expected, NaiveModel};
use self::operator::Operator;
use self::script::{Action, Change, action};
use self::server::{Server, text};
use crate::index::WorkKey;
use crate::index::node::Node;
use crate::labels::KindLabel;

/// The longest that a status may be deferred, for a change of counts only or before it calls a profile ready.
const MAX_DEFERRAL: Duration = Duration::from_mins(1);
/// The longest that the first status of a profile is deferred in a cluster of a few nodes.
const MAX_TIME_WITHOUT_STATUS: Duration = Duration::from_secs(2);
/// No decision depends on an event older than this.
const LONG: Duration = Duration::from_hours(2);

struct Simulation {
    server: Server,
    operator: Operator,
    now: Timestamp,
}

impl Simulation {
    fn new() -> Self {
        Self { server: Server::default(), operator: Operator::new(), now: super::at(0) }
    }

    fn play(&mut self, action: &Action) -> Result<(), String> {
        let Self { server, operator, now } = self;
        match action {
            Action::Change(change) => change.make(server, *now),
            Action::Time { seconds } => {
                let to = now.checked_add(Duration::from_secs(*seconds)).unwrap();
                operator.advance_to(server, *now, to, false)?;
                *now = to;
            }
            Action::Deliver { kind, events } => {
                for _ in 0..*events {
                    operator.deliver(KindLabel::JUDGED[*kind], server, *now);
                }
            }
            Action::BreakWatch { kind, noticed } => operator.break_watch(KindLabel::JUDGED[*kind], *noticed),
            Action::Rewind { kind, changes } => operator.rewind(KindLabel::JUDGED[*kind], *changes),
            Action::Reconcile { most } => {
                operator.reconcile(*most, server, *now);
            }
            Action::Answer => {
                operator.deliver_answer();
            }
            Action::FailNextWrite { takes_effect } => operator.next_write_fails = Some(*takes_effect),
            Action::Restart => *operator = Operator::new(),
            Action::Settle => {
                operator.run_until_idle(server, *now)?;
                self.compare(self.now)?;
            }
        }
        Ok(())
    }

    /// Lets everything that is under way finish, and compares again as time passes.
    fn end(&mut self) -> Result<(), String> {
        let synced_since = self.now;
        self.operator.run_until_idle(&mut self.server, self.now)?;
        self.compare(synced_since)?;
        for wait in [Duration::from_secs(31), Duration::from_secs(90), LONG] {
            let to = self.now.checked_add(wait).unwrap();
            self.operator.advance_to(&mut self.server, self.now, to, true)?;
            self.now = to;
            self.compare(synced_since)?;
        }
        let node = |name: &String| self.server.get(KindLabel::Node, name);
        if let Some((name, _)) = self.server.all(KindLabel::Report).find(|(name, _)| node(name).is_none()) {
            return Err(format!("the report {name} has no node, and still exists"));
        }
        if self.operator.queue.next_timer().is_some() {
            return Err(format!("long after the last change there are timers: {:?}", self.operator.queue));
        }
        // Another reconciliation of every object writes nothing.
        let version = self.server.version();
        self.operator.index.queue_all();
        self.operator.run_until_idle(&mut self.server, self.now)?;
        if self.server.version() != version {
            return Err("a write although nothing has changed".to_owned());
        }
        Ok(())
    }

    /// Compares the stored statuses with those that follow from the objects.
    fn compare(&self, synced_since: Timestamp) -> Result<(), String> {
        self.compare_known()?;
        let naive =
            NaiveModel { server: &self.server, operator: &self.operator, now: self.now, synced_since };
        for (name, profile) in self.server.all(KindLabel::Profile) {
            self.compare_profile(name, profile, naive.expected_profile(profile))
                .map_err(|error| format!("profile {name}: {error}\nstored: {profile:#}"))?;
        }
        for (name, node) in self.server.all(KindLabel::Node) {
            self.compare_node(name, node, &naive)
                .map_err(|error| format!("node {name}: {error}\n{node:#}"))?;
        }
        Ok(())
    }

    /// The index has exactly the objects that exist.
    fn compare_known(&self) -> Result<(), String> {
        let index = &self.operator.index;
        let nodes = index.nodes.values();
        let object = |node: &Node| Some((node.name.to_string(), node.object.as_ref()?.uid.clone()));
        let report = |node: &Node| Some((node.name.to_string(), node.report.as_ref()?.version.uid.clone()));
        for (kind, known) in [
            (KindLabel::Profile, super::profile_uids(index)),
            (KindLabel::Node, nodes.clone().filter_map(object).collect()),
            (KindLabel::Report, nodes.filter_map(report).collect()),
        ] {
            let uid = |(name, object): (&String, &Value)| (name.clone(), text(object, "/metadata/uid"));
            let existing: BTreeMap<_, _> = self.server.all(kind).map(uid).collect();
            if known != existing {
                return Err(format!("{kind:?}: known {known:?}, existing {existing:?}"));
            }
        }
        Ok(())
    }

    fn due_by(&self, profile: &str, time: Timestamp) -> bool {
        let key = WorkKey::Profile(profile.to_owned());
        self.operator.queue.timers().any(|(timer, due)| *timer == key && due <= time)
    }

    fn compare_profile(&self, name: &str, profile: &Value, expected: Expected) -> Result<(), String> {
        let wanted = match expected {
            Expected::Released => return Ok(()),
            Expected::Overdue(write) => return Err(write.to_owned()),
            Expected::Status(wanted) => *wanted,
        };
        let wanted = timeless(wanted);
        let stored = serde_json::from_value::<SeccompProfileStatus>(profile["status"].clone());
        if !stored.as_ref().is_ok_and(SeccompProfileStatus::is_reconciled)
            && wanted.state == Some(State::Progressing.into())
            && self.due_by(name, self.now.checked_add(MAX_TIME_WITHOUT_STATUS).unwrap())
        {
            return Ok(());
        }
        let stored = timeless(stored.map_err(|error| format!("{error}; wanted {wanted:#?}"))?);
        if stored == wanted {
            return Ok(());
        }
        let is_deferred = self.due_by(name, self.now.checked_add(MAX_DEFERRAL).unwrap());
        if is_deferred && acted_on(&stored, true) == acted_on(&wanted, is_ready(&stored)) {
            return Ok(());
        }
        Err(format!("deferred: {is_deferred}; wanted: {wanted:#?}"))
    }

    fn compare_node(&self, name: &str, node: &Value, naive: &NaiveModel<'_>) -> Result<(), String> {
        let report = self.server.get(KindLabel::Report, name);
        let Some(agent_state) = naive.agent_state(node) else {
            return match report {
                Some(report) => Err(format!("no agent runs there and it has a report: {report:#}")),
                None => Ok(()),
            };
        };
        let report = report.ok_or("it has no report")?;
        if report["metadata"]["ownerReferences"][0]["uid"] != node["metadata"]["uid"] {
            return Err(format!("its report belongs to another: {report:#}"));
        }
        let conditions = report["status"]["conditions"].as_array().into_iter().flatten();
        let stored: Vec<_> = conditions
            .filter(|condition| condition["type"] == conditions::READY)
            .map(|ready| (ready["status"].as_str().unwrap(), ready["reason"].as_str().unwrap()))
            .collect();
        match naive.expected_node_condition(node) {
            None => Ok(()),
            Some(wanted) if stored == [wanted] => Ok(()),
            Some(wanted) => Err(format!("{agent_state:?} wants {wanted:?}, stored: {stored:?}")),
        }
    }
}

fn is_ready(status: &SeccompProfileStatus) -> bool {
    status.conditions.iter().any(|it| it.type_ == conditions::READY && it.status == "True")
}

/// The status with all transition times equal.
fn timeless(mut status: SeccompProfileStatus) -> SeccompProfileStatus {
    for condition in &mut status.conditions {
        condition.last_transition_time.0 = Timestamp::UNIX_EPOCH;
    }
    status
}

/// The parts of a status that are never deferred, but for a change to Ready.
fn acted_on(status: &SeccompProfileStatus, says_ready: bool) -> impl PartialEq {
    let conditions: Vec<_> = status
        .conditions
        .iter()
        .map(|it| match it.type_.as_str() {
            conditions::READY => (it.type_.clone(), (says_ready && it.status == "True").to_string(), None),
            _ => (it.type_.clone(), it.status.clone(), Some(it.reason.clone())),
        })
        .collect();
    let SeccompProfileStatus { observed_generation, content_hash, removal, .. } = status.clone();
    (observed_generation, content_hash, removal, conditions)
}

fn play(actions: &[Action]) -> Result<(), TestCaseError> {
    let mut simulation = Simulation::new();
    for (number, action) in actions.iter().enumerate() {
        simulation
            .play(action)
            .map_err(|error| TestCaseError::fail(format!("after action {number}, {action:?}: {error}")))?;
    }
    simulation.end().map_err(|error| TestCaseError::fail(format!("at the end: {error}")))
}

fn run(cases: u32, most: usize) {
    let mut runner = TestRunner::new(Config {
        cases,
        max_shrink_iters: 20_000,
        failure_persistence: None,
        ..Config::default()
    });
    let result = runner.run(&vec(action(), 1..most), |actions| play(&actions));
    if let Err(error) = result {
        panic!("{error}");
    }
}

/// Found at random.
#[test]
fn a_report_that_is_deleted_and_missed_before_the_answer_to_its_creation_comes_is_created_again() {
    let node = Change::Node { name: 1, selected: true, ready: "True", created: None };
    let [nodes, reports] = [2, 1];
    let actions = [
        Action::Settle,
        Action::Change(node),
        Action::Deliver { kind: nodes, events: 1 },
        Action::Reconcile { most: 1 },
        Action::Change(Change::DeleteReport { node: 1 }),
        Action::BreakWatch { kind: reports, noticed: false },
        Action::Settle,
    ];
    play(&actions).unwrap();
}

#[test]
fn decisions_equal_a_naive_recomputation_whatever_events_are_lost_or_late() {
    run(400, 80);
}

#[test]
#[ignore = "long: fifty times as many runs, and longer ones"]
fn decisions_equal_a_naive_recomputation_whatever_events_are_lost_or_late_in_long_runs() {
    run(10_000, 160);
}
