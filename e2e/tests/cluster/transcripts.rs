//! Causes each failure of `docs/transcripts/failures.md` and compares the output of the page's commands with the page.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use cluster::{Component, NAMESPACE, SmallDisk};
use e2e::view::disk;
use node_agent::disk::LEDGER;
use serde_json::json;

use super::added_nodes::AddedNode;
use super::bypass::Permissive;
use super::disks::{self, FAULTS, Faulty, OnSmallDisk, wait_shown_ready};
use super::displaced;
use super::documented::Reader;
use super::pages::Page;
use super::plugin::Person;
use super::removal::Reinstall;
use super::starts;
use super::stopped::{OPERATOR_PODS, Stopped};
use super::support::{
    LIMIT, Session, allow_all, alone, bytes_of, expect_cleanup, object, sleeper, until, until_repaired,
};

const PAGE: &str = "docs/transcripts/failures.md";

/// The page, whose sections are checked one after the other.
struct Transcript<'a> {
    reader: Reader<'a>,
    seen: RefCell<BTreeSet<String>>,
}

impl<'a> Transcript<'a> {
    fn of(cluster: &'a Session) -> Self {
        Self { reader: Reader::of(cluster), seen: RefCell::default() }
    }

    /// Runs the commands below this heading.
    fn check_section(&self, heading: &str) {
        self.reader.check_page(&mut Page::read(PAGE), |block| block.heading == heading);
        self.seen.borrow_mut().insert(heading.to_owned());
    }
}

#[test]
fn every_failure_looks_as_the_docs_show_it() {
    let cluster = alone();
    let page = Transcript::of(&cluster);
    page.check_section("A profile that is refused");
    a_file_that_is_somebody_elses(&cluster, &page);
    a_directory_in_the_place_of_a_file(&cluster, &page);
    a_directory_that_somebody_removed(&cluster, &page);
    a_pod_whose_profile_is_not_there(&cluster, &page);
    a_profile_under_which_no_container_starts(&cluster, &page);
    a_deletion_that_waits_for_pods(&cluster, &page);
    a_file_that_somebody_changed(&cluster, &page);
    disks_that_refuse(&cluster, &page);
    no_agents(&cluster, &page);
    no_operator(&cluster, &page);
    no_leader(&cluster, &page);
    pods_that_pod_security_refuses(&cluster, &page);
    a_reader_without_rights(&cluster, &page);
    a_node_that_is_cut_off(&cluster, &page);
    a_profile_that_no_schema_took(&cluster, &page);
    no_api_server(&cluster, &page);
    let headings: BTreeSet<_> = Page::read(PAGE).blocks().into_iter().map(|block| block.heading).collect();
    assert_eq!(page.seen.into_inner(), headings);
}

fn a_file_that_is_somebody_elses(cluster: &Session, page: &Transcript<'_>) {
    let path = disk::path(&cluster.node_list()[0], "claimed");
    fs::write(&path, "somebody's").unwrap();
    let claimed = cluster.profile("claimed", &allow_all(0));
    claimed.until("failed on one node", LIMIT, |view| {
        view.count("failed") == Some(1) && view.count("ready") == Some(1)
    });
    page.check_section("A file that is somebody else's");
    fs::remove_file(&path).unwrap();
}

fn a_directory_in_the_place_of_a_file(cluster: &Session, page: &Transcript<'_>) {
    let [held, blocked] = ["held", "blocked"].map(|name| cluster.profile(name, &allow_all(0)));
    held.wait_ready();
    blocked.wait_ready();
    let node = &cluster.node_list()[0];
    let path = blocked.path(node);
    disks::put_directory(&path);
    blocked.until("being Failed", LIMIT, |view| view.state() == "Failed");
    // A node's condition reports it later.
    let report = format!("nodeprofilestatus/{}", node.name());
    cluster.ok(["wait", "--for=condition=Ready=False", "--timeout=60s", &report]);
    page.check_section("A directory in the place of a file");
    fs::remove_dir_all(&path).unwrap();
    wait_shown_ready(&blocked, LIMIT);
}

fn a_directory_that_somebody_removed(cluster: &Session, page: &Transcript<'_>) {
    let displaced = cluster.profile("displaced", &allow_all(0));
    let node = &cluster.node_list()[0];
    displaced::remove_directory_twice(cluster, node, &displaced);
    page.check_section("A directory that somebody removed");
    wait_shown_ready(&displaced, 2 * LIMIT);
    // A new pod has no back-off, so that the next test's agent starts at once.
    disks::replace_agent(cluster, node);
}

fn a_pod_whose_profile_is_not_there(cluster: &Session, page: &Transcript<'_>) {
    let mut remove_directory_twice = sleeper("lost", "misspelt");
    remove_directory_twice["spec"]["nodeName"] = cluster.node_list()[0].name().into();
    let remove_directory_twice = cluster.pod(&remove_directory_twice);
    until("the kubelet telling why it does not start", LIMIT, || {
        let shown = cluster.json(["get", "pod", "lost"]);
        let waiting = &shown["status"]["containerStatuses"][0]["state"]["waiting"];
        (waiting["reason"] == "CreateContainerError").then_some(())
    });
    page.check_section("A pod that names a profile that is not there");
    remove_directory_twice.remove();
}

fn a_profile_under_which_no_container_starts(cluster: &Session, page: &Transcript<'_>) {
    let contents = cluster.file("profiles/violation.yaml")["spec"]["contents"].take();
    let unstartable = cluster.profile("unstartable", &contents);
    unstartable.wait_ready();
    let node = cluster.node_list()[0].name();
    let mut starter = sleeper("starter", "unstartable");
    starter["spec"]["nodeName"] = node.as_str().into();
    let starter = cluster.pod(&starter);
    starts::wait_failing(cluster, &node, "unstartable", "StartFailed");
    page.check_section("A profile under which no container starts");
    starter.remove();
    drop(unstartable);
    starts::wait_cleared(cluster, &node);
}

fn a_deletion_that_waits_for_pods(cluster: &Session, page: &Transcript<'_>) {
    let needed = cluster.profile("needed", &allow_all(0));
    needed.wait_ready();
    let user = cluster.pod(&sleeper("user", "needed"));
    user.wait_running();
    needed.begin_deletion();
    needed.wait_condition("Deleting", "InUse");
    page.check_section("A deletion that waits for pods");
    page.check_section("A deletion that does not wait for pods");
    needed.wait_gone(LIMIT);
    user.remove();
}

fn a_file_that_somebody_changed(cluster: &Session, page: &Transcript<'_>) {
    let mended = cluster.profile("mended", &allow_all(0));
    mended.wait_ready();
    let node = &cluster.node_list()[0];
    fs::remove_file(disk::path(node, "mended")).unwrap();
    until_repaired(node, "mended", &bytes_of(&allow_all(0)));
    until("the log telling of it", LIMIT, || {
        let logs = ["-n", "seccomp-profile", "logs", super::stopped::AGENT_PODS, "--tail=20"];
        cluster.ok(logs).contains("\"file repaired\"").then_some(())
    });
    page.check_section("A file that somebody changed");
}

fn disks_that_refuse(cluster: &Session, page: &Transcript<'_>) {
    let changing = cluster.profile("changing", &allow_all(0));
    let disk = OnSmallDisk::new(cluster, SmallDisk::Ext4);
    wait_shown_ready(&changing, LIMIT);
    let shown = [
        ("no space left", "A disk without space"),
        ("read-only", "A disk that is read-only"),
        ("a directory that the agent may not write to", "A directory that may not be written to"),
    ];
    for (number, (fault, heading)) in shown.into_iter().enumerate() {
        let (_, reason, comes, goes) = *FAULTS.iter().find(|(name, ..)| *name == fault).unwrap();
        comes(&disk);
        let faulty = Faulty(&disk, goes);
        changing.update(&allow_all(number + 1));
        changing.until(&format!("Failed for {reason}"), LIMIT, |view| {
            view.count("ready") == Some(1) && view.json()["status"]["failures"][0]["reason"] == reason
        });
        page.check_section(heading);
        drop(faulty);
        wait_shown_ready(&changing, LIMIT);
    }
}

fn no_agents(cluster: &Session, page: &Transcript<'_>) {
    let unwatched = cluster.profile("unwatched", &allow_all(0));
    unwatched.wait_ready();
    let stopped = Stopped::agents(cluster);
    unwatched.update(&allow_all(1));
    unwatched.until("reconciled again", LIMIT, |view| !view.is_ready() && view.count("pending") == Some(2));
    page.check_section("No agent on the nodes");

    let node = &cluster.node_list()[0];
    let file = unwatched.path(node);
    let ledger = file.with_file_name(LEDGER);
    fs::write(&ledger, "damaged").unwrap();
    stopped.start();
    unwatched.until("failed on one node", LIMIT, |view| {
        view.count("failed") == Some(1) && view.count("ready") == Some(1)
    });
    page.check_section("A ledger that is damaged");
    // Without the ledger the file with the earlier contents counts as another program's file.
    fs::remove_file(&ledger).unwrap();
    fs::remove_file(&file).unwrap();
    wait_shown_ready(&unwatched, LIMIT);
}

fn no_operator(cluster: &Session, page: &Transcript<'_>) {
    let stuck = cluster.profile("stuck", &allow_all(0));
    stuck.wait_ready();
    let stopped = Stopped::operator(cluster);
    let unreconciled = cluster.profile("unreconciled", &allow_all(0));
    let node_holds = |node: &_| disk::bytes(node, "unreconciled").unwrap().is_some();
    until("the file on every node", LIMIT, || cluster.node_list().iter().all(node_holds).then_some(()));
    until_reported(cluster, "unreconciled");
    page.check_section("No operator");
    page.check_section("A deletion while no operator runs");
    stopped.start();
    unreconciled.wait_ready();
    stuck.wait_gone(LIMIT);
}

fn until_reported(cluster: &Session, profile: &str) {
    until("every report having it", LIMIT, || {
        let reports = cluster.json(["get", "nodeprofilestatuses"]);
        let all = reports["items"].as_array().unwrap();
        all.iter().all(|node| node["status"]["report"]["files"][profile].is_string()).then_some(())
    });
}

/// The operators run, but may no longer get the lease.
fn no_leader(cluster: &Session, page: &Transcript<'_>) {
    let unled = cluster.existing("unled");
    {
        let _reinstall = Reinstall(cluster);
        cluster.ok(["-n", NAMESPACE, "delete", "rolebinding", "seccomp-profile-operator"]);
        until("nobody leading", LIMIT, || {
            let logs = ["-n", NAMESPACE, "logs", OPERATOR_PODS, "--tail=-1"];
            cluster.ok(logs).contains("\"no longer the leader\"").then_some(())
        });
        unled.update(&allow_all(0));
        until_reported(cluster, "unled");
        page.check_section("No operator that leads");
    }
    unled.wait_ready();
}

/// The release's namespace enforces Pod Security until this is dropped.
struct Enforced<'a>(&'a Session);

impl<'a> Enforced<'a> {
    fn at(session: &'a Session, level: &str) -> Self {
        let label = format!("pod-security.kubernetes.io/enforce={level}");
        session.ok(["label", "namespace", NAMESPACE, &label]);
        Enforced(session)
    }
}

impl Drop for Enforced<'_> {
    fn drop(&mut self) {
        let unlabel = ["label", "namespace", NAMESPACE, "pod-security.kubernetes.io/enforce-"];
        expect_cleanup(self.0.kubectl(unlabel).map(drop));
    }
}

fn pods_that_pod_security_refuses(cluster: &Session, page: &Transcript<'_>) {
    let enforced = Enforced::at(cluster, "baseline");
    let agent = disks::agent(cluster, &cluster.node_list()[0]);
    let name = agent["metadata"]["name"].as_str().unwrap();
    cluster.ok(["-n", NAMESPACE, "delete", "pod", name, "--timeout=60s"]);
    until("one pod that is not there, and why", LIMIT, || {
        let agents = cluster.json(["-n", NAMESPACE, "get", "daemonset", "seccomp-profile-node-agent"]);
        let refused =
            cluster.json(["-n", NAMESPACE, "get", "events", "--field-selector=reason=FailedCreate"]);
        let told = refused["items"].as_array().is_some_and(|events| !events.is_empty());
        (told && agents["status"]["currentNumberScheduled"] == 1 && agents["status"]["numberReady"] == 1)
            .then_some(())
    });
    page.check_section("Pods that Pod Security refuses");
    drop(enforced);
    // The DaemonSet controller tries again with a growing back-off.
    until("the agent's next pod", 2 * LIMIT, || {
        let next = disks::agent(cluster, &cluster.node_list()[0]);
        next["metadata"]["name"].is_string().then_some(())
    });
    cluster.wait_rolled_out();
}

fn a_reader_without_rights(cluster: &Session, page: &Transcript<'_>) {
    let reader = Person::with(cluster, "reader", &[]);
    page.reader.provide_file("reader.kubeconfig", &reader.kubeconfig());
    page.check_section("A reader without rights");
}

fn a_node_that_is_cut_off(cluster: &Session, page: &Transcript<'_>) {
    let [leaving, staying] = ["leaving", "staying"].map(|name| cluster.profile(name, &allow_all(0)));
    let added = AddedNode::add(cluster);
    for profile in [&leaving, &staying] {
        profile.wait_ready();
    }
    cluster.wait_rolled_out();
    added.node.partition().unwrap();
    leaving.begin_deletion();
    let alone = format!("waiting for nodes to remove the file: {}", added.node.name());
    leaving.until("waiting for that node alone", LIMIT, |view| {
        view.condition("Deleting").is_some_and(|deleting| deleting["message"] == alone.as_str())
    });
    page.check_section("A deletion that waits for a node");
    let named = format!("node/{}", added.node.name());
    cluster.ok(["wait", "--for=condition=Ready=Unknown", "--timeout=60s", &named]);
    leaving.wait_gone(LIMIT);
    staying.update(&allow_all(1));
    staying.until("ready without it", LIMIT, |view| view.is_ready() && view.ready() == "2/3");
    page.check_section("A node that cannot be reached");
}

fn a_profile_that_no_schema_took(cluster: &Session, page: &Transcript<'_>) {
    let permissive = Permissive::new(cluster);
    let bad = cluster.existing("bad");
    cluster.try_apply(&object("bad", &json!({ "defaultAction": "SCMP_ACT_DENY" }))).unwrap();
    bad.wait_condition("Accepted", "InvalidProfile");
    permissive.end();
    page.check_section("A profile that no runtime takes, and that is there all the same");
}

fn no_api_server(cluster: &Session, page: &Transcript<'_>) {
    cluster.stop(Component::ApiServer).unwrap();
    page.check_section("No API server");
    cluster.restart(Component::ApiServer).unwrap();
    cluster.wait_rolled_out();
}
