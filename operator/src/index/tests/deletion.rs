//! What a deletion waits for.

use super::*;

#[test]
fn a_deletion_waits_for_live_pods_and_then_for_the_nodes() {
    let mut index = two_nodes();
    let mut facts = store(&mut index, profile("a", 1), 0);
    index.apply_pod(user("web", Some("n1"), "a"), at(1));
    facts = store(&mut index, ProfileFacts { deletion: Some(at(0)), ..facts }, 1);
    index.apply_profile(facts.clone(), Source::Watch, at(1));
    facts = store(&mut index, facts, 2);
    let stored = facts.status.clone().unwrap();
    assert_eq!((stored.in_use, stored.removal), (Some(true), None));
    let deleting = stored.conditions.iter().find(|condition| condition.type_ == "Deleting").unwrap();
    assert!(deleting.message.starts_with("1 pod uses it: shop/web;"), "{}", deleting.message);

    index.delete_pod("web", at(3));
    facts = store(&mut index, facts, 3);
    assert_eq!(facts.status.as_ref().unwrap().removal, Some(Removal::Approved.into()));
    // Approved, but both nodes still hold it.
    assert_eq!(index.judge_profile("a", at(4)).unwrap().step, ProfileOperation::Nothing);
    index.apply_report(ReportFacts { version: version(7, 2), ..report("n1", &[]) }, Source::Watch, at(4));
    index.apply_node(NodeFacts { reachable: false, ..node("n2") }, at(4));
    let step = index.judge_profile("a", at(4)).unwrap().step;
    assert_eq!(step, ProfileOperation::Release { finalizer: 0, unconfirmed: vec![] });
}

#[test]
fn a_node_that_never_confirms_holds_a_deletion_for_two_minutes() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deletion: Some(at(0)), ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts.clone(), Source::Watch, at(0));
    store(&mut index, facts, 1);
    let waiting = index.judge_profile("a", at(120)).unwrap();
    assert_eq!((waiting.step, waiting.requeue_at), (ProfileOperation::Nothing, Some(at(121))));
    let step = index.judge_profile("a", at(121)).unwrap().step;
    assert_eq!(step, ProfileOperation::Release { finalizer: 0, unconfirmed: vec!["n1".into(), "n2".into()] });
}

#[test]
fn an_unscheduled_pod_holds_a_profile_for_ten_minutes_and_one_on_a_lost_node_not_at_all() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) }, Source::Watch, at(0));
    index.apply_pod(user("lost", Some("n9"), "a"), at(0));
    index.apply_node(NodeFacts { reachable: false, answers: false, ..node("n2") }, at(0));
    index.apply_pod(user("cut-off", Some("n2"), "a"), at(0));
    assert_eq!(status_after_list(&mut index, 1).removal, Some(Removal::Approved.into()));
    index.apply_pod(user("new", None, "a"), at(0));
    assert_eq!(status(&index, 599).removal, None);
    assert_eq!(index.judge_profile("a", at(599)).unwrap().requeue_at, Some(at(600)));
    assert_eq!(status_after_list(&mut index, 600).removal, Some(Removal::Approved.into()));
}

#[test]
fn the_annotation_lets_a_profile_in_use_go() {
    let mut index = two_nodes();
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    index.apply_profile(
        ProfileFacts { deletion: Some(at(0)), delete_in_use: true, ..profile("a", 1) },
        Source::Watch,
        at(0),
    );
    assert_eq!(status(&index, 0).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_deletion_waits_while_news_of_pods_or_nodes_may_be_missing() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) }, Source::Watch, at(0));
    index.doubt("Pod");
    index.doubt("Node");
    let doubtful = status(&index, 1);
    assert_eq!(doubtful.removal, None);
    assert_eq!(doubtful.conditions[2].reason, "PodsUnknown");
    // However long that lasts.
    index.is_whole("Pod");
    assert_eq!(status(&index, 9999).removal, None);
    index.is_whole("Node");
    assert_eq!(status_after_list(&mut index, 9999).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_pod_that_a_list_names_holds_the_profile_however_late_the_news_of_it_comes() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) };
    index.apply_profile(facts, Source::Watch, at(0));
    let web = user("web", Some("n1"), "a");
    // No time makes it certain that no news is under way.
    for now in [0, 1, 60, 9999] {
        let step = index.judge_profile("a", at(now)).unwrap().step;
        let waits = match &step {
            ProfileOperation::ListPods => true,
            ProfileOperation::WriteStatus { status, .. } => status.removal.is_none(),
            _ => false,
        };
        assert!(waits, "{step:?}");
        assert!(!list(&mut index, std::slice::from_ref(&web), now));
    }
    // One that is on no node yet as far as is known may have been bound by now.
    index.apply_pod(user("web", None, "a"), at(9999));
    assert!(!list(&mut index, std::slice::from_ref(&web), 9999));
    index.apply_pod(web, at(9999));
    assert_eq!(status(&index, 9999).conditions[2].reason, "InUse");
    index.delete_pod("web", at(10_000));
    // Pods of other profiles are nothing to it.
    assert!(list(&mut index, &[user("other", Some("n1"), "b")], 10_000));
    assert!(index.take_dirty().profiles.contains("a"));
    assert_eq!(status(&index, 10_000).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_pod_on_a_node_that_is_not_known_yet_holds_the_profile_unless_the_node_is_known_to_be_gone() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) }, Source::Watch, at(0));
    let web = [user("web", Some("joined"), "a")];
    index.apply_pod(web[0].clone(), at(0));
    // Of the node there may be a report or an agent before there is news of the Node itself.
    index.apply_pod(agent("joined", true), at(0));
    let uid = index.profile_version("a").unwrap().uid.clone();
    let joined = BTreeSet::from(["joined".to_owned()]);
    let nobody = BTreeSet::new();
    let listed = index.pods_listed("a", &uid, &web, &nobody, at(1));
    assert_eq!(listed, Listed::NodesNotKnown(joined.clone()));
    assert_eq!(index.judge_profile("a", at(1)).unwrap().step, ProfileOperation::ListPods);
    let gone = index.pods_listed("a", &uid, &web, &joined, at(2));
    assert_eq!((gone, status(&index, 2).removal), (Listed::AllKnown, Some(Removal::Approved.into())));
    index.apply_node(node("joined"), at(3));
    assert_eq!(status(&index, 3).conditions[2].reason, "InUse");
    assert_eq!(index.pods_listed("a", &uid, &web, &nobody, at(3)), Listed::AllKnown);
}

#[test]
fn a_deletion_for_which_pods_cannot_be_listed_says_so_once_and_goes_on_asking() {
    let mut index = two_nodes();
    let facts = store(&mut index, profile("a", 1), 0);
    let facts = ProfileFacts { deletion: Some(at(0)), ..facts };
    index.apply_profile(facts.clone(), Source::Watch, at(0));
    let uid = facts.version.uid.clone();
    for now in [0, 1, 4] {
        assert_eq!(index.judge_profile("a", at(now)).unwrap().step, ProfileOperation::ListPods);
        index.pods_not_listed("a", &uid, at(now));
    }
    let said = status(&index, 5);
    assert_eq!((said.removal.clone(), said.conditions[2].reason.as_str()), (None, "PodsUnknown"));
    let facts = ProfileFacts { status: Some(said), version: version(1, 9), ..facts };
    index.apply_profile(facts, Source::Answer, at(5));
    for now in [5, 60, 9999] {
        assert_eq!(index.judge_profile("a", at(now)).unwrap().step, ProfileOperation::ListPods);
        index.pods_not_listed("a", &uid, at(now));
    }
    assert_eq!(status_after_list(&mut index, 9999).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_list_counts_for_the_write_that_follows_and_for_no_other_profile_of_the_name() {
    let mut index = two_nodes();
    index.apply_profile(ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) }, Source::Watch, at(0));
    let listed = index.pods_listed("a", "uid-of-an-earlier-one", &[], &BTreeSet::new(), at(0));
    assert_eq!(listed, Listed::AllKnown);
    assert_eq!(index.judge_profile("a", at(0)).unwrap().step, ProfileOperation::ListPods);
    assert!(list(&mut index, &[], 10));
    assert_eq!(status(&index, 14).removal, Some(Removal::Approved.into()));
    assert_eq!(index.judge_profile("a", at(15)).unwrap().step, ProfileOperation::ListPods);
    // A clock that was set back makes no list of the past count.
    assert_eq!(index.judge_profile("a", at(9)).unwrap().step, ProfileOperation::ListPods);
}

#[test]
fn leave_to_remove_is_not_taken_back_by_a_status_that_cannot_be_read() {
    let mut index = two_nodes();
    let facts =
        ProfileFacts { deletion: Some(at(0)), removal_approved: true, status: None, ..profile("a", 1) };
    index.apply_profile(facts, Source::Watch, at(0));
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    assert_eq!(status(&index, 1).removal, Some(Removal::Approved.into()));
}

#[test]
fn a_node_that_cannot_remove_a_file_holds_the_deletion_even_where_it_cannot_read_it() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deletion: Some(at(0)), ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts.clone(), Source::Watch, at(0));
    store(&mut index, facts, 1);
    index.apply_report(ReportFacts { version: version(7, 2), ..report("n1", &[]) }, Source::Watch, at(2));
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
        index.apply_report(stuck, Source::Watch, at(2));
        let released =
            matches!(index.judge_profile("a", at(2)).unwrap().step, ProfileOperation::Release { .. });
        assert_eq!(!released, holds, "{state}");
    }
}

#[test]
fn a_pod_that_is_unscheduled_for_too_long_is_no_longer_named_however_many_others_hold_the_profile() {
    let mut index = two_nodes();
    index.apply_pod(user("bound", Some("n1"), "a"), at(0));
    for (pod, created) in [("first", 0), ("second", 100)] {
        index.apply_pod(PodFacts { created: at(created), ..user(pod, None, "a") }, at(100));
    }
    index.apply_profile(ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) }, Source::Watch, at(100));
    for (now, until, named) in [(101, Some(600), 3), (600, Some(700), 2), (700, None, 1)] {
        let verdict = index.judge_profile("a", at(now)).unwrap();
        assert_eq!(verdict.requeue_at, until.map(at));
        let message = &status(&index, now).conditions[2].message;
        assert!(message.starts_with(&format!("{named} pod")), "{message}");
    }
}

#[test]
fn a_deletion_whose_leave_was_wiped_away_waits_for_its_pods_and_for_no_time_that_has_passed() {
    let mut index = two_nodes();
    let facts = ProfileFacts { deletion: Some(at(0)), ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts.clone(), Source::Watch, at(0));
    let approved = store(&mut index, facts, 1);
    assert_eq!(index.judge_profile("a", at(1)).unwrap().requeue_at, Some(at(121)));
    index.apply_pod(user("web", Some("n1"), "a"), at(2));
    let version = Version { resource_version: "9".into(), ..approved.version.clone() };
    let wiped = ProfileFacts { status: None, removal_approved: false, version, ..approved };
    index.apply_profile(wiped.clone(), Source::Watch, at(2));
    store(&mut index, wiped, 2);
    let waiting = index.judge_profile("a", at(130)).unwrap();
    assert_eq!((waiting.step, waiting.requeue_at), (ProfileOperation::Nothing, None));
}

#[test]
fn of_many_pods_that_hold_a_profile_five_are_named_and_all_are_counted() {
    let mut index = two_nodes();
    for pod in ["a", "b", "c", "d", "e", "f", "g"] {
        index.apply_pod(user(pod, Some("n1"), "a"), at(0));
    }
    let facts = ProfileFacts { deletion: Some(at(0)), ..store(&mut index, profile("a", 1), 0) };
    index.apply_profile(facts, Source::Watch, at(0));
    let message = &status(&index, 1).conditions[2].message;
    let wanted = "7 pods use it: shop/a, shop/b, shop/c, shop/d, shop/e and 2 more;";
    assert!(message.starts_with(wanted), "{message}");
}

#[test]
fn a_pod_on_a_node_that_says_itself_that_it_is_not_ready_holds_a_profile() {
    let mut index = two_nodes();
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    index.apply_profile(ProfileFacts { deletion: Some(at(0)), ..profile("a", 1) }, Source::Watch, at(0));
    index.apply_node(NodeFacts { reachable: false, ..node("n1") }, at(1));
    assert_eq!(status(&index, 2).conditions[2].reason, "InUse");
    index.apply_node(NodeFacts { reachable: false, answers: false, ..node("n1") }, at(3));
    assert_eq!(status_after_list(&mut index, 4).removal, Some(Removal::Approved.into()));
}

#[test]
fn pods_of_a_profile_that_was_deleted_before_it_could_be_held_are_counted_while_they_may_run() {
    let mut index = two_nodes();
    index.apply_pod(user("web", Some("n1"), "a"), at(0));
    index.apply_pod(user("ghost", Some("gone"), "a"), at(0));
    index.apply_pod(user("new", None, "a"), at(0));
    index.apply_pod(user("other", Some("n1"), "never-applied"), at(0));
    assert_eq!(index.pods_without_profile(at(1)), 1);
    // Nobody had put a finalizer on it.
    index.delete_profile("a", "uid-1", at(1));
    assert_eq!(index.pods_without_profile(at(1)), 3);
    assert_eq!(index.pods_without_profile(at(600)), 2);
    index.delete_pod("web", at(601));
    assert_eq!(index.pods_without_profile(at(601)), 1);
    index.apply_profile(profile("never-applied", 1), Source::Watch, at(602));
    assert_eq!(index.pods_without_profile(at(602)), 0);
}
