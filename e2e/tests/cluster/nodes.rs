//! Nodes join and leave.

use std::time::{Duration, Instant};

use e2e::view::{self, disk};

use super::added_nodes::Guest;
use super::audit::Log;
use super::support::{alone, harmless, say};

const AT_ONCE: Duration = Duration::from_secs(2);

#[test]
fn a_new_node_is_counted_only_with_every_file_and_a_removed_one_drops_out_at_once() {
    let cluster = alone();
    let names = ["join-a", "join-b", "join-c"];
    let applied: Vec<_> =
        names.iter().enumerate().map(|(number, name)| cluster.profile(name, &harmless(number))).collect();
    for profile in &applied {
        profile.ready();
    }
    let before = cluster.disks().len() as i64;

    let join = view::add_node(&cluster, &names).unwrap_or_else(|error| panic!("{error}"));
    let guest = Guest::new(&cluster, join.node);
    assert_eq!(join.premature, Vec::<String>::new());
    for (name, after) in &join.counted {
        say(&format!("{name} counted on the new node {:.1} s after its start", after.as_secs_f64()));
    }
    let report = format!("nodeprofilestatus/{}", guest.node.name());
    cluster.ok(["wait", "--for=condition=Ready", "--timeout=30s", &report]);
    for profile in &applied {
        assert_eq!(disk::hash(&guest.node, &profile.name).unwrap().unwrap(), profile.view().content_hash());
        profile.ready();
    }

    guest.node.remove().unwrap();
    // Counts that changed a moment ago may wait for 5 s.
    Log::quiet(&cluster);
    let start = Instant::now();
    guest.node.delete_object().unwrap();
    for profile in &applied {
        let left = AT_ONCE.saturating_sub(start.elapsed());
        let view =
            profile.until("without the removed node", left, |view| view.count("desired") == Some(before));
        assert_eq!(view.ready(), format!("{before}/{before}"));
        assert!(view.is_ready());
    }
    say(&format!("the removed node dropped out after {:.1} s", start.elapsed().as_secs_f64()));
    cluster.ok(["wait", "--for=delete", "--timeout=30s", &report]);
}
