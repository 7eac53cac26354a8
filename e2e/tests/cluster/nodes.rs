//! Nodes join and leave.

use std::time::{Duration, Instant};

use e2e::view::{self, disk};

use super::added_nodes::AddedNode;
use super::audit::Log;
use super::support::{allow_all, alone, print_line};

const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn a_new_node_is_counted_only_with_every_file_and_a_removed_one_drops_out_at_once() {
    let cluster = alone();
    let names = ["join-a", "join-b", "join-c"];
    let applied: Vec<_> =
        names.iter().enumerate().map(|(number, name)| cluster.profile(name, &allow_all(number))).collect();
    for profile in &applied {
        profile.wait_ready();
    }
    let before = cluster.node_list().len() as i64;

    let join = view::add_and_check_node(&cluster, &names).unwrap_or_else(|error| panic!("{error}"));
    let added = AddedNode::new(&cluster, join.node);
    assert_eq!(join.premature, Vec::<String>::new());
    for (name, after) in &join.counted {
        print_line(&format!("{name} counted on the new node {:.1} s after its start", after.as_secs_f64()));
    }
    let report = format!("nodeprofilestatus/{}", added.node.name());
    cluster.ok(["wait", "--for=condition=Ready", "--timeout=30s", &report]);
    for profile in &applied {
        assert_eq!(disk::hash(&added.node, &profile.name).unwrap().unwrap(), profile.view().content_hash());
        profile.wait_ready();
    }

    added.node.remove().unwrap();
    // An update of counts that have just changed may wait for 5 s.
    Log::wait_quiet(&cluster);
    let start = Instant::now();
    added.node.delete_object().unwrap();
    for profile in &applied {
        let left = AT_ONCE.saturating_sub(start.elapsed());
        let view =
            profile.until("without the removed node", left, |view| view.count("desired") == Some(before));
        assert_eq!(view.ready(), format!("{before}/{before}"));
        assert!(view.is_ready());
    }
    print_line(&format!("the removed node dropped out after {:.1} s", start.elapsed().as_secs_f64()));
    cluster.ok(["wait", "--for=delete", "--timeout=30s", &report]);
}
