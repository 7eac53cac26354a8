//! Nodes that are new, unreachable, not selected, or without an agent.

use super::*;

#[test]
fn a_new_node_is_not_waited_for_in_its_first_two_minutes() {
    let mut index = two_nodes();
    index.apply_node(NodeFacts { created: at(0), reachable: false, ..node("n3") }, at(0));
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
    index.apply_node(NodeFacts { created: at(0), ..node("n3") }, at(1));
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
    assert_eq!(
        index.decide_node("n3", at(1)).unwrap().operation,
        NodeOperation::CreateReport { owner: "n3-1".into() }
    );
    index.apply_report(ReportFacts { files: None, ..report("n3", &[]) }, UpdateSource::Watch, at(1));
    assert_eq!(index.decide_node("n3", at(1)).unwrap().requeue_at, Some(at(120)));
    index.advance_time("n3", at(120));
    assert_eq!(ready_condition(&status(&index, 120)), ("False", "RollingOut"));
}

#[test]
fn an_unreachable_node_is_counted_and_not_waited_for() {
    let mut index = two_nodes();
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n2", &[]) },
        UpdateSource::Watch,
        at(1),
    );
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(1));
    let status = status(&index, 1);
    assert_eq!(ready_condition(&status), ("True", "AllNodesReady"));
    assert_eq!((status.ready.as_deref(), status.nodes.unwrap().unreachable), (Some("1/2"), 1));
}

#[test]
fn an_agent_that_has_been_down_for_too_long_makes_its_node_pending() {
    let mut index = two_nodes();
    index.apply_pod(agent("n2", false), at(0));
    index.advance_time("n2", at(299));
    assert_eq!(ready_condition(&status(&index, 299)), ("True", "AllNodesReady"));
    index.advance_time("n2", at(300));
    let down = status(&index, 300);
    assert_eq!(ready_condition(&down), ("False", "RollingOut"));
    assert!(
        down.conditions[1].message.ends_with("waiting for n2 (AgentDown)"),
        "{}",
        down.conditions[1].message
    );
    assert_eq!(node_condition(&index, "n2", 300), Some(("False".into(), "AgentDown".into())));
    // It is named like the nodes that say why they cannot hold the profile, so that whoever waits need not wait for it.
    let named: Vec<_> = down.failures.iter().map(|it| (it.node.as_str(), it.reason.as_str())).collect();
    assert_eq!(named, [("n2", "AgentDown")]);
    assert_eq!((down.nodes.unwrap().failed, down.nodes.unwrap().pending), (0, 1));
}

#[test]
fn a_node_whose_report_has_no_room_for_its_problem_is_named_among_those_that_cannot_hold_the_profile() {
    let mut index = two_nodes();
    let failing = |number: usize, version: ObjectVersion| {
        let problem = |number: usize| FileProblem {
            name: format!("p{number:03}"),
            state: ProblemKind::Failed.into(),
            reason: "DiskFull".into(),
            message: "no space left".into(),
        };
        let problems = (0..number).map(|number| (format!("p{number:03}"), problem(number))).collect();
        ReportFacts { version, problems, ..report("n2", &[]) }
    };
    let named = |index: &Index, now| {
        let failures = status(index, now).failures.into_iter();
        failures.map(|it| (it.node, it.reason)).collect::<Vec<_>>()
    };
    index.apply_report(failing(99, version(7, 2)), UpdateSource::Watch, at(1));
    assert_eq!(named(&index, 1), []);
    index.take_dirty();
    index.apply_report(failing(100, version(7, 3)), UpdateSource::Watch, at(2));
    assert_eq!(named(&index, 2), [("n2".to_owned(), "ProblemsOmitted".to_owned())]);
    assert!(index.take_dirty().profiles.contains("a"), "its status is written");
    index.apply_report(failing(99, version(7, 4)), UpdateSource::Watch, at(3));
    assert_eq!(named(&index, 3), []);
}

#[test]
fn a_nodes_condition_turns_false_only_after_it_has_been_behind_for_half_a_minute() {
    let mut index = two_nodes();
    assert_eq!(node_condition(&index, "n1", 0), Some(("True".into(), "AllProfiles".into())));
    index.apply_profile(profile("b", 5), UpdateSource::Watch, at(10));
    assert_eq!(node_condition(&index, "n1", 39), None);
    assert_eq!(index.decide_node("n1", at(39)).unwrap().requeue_at, Some(at(40)));
    assert_eq!(node_condition(&index, "n1", 40), Some(("False".into(), "Behind".into())));
}

#[test]
fn the_report_of_a_node_that_is_no_longer_selected_is_deleted() {
    let mut index = two_nodes();
    index.apply_node(NodeFacts { selected: false, ..node("n2") }, at(1));
    assert_eq!(status(&index, 1).ready.as_deref(), Some("1/1"));
    assert_eq!(
        index.decide_node("n2", at(1)).unwrap().operation,
        NodeOperation::DeleteReport { version: version(7, 1) }
    );
}

/// When the counts of `a` are written if nothing changes before.
fn counted(index: &Index, now: i64) -> Option<i64> {
    let decision = index.profile_decision("a", at(now)).unwrap();
    match decision.operation {
        ProfileOperation::WriteStatus { .. } => Some(now),
        _ => decision.requeue_at.map(|time| time.as_second() - START),
    }
}

#[test]
fn a_node_that_joins_and_reports_in_time_costs_one_write_of_each_profile() {
    let mut index = two_nodes();
    let facts = store(&mut index, profile("a", 1), 0);
    index.apply_node(NodeFacts { created: at(100), ..node("n3") }, at(100));
    assert_eq!(counted(&index, 100), Some(105));
    index.apply_report(
        ReportFacts { version: version(9, 2), ..report("n3", &[("a", 1)]) },
        UpdateSource::Watch,
        at(102),
    );
    assert_eq!(status(&index, 102).ready.as_deref(), Some("3/3"));
    store(&mut index, facts, 102);
    assert_eq!(counted(&index, 102), None);
}

#[test]
fn a_node_that_joins_delays_no_urgent_status_and_is_counted_if_it_does_not_report() {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 0);
    index.apply_node(NodeFacts { created: at(100), ..node("n3") }, at(100));
    assert_eq!(status(&index, 105).nodes.unwrap().joining, 1);
    // Another one loses the file meanwhile.
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n1", &[]) },
        UpdateSource::Watch,
        at(101),
    );
    assert_eq!(ready_condition(&status(&index, 101)).0, "False");
}

#[test]
fn however_many_nodes_join_counts_wait_for_at_most_half_of_the_time() {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 0);
    for second in 100..200 {
        let name = format!("joins-{second}");
        index.apply_node(NodeFacts { created: at(second), ..node(&name) }, at(second));
        let waits = (second - 100) % 10 < 5;
        assert_eq!(counted(&index, second) == Some(second), !waits, "{second}");
    }
}

#[test]
fn a_node_recreated_under_its_name_is_as_new_as_any_other() {
    let mut index = two_nodes();
    index.apply_pod(agent("n2", false), at(1));
    index.delete_node("n2", "n2-1", at(5000));
    // Its report and its agent's pod still exist when the next Node of the name is created.
    index.apply_node(NodeFacts { uid: "n2-2".into(), created: at(9000), ..node("n2") }, at(9000));
    assert_eq!(status(&index, 9000).nodes.unwrap().joining, 1);
    let new = ReportFacts { owner: Some("n2-2".into()), version: version(8, 2), ..report("n2", &[("a", 1)]) };
    index.apply_report(new, UpdateSource::Watch, at(9010));
    assert_eq!(ready_condition(&status(&index, 9010)), ("True", "AllNodesReady"));
}

/// The decision about the report `ghost`, which has no Node.
fn orphan(index: &Index, now: i64) -> Option<(NodeOperation, Option<Timestamp>)> {
    index.decide_orphan("ghost", at(now)).map(|decision| (decision.operation, decision.requeue_at))
}

#[test]
fn a_report_whose_node_does_not_exist_is_deleted_after_five_minutes_and_no_sooner() {
    for owner in [None, Some("ghost-1".to_owned())] {
        let mut index = two_nodes();
        index.take_dirty();
        let facts = ReportFacts { owner, ..report("ghost", &[("a", 1)]) };
        let delete = NodeOperation::DeleteReport { version: facts.version.clone() };
        index.apply_report(facts, UpdateSource::List, at(10));
        assert!(index.take_dirty().orphans.contains("ghost"));
        assert_eq!(orphan(&index, 309), Some((NodeOperation::Nothing, Some(at(310)))));
        assert_eq!(orphan(&index, 310), Some((delete, None)));
    }
}

#[test]
fn a_report_that_was_known_before_its_node_stays() {
    let mut index = two_nodes();
    index.apply_report(report("ghost", &[]), UpdateSource::Watch, at(0));
    index.apply_node(node("ghost"), at(299));
    assert_eq!(orphan(&index, 9999), None);
    // The report has existed all the time; the five minutes begin when the Node is deleted.
    index.delete_node("ghost", "ghost-1", at(400));
    assert_eq!(orphan(&index, 699), Some((NodeOperation::Nothing, Some(at(700)))));
    assert!(matches!(orphan(&index, 700), Some((NodeOperation::DeleteReport { .. }, None))));
}

#[test]
fn while_the_index_may_lack_nodes_no_report_is_deleted() {
    let mut index = two_nodes();
    index.apply_report(report("ghost", &[]), UpdateSource::Watch, at(0));
    index.kind_may_be_incomplete("Node");
    assert_eq!(orphan(&index, 9999), Some((NodeOperation::Nothing, None)));
    index.take_dirty();
    index.kind_is_complete("Node");
    assert_eq!(index.take_dirty().orphans.into_iter().collect::<Vec<_>>(), ["ghost"]);
    assert!(matches!(orphan(&index, 9999), Some((NodeOperation::DeleteReport { .. }, None))));
}
