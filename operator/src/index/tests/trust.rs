//! Updates that are late, repeated, false, or that follow a restart.

use super::*;

#[test]
fn a_profile_recreated_under_its_name_is_not_ready_with_the_old_bytes() {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { version: version(2, 9), ..profile("a", 2) },
        UpdateSource::Watch,
        at(1),
    );
    assert_eq!(status(&index, 1).ready.as_deref(), Some("0/2"));
    // A late update of the old one changes nothing.
    index.delete_profile("a", "uid-1", at(1));
    assert_eq!(status(&index, 1).ready.as_deref(), Some("0/2"));
}

#[test]
fn a_late_update_to_an_older_version_is_dropped() {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { version: version(1, 10), ..profile("a", 2) },
        UpdateSource::Watch,
        at(1),
    );
    index.apply_profile(
        ProfileFacts { version: version(1, 9), ..profile("a", 1) },
        UpdateSource::Watch,
        at(1),
    );
    assert_eq!(status(&index, 1).ready.as_deref(), Some("0/2"));
}

#[test]
fn a_report_of_an_earlier_node_of_the_same_name_does_not_count() {
    let mut index = two_nodes();
    index.apply_node(NodeFacts { uid: "n2-2".into(), created: at(0), ..node("n2") }, at(1));
    let joined = status(&index, 1);
    assert_eq!((joined.ready.as_deref(), joined.nodes.unwrap().joining), (Some("1/2"), 1));
}

#[test]
fn a_node_with_an_impossible_time_affects_no_other() {
    let mut index = two_nodes();
    let kind = PodKind::Agent { ready: false, since: Some(Timestamp::MAX) };
    index.apply_pod(PodFacts { kind, ..agent("n2", false) }, at(0));
    index.apply_node(NodeFacts { created: Timestamp::MAX, ..node("n1") }, at(0));
    index.advance_time("n2", at(300));
    assert_eq!(status(&index, 300).nodes.unwrap().pending, 1);
}

#[test]
fn restored_contents_are_not_ready_because_of_a_report_about_their_first_rollout() {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 0);
    for (content, generation) in [(2, 2), (1, 3)] {
        let facts = ProfileFacts {
            version: version(1, 10 + u32::from(content)),
            generation: Some(generation),
            ..profile("a", content)
        };
        index.apply_profile(facts, UpdateSource::List, at(1));
    }
    assert_eq!(ready_condition(&status(&index, 2)), ("False", "RollingOut"));
    assert_eq!(index.profile_decision("a", at(2)).unwrap().requeue_at, Some(at(7)));
    assert_eq!(ready_condition(&status(&index, 7)), ("True", "AllNodesReady"));
}

#[test]
fn a_node_whose_report_alternates_cannot_make_the_operator_write_as_often() {
    let mut index = two_nodes();
    let mut facts = store(&mut index, profile("a", 1), 0);
    let mut writes = 0;
    for turn in 0..200u32 {
        let second = i64::from(turn / 2);
        let files: &[(&str, u8)] = if turn % 2 == 0 { &[] } else { &[("a", 1)] };
        let report = ReportFacts { version: version(7, 10 + turn), ..report("n2", files) };
        index.apply_report(report, UpdateSource::Watch, at(second));
        let before = facts.version.clone();
        facts = store(&mut index, facts, second);
        writes += u32::from(facts.version != before);
    }
    // One write of counts every five seconds, and eight flips to Ready and back while the wait doubles to a minute.
    assert!(writes <= 20 + 16, "{writes} writes for 200 reports within 100 s");
    // The profile is Ready once the report stays the same.
    assert_eq!(ready_condition(&status(&index, 100 + 61)), ("True", "AllNodesReady"));
}

#[test]
fn a_restarted_operator_does_not_call_a_node_ready_whose_agent_was_down() {
    let mut index = Index::new("profiles");
    index.apply_node(node("n1"), at(0));
    index.apply_report(report("n1", &[("a", 1)]), UpdateSource::List, at(0));
    let since = Some(at(-3600));
    index.apply_pod(PodFacts { kind: PodKind::Agent { ready: false, since }, ..agent("n1", false) }, at(0));
    index.apply_profile(profile("a", 1), UpdateSource::List, at(0));
    assert_eq!(ready_condition(&status(&index, 0)), ("False", "RollingOut"));
}

#[test]
fn a_restarted_operator_goes_by_the_stored_condition_where_the_agent_has_no_pod() {
    let mut index = Index::new("profiles");
    index.apply_node(node("n1"), at(0));
    let down = Condition {
        type_: "Ready".into(),
        status: "False".into(),
        reason: "AgentDown".into(),
        message: String::new(),
        observed_generation: None,
        last_transition_time: Time(at(-60)),
    };
    index.apply_report(
        ReportFacts { ready: Some(down), ..report("n1", &[("a", 1)]) },
        UpdateSource::List,
        at(0),
    );
    index.apply_profile(profile("a", 1), UpdateSource::List, at(0));
    assert_eq!(ready_condition(&status(&index, 0)), ("False", "RollingOut"));
}

#[test]
fn an_agents_pod_that_loses_its_label_is_no_agent_any_more() {
    let mut index = two_nodes();
    index.apply_pod(PodFacts { kind: PodKind::Other, ..agent("n2", true) }, at(0));
    index.delete_pod("agent-n2", at(1));
    index.advance_time("n2", at(300));
    assert_eq!(ready_condition(&status(&index, 300)), ("False", "RollingOut"));
}

#[test]
fn a_late_answer_neither_replaces_a_successor_nor_adds_a_deleted_object() {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { version: version(2, 9), ..profile("a", 2) },
        UpdateSource::Watch,
        at(1),
    );
    index.apply_profile(
        ProfileFacts { version: version(1, 8), ..profile("a", 1) },
        UpdateSource::Answer,
        at(1),
    );
    assert_eq!(index.profile_version("a"), Some(&version(2, 9)));
    index.apply_profile(
        ProfileFacts { version: version(1, 10), ..profile("a", 1) },
        UpdateSource::Answer,
        at(1),
    );
    assert_eq!(index.profile_version("a"), Some(&version(2, 9)));
    index.delete_profile("a", "uid-2", at(1));
    index.apply_profile(
        ProfileFacts { version: version(2, 11), ..profile("a", 2) },
        UpdateSource::Answer,
        at(1),
    );
    assert_eq!(index.profile_version("a"), None);
    index.delete_report("n1", "uid-7", at(1));
    index.apply_report(
        ReportFacts { version: version(7, 12), ..report("n1", &[]) },
        UpdateSource::Answer,
        at(1),
    );
    assert_eq!(
        index.decide_node("n1", at(1)).unwrap().operation,
        NodeOperation::CreateReport { owner: "n1-1".into() }
    );
}

#[test]
fn a_list_is_applied_even_where_versions_went_back_with_a_restored_store() {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { version: version(1, 900), ..profile("a", 2) },
        UpdateSource::Watch,
        at(1),
    );
    index.apply_profile(
        ProfileFacts { version: version(1, 5), ..profile("a", 1) },
        UpdateSource::List,
        at(2),
    );
    assert_eq!(index.profile_version("a"), Some(&version(1, 5)));
}

#[test]
fn a_report_that_no_node_owns_is_replaced() {
    let mut index = two_nodes();
    index.apply_report(
        ReportFacts { version: version(8, 9), owner: None, ..report("n1", &[("a", 1)]) },
        UpdateSource::Watch,
        at(1),
    );
    assert_eq!(
        index.decide_node("n1", at(1)).unwrap().operation,
        NodeOperation::DeleteReport { version: version(8, 9) }
    );
}

#[test]
fn the_answer_to_a_create_does_not_add_a_report_that_was_deleted_meanwhile() {
    let mut index = two_nodes();
    index.delete_report("n1", "uid-7", at(1));
    let new = ReportFacts { version: version(8, 20), files: None, ..report("n1", &[]) };
    index.apply_report(new.clone(), UpdateSource::Watch, at(1));
    index.delete_report("n1", "uid-8", at(1));
    index.apply_report(new.clone(), UpdateSource::Created, at(1));
    assert_eq!(
        index.decide_node("n1", at(1)).unwrap().operation,
        NodeOperation::CreateReport { owner: "n1-1".into() }
    );
    // The same where only a list has arrived meanwhile.
    index.reports_listed(at(3));
    let late = ReportFacts { version: version(9, 30), ..new };
    index.apply_report(late.clone(), UpdateSource::Created, at(2));
    assert_eq!(
        index.decide_node("n1", at(3)).unwrap().operation,
        NodeOperation::CreateReport { owner: "n1-1".into() }
    );
    index.apply_report(late, UpdateSource::Created, at(4));
    assert_ne!(
        index.decide_node("n1", at(4)).unwrap().operation,
        NodeOperation::CreateReport { owner: "n1-1".into() }
    );
}

#[test]
fn a_created_report_that_a_list_contained_before_the_answer_stays_when_the_list_is_complete() {
    let mut index = two_nodes();
    index.delete_report("n1", "uid-7", at(1));
    let new = ReportFacts { version: version(8, 9), files: None, ..report("n1", &[]) };
    index.apply_report(new.clone(), UpdateSource::List, at(2));
    index.apply_report(new.clone(), UpdateSource::Created, at(2));
    index.reports_listed(at(3));
    assert_eq!(index.report_version("n1"), Some(&new.version));
}

#[test]
fn a_created_report_that_the_watch_never_delivered_and_a_list_does_not_contain_is_gone() {
    let mut index = two_nodes();
    index.delete_report("n1", "uid-7", at(1));
    let new = ReportFacts { version: version(8, 20), files: None, ..report("n1", &[]) };
    index.apply_report(new.clone(), UpdateSource::Created, at(2));
    index.apply_report(new.clone(), UpdateSource::List, at(3));
    index.reports_listed(at(3));
    assert_eq!(index.report_version("n1"), Some(&new.version), "the list has contained it");
    index.delete_report("n1", "uid-8", at(4));
    let newer = ReportFacts { version: version(9, 30), ..new };
    index.apply_report(newer, UpdateSource::Created, at(5));
    index.reports_listed(at(6));
    assert_eq!(index.report_version("n1"), None);
    assert!(index.take_dirty().nodes.contains("n1"), "it is created again");
}
