//! Reports about nodes that do not exist, as a restored backup or a copied manifest leaves them.

use std::time::{Duration, Instant};

use serde_json::json;

use super::support::{LIMIT, alone, output, print_line, until};

/// How long the operator waits for a Node that may be registered late.
const GRACE: Duration = Duration::from_mins(5);

#[test]
#[ignore = "long: five minutes in which a node could be registered late"]
fn a_report_of_a_node_that_never_existed_is_deleted_after_five_minutes_and_every_other_is_kept() {
    let cluster = alone();
    let names = || cluster.ok(["get", "nodeprofilestatuses", "--output=name"]);
    let before = names();
    let report = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "NodeProfileStatus",
        "metadata": { "name": "never-was" }, "spec": {}
    });
    let start = Instant::now();
    cluster.try_apply(&report).unwrap();
    until("the report going", GRACE + LIMIT, || (!names().contains("never-was")).then_some(()));
    let took = start.elapsed();
    print_line(&format!("the report went after {:.1} s", took.as_secs_f64()));
    assert!(took + Duration::from_secs(1) >= GRACE, "{took:?}");
    assert_eq!(names(), before);
    let log = cluster.ok([
        "-n",
        "seccomp-profile",
        "logs",
        "--selector=app.kubernetes.io/component=operator",
        "--tail=-1",
    ]);
    assert!(log.contains("report deleted: there is no such node"), "{log}");
}

#[test]
fn the_report_of_a_deleted_node_is_garbage_collected_by_kubernetes() {
    let cluster = alone();
    let report = json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "NodeProfileStatus",
        "metadata": { "name": "was-once", "ownerReferences": [{
            "apiVersion": "v1", "kind": "Node", "name": "was-once", "uid": "8f1f6f2e-0000-4000-8000-000000000000",
            "blockOwnerDeletion": false
        }] },
        "spec": {}
    });
    cluster.try_apply(&report).unwrap();
    // Another error does not show that the object is gone.
    let gone = || {
        let asked = output(cluster.kubectl(["get", "nodeprofilestatus", "was-once"]));
        asked.is_err_and(|error| error.contains("(NotFound)")).then_some(())
    };
    until("the garbage collector taking the report", LIMIT, gone);
}
