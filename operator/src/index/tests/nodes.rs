//! What becomes of a node: new, lost, left out, without an agent.

use super::*;

#[test]
fn a_new_node_is_not_waited_for_until_it_has_had_its_time() {
    let mut index = two_nodes();
    index.apply_node(NodeFacts { created: at(0), reachable: false, ..node("n3") }, at(0));
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
    index.apply_node(NodeFacts { created: at(0), ..node("n3") }, at(1));
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
    assert_eq!(
        index.judge_node("n3", at(1)).unwrap().step,
        NodeOperation::CreateReport { owner: "n3-1".into() }
    );
    index.apply_report(ReportFacts { files: None, ..report("n3", &[]) }, Source::Watch, at(1));
    assert_eq!(index.judge_node("n3", at(1)).unwrap().requeue_at, Some(at(120)));
    index.pass_time("n3", at(120));
    assert_eq!(ready_condition(&status(&index, 120)), ("False", "RollingOut"));
}

#[test]
fn a_node_that_cannot_be_reached_is_shown_and_not_waited_for() {
    let mut index = two_nodes();
    index.apply_report(ReportFacts { version: version(7, 2), ..report("n2", &[]) }, Source::Watch, at(1));
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(1));
    let status = status(&index, 1);
    assert_eq!(ready_condition(&status), ("True", "AllNodesReady"));
    assert_eq!((status.ready.as_deref(), status.nodes.unwrap().unreachable), (Some("1/2"), 1));
}

#[test]
fn an_agent_that_has_been_down_for_too_long_makes_its_node_pending() {
    let mut index = two_nodes();
    index.apply_pod(agent("n2", false), at(0));
    index.pass_time("n2", at(299));
    assert_eq!(ready_condition(&status(&index, 299)), ("True", "AllNodesReady"));
    index.pass_time("n2", at(300));
    let down = status(&index, 300);
    assert_eq!(ready_condition(&down), ("False", "RollingOut"));
    assert!(
        down.conditions[1].message.ends_with("waiting for n2 (AgentDown)"),
        "{}",
        down.conditions[1].message
    );
    assert_eq!(node_condition(&index, "n2", 300), Some(("False".into(), "AgentDown".into())));
}

#[test]
fn a_nodes_condition_turns_false_only_when_it_has_been_behind_for_long() {
    let mut index = two_nodes();
    assert_eq!(node_condition(&index, "n1", 0), Some(("True".into(), "AllProfiles".into())));
    index.apply_profile(profile("b", 5), Source::Watch, at(10));
    assert_eq!(node_condition(&index, "n1", 39), None);
    assert_eq!(index.judge_node("n1", at(39)).unwrap().requeue_at, Some(at(40)));
    assert_eq!(node_condition(&index, "n1", 40), Some(("False".into(), "Behind".into())));
}

#[test]
fn a_node_that_is_no_longer_selected_loses_its_report() {
    let mut index = two_nodes();
    index.apply_node(NodeFacts { selected: false, ..node("n2") }, at(1));
    assert_eq!(status(&index, 1).ready.as_deref(), Some("1/1"));
    assert_eq!(
        index.judge_node("n2", at(1)).unwrap().step,
        NodeOperation::DeleteReport { version: version(7, 1) }
    );
}

/// When the counts of `a` are written, if nothing happens before.
fn counted(index: &Index, now: i64) -> Option<i64> {
    let verdict = index.judge_profile("a", at(now)).unwrap();
    match verdict.step {
        ProfileOperation::WriteStatus { .. } => Some(now),
        _ => verdict.requeue_at.map(|time| time.as_second() - START),
    }
}

#[test]
fn a_node_that_joins_and_reports_in_time_is_one_write_of_each_profile() {
    let mut index = two_nodes();
    let facts = store(&mut index, profile("a", 1), 0);
    index.apply_node(NodeFacts { created: at(100), ..node("n3") }, at(100));
    assert_eq!(counted(&index, 100), Some(105));
    index.apply_report(
        ReportFacts { version: version(9, 2), ..report("n3", &[("a", 1)]) },
        Source::Watch,
        at(102),
    );
    assert_eq!(status(&index, 102).ready.as_deref(), Some("3/3"));
    store(&mut index, facts, 102);
    assert_eq!(counted(&index, 102), None);
}

#[test]
fn a_node_that_joins_holds_up_no_verdict_and_is_counted_if_it_does_not_report() {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 0);
    index.apply_node(NodeFacts { created: at(100), ..node("n3") }, at(100));
    assert_eq!(status(&index, 105).nodes.unwrap().joining, 1);
    // Another one loses the file meanwhile.
    index.apply_report(ReportFacts { version: version(7, 2), ..report("n1", &[]) }, Source::Watch, at(101));
    assert_eq!(ready_condition(&status(&index, 101)).0, "False");
}

#[test]
fn however_many_nodes_join_counts_are_written_in_half_of_the_time() {
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
    // Its report and its agent's pod are still there when the next Node of the name comes.
    index.apply_node(NodeFacts { uid: "n2-2".into(), created: at(9000), ..node("n2") }, at(9000));
    assert_eq!(status(&index, 9000).nodes.unwrap().joining, 1);
    let own = ReportFacts { owner: Some("n2-2".into()), version: version(8, 2), ..report("n2", &[("a", 1)]) };
    index.apply_report(own, Source::Watch, at(9010));
    assert_eq!(ready_condition(&status(&index, 9010)), ("True", "AllNodesReady"));
}

/// What is done about the report `ghost`, of which no Node is known.
fn orphan(index: &Index, now: i64) -> Option<(NodeOperation, Option<Timestamp>)> {
    index.judge_orphan("ghost", at(now)).map(|verdict| (verdict.step, verdict.requeue_at))
}

#[test]
fn a_report_whose_node_does_not_exist_goes_after_five_minutes_and_no_sooner() {
    for owner in [None, Some("ghost-1".to_owned())] {
        let mut index = two_nodes();
        index.take_dirty();
        let facts = ReportFacts { owner, ..report("ghost", &[("a", 1)]) };
        let delete = NodeOperation::DeleteReport { version: facts.version.clone() };
        index.apply_report(facts, Source::List, at(10));
        assert!(index.take_dirty().orphans.contains("ghost"));
        assert_eq!(orphan(&index, 309), Some((NodeOperation::Nothing, Some(at(310)))));
        assert_eq!(orphan(&index, 310), Some((delete, None)));
    }
}

#[test]
fn a_report_that_was_known_before_its_node_stays() {
    let mut index = two_nodes();
    index.apply_report(report("ghost", &[]), Source::Watch, at(0));
    index.apply_node(node("ghost"), at(299));
    assert_eq!(orphan(&index, 9999), None);
    // It has been there all the time; what counts is since when the Node is gone.
    index.delete_node("ghost", "ghost-1", at(400));
    assert_eq!(orphan(&index, 699), Some((NodeOperation::Nothing, Some(at(700)))));
    assert!(matches!(orphan(&index, 700), Some((NodeOperation::DeleteReport { .. }, None))));
}

#[test]
fn while_news_of_nodes_may_be_missing_no_report_goes() {
    let mut index = two_nodes();
    index.apply_report(report("ghost", &[]), Source::Watch, at(0));
    index.doubt("Node");
    assert_eq!(orphan(&index, 9999), Some((NodeOperation::Nothing, None)));
    index.take_dirty();
    index.is_whole("Node");
    assert_eq!(index.take_dirty().orphans.into_iter().collect::<Vec<_>>(), ["ghost"]);
    assert!(matches!(orphan(&index, 9999), Some((NodeOperation::DeleteReport { .. }, None))));
}
