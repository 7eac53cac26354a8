//! When a new profile has its first status, and how many writes a rollout costs.

use super::*;

fn facts(number: usize) -> ProfileFacts {
    ProfileFacts { version: version(1, 1), ..profile(&format!("p{number:03}"), 1) }
}

fn new_profile(name: &str) -> ProfileFacts {
    ProfileFacts { version: version(2, 1), ..profile(name, 2) }
}

/// Two nodes, and a profile `a` whose status shows that.
fn shown() -> Index {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 0);
    index
}

/// Nodes that have reported no file.
fn new_nodes(nodes: usize) -> Index {
    let mut index = Index::new("profiles");
    for name in (0..nodes).map(|number| format!("n{number}")) {
        index.apply_node(node(&name), at(0));
        reported(&mut index, &name, 1, &[], 0);
        index.apply_pod(agent(&name, true), at(0));
    }
    index
}

fn reported(index: &mut Index, node: &str, number: u32, files: &[(&str, u8)], now: i64) {
    let facts = ReportFacts { version: version(7, number), ..report(node, files) };
    index.apply_report(facts, UpdateSource::Watch, at(now));
}

fn decided(index: &mut Index, name: &str, now: i64) -> (ProfileOperation, Option<Timestamp>) {
    index.take_dirty();
    let decision = index.decide_profile(name, at(now)).unwrap();
    (decision.operation, decision.requeue_at)
}

fn written(operation: ProfileOperation) -> SeccompProfileStatus {
    match operation {
        ProfileOperation::WriteStatus { status, .. } => *status,
        other => panic!("expected a status, found {other:?}"),
    }
}

#[test]
fn the_first_status_of_a_new_profile_calls_it_ready_if_it_is_within_two_seconds() {
    let mut index = shown();
    index.apply_profile(new_profile("b"), UpdateSource::Watch, at(10));
    assert_eq!(decided(&mut index, "b", 10), (ProfileOperation::Defer, Some(at(12))));
    reported(&mut index, "n1", 2, &[("a", 1), ("b", 2)], 11);
    assert!(!index.take_dirty().profiles.contains("b"), "one node waits for the other");
    reported(&mut index, "n2", 2, &[("a", 1), ("b", 2)], 11);
    assert!(index.take_dirty().profiles.contains("b"));
    let status = written(decided(&mut index, "b", 11).0);
    assert_eq!((ready_condition(&status), status.ready.as_deref()), (("True", "AllNodesReady"), Some("2/2")));
}

#[test]
fn a_new_profile_that_is_not_ready_after_two_seconds_has_a_status_that_says_so() {
    let mut index = shown();
    index.apply_profile(new_profile("b"), UpdateSource::Watch, at(10));
    let _ = decided(&mut index, "b", 10);
    reported(&mut index, "n1", 2, &[("a", 1), ("b", 2)], 11);
    let status = written(decided(&mut index, "b", 12).0);
    assert_eq!((ready_condition(&status), status.ready.as_deref()), (("False", "RollingOut"), Some("1/2")));
}

#[test]
fn the_first_status_of_a_new_profile_does_not_wait_where_no_report_would_change_it() {
    let bad = |content| ProfileFacts { content, ..new_profile("b") };
    let mut index = shown();
    index.apply_profile(bad(Err("unknown action".to_owned())), UpdateSource::Watch, at(10));
    assert_eq!(written(decided(&mut index, "b", 10).0).state, Some(State::Rejected.into()));

    let mut index = shown();
    index.apply_profile(new_profile("b"), UpdateSource::Watch, at(10));
    assert_eq!(decided(&mut index, "b", 10).0, ProfileOperation::Defer);
    let problem = FileProblem {
        name: "b".into(),
        state: ProblemKind::Conflict.into(),
        reason: "NotOurs".into(),
        message: "a file".into(),
    };
    let problems = BTreeMap::from([("b".to_owned(), problem)]);
    let failed = ReportFacts { version: version(7, 2), problems, ..report("n1", &[("a", 1)]) };
    index.apply_report(failed, UpdateSource::Watch, at(11));
    assert!(index.take_dirty().profiles.contains("b"));
    assert_eq!(written(decided(&mut index, "b", 11).0).state, Some(State::Failed.into()));

    let mut index = shown();
    index.apply_profile(new_profile("b"), UpdateSource::Watch, at(10));
    assert_eq!(decided(&mut index, "b", 10).0, ProfileOperation::Defer);
    let deleted = ProfileFacts { version: version(2, 2), deletion: Some(at(11)), ..new_profile("b") };
    index.apply_profile(deleted, UpdateSource::Watch, at(11));
    assert_eq!(decided(&mut index, "b", 11).0, ProfileOperation::ListPods);

    // No node is there that could report.
    let mut index = shown();
    for name in ["n1", "n2"] {
        index.apply_node(NodeFacts { reachable: false, answers: false, ..node(name) }, at(9));
    }
    index.apply_profile(new_profile("b"), UpdateSource::Watch, at(10));
    assert_eq!(ready_condition(&written(decided(&mut index, "b", 10).0)), ("False", "NoNodes"));
}

#[test]
fn new_contents_of_a_ready_profile_make_it_not_ready_at_once() {
    let mut index = two_nodes();
    let facts = store(&mut index, profile("a", 1), 0);
    index.apply_profile(new_profile("b"), UpdateSource::Watch, at(0));
    let changed = ProfileFacts { content: Ok(hash(2)), generation: Some(2), ..facts };
    index.apply_profile(changed, UpdateSource::List, at(1));
    assert_eq!(ready_condition(&written(decided(&mut index, "a", 1).0)), ("False", "RollingOut"));
}

#[test]
fn a_status_that_somebody_removed_is_written_again_at_once() {
    let mut index = shown();
    index.apply_profile(new_profile("b"), UpdateSource::Watch, at(10));
    let removed = ProfileFacts { version: version(2, 3), ..new_profile("b") };
    index.apply_profile(removed, UpdateSource::Watch, at(100));
    assert_eq!(ready_condition(&written(decided(&mut index, "b", 100).0)), ("False", "RollingOut"));
}

#[test]
fn where_no_status_shows_the_number_of_nodes_that_of_one_profile_does_not_wait() {
    // Contents that are invalid show nothing for long.
    for (first, waiting) in
        [(Ok(hash(1)), [false, true, true]), (Err("bad".to_owned()), [false, false, true])]
    {
        let mut index = new_nodes(2);
        index.apply_profile(ProfileFacts { content: first, ..facts(0) }, UpdateSource::Watch, at(1));
        for number in 1..3 {
            index.apply_profile(facts(number), UpdateSource::Watch, at(1));
        }
        let waits = |number| decided(&mut index, &facts(number).name, 1).0 == ProfileOperation::Defer;
        assert_eq!([0, 1, 2].map(waits), waiting);
    }
}

/// How many writes of profiles there are until `profiles` new ones are Ready on `nodes` nodes within two seconds, and
/// how many Events.
fn writes(nodes: usize, profiles: usize, has_finalizer: bool, checks: bool) -> (usize, usize) {
    let mut index = new_nodes(nodes);
    for number in 0..profiles {
        let finalizer = has_finalizer.then_some(0);
        let created = ProfileFacts { finalizer, has_finalizers: has_finalizer, ..facts(number) };
        index.apply_profile(created, UpdateSource::Watch, at(1));
    }
    let (mut writes, mut events) = (0, 0);
    let mut reconcile = |index: &mut Index, now: i64| loop {
        let due = index.take_dirty().profiles;
        if due.is_empty() {
            return;
        }
        for name in due {
            if checks {
                checks::check(index, &name, true);
            }
            let decision = index.decide_profile(&name, at(now)).unwrap();
            let mut facts = index.profile(&name).unwrap().clone();
            facts.version.resource_version.push('0');
            match decision.operation {
                ProfileOperation::AddFinalizer { .. } => facts.finalizer = Some(0),
                ProfileOperation::WriteStatus { status, notices } => {
                    events += notices.len();
                    facts.status = Some((*status).clone());
                    index.status_written(&name, &status, at(now));
                }
                _ => continue,
            }
            writes += 1;
            index.apply_profile(facts, UpdateSource::Answer, at(now));
        }
    };
    reconcile(&mut index, 1);
    let files: Vec<_> = (0..profiles).map(|number| facts(number).name).collect();
    let files: Vec<_> = files.iter().map(|name| (name.as_str(), 1)).collect();
    for number in 0..nodes {
        reported(&mut index, &format!("n{number}"), 2, &files, 2);
        reconcile(&mut index, 2);
    }
    let is_ready = |status: &SeccompProfileStatus| ready_condition(status) == ("True", "AllNodesReady");
    let is_unsound =
        |status: &SeccompProfileStatus| checks::sound(status) == Some(("False", "UnknownSyscall", 1));
    for (_, _, facts, _) in index.profiles() {
        let status = facts.status.as_ref().unwrap();
        assert_eq!((is_ready(status), is_unsound(status)), (true, checks));
    }
    (writes, events)
}

#[test]
fn new_profiles_cost_one_write_and_one_event_each_and_a_second_write_where_the_api_server_adds_no_finalizer()
{
    for (nodes, profiles) in [(1, 1), (2, 20), (50, 20), (100, 200)] {
        // What is found in them rides on these writes.
        for checks in [false, true] {
            assert_eq!(writes(nodes, profiles, true, checks), (profiles + 1, profiles), "{nodes} nodes");
            assert_eq!(writes(nodes, profiles, false, checks), (2 * profiles + 1, profiles), "{nodes} nodes");
        }
    }
}
