//! The failures of `docs/transcripts/failures.md`: each is brought about, and the page's commands show it as the page does.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fs;

use e2e::cluster::{Component, SmallDisk};
use e2e::view::disk;
use serde_json::json;

use super::bypass::Permissive;
use super::disks::{FAULTS, Faulty, OnSmallDisk, shown_ready};
use super::documented::Reader;
use super::guests::Guest;
use super::pages::Page;
use super::stopped::Stopped;
use super::support::{LIMIT, Session, alone, bytes_of, harmless, object, sleeper, until, until_mended};

const PAGE: &str = "docs/transcripts/failures.md";

/// The page, of which one test after the other reads sections.
struct Transcript<'a> {
    reader: Reader<'a>,
    seen: RefCell<BTreeSet<String>>,
}

impl<'a> Transcript<'a> {
    fn of(cluster: &'a Session) -> Self {
        Self { reader: Reader::of(cluster), seen: RefCell::default() }
    }

    /// Runs the commands below this heading.
    fn shows(&self, heading: &str) {
        self.reader.follows(&mut Page::read(PAGE), |block| block.heading == heading);
        self.seen.borrow_mut().insert(heading.to_owned());
    }
}

#[test]
fn every_failure_looks_as_the_docs_show_it() {
    let cluster = alone();
    let page = Transcript::of(&cluster);
    page.shows("A profile that is refused");
    a_file_that_is_somebody_elses(&cluster, &page);
    a_pod_whose_profile_is_not_there(&cluster, &page);
    a_deletion_that_waits_for_pods(&cluster, &page);
    a_file_that_somebody_changed(&cluster, &page);
    disks_that_refuse(&cluster, &page);
    no_agents(&cluster, &page);
    no_operator(&cluster, &page);
    a_node_that_is_cut_off(&cluster, &page);
    a_profile_that_no_schema_took(&cluster, &page);
    no_api_server(&cluster, &page);
    let headings: BTreeSet<_> = Page::read(PAGE).blocks().into_iter().map(|block| block.heading).collect();
    assert_eq!(page.seen.into_inner(), headings);
}

fn a_file_that_is_somebody_elses(cluster: &Session, page: &Transcript<'_>) {
    let path = disk::path(&cluster.disks()[0], "claimed");
    fs::write(&path, "somebody's").unwrap();
    let claimed = cluster.profile("claimed", &harmless(0));
    claimed.until("failed on one node", LIMIT, |view| {
        view.count("failed") == Some(1) && view.count("ready") == Some(1)
    });
    page.shows("A file that is somebody else's");
    fs::remove_file(&path).unwrap();
}

fn a_pod_whose_profile_is_not_there(cluster: &Session, page: &Transcript<'_>) {
    let mut lost = sleeper("lost", "misspelt");
    lost["spec"]["nodeName"] = cluster.disks()[0].name().into();
    let lost = cluster.pod(&lost);
    until("the kubelet telling why it does not start", LIMIT, || {
        let shown = cluster.json(["get", "pod", "lost"]);
        let waiting = &shown["status"]["containerStatuses"][0]["state"]["waiting"];
        (waiting["reason"] == "CreateContainerError").then_some(())
    });
    page.shows("A pod that names a profile that is not there");
    lost.remove();
}

fn a_deletion_that_waits_for_pods(cluster: &Session, page: &Transcript<'_>) {
    let needed = cluster.profile("needed", &harmless(0));
    needed.ready();
    let user = cluster.pod(&sleeper("user", "needed"));
    user.running();
    needed.begin_deletion();
    needed.condition("Deleting", "InUse");
    page.shows("A deletion that waits for pods");
    user.remove();
}

fn a_file_that_somebody_changed(cluster: &Session, page: &Transcript<'_>) {
    let mended = cluster.profile("mended", &harmless(0));
    mended.ready();
    let node = &cluster.disks()[0];
    fs::remove_file(disk::path(node, "mended")).unwrap();
    until_mended(node, "mended", &bytes_of(&harmless(0)));
    until("the log telling of it", LIMIT, || {
        let logs = ["-n", "seccomp-profile", "logs", super::stopped::AGENT_PODS, "--tail=20"];
        cluster.ok(logs).contains("\"file mended\"").then_some(())
    });
    page.shows("A file that somebody changed");
}

fn disks_that_refuse(cluster: &Session, page: &Transcript<'_>) {
    let changing = cluster.profile("changing", &harmless(0));
    let disk = OnSmallDisk::new(cluster, SmallDisk::Ext4);
    shown_ready(&changing, LIMIT);
    let shown = [
        ("no space left", "A disk without space"),
        ("read-only", "A disk that is read-only"),
        ("a directory that the agent may not write to", "A directory that may not be written to"),
    ];
    for (number, (fault, heading)) in shown.into_iter().enumerate() {
        let (_, reason, comes, goes) = *FAULTS.iter().find(|(name, ..)| *name == fault).unwrap();
        comes(&disk);
        let faulty = Faulty(&disk, goes);
        changing.update(&harmless(number + 1));
        changing.until(&format!("Failed for {reason}"), LIMIT, |view| {
            view.count("ready") == Some(1) && view.json()["status"]["failures"][0]["reason"] == reason
        });
        page.shows(heading);
        drop(faulty);
        shown_ready(&changing, LIMIT);
    }
}

fn no_agents(cluster: &Session, page: &Transcript<'_>) {
    let unwatched = cluster.profile("unwatched", &harmless(0));
    unwatched.ready();
    let stopped = Stopped::agents(cluster);
    unwatched.update(&harmless(1));
    unwatched.until("judged anew", LIMIT, |view| !view.is_ready() && view.count("pending") == Some(2));
    page.shows("No agent on the nodes");
    stopped.start();
}

fn no_operator(cluster: &Session, page: &Transcript<'_>) {
    let stopped = Stopped::operator(cluster);
    let unjudged = cluster.profile("unjudged", &harmless(0));
    let node_holds = |node: &_| disk::bytes(node, "unjudged").unwrap().is_some();
    until("the file on every node", LIMIT, || cluster.disks().iter().all(node_holds).then_some(()));
    until("every report having it", LIMIT, || {
        let reports = cluster.json(["get", "nodeprofilestatuses"]);
        let all = reports["items"].as_array().unwrap();
        all.iter().all(|node| node["status"]["report"]["files"]["unjudged"].is_string()).then_some(())
    });
    page.shows("No operator");
    stopped.start();
    unjudged.ready();
}

fn a_node_that_is_cut_off(cluster: &Session, page: &Transcript<'_>) {
    let [leaving, staying] = ["leaving", "staying"].map(|name| cluster.profile(name, &harmless(0)));
    let guest = Guest::one(cluster);
    for profile in [&leaving, &staying] {
        profile.ready();
    }
    cluster.rolled_out();
    guest.node.partition().unwrap();
    leaving.begin_deletion();
    let alone = format!("waiting for nodes to remove the file: {}", guest.node.name());
    leaving.until("waiting for that node alone", LIMIT, |view| {
        view.condition("Deleting").is_some_and(|deleting| deleting["message"] == alone.as_str())
    });
    page.shows("A deletion that waits for a node");
    let named = format!("node/{}", guest.node.name());
    cluster.ok(["wait", "--for=condition=Ready=Unknown", "--timeout=60s", &named]);
    leaving.gone(LIMIT);
    staying.update(&harmless(1));
    staying.until("ready without it", LIMIT, |view| view.is_ready() && view.ready() == "2/3");
    page.shows("A node that cannot be reached");
}

fn a_profile_that_no_schema_took(cluster: &Session, page: &Transcript<'_>) {
    let permissive = Permissive::new(cluster);
    let bad = cluster.applied("bad");
    cluster.try_apply(&object("bad", &json!({ "defaultAction": "SCMP_ACT_DENY" }))).unwrap();
    bad.condition("Accepted", "InvalidProfile");
    permissive.end();
    page.shows("A profile that no runtime takes, and that is there all the same");
}

fn no_api_server(cluster: &Session, page: &Transcript<'_>) {
    cluster.stop(Component::ApiServer).unwrap();
    page.shows("No API server");
    cluster.restart(Component::ApiServer).unwrap();
    cluster.rolled_out();
}
