//! What a deletion waits for.

use super::*;

#[test]
fn a_deletion_waits_for_live_pods_and_then_for_the_nodes() {
    let mut index = two_nodes();
    let mut facts = store(&mut index, profile("a", 1), 0);
    index.apply_pod(user("web", Some("n1"), "a"), at(1));
    facts = store(&mut index, ProfileFacts { deletion: Some(at(0)), ..facts }, 1);
    index.apply_profile(facts.clone(), UpdateSource::Watch, at(1));
    facts = store(&mut index, facts, 2);
    let stored = facts.status.clone().unwrap();
    assert_eq!((stored.in_use, stored.removal), (Some(true), None));
    let deleting = stored.conditions.iter().find(|condition| condition.type_ == "Deleting").unwrap();
    assert!(deleting.message.starts_with("1 pod uses it: shop/web;"), "{}", deleting.message);

    index.delete_pod("web", at(3));
    facts = store(&mut index, facts, 3);
    assert_eq!(facts.status.as_ref().unwrap().removal, Some(Removal::Approved.into()));
    // Approved, but both nodes still hold it.
    assert_eq!(index.profile_decision("a", at(4)).unwrap().operation, ProfileOperation::Nothing);
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n1", &[]) },
        UpdateSource::Watch,
        at(4),
    );
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(4));
    let operation = index.profile_decision("a", at(4)).unwrap().operation;
    assert_eq!(operation, ProfileOperation::RemoveFinalizer { finalizer: 0, unconfirmed: vec![] });
}

#[test]
fn a_deletion_waits_two_minutes_for_a_node_that_never_confirms() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deletion: Some(at(0)), ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts.clone(), UpdateSource::Watch, at(0));
    store(&mut index, facts, 1);
    let waiting = index.profile_decision("a", at(120)).unwrap();
    assert_eq!((waiting.operation, waiting.requeue_at), (ProfileOperation::Nothing, Some(at(121))));
    let operation = index.profile_decision("a", at(121)).unwrap().operation;
    assert_eq!(
        operation,
        ProfileOperation::RemoveFinalizer { finalizer: 0, unconfirmed: vec!["n1".into(), "n2".into()] }
    );
}

#[test]
fn an_unscheduled_pod_keeps_a_profile_for_ten_minutes_and_a_pod_on_a_lost_node_does_not() {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) },
        UpdateSource::Watch,
        at(0),
    );
    index.apply_pod(user("lost", Some("n9"), "a"), at(0));
    index.apply_node(NodeFacts { reachable: false, answers: false, ..node("n2") }, at(0));
    index.apply_pod(user("cut-off", Some("n2"), "a"), at(0));
    assert_eq!(status_after_list(&mut index, 1).removal, Some(Removal::Approved.into()));
    index.apply_pod(user("new", None, "a"), at(0));
    assert_eq!(status(&index, 599).removal, None);
    assert_eq!(index.profile_decision("a", at(599)).unwrap().requeue_at, Some(at(600)));
    assert_eq!(status_after_list(&mut index, 600).removal, Some(Removal::Approved.into()));
}

#[test]
fn the_annotation_allows_the_deletion_of_a_profile_in_use() {
    let mut index = two_nodes();
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    index.apply_profile(
        ProfileFacts { deletion: Some(at(0)), delete_in_use: true, ..profile("a", 1) },
        UpdateSource::Watch,
        at(0),
    );
    assert_eq!(status(&index, 0).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_deletion_waits_while_the_index_may_lack_pods_or_nodes() {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) },
        UpdateSource::Watch,
        at(0),
    );
    index.kind_may_be_incomplete("Pod");
    index.kind_may_be_incomplete("Node");
    let incomplete_kinds = status(&index, 1);
    assert_eq!(incomplete_kinds.removal, None);
    assert_eq!(incomplete_kinds.conditions[2].reason, "PodsUnknown");
    // However long that lasts:
    index.kind_is_complete("Pod");
    assert_eq!(status(&index, 9999).removal, None);
    index.kind_is_complete("Node");
    assert_eq!(status_after_list(&mut index, 9999).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_pod_in_a_list_keeps_the_profile_however_late_its_watch_event_is() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) };
    index.apply_profile(facts, UpdateSource::Watch, at(0));
    let web = user("web", Some("n1"), "a");
    // However long ago the deletion was, the watch event of a pod may still be to come.
    for now in [0, 1, 60, 9999] {
        let operation = index.profile_decision("a", at(now)).unwrap().operation;
        let waits = match &operation {
            ProfileOperation::ListPods => true,
            ProfileOperation::WriteStatus { status, .. } => status.removal.is_none(),
            _ => false,
        };
        assert!(waits, "{operation:?}");
        assert!(!list(&mut index, std::slice::from_ref(&web), now));
    }
    // The index knows the pod, but not that it was bound to a node.
    index.apply_pod(user("web", None, "a"), at(9999));
    assert!(!list(&mut index, std::slice::from_ref(&web), 9999));
    index.apply_pod(web, at(9999));
    assert_eq!(status(&index, 9999).conditions[2].reason, "InUse");
    index.delete_pod("web", at(10_000));
    // Pods of other profiles do not matter.
    assert!(list(&mut index, &[user("other", Some("n1"), "b")], 10_000));
    assert!(index.take_dirty().profiles.contains("a"));
    assert_eq!(status(&index, 10_000).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_pod_on_an_unknown_node_keeps_the_profile_unless_the_node_does_not_exist() {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) },
        UpdateSource::Watch,
        at(0),
    );
    let web = [user("web", Some("joined"), "a")];
    index.apply_pod(web[0].clone(), at(0));
    // The report or the agent's pod may arrive before the Node.
    index.apply_pod(agent("joined", true), at(0));
    let uid = index.profile_version("a").unwrap().uid.clone();
    let joined = BTreeSet::from(["joined".to_owned()]);
    let none = BTreeSet::new();
    let listed = index.pods_listed("a", &uid, &web, &none, at(1));
    assert_eq!(listed, ListedPods::NodesNotKnown(joined.clone()));
    assert_eq!(index.profile_decision("a", at(1)).unwrap().operation, ProfileOperation::ListPods);
    let gone = index.pods_listed("a", &uid, &web, &joined, at(2));
    assert_eq!((gone, status(&index, 2).removal), (ListedPods::AllKnown, Some(Removal::Approved.into())));
    index.apply_node(node("joined"), at(3));
    assert_eq!(status(&index, 3).conditions[2].reason, "InUse");
    assert_eq!(index.pods_listed("a", &uid, &web, &none, at(3)), ListedPods::AllKnown);
}

#[test]
fn a_deletion_for_which_pods_cannot_be_listed_reports_that_once_and_keeps_listing() {
    let mut index = two_nodes();
    let facts = store(&mut index, profile("a", 1), 0);
    let facts = ProfileFacts { deletion: Some(at(0)), ..facts };
    index.apply_profile(facts.clone(), UpdateSource::Watch, at(0));
    let uid = facts.version.uid.clone();
    for now in [0, 1, 4] {
        assert_eq!(index.profile_decision("a", at(now)).unwrap().operation, ProfileOperation::ListPods);
        index.pods_not_listed("a", &uid, at(now));
    }
    let written = status(&index, 5);
    assert_eq!((written.removal.clone(), written.conditions[2].reason.as_str()), (None, "PodsUnknown"));
    let facts = ProfileFacts { status: Some(written), version: version(1, 9), ..facts };
    index.apply_profile(facts, UpdateSource::Answer, at(5));
    for now in [5, 60, 9999] {
        assert_eq!(index.profile_decision("a", at(now)).unwrap().operation, ProfileOperation::ListPods);
        index.pods_not_listed("a", &uid, at(now));
    }
    assert_eq!(status_after_list(&mut index, 9999).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_pod_list_is_valid_for_one_write_and_only_for_the_same_uid() {
    let mut index = two_nodes();
    index.apply_profile(
        ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) },
        UpdateSource::Watch,
        at(0),
    );
    let listed = index.pods_listed("a", "uid-of-an-earlier-one", &[], &BTreeSet::new(), at(0));
    assert_eq!(listed, ListedPods::AllKnown);
    assert_eq!(index.profile_decision("a", at(0)).unwrap().operation, ProfileOperation::ListPods);
    assert!(list(&mut index, &[], 10));
    assert_eq!(status(&index, 14).removal, Some(Removal::Approved.into()));
    assert_eq!(index.profile_decision("a", at(15)).unwrap().operation, ProfileOperation::ListPods);
    // After the clock was set back, the list is not valid.
    assert_eq!(index.profile_decision("a", at(9)).unwrap().operation, ProfileOperation::ListPods);
}

#[test]
fn approval_is_not_withdrawn_by_a_status_that_cannot_be_read() {
    let mut index = two_nodes();
    let facts =
        ProfileFacts { deletion: Some(at(0)), removal_approved: true, status: None, ..profile("a", 1) };
    index.apply_profile(facts, UpdateSource::Watch, at(0));
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    assert_eq!(status(&index, 1).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_deletion_waits_for_a_node_that_can_neither_remove_nor_read_the_file() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deletion: Some(at(0)), ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts.clone(), UpdateSource::Watch, at(0));
    store(&mut index, facts, 1);
    index.apply_report(
        ReportFacts { version: version(7, 2), ..report("n1", &[]) },
        UpdateSource::Watch,
        at(2),
    );
    for (number, state, holds) in
        [(3, "Failed", true), (4, "Quarantined", true), (5, "Conflict", false), (6, "Rejected", false)]
    {
        let problem = FileProblem {
            name: "a".into(),
            state: OpenEnum::of(state),
            reason: "Io".into(),
            message: "input/output error".into(),
        };
        let problems = BTreeMap::from([("a".to_owned(), problem)]);
        let stuck = ReportFacts { version: version(7, number), problems, ..report("n2", &[]) };
        index.apply_report(stuck, UpdateSource::Watch, at(2));
        let released = matches!(
            index.profile_decision("a", at(2)).unwrap().operation,
            ProfileOperation::RemoveFinalizer { .. }
        );
        assert_eq!(!released, holds, "{state}");
    }
}

#[test]
fn a_pod_that_is_unscheduled_for_too_long_is_no_longer_named_however_many_others_use_the_profile() {
    let mut index = two_nodes();
    index.apply_pod(user("bound", Some("n1"), "a"), at(0));
    for (pod, created) in [("first", 0), ("second", 100)] {
        index.apply_pod(PodFacts { created: at(created), ..user(pod, None, "a") }, at(100));
    }
    index.apply_profile(
        ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) },
        UpdateSource::Watch,
        at(100),
    );
    for (now, until, named) in [(101, Some(600), 3), (600, Some(700), 2), (700, None, 1)] {
        let decision = index.profile_decision("a", at(now)).unwrap();
        assert_eq!(decision.requeue_at, until.map(at));
        let message = &status(&index, now).conditions[2].message;
        assert!(message.starts_with(&format!("{named} pod")), "{message}");
    }
}

#[test]
fn a_deletion_whose_approval_was_removed_waits_for_its_pods_and_for_no_time_that_has_passed() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deletion: Some(at(0)), ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts.clone(), UpdateSource::Watch, at(0));
    let approved = store(&mut index, facts, 1);
    assert_eq!(index.profile_decision("a", at(1)).unwrap().requeue_at, Some(at(121)));
    index.apply_pod(user("web", Some("n1"), "a"), at(2));
    let version = ObjectVersion { resource_version: "9".into(), ..approved.version.clone() };
    let wiped = ProfileFacts { status: None, removal_approved: false, version, ..approved };
    index.apply_profile(wiped.clone(), UpdateSource::Watch, at(2));
    store(&mut index, wiped, 2);
    let waiting = index.profile_decision("a", at(130)).unwrap();
    assert_eq!((waiting.operation, waiting.requeue_at), (ProfileOperation::Nothing, None));
}

#[test]
fn the_message_names_five_of_many_pods_that_use_a_profile_and_counts_all() {
    let mut index = two_nodes();
    for pod in ["a", "b", "c", "d", "e", "f", "g"] {
        index.apply_pod(user(pod, Some("n1"), "a"), at(0));
    }
    let facts = ProfileFacts { deletion: Some(at(0)), ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts, UpdateSource::Watch, at(0));
    let message = &status(&index, 1).conditions[2].message;
    let wanted = "7 pods use it: shop/a, shop/b, shop/c, shop/d, shop/e and 2 more;";
    assert!(message.starts_with(wanted), "{message}");
}

#[test]
fn a_pod_on_a_node_whose_kubelet_reports_not_ready_keeps_the_profile() {
    let mut index = two_nodes();
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    index.apply_profile(
        ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) },
        UpdateSource::Watch,
        at(0),
    );
    index.apply_node(NodeFacts { reachable: false, ..node("n1") }, at(1));
    assert_eq!(status(&index, 2).conditions[2].reason, "InUse");
    index.apply_node(NodeFacts { reachable: false, answers: false, ..node("n1") }, at(3));
    assert_eq!(status_after_list(&mut index, 4).removal, Some(Removal::Approved.into()));
}

#[test]
fn pods_of_a_profile_that_was_deleted_before_it_had_a_finalizer_are_counted_while_they_may_run() {
    let mut index = two_nodes();
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    index.apply_pod(user("ghost", Some("gone"), "a"), at(0));
    index.apply_pod(user("new", None, "a"), at(0));
    index.apply_pod(user("other", Some("n1"), "never-applied"), at(0));
    assert_eq!(index.pods_without_profile(at(1)), 1);
    // It had no finalizer.
    index.delete_profile("a", "uid-1", at(1));
    assert_eq!(index.pods_without_profile(at(1)), 3);
    assert_eq!(index.pods_without_profile(at(600)), 2);
    index.delete_pod("web", at(601));
    assert_eq!(index.pods_without_profile(at(601)), 1);
    index.apply_profile(profile("never-applied", 1), UpdateSource::Watch, at(602));
    assert_eq!(index.pods_without_profile(at(602)), 0);
}
