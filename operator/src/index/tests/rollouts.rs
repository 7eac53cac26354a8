//! How long new contents take to become Ready.

use super::*;

fn seconds(index: &mut Index) -> Vec<u64> {
    index.take_rollouts().into_iter().map(|took| took.as_secs()).collect()
}

fn reported(index: &mut Index, content: u8, number: u32, now: i64) {
    for name in ["n1", "n2"] {
        let facts = ReportFacts { version: version(7, number), ..report(name, &[("a", content)]) };
        index.apply_report(facts, UpdateSource::Watch, at(now));
    }
}

fn changed(content: u8, generation: i64, facts: ProfileFacts) -> ProfileFacts {
    ProfileFacts { content: Ok(hash(content)), generation: Some(generation), ..facts }
}

#[test]
fn a_rollout_is_measured_once_from_the_new_contents_to_the_status_that_calls_them_ready() {
    let mut index = two_nodes();
    let facts = store(&mut index, profile("a", 1), 3);
    assert_eq!(seconds(&mut index), [3]);

    let facts = changed(2, 2, facts);
    index.apply_profile(facts.clone(), UpdateSource::Watch, at(100));
    let facts = store(&mut index, facts, 101);
    assert_eq!(seconds(&mut index), [0; 0], "no node has them yet");
    reported(&mut index, 2, 2, 107);
    let facts = store(&mut index, facts, 108);
    assert_eq!(seconds(&mut index), [8]);

    // That a node loses the file and gets it back is not a rollout.
    reported(&mut index, 1, 3, 200);
    let facts = store(&mut index, facts, 200);
    reported(&mut index, 2, 4, 300);
    store(&mut index, facts, 300);
    assert_eq!(seconds(&mut index), [0; 0]);
}

#[test]
fn a_status_of_earlier_contents_does_not_end_a_rollout() {
    let mut index = two_nodes();
    let facts = store(&mut index, profile("a", 1), 0);
    seconds(&mut index);
    // The first contents again, two generations later: the stored status is of their first generation.
    index.apply_profile(changed(2, 2, facts.clone()), UpdateSource::Watch, at(10));
    index.apply_profile(changed(1, 3, facts), UpdateSource::Watch, at(11));
    assert_eq!(seconds(&mut index), [0; 0]);
}

#[test]
fn a_rollout_that_an_earlier_leader_began_is_not_measured() {
    let mut index = two_nodes();
    let begun = store(&mut index, changed(2, 1, profile("a", 2)), 0);
    assert!(begun.status.is_some());
    let mut next = two_nodes();
    next.delete_profile("a", "uid-1", at(1));
    next.apply_profile(begun.clone(), UpdateSource::List, at(1));
    reported(&mut next, 2, 2, 50);
    store(&mut next, begun, 50);
    assert_eq!(seconds(&mut next), [0; 0]);
}
