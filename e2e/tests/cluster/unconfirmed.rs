//! Reachable nodes whose agents do not run.

use std::time::{Duration, Instant};

use cluster::Node;
use e2e::view::disk;

use super::consistency_check::ConsistencyCheck;
use super::stopped::Stopped;
use super::support::{AppliedProfile, LIMIT, Session, allow_all, alone, bytes_of, print_line, text, until};

/// How long a deletion waits for a reachable node whose agent does not confirm.
const CONFIRMATION: Duration = Duration::from_mins(2);
/// How much later the object may be deleted; it takes a second on an idle machine.
const LATE: Duration = Duration::from_secs(10);

/// A deletion that waits for confirmations that are never sent.
struct Waiting<'a> {
    profile: &'a AppliedProfile<'a>,
    approved: Instant,
}

impl<'a> Waiting<'a> {
    fn begin(profile: &'a AppliedProfile<'a>) -> Self {
        profile.begin_deletion();
        profile.wait_condition("Deleting", "RemovingFiles");
        Self { profile, approved: Instant::now() }
    }

    /// Checks that it ends in time, that an Event names exactly these nodes, and that their files stay.
    fn check_end(self, cluster: &Session, silent: &[Node], number: usize) {
        let Self { profile, approved } = self;
        profile.wait_gone(CONFIRMATION + LIMIT);
        let took = approved.elapsed();
        print_line(&format!("{} went {:.1} s after it could", profile.name, took.as_secs_f64()));
        // A second of tolerance between the operator's clock and ours.
        assert!(took + Duration::from_secs(1) >= CONFIRMATION && took < CONFIRMATION + LATE, "{took:?}");
        let note = cluster.wait_event(&profile.name, "RemovalUnconfirmed");
        let names: Vec<_> = silent.iter().map(Node::name).collect();
        assert!(note.ends_with(&format!("Nodes: {}", names.join(", "))), "{note}");
        for node in silent {
            let found = disk::bytes(node, &profile.name).unwrap();
            assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(number)))), "{}", node.name());
        }
    }
}

#[test]
#[ignore = "long: two minutes in which nobody confirms"]
fn an_unconfirmed_deletion_completes_after_two_minutes_and_an_event_names_the_nodes() {
    let cluster = alone();
    let [some, all] = ["some-silent", "all-silent"].map(|name| cluster.profile(name, &allow_all(0)));
    some.wait_ready();
    all.wait_ready();
    let check = ConsistencyCheck::start(&some);
    check.wait_seen_ready(&some, LIMIT);
    let nodes = cluster.node_list();
    let (answering, silent) = nodes.split_first().unwrap();

    let all_but_one = Stopped::agents_but_one(&cluster, &answering.name());
    let first = Waiting::begin(&some);
    some.wait_confirmed([answering]);
    let nobody = Stopped::agents(&cluster);
    let second = Waiting::begin(&all);
    first.check_end(&cluster, silent, 0);
    // No node has the new contents, and some have the old ones.
    some.update(&allow_all(1));
    second.check_end(&cluster, &nodes, 0);
    let view = some.view();
    assert_eq!((view.state(), view.count("ready")), ("Progressing", Some(0)));

    nobody.start();
    until(&format!("the new contents on {}", answering.name()), LIMIT, || {
        (disk::bytes(answering, &some.name).unwrap()? == bytes_of(&allow_all(1))).then_some(())
    });
    for node in silent {
        let found = disk::bytes(node, &some.name).unwrap();
        assert_eq!(text(&found), text(&Some(bytes_of(&allow_all(0)))), "{}", node.name());
    }
    let shown = some.until("counting one node", LIMIT, |view| view.count("ready") == Some(1));
    assert!(!shown.is_ready(), "{}", shown.json());

    all_but_one.start();
    check.wait_seen_ready(&some, LIMIT);
    some.wait_ready();
    until("all-silent being swept", LIMIT, || {
        all.on_disks().iter().all(|(_, found)| found.is_none()).then_some(())
    });
    check.finish(2);
}
