//! Nodes that answer while their agents do not.

use std::time::{Duration, Instant};

use cluster::Node;
use e2e::view::disk;

use super::consistency_check::Witness;
use super::stopped::Stopped;
use super::support::{Applied, LIMIT, Session, alone, bytes_of, harmless, say, text, until};

/// How long a node that answers may hold a deletion without a word of its agent.
const CONFIRMATION: Duration = Duration::from_secs(120);
/// How much longer it may take until the object is gone: everything about it takes a second on an idle machine.
const LATE: Duration = Duration::from_secs(10);

/// A deletion that waits for confirmations that do not come.
struct Waiting<'a> {
    profile: &'a Applied<'a>,
    approved: Instant,
}

impl<'a> Waiting<'a> {
    fn begin(profile: &'a Applied<'a>) -> Self {
        profile.begin_deletion();
        profile.condition("Deleting", "RemovingFiles");
        Self { profile, approved: Instant::now() }
    }

    /// It goes at the time stated, an Event names these nodes and no others, and their files stay.
    fn ends(self, cluster: &Session, silent: &[Node], number: usize) {
        let Self { profile, approved } = self;
        profile.gone(CONFIRMATION + LIMIT);
        let took = approved.elapsed();
        say(&format!("{} went {:.1} s after it could", profile.name, took.as_secs_f64()));
        // A second for what lies between the operator's clock and ours.
        assert!(took + Duration::from_secs(1) >= CONFIRMATION && took < CONFIRMATION + LATE, "{took:?}");
        let note = cluster.event(&profile.name, "RemovalUnconfirmed");
        let names: Vec<_> = silent.iter().map(Node::name).collect();
        assert!(note.ends_with(&format!("Nodes: {}", names.join(", "))), "{note}");
        for node in silent {
            let found = disk::bytes(node, &profile.name).unwrap();
            assert_eq!(text(&found), text(&Some(bytes_of(&harmless(number)))), "{}", node.name());
        }
    }
}

#[test]
#[ignore = "long: two minutes in which nobody confirms"]
fn a_deletion_that_nobody_confirms_goes_after_two_minutes_and_an_event_names_the_nodes() {
    let cluster = alone();
    let [some, all] = ["some-silent", "all-silent"].map(|name| cluster.profile(name, &harmless(0)));
    some.ready();
    all.ready();
    let witness = Witness::of(&some);
    witness.sees_ready(&some, LIMIT);
    let nodes = cluster.disks();
    let (answering, silent) = nodes.split_first().unwrap();

    let all_but_one = Stopped::agents_but_one(&cluster, &answering.name());
    let first = Waiting::begin(&some);
    some.confirmed([answering]);
    let nobody = Stopped::agents(&cluster);
    let second = Waiting::begin(&all);
    first.ends(&cluster, silent, 0);
    // Nobody has the new contents, and some have the old ones.
    some.update(&harmless(1));
    second.ends(&cluster, &nodes, 0);
    let view = some.view();
    assert_eq!((view.state(), view.count("ready")), ("Progressing", Some(0)));

    nobody.start();
    until(&format!("the new contents on {}", answering.name()), LIMIT, || {
        (disk::bytes(answering, &some.name).unwrap()? == bytes_of(&harmless(1))).then_some(())
    });
    for node in silent {
        let found = disk::bytes(node, &some.name).unwrap();
        assert_eq!(text(&found), text(&Some(bytes_of(&harmless(0)))), "{}", node.name());
    }
    let shown = some.until("counting one node", LIMIT, |view| view.count("ready") == Some(1));
    assert!(!shown.is_ready(), "{}", shown.json());

    all_but_one.start();
    witness.sees_ready(&some, LIMIT);
    some.ready();
    until("all-silent being swept", LIMIT, || {
        all.on_disks().iter().all(|(_, found)| found.is_none()).then_some(())
    });
    witness.close(2);
}
