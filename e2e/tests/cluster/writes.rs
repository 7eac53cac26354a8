//! What our accounts write to the API server, counted in its audit log.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use cluster::NAMESPACE;

use super::audit::{Log, summary};
use super::support::{LIMIT, Session, allow_all, alone, print_line, until};

#[test]
fn a_rollout_costs_few_writes() {
    const PROFILES: usize = 5;
    let cluster = alone();
    let nodes = cluster.node_list().len();
    let log = Log::wait_quiet(&cluster);
    let applied: Vec<_> = (0..PROFILES)
        .map(|number| cluster.profile(&format!("counted-{number}"), &allow_all(number)))
        .collect();
    for profile in &applied {
        profile.until("being Ready", LIMIT, |view| view.is_ready());
    }
    // Late writes count too.
    Log::wait_quiet(&cluster);
    let writes = log.writes();
    let (most, all) = (2 * nodes + 4 * PROFILES + 50, writes.len());
    print_line(&format!(
        "{PROFILES} profiles on {nodes} nodes: {all} writes (at most {most}){}",
        summary(&writes)
    ));
    assert!(all <= most);
    // An audit log that shows nothing would prove nothing.
    let by = |account: &str| writes.iter().filter(|write| write.account == account).count();
    let (agents, operator) = (by("seccomp-profile-node-agent"), by("seccomp-profile-operator"));
    // Twice what is needed where kubectl is slow: a write that gets no answer is repeated.
    assert!((nodes..=2 * nodes * PROFILES).contains(&agents), "{agents} by the agents");
    assert!((2 * PROFILES..=12 * PROFILES).contains(&operator), "{operator} by the operator");
}

/// What each pod of ours has logged so far, but for what it says of its lease, which it may renew too late on a slow machine.
fn logs(cluster: &Session) -> BTreeMap<String, String> {
    let selector = "--selector=app.kubernetes.io/component in (operator,node-agent)";
    let pods = cluster.json(["-n", NAMESPACE, "get", "pods", selector]);
    let names = pods["items"].as_array().unwrap().iter().map(|pod| pod["metadata"]["name"].as_str().unwrap());
    let lines = |name: &str| -> String {
        let log = cluster.ok(["-n", NAMESPACE, "logs", name]);
        log.split_inclusive('\n').filter(|line| !line.contains("\"target\":\"daemon::lease\"")).collect()
    };
    names.map(|name| (name.to_owned(), lines(name))).collect()
}

#[test]
fn without_changes_nothing_is_written_and_nothing_logged_for_two_minutes() {
    let cluster = alone();
    let applied: Vec<_> =
        (0..3).map(|number| cluster.profile(&format!("resting-{number}"), &allow_all(number))).collect();
    for profile in &applied {
        profile.wait_ready();
    }
    let said = after_a_rest(&cluster);
    for (pod, text) in logs(&cluster) {
        assert_eq!(text.strip_prefix(&*said[&pod]), Some(""), "{pod} said more, or less");
    }
}

/// Waits for two minutes without a write, and returns what the pods had logged at their beginning.
///
/// What earlier tests left may still be written at first, because some writes have waits of a minute: a node's start
/// failures stay for one after the last container. Such a write has an end; one that came again and again would be in each
/// rest that is tried.
fn after_a_rest(cluster: &Session) -> BTreeMap<String, String> {
    const REST: Duration = Duration::from_mins(2);
    const LEFTOVERS: Duration = Duration::from_mins(4);
    let begin = Instant::now();
    loop {
        let log = Log::wait_quiet(cluster);
        let said = logs(cluster);
        // Pods whose logs show nothing would prove nothing.
        assert!(said.len() > cluster.node_list().len(), "{said:?}");
        assert!(said.values().all(|text| text.contains("\"level\":\"INFO\"")), "{said:?}");
        let start = Instant::now();
        let writes = until("the end of two minutes, or a write", REST * 2, || {
            let writes = log.writes();
            (!writes.is_empty() || start.elapsed() >= REST).then_some(writes)
        });
        if writes.is_empty() {
            return said;
        }
        let message = format!("written after {:?}:{}", start.elapsed(), summary(&writes));
        assert!(begin.elapsed() < LEFTOVERS, "{message}");
        print_line(&message);
    }
}
