//! Containers under an earlier filter: counted, shown, restarted, and compared with what the containers themselves can do.

use std::collections::BTreeSet;
use std::fs;
use std::time::{Duration, Instant};

use k8s_openapi::jiff::Timestamp;
use serde_json::{Value, json};

use super::plugin::Person;
use super::support::{
    AppliedProfile, LIMIT, Pod, Session, alone, expect_cleanup, pod_under, print_line, until,
};

/// What a restart of all workloads takes at most, with 40 pods.
const RESTART_LIMIT: Duration = Duration::from_mins(4);
/// How far the count may be from what the processes show.
const ACCURACY: Duration = Duration::from_secs(2);

/// Contents that permit all calls, and `unshare` only if `permits`.
fn contents(permits: bool) -> Value {
    let action = if permits { "SCMP_ACT_ALLOW" } else { "SCMP_ACT_ERRNO" };
    let architectures = ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"];
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": architectures,
        "syscalls": [{ "names": ["unshare"], "action": action }],
    })
}

/// A workload with pods under a profile, which is deleted when this is dropped.
struct Workload<'a> {
    cluster: &'a Session,
    kind: &'static str,
    name: String,
}

impl<'a> Workload<'a> {
    fn new(cluster: &'a Session, kind: &'static str, name: &str, profile: &str, replicas: usize) -> Self {
        let pod = pod_under(name, profile, "trap exit TERM; sleep infinity & wait");
        let mut spec = json!({
            "selector": { "matchLabels": { "app": name } },
            "template": { "metadata": { "labels": { "app": name } }, "spec": pod["spec"] },
        });
        spec["template"]["spec"]["restartPolicy"] = json!("Always");
        if kind != "DaemonSet" {
            spec["replicas"] = json!(replicas);
        }
        let object = json!({
            "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": name, "namespace": "default" }, "spec": spec,
        });
        cluster.try_apply(&object).unwrap_or_else(|error| panic!("{error}"));
        Self { cluster, kind, name: name.to_owned() }
    }

    fn wait_ready(&self) {
        let named = format!("{}/{}", self.kind.to_lowercase(), self.name);
        self.cluster.ok(["-n", "default", "rollout", "status", &named, "--timeout=120s"]);
    }
}

impl Drop for Workload<'_> {
    fn drop(&mut self) {
        let named = format!("{}/{}", self.kind.to_lowercase(), self.name);
        let removed = self.cluster.kubectl(["-n", "default", "delete", &named, "--timeout=60s"]).map(drop);
        expect_cleanup(removed);
        let app = format!("app={}", self.name);
        let gone = ["-n", "default", "wait", "--for=delete", "pods", "-l", &app, "--timeout=60s"];
        expect_cleanup(self.cluster.kubectl(gone).map(drop));
    }
}

/// `status.pods` as `(using, outdated)`.
fn counts(profile: &AppliedProfile<'_>) -> Option<(u64, u64)> {
    let view = profile.view();
    let pods = &view.json()["status"]["pods"];
    Some((pods["using"].as_u64()?, pods["outdated"].as_u64()?))
}

fn wait_counts(profile: &AppliedProfile<'_>, wanted: (u64, u64)) {
    until(&format!("{} with {wanted:?} pods", profile.name), LIMIT, || {
        (counts(profile) == Some(wanted)).then_some(())
    });
}

/// Whether a container of the pod can create a user namespace, by trying; none where no command can be run in it.
fn try_unshare(cluster: &Session, pod: &str) -> Option<bool> {
    let script = "unshare -U true && echo can || echo cannot";
    let printed = cluster.kubectl(["-n", "default", "exec", pod, "--", "sh", "-c", script]).ok()?;
    match printed.trim_end() {
        "can" => Some(true),
        "cannot" => Some(false),
        other => panic!("{pod}: {other}"),
    }
}

fn can_unshare(cluster: &Session, pod: &str) -> bool {
    try_unshare(cluster, pod).unwrap_or_else(|| panic!("no command can be run in {pod}"))
}

/// The names and uids of the pods of these apps that are not being deleted.
fn pods(cluster: &Session, apps: &str) -> Vec<(String, String)> {
    let list = cluster.json(["-n", "default", "get", "pods", "-l", &format!("app in ({apps})")]);
    let living = list["items"].as_array().unwrap().iter();
    living
        .filter(|pod| pod["metadata"]["deletionTimestamp"].is_null())
        .map(|pod| {
            let field = |name: &str| pod["metadata"][name].as_str().unwrap().to_owned();
            (field("name"), field("uid"))
        })
        .collect()
}

#[test]
fn after_an_update_containers_are_outdated_until_they_start_again_and_restart_restarts_the_workloads() {
    let cluster = alone();
    let admin = Person::with(&cluster, "restarter", &["cluster-admin"]);
    let profile = cluster.profile("outdated", &contents(true));
    profile.wait_ready();
    let web = Workload::new(&cluster, "Deployment", "outdated-web", "outdated", 2);
    let db = Workload::new(&cluster, "StatefulSet", "outdated-db", "outdated", 1);
    let log = Workload::new(&cluster, "DaemonSet", "outdated-log", "outdated", 0);
    let mut bare = pod_under("outdated-alone", "outdated", "trap exit TERM; sleep infinity & wait");
    bare["spec"]["restartPolicy"] = json!("Always");
    let bare = cluster.pod(&bare);
    for workload in [&web, &db, &log] {
        workload.wait_ready();
    }
    bare.wait_running();
    let nodes = pods(&cluster, "outdated-log").len();
    assert!(nodes > 0);
    let using = 4 + u64::try_from(nodes).unwrap();
    wait_counts(&profile, (using, 0));
    let nothing = admin.run_plugin(0, &["users", "--outdated", "outdated"]);
    assert!(nothing.starts_with("No container"), "{nothing}");

    profile.update(&contents(false));
    profile.wait_ready();
    wait_counts(&profile, (using, using));
    let all = pods(&cluster, "outdated-web, outdated-db, outdated-log");
    assert_eq!(all.len(), 3 + nodes);
    for (pod, _) in &all {
        assert!(can_unshare(&cluster, pod), "{pod} has the old filter");
    }
    let shown = admin.run_plugin(0, &["users", "--outdated", "outdated"]);
    for line in ["Deployment    outdated-web     2 of 2 pods", "Pod           outdated-alone   1 of 1 pod"] {
        assert!(shown.contains(line), "no {line} in\n{shown}");
    }
    let plan = admin.run_plugin(0, &["restart", "outdated", "--dry-run"]);
    assert!(plan.contains("To be restarted") && plan.contains("no controller makes it again"), "{plan}");
    let refused = admin.run_plugin_both(2, &["restart", "outdated"]).1;
    assert!(refused.contains("--yes"), "{refused}");

    // The bare pod is left.
    let restarted = admin.run_plugin(1, &["restart", "outdated", "--yes"]);
    print_line(&restarted);
    for workload in [
        "Deployment default/outdated-web",
        "StatefulSet default/outdated-db",
        "DaemonSet default/outdated-log",
    ] {
        assert!(restarted.contains(&format!("{workload}: ready")), "{restarted}");
    }
    assert!(restarted.contains("1 workload left"), "{restarted}");
    let new = pods(&cluster, "outdated-web, outdated-db, outdated-log");
    assert_eq!(new.len(), all.len());
    assert!(new.iter().all(|pod| !all.contains(pod)), "every pod was replaced: {new:?}");
    for (pod, _) in new {
        assert!(!can_unshare(&cluster, &pod), "{pod} has the new filter");
    }
    wait_counts(&profile, (using, 1));
    assert!(can_unshare(&cluster, "outdated-alone"));
    // A container that starts again in its pod reads the file anew.
    // The command may end with its container before it can say that it was well.
    let _ = cluster.kubectl(["-n", "default", "exec", "outdated-alone", "--", "kill", "1"]);
    wait_counts(&profile, (using, 0));
    let new = until("a command in the new container", LIMIT, || try_unshare(&cluster, "outdated-alone"));
    assert!(!new, "the new container has the old filter");
    let events = cluster.json(["get", "events", "-A", "--field-selector=involvedObject.name=outdated"]);
    let reasons = events["items"].as_array().unwrap().iter().map(|event| event["reason"].to_string());
    assert!(reasons.into_iter().all(|reason| !reason.contains("utdated")), "no event of its own");
}

#[test]
fn a_restart_ends_at_the_first_workload_that_does_not_become_ready() {
    let cluster = alone();
    let admin = Person::with(&cluster, "halted", &["cluster-admin"]);
    let profile = cluster.profile("outdated-halt", &contents(true));
    profile.wait_ready();
    let first = Workload::new(&cluster, "Deployment", "halt-first", "outdated-halt", 1);
    first.wait_ready();
    let second = Workload::new(&cluster, "Deployment", "halt-second", "outdated-halt", 1);
    second.wait_ready();
    profile.update(&contents(false));
    profile.wait_ready();
    wait_counts(&profile, (2, 2));
    // No new pod of the first one can start.
    let image = r#"{"spec":{"template":{"spec":{"containers":[{"name":"main","image":"registry.invalid/none:1"}]}}}}"#;
    cluster.ok(["-n", "default", "patch", "deployment", "halt-first", "--patch", image]);
    let before = pods(&cluster, "halt-second");
    let said = admin.run_plugin(1, &["restart", "outdated-halt", "--yes", "--timeout", "5s"]);
    assert!(said.contains("Deployment default/halt-first: not ready"), "{said}");
    assert!(said.contains("1 more workload not restarted"), "{said}");
    assert_eq!(pods(&cluster, "halt-second"), before);
}

#[test]
fn a_container_that_reads_the_old_file_while_it_is_replaced_counts_as_outdated() {
    const ROUNDS: usize = 4;
    const PODS: usize = 8;
    let cluster = alone();
    let admin = Person::with(&cluster, "observant", &["cluster-admin"]);
    let profile = cluster.profile("in-between", &contents(true));
    profile.wait_ready();
    let (mut old, mut counted, mut longest) = (0, 0, Duration::ZERO);
    for round in 0..ROUNDS {
        let permits = round % 2 == 1;
        let named = |number: usize| format!("between-{round}-{number}");
        let script = "trap exit TERM; sleep infinity & wait";
        let mut pods = Vec::new();
        for number in 0..PODS {
            // At this moment some containers run, and others are being created.
            if number == PODS / 2 {
                profile.update(&contents(permits));
            }
            // The last one is under the new filter on any machine, as the first one is under the old one.
            if number == PODS - 1 {
                profile.wait_ready();
            }
            pods.push(cluster.pod(&pod_under(&named(number), "in-between", script)));
            if number == 0 {
                pods[0].wait_running();
            }
        }
        pods.iter().for_each(Pod::wait_running);
        until("a count of all pods", LIMIT, || counts(&profile).filter(|(using, _)| *using == PODS as u64));
        let shown = admin.run_plugin(0, &["users", "--outdated", "in-between", "-o", "json"]);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        let workloads = shown["workloads"].as_array().unwrap();
        let outdated: BTreeSet<_> = workloads.iter().map(|it| it["name"].as_str().unwrap()).collect();
        for number in 0..PODS {
            let name = named(number);
            if can_unshare(&cluster, &name) != permits {
                assert!(outdated.contains(&*name), "round {round}: {name} has the old filter: {shown}");
                old += 1;
                longest = longest.max(started_after_change(&cluster, &name, "in-between"));
            }
        }
        counted += outdated.len();
    }
    print_line(&format!(
        "{old} of {} containers had the old filter, {counted} counted as outdated; the last of the former started {longest:?} after the change",
        ROUNDS * PODS
    ));
    assert!(old > 0 && old < ROUNDS * PODS, "files were replaced while containers started");
}

/// How long after the change of its profile's file, by the clock of its node, the container of a pod started.
fn started_after_change(cluster: &Session, pod: &str, profile: &str) -> Duration {
    let time = |value: &Value| value.as_str().unwrap().parse::<Timestamp>().unwrap();
    let pod = cluster.json(["-n", "default", "get", "pod", pod]);
    let started = time(&pod["status"]["containerStatuses"][0]["state"]["running"]["startedAt"]);
    let node = pod["spec"]["nodeName"].as_str().unwrap();
    let report = cluster.json(["get", "nodeprofilestatuses", node]);
    let changed = time(&report["status"]["report"]["changed"][profile]);
    started.duration_since(changed).try_into().unwrap_or_default()
}

/// How many processes other than the sandbox's run in pods of these uids, according to the kernel.
fn processes(uids: &BTreeSet<String>) -> usize {
    let in_pod =
        |cgroup: &str| uids.iter().any(|uid| cgroup.contains(uid) || cgroup.contains(&uid.replace('-', "_")));
    let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
    processes
        .filter(|entry| {
            let read = |file: &str| fs::read_to_string(entry.path().join(file)).unwrap_or_default();
            in_pod(&read("cgroup")) && read("comm").trim_end() != "pause"
        })
        .count()
}

#[test]
#[ignore = "long: twenty restarts of 40 pods"]
fn twenty_times_the_count_reaches_zero_when_the_last_container_of_40_pods_under_the_old_filter_has_ended() {
    let cluster = alone();
    let admin = Person::with(&cluster, "mitigator", &["cluster-admin"]);
    let profile = cluster.profile("mitigation", &contents(true));
    profile.wait_ready();
    let names: Vec<_> = (0..8).map(|number| format!("fleet-{number}")).collect();
    let kind = |number: usize| if number.is_multiple_of(2) { "Deployment" } else { "StatefulSet" };
    let fleet: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(number, name)| Workload::new(&cluster, kind(number), name, "mitigation", 5))
        .collect();
    fleet.iter().for_each(Workload::wait_ready);
    let apps = names.join(", ");
    wait_counts(&profile, (40, 0));
    for round in 0..20 {
        let permits = round % 2 == 1;
        let old: BTreeSet<_> = pods(&cluster, &apps).into_iter().map(|(_, uid)| uid).collect();
        assert_eq!(old.len(), 40);
        assert!(processes(&old) >= 40, "the processes are found");
        let applied = Instant::now();
        profile.update(&contents(permits));
        profile.wait_ready();
        assert_eq!(counts(&profile), Some((40, 40)), "round {round}");
        let (mut ended, mut zero) = (None, None);
        std::thread::scope(|scope| {
            let restart = scope.spawn(|| admin.run_plugin(0, &["restart", "mitigation", "--yes"]));
            until("no container under the old filter", RESTART_LIMIT, || {
                if ended.is_none() && processes(&old) == 0 {
                    ended = Some(applied.elapsed());
                }
                if zero.is_none() && counts(&profile).is_some_and(|(_, outdated)| outdated == 0) {
                    zero = Some(applied.elapsed());
                }
                (ended.is_some() && zero.is_some()).then_some(())
            });
            restart.join().unwrap();
        });
        let (ended, zero) = (ended.unwrap(), zero.unwrap());
        print_line(&format!(
            "round {round}: the last one ended after {ended:?}, the count was zero after {zero:?}"
        ));
        assert!(ended.abs_diff(zero) <= ACCURACY, "round {round}: {ended:?} and {zero:?}");
        for (pod, _) in pods(&cluster, &apps) {
            assert_eq!(can_unshare(&cluster, &pod), permits, "round {round}: {pod}");
        }
    }
}
