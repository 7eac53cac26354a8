//! When a profile is ready, and how often its status is written.

use super::*;

#[test]
fn a_profile_is_ready_once_every_node_reports_its_bytes() {
    let mut index = two_nodes();
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n2", &[("a", 2)]) },
        UpdateSource::Watch,
        at(1),
    );
    let behind = status(&index, 1);
    assert_eq!(ready_condition(&behind), ("False", "RollingOut"));
    assert_eq!(behind.ready.as_deref(), Some("1/2"));
}

#[test]
fn the_status_keeps_the_hash_that_was_last_ready_and_no_write_is_made_for_it() {
    let mut index = two_nodes();
    let facts = store(&mut index, profile("a", 1), 1);
    let ready_hash = |facts: &ProfileFacts| facts.status.as_ref().unwrap().ready_hash.clone();
    assert_eq!(ready_hash(&facts), Some(hash(1).to_string()));
    // A node loses the file: it was ready all the same.
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n2", &[]) },
        UpdateSource::Watch,
        at(2),
    );
    let facts = store(&mut index, facts, 2);
    assert_eq!(ready_condition(facts.status.as_ref().unwrap()), ("False", "RollingOut"));
    assert_eq!(ready_hash(&facts), Some(hash(1).to_string()));
    // New contents have not been ready yet.
    let content = ProfileFacts { content: Ok(hash(2)), text: hash(2), generation: Some(2), ..facts };
    index.apply_profile(content.clone(), UpdateSource::List, at(3));
    let facts = store(&mut index, content, 3);
    assert_eq!(facts.status.as_ref().unwrap().content_hash, Some(hash(2).to_string()));
    assert_eq!(ready_hash(&facts), Some(hash(1).to_string()));
}

#[test]
fn a_node_whose_agent_does_not_know_the_report_is_waited_for_with_the_reason() {
    let mut index = two_nodes();
    // Its agents have written the contents without the flag.
    let facts = ProfileFacts {
        content: Ok(hash(2)),
        without_report: Some(hash(1)),
        text: hash(2),
        generation: Some(2),
        ..profile("a", 1)
    };
    index.apply_profile(ProfileFacts { version: version(1, 2), ..facts }, UpdateSource::Watch, at(1));
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n2", &[("a", 2)]) },
        UpdateSource::Watch,
        at(1),
    );
    let status = status(&index, 1);
    assert_eq!(ready_condition(&status), ("False", "RollingOut"));
    let ready = status.conditions.iter().find(|it| it.type_ == "Ready").unwrap();
    let expected = "; waiting for n1 (has it without the flag of spec.report, as earlier agents write it)";
    assert!(ready.message.ends_with(expected), "{}", ready.message);
}

#[test]
fn no_node_at_all_is_not_ready() {
    let mut index = Index::new("profiles");
    index.apply_profile(profile("a", 1), UpdateSource::Watch, at(0));
    assert_eq!(ready_condition(&status(&index, 0)), ("False", "NoNodes"));
}

#[test]
fn a_node_that_cannot_write_shows_why() {
    let mut index = two_nodes();
    let problem = FileProblem {
        name: "a".into(),
        state: ProblemKind::Failed.into(),
        reason: "DiskFull".into(),
        message: "no space".repeat(1000),
    };
    let problems = BTreeMap::from([("a".to_owned(), problem)]);
    index.apply_report(
        ReportFacts { version: version(7, 2), problems, ..report("n2", &[("a", 9)]) },
        UpdateSource::Watch,
        at(1),
    );
    let status = status(&index, 1);
    assert_eq!(ready_condition(&status), ("False", "NodesFailed"));
    assert_eq!((status.failures[0].node.as_str(), status.failures[0].reason.as_str()), ("n2", "DiskFull"));
    assert!(status.failures[0].message.chars().count() <= 512);
}

/// The report of `n2` about `a` as the API server stores it, from an agent of another release.
fn reported_by_another_release(state: &str, files: &serde_json::Value) -> ReportFacts {
    let owner = [serde_json::json!({ "apiVersion": "v1", "kind": "Node", "name": "n2", "uid": "n2-1" })];
    let object = serde_json::json!({
        "metadata": { "name": "n2", "uid": "uid-7", "resourceVersion": "2", "ownerReferences": owner },
        "status": { "report": {
            "agentVersion": "99.0.0", "directory": "/d", "fileCount": 1, "files": files, "newField": ["new"],
            "problems": [
                { "name": "b", "state": 7 },
                { "name": "a", "state": state, "reason": "Attested", "message": "no signature", "since": 7 },
            ],
        } },
    });
    ReportFacts::of(serde_json::from_value(object).unwrap())
}

#[test]
fn a_state_that_only_a_newer_agent_knows_is_a_failure_that_names_it_and_affects_nothing_else() {
    let mut index = two_nodes();
    let old = hash(9).short().to_string();
    let facts = reported_by_another_release("Quarantined", &serde_json::json!({ "a": old, "c": 7 }));
    assert_eq!(facts.files, Some(BTreeMap::from([("a".to_owned(), hash(9).short())])));
    assert_eq!(facts.problems.keys().collect::<Vec<_>>(), ["a"]);
    index.apply_report(facts, UpdateSource::Watch, at(1));
    let status = status(&index, 1);
    assert_eq!(ready_condition(&status), ("False", "NodesFailed"));
    let failure = &status.failures[0];
    assert_eq!((&*failure.node, &*failure.reason), ("n2", "Attested"));
    assert_eq!(
        failure.message,
        "the agent reports Quarantined, which this operator does not know: no signature"
    );
}

#[test]
fn a_node_with_the_right_bytes_is_ready_whatever_problem_a_newer_agent_reports() {
    let mut index = two_nodes();
    let right = hash(1).short().to_string();
    let facts = reported_by_another_release("Quarantined", &serde_json::json!({ "a": right }));
    index.apply_report(facts, UpdateSource::Watch, at(1));
    assert_eq!(ready_condition(&status(&index, 1)), ("True", "AllNodesReady"));
}

/// Two nodes whose agents have refused the contents of `a`, which the operator reads as `content`.
fn refused(content: Result<ContentHash, String>) -> Index {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { version: version(1, 2), generation: Some(2), content, ..profile("a", 1) },
        UpdateSource::Watch,
        at(1),
    );
    for name in ["n1", "n2"] {
        let problem = FileProblem {
            name: "a".into(),
            state: ProblemKind::Rejected.into(),
            reason: "InvalidProfile".into(),
            message: "unknown action".into(),
        };
        let problems = BTreeMap::from([("a".to_owned(), problem)]);
        let facts = ReportFacts { version: version(7, 2), problems, ..report(name, &[("a", 1)]) };
        index.apply_report(facts, UpdateSource::Watch, at(1));
    }
    index
}

#[test]
fn no_node_counts_as_failed_for_contents_that_are_no_valid_profile() {
    let status = status(&refused(Err("unknown action".to_owned())), 1);
    assert_eq!(
        (&status.state, ready_condition(&status)),
        (&Some(State::Rejected.into()), ("False", "InvalidProfile"))
    );
    let nodes = status.nodes.unwrap();
    assert_eq!((nodes.pending, nodes.failed, status.failures), (2, 0, vec![]));
}

#[test]
fn only_a_profile_that_will_not_become_ready_as_it_is_is_stalled() {
    let stalled = |status: &SeccompProfileStatus| {
        let mut conditions = status.conditions.iter();
        conditions.find(|it| it.type_ == "Stalled").map(|it| (it.status.clone(), it.reason.clone()))
    };
    let refused_contents = refused(Err("unknown action".to_owned()));
    assert_eq!(stalled(&status(&refused_contents, 1)), Some(("True".into(), "InvalidProfile".into())));
    // The agents keep trying, so that the profile may become Ready.
    assert_eq!(stalled(&status(&refused(Ok(hash(2))), 1)), None);
    assert_eq!(stalled(&status(&two_nodes(), 1)), None);
    let mut index = refused_contents;
    let deletion = Some(at(2));
    let deleted = ProfileFacts { deletion, ..index.profiles["a"].facts.clone() };
    index.apply_profile(deleted, UpdateSource::Watch, at(2));
    assert_eq!(stalled(&status_after_list(&mut index, 5)), None);
}

#[test]
fn agents_that_are_too_old_for_a_profile_count_as_failed_with_their_reason() {
    let status = status(&refused(Ok(hash(2))), 1);
    assert_eq!(
        (&status.state, ready_condition(&status)),
        (&Some(State::Failed.into()), ("False", "NodesFailed"))
    );
    assert_eq!((status.nodes.unwrap().failed, status.failures[0].reason.as_str()), (2, "InvalidProfile"));
}

#[test]
fn counts_alone_are_written_at_most_every_five_seconds_in_a_small_cluster() {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 0);
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(1));
    let waiting = index.profile_decision("a", at(1)).unwrap();
    assert_eq!((waiting.operation, waiting.requeue_at), (ProfileOperation::Defer, Some(at(5))));
    assert_eq!(status(&index, 5).ready.as_deref(), Some("1/2"));
}

#[test]
fn while_counts_are_deferred_only_an_urgent_change_queues_the_profile() {
    let mut index = two_nodes();
    index.apply_node(node("n3"), at(0));
    let behind = |number| ReportFacts { version: version(7, number), ..report("n3", &[]) };
    index.apply_report(behind(1), UpdateSource::Watch, at(0));
    store(&mut index, profile("a", 1), 0);
    let due_after = |index: &mut Index, node, reachable, now| {
        index.take_dirty();
        index.apply_node(NodeFacts { reachable, ..super::node(node) }, at(now));
        index.take_dirty().profiles.contains("a")
    };
    assert!(
        due_after(&mut index, "n2", false, 1),
        "nothing was decided about the profile since the last write"
    );
    let waiting = index.decide_profile("a", at(1)).unwrap();
    assert_eq!((waiting.operation, waiting.requeue_at), (ProfileOperation::Defer, Some(at(5))));
    assert!(!due_after(&mut index, "n2", true, 2), "it is requeued at 5 s");
    assert!(!due_after(&mut index, "n2", false, 3));
    // The last pending node has the file now, so that the profile is Ready.
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n3", &[("a", 1)]) },
        UpdateSource::Watch,
        at(4),
    );
    assert!(index.take_dirty().profiles.contains("a"));
    assert_eq!(ready_condition(&status(&index, 4)), ("True", "AllNodesReady"));
    assert!(!due_after(&mut index, "n2", true, 4));
    // At 5 s the deferral ends, even where nothing was decided then because writes fail.
    assert!(due_after(&mut index, "n2", false, 5));
}

#[test]
fn a_clock_that_is_set_back_delays_no_counts() {
    let mut index = two_nodes();
    store(&mut index, profile("a", 1), 3600);
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(3601));
    assert_eq!(index.decide_profile("a", at(3601)).unwrap().operation, ProfileOperation::Defer);
    index.take_dirty();
    index.apply_node(NodeFacts { reachable: true, ..node("n2") }, at(1));
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(1));
    assert!(index.take_dirty().profiles.contains("a"));
    assert_eq!(status(&index, 1).ready.as_deref(), Some("1/2"));
}

#[test]
fn counts_alone_are_written_less_often_in_a_large_cluster_and_even_less_for_a_settled_profile() {
    let mut index = two_nodes();
    for number in 3..=1000 {
        index.apply_node(node(&format!("n{number}")), at(0));
    }
    let facts = store(&mut index, profile("a", 1), 0);
    // Both changes affect nothing but the counts.
    for (now, due) in [(1, 40), (100, 160)] {
        if now > 1 {
            store(&mut index, facts.clone(), now);
        }
        index.apply_node(NodeFacts { reachable: now > 1, ..node("n2") }, at(now));
        let waiting = index.profile_decision("a", at(now)).unwrap();
        assert_eq!((waiting.operation, waiting.requeue_at), (ProfileOperation::Defer, Some(at(due))));
    }
}

#[test]
fn the_first_failure_of_new_contents_is_written_at_once() {
    let mut index = two_nodes();
    let behind = ReportFacts { version: version(7, 2), ..report("n2", &[]) };
    index.apply_report(behind.clone(), UpdateSource::Watch, at(0));
    let mut facts = store(&mut index, profile("a", 1), 0);
    assert_eq!(facts.status.as_ref().unwrap().state, Some(State::Progressing.into()));
    for turn in [3u32, 5] {
        let problem = FileProblem {
            name: "a".into(),
            state: ProblemKind::Conflict.into(),
            reason: "NotOurs".into(),
            message: "a file".into(),
        };
        let problems = BTreeMap::from([("a".to_owned(), problem)]);
        index.apply_report(
            ReportFacts { version: version(7, turn), problems, ..behind.clone() },
            UpdateSource::Watch,
            at(1),
        );
        facts = store(&mut index, facts, 1);
        assert_eq!(facts.status.as_ref().unwrap().state, Some(State::Failed.into()));
        index.apply_report(
            ReportFacts { version: version(7, turn + 1), ..behind.clone() },
            UpdateSource::Watch,
            at(1),
        );
        facts = store(&mut index, facts, 1);
        // Neither the end of the failure nor the next failure is written at once.
        assert_eq!(facts.status.as_ref().unwrap().state, Some(State::Failed.into()));
    }
}
