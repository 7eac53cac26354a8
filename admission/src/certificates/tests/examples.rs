//! What happens to the certificates, step by step.

use super::super::plan::Stored;
use super::world::{DAY, World};

fn ids(world: &World) -> Vec<super::super::fingerprint::Fingerprint> {
    match world.stored() {
        Stored::Nothing => Vec::new(),
        Stored::Authorities { current, previous } => {
            [Some(current), previous].into_iter().flatten().map(|it| it.id).collect()
        }
    }
}

fn signers(world: &World) -> Vec<super::super::fingerprint::Fingerprint> {
    world.replicas.iter().map(|replica| replica.leaf.unwrap().authority).collect()
}

/// Lets the days pass with a leader at work.
fn days(world: &mut World, number: u64) {
    for _ in 0..number {
        world.wait(DAY);
        world.leads(0);
        world.wait(15);
        assert_eq!(world.wrong(), None);
    }
}

#[test]
fn a_new_authority_is_published_beside_the_old_one_used_when_it_was_seen_long_enough_and_then_alone() {
    let mut world = World::settled();
    let [first] = ids(&world)[..] else { panic!("{world:?}") };
    assert_eq!((world.bundle(), signers(&world)), (&[first][..], vec![first, first]));
    days(&mut world, 59);
    assert_eq!(ids(&world), [first], "a third of its life is left after 60 days");
    world.wait(DAY);
    world.leads(0);
    let [second, _] = ids(&world)[..] else { panic!("{world:?}") };
    assert_eq!(world.bundle(), [second, first]);
    world.wait(9);
    assert_eq!(signers(&world), [first, first]);
    world.wait(2);
    assert_eq!(signers(&world), [second, second]);
    days(&mut world, 7);
    assert_eq!((ids(&world).len(), world.bundle().len()), (2, 2), "a leaf of the old one may still be valid");
    days(&mut world, 2);
    assert_eq!((ids(&world), world.bundle()), (vec![second], &[second][..]));
}

#[test]
fn a_leaf_is_renewed_when_a_third_of_its_life_is_left() {
    let mut world = World::settled();
    let first = world.replicas[0].leaf.unwrap();
    world.wait(4 * DAY);
    assert_eq!(world.replicas[0].leaf.unwrap(), first);
    world.wait(DAY);
    assert!(world.replicas[0].leaf.unwrap().expires > first.expires);
}

#[test]
fn a_lost_secret_is_replaced_while_the_replicas_go_on_with_the_old_authority_until_the_new_one_is_known() {
    let mut world = World::settled();
    let first = ids(&world)[0];
    world.loses_secret();
    world.leads(1);
    let [second] = ids(&world)[..] else { panic!("{world:?}") };
    assert_eq!(world.bundle(), [second, first]);
    world.works(0);
    world.works(1);
    assert_eq!(signers(&world), [first, first]);
    // One that restarts now has nothing but the new one, and no requests until every API server has it.
    world.restarts(1, 0);
    world.works(1);
    assert_eq!((signers(&world), world.replicas[1].has_begun), (vec![first, second], false));
    world.wait(10);
    assert!(world.replicas[1].has_begun);
    world.wait(10);
    assert_eq!(signers(&world), [second, second]);
}

#[test]
fn of_two_leaders_that_renew_at_once_one_does() {
    let mut world = World::settled();
    world.loses_secret();
    world.decides(0);
    world.decides(1);
    assert!(world.writes(0));
    assert!(!world.writes(1), "the version has changed");
    let stored = ids(&world);
    world.leads(1);
    assert_eq!(ids(&world), stored);
}

#[test]
fn a_leader_that_was_paused_for_a_rotation_does_not_take_the_new_authority_off() {
    let mut world = World::settled();
    days(&mut world, 20);
    // It has read the old Secret, and would write on.
    world.decides(1);
    days(&mut world, 45);
    world.writes(1);
    assert_eq!(world.wrong(), None);
    world.leads(1);
    assert_eq!(world.wrong(), None);
}

#[test]
fn a_clock_that_is_set_back_for_a_year_changes_nothing() {
    let mut world = World::settled();
    let before = ids(&world);
    for replica in 0..2 {
        world.sets_clock(replica, -(365 * DAY as i64));
    }
    days(&mut world, 6);
    assert_eq!(ids(&world), before);
    assert!(world.replicas.iter().all(|replica| replica.has_begun));
}
