//! The chart is uninstalled, or the operator is removed by force, and installed again.

use std::os::unix::fs::MetadataExt;
use std::process::Command;
use std::thread;
use std::time::Instant;

use cluster::NAMESPACE;
use serde_json::{Value, json};
use xtask::command;
use xtask::workspace::repository;

use super::audit::{Log, summary};
use super::pages::Page;
use super::rights;
use super::stolen_token::{RawRequest, TokenHolder, pid_of};
use super::support::{
    AppliedProfile, DEFINITIONS, LIMIT, Session, allow_all, alone, bytes_of, expect_cleanup, print_line,
    shared, sleeper, text, until,
};

/// The account that removes the finalizers.
pub(crate) const UNINSTALLATION: &str = "seccomp-profile-uninstall";
/// Another program's finalizer.
const OTHERS: &str = "example.org/other";

/// Installs the chart again when this is dropped.
pub(crate) struct Reinstall<'a>(pub(crate) &'a Session);

impl Drop for Reinstall<'_> {
    fn drop(&mut self) {
        let chart = repository().join("charts").join(NAMESPACE);
        // A test may have installed the definitions in another way, or as another release.
        expect_cleanup(
            self.0.client().install_chart(&chart, &["--take-ownership", "--force-conflicts"]).map(drop),
        );
    }
}

/// Another program's finalizer on a profile; it is removed when this is dropped.
struct OtherFinalizer<'a>(&'a Session, &'a str);

impl<'a> OtherFinalizer<'a> {
    fn add_to(session: &'a Session, profile: &'a AppliedProfile<'_>) -> Self {
        // Before ours, so that ours is not at its usual index.
        let add = json!([{ "op": "add", "path": "/metadata/finalizers/0", "value": OTHERS }]).to_string();
        session.ok(["patch", "seccompprofile", &profile.name, "--type=json", "--patch", &add]);
        OtherFinalizer(session, &profile.name)
    }
}

impl Drop for OtherFinalizer<'_> {
    fn drop(&mut self) {
        let OtherFinalizer(session, name) = self;
        let all = "jsonpath={.metadata.finalizers}";
        let found = session.kubectl(["get", "seccompprofile", name, "-o", all]).unwrap_or_default();
        let left: Vec<String> = serde_json::from_str(&found).unwrap_or_default();
        let left: Vec<_> = left.into_iter().filter(|finalizer| finalizer != OTHERS).collect();
        let patch = json!({ "metadata": { "finalizers": left } }).to_string();
        expect_cleanup(
            session.kubectl(["patch", "seccompprofile", name, "--type=merge", "--patch", &patch]).map(drop),
        );
    }
}

/// Each profile that has finalizers, with them.
pub(crate) fn finalizers(cluster: &Session) -> Vec<(String, Vec<String>)> {
    let all = cluster.json(["get", "seccompprofiles"]);
    let found = all["items"].as_array().unwrap().iter().filter_map(|profile| {
        let metadata = &profile["metadata"];
        let all: Vec<String> = serde_json::from_value(metadata.get("finalizers")?.clone()).unwrap();
        Some((metadata["name"].as_str().unwrap().to_owned(), all))
    });
    found.collect()
}

/// An agent that is stopped in the middle of what it does, so that its pod ends late: it is killed when its time to
/// end is over.
struct Paused(String);

impl Paused {
    fn agent(cluster: &Session) -> Self {
        let pid = pid_of(cluster, &["/node-agent"]).to_string();
        command::output(Command::new("kill").args(["-STOP", &pid])).unwrap();
        Paused(pid)
    }
}

impl Drop for Paused {
    fn drop(&mut self) {
        // It no longer exists if the test succeeded.
        let _ = command::output(Command::new("kill").args(["-CONT", &self.0]));
    }
}

/// Uninstalls the chart, and fails if a profile loses the finalizer while a pod of ours still exists.
fn uninstall(cluster: &Session, held: usize) {
    let ours = |cluster: &Session| {
        let left = finalizers(cluster);
        left.into_iter().filter(|(_, all)| all.iter().any(|one| one == api::names::FINALIZER)).count()
    };
    thread::scope(|scope| {
        let helm = scope.spawn(|| cluster.helm(["uninstall", NAMESPACE, "--namespace", NAMESPACE]));
        while !helm.is_finished() {
            let lifted = ours(cluster) < held;
            let pods = "--selector=app.kubernetes.io/component in (operator,node-agent)";
            let pods = cluster.ok(["-n", NAMESPACE, "get", "pods", pods, "-o", "name"]);
            assert!(!lifted || pods.is_empty(), "a finalizer was lifted before these were gone: {pods}");
        }
        helm.join().unwrap().unwrap_or_else(|error| panic!("{error}"));
    });
}

fn assert_on_every_disk(profile: &AppliedProfile<'_>, number: usize) {
    for (node, found) in profile.on_disks() {
        let wanted = Some(bytes_of(&allow_all(number)));
        assert_eq!(text(&found), text(&wanted), "{} on {node}", profile.name);
    }
}

/// The objects that a release leaves, in its namespace and outside it.
fn left_of_the_release(cluster: &Session) -> String {
    let kinds = "pods,serviceaccounts,deployments,daemonsets,jobs,roles,rolebindings,resourcequotas,leases";
    let inside = cluster.ok(["-n", NAMESPACE, "get", kinds, "-o", "name"]);
    let kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings,\
         mutatingadmissionpolicies,mutatingadmissionpolicybindings,mutatingwebhookconfigurations,\
         validatingwebhookconfigurations";
    let ours = "--selector=app.kubernetes.io/name=seccomp-profile";
    let beside = cluster.ok(["get", kinds, ours, "-o", "name"]);
    inside.replace("serviceaccount/default", "").trim().to_owned() + beside.trim()
}

#[test]
fn uninstalling_removes_the_finalizers_and_keeps_the_files_and_a_new_installation_continues() {
    const MORE: usize = 20;
    let cluster = alone();
    let kept = cluster.profile("kept", &allow_all(0));
    let shared = cluster.profile("held-by-others", &allow_all(1));
    let going = cluster.profile("going", &allow_all(2));
    let more: Vec<_> =
        (0..MORE).map(|number| cluster.profile(&format!("one-of-{number}"), &allow_all(3))).collect();
    for profile in [&kept, &shared, &going].into_iter().chain(&more) {
        profile.wait_ready();
    }
    let other_finalizer = OtherFinalizer::add_to(&cluster, &shared);
    let users =
        [cluster.pod(&sleeper("user-of-kept", "kept")), cluster.pod(&sleeper("user-of-going", "going"))];
    users.iter().for_each(|pod| pod.wait_running());
    cluster.ok(["delete", "seccompprofile", "going", "--wait=false"]);
    going.wait_condition("Deleting", "InUse");
    let identity = || -> Vec<_> {
        let files = cluster.node_list().into_iter().map(|node| kept.path(&node).metadata().unwrap());
        files.map(|file| (file.ino(), file.mtime_nsec(), file.ctime_nsec())).collect()
    };
    let before = identity();
    {
        let _reinstall = Reinstall(&cluster);
        let log = Log::from_now(&cluster);
        let start = Instant::now();
        let _paused = Paused::agent(&cluster);
        // Helm gives up after five minutes.
        uninstall(&cluster, MORE + 3);
        let took = start.elapsed();
        let found = finalizers(&cluster);
        print_line(&format!(
            "{} finalizers were lifted when the uninstallation returned after {took:.1?}",
            MORE + 3
        ));
        assert_eq!(found, [("held-by-others".to_owned(), vec![OTHERS.to_owned()])]);
        // What it was created with for the end goes a moment after it.
        until("nothing of the release being left", LIMIT, || {
            left_of_the_release(&cluster).is_empty().then_some(())
        });

        // No program is left that could add the finalizer again, and none has tried since the first was removed.
        let writes = log.writes();
        let lifted = writes.iter().position(|write| write.account == UNINSTALLATION).unwrap();
        let late: Vec<_> =
            writes[lifted..].iter().filter(|write| write.account != UNINSTALLATION).cloned().collect();
        assert_eq!(late, [], "{}", summary(&late));

        assert_eq!(cluster.ok(["get", "seccompprofile", "going", "--ignore-not-found", "-o", "name"]), "");
        cluster.ok(["delete", "seccompprofile", "one-of-0", "--timeout=30s"]);
        assert_on_every_disk(&kept, 0);
        assert_on_every_disk(&shared, 1);
        assert_on_every_disk(&going, 2);
        more.iter().for_each(|profile| assert_on_every_disk(profile, 3));
        let crds = cluster.ok(["get", "crds", "-o", "name"]);
        assert!(DEFINITIONS.iter().all(|name| crds.contains(name)), "{crds}");
    }
    cluster.wait_rolled_out();
    kept.wait_ready();
    assert_eq!(identity(), before, "no file was written again");
    let ours = |(_, all): &(String, Vec<String>)| all.iter().any(|one| one == api::names::FINALIZER);
    until("the finalizer on each profile", LIMIT, || {
        (finalizers(&cluster).iter().filter(|found| ours(found)).count() == MORE + 1).then_some(())
    });
    // The agents remove the files of profiles that were deleted meanwhile.
    for profile in [&going, &more[0]] {
        until(&format!("{} being swept", profile.name), LIMIT, || {
            profile.on_disks().iter().all(|(_, found)| found.is_none()).then_some(())
        });
    }
    kept.update(&allow_all(5));
    kept.wait_ready();
    drop((users, other_finalizer));
    // All at once, because each takes a second.
    cluster.ok(["delete", "seccompprofile", "--all", "--timeout=60s"]);
}

/// The documented command that begins like this.
fn documented_command(begin: &str) -> String {
    let blocks = Page::read("docs/removal.md").blocks();
    blocks.into_iter().find(|block| block.script.starts_with(begin)).unwrap().script
}

#[test]
fn where_the_operator_was_removed_by_force_the_documented_command_removes_its_finalizer() {
    let cluster = alone();
    let kept = cluster.profile("kept", &allow_all(0));
    let shared = cluster.profile("held-by-others", &allow_all(1));
    let stuck = cluster.profile("stuck", &allow_all(2));
    for profile in [&kept, &shared, &stuck] {
        profile.wait_ready();
    }
    let _other_finalizer = OtherFinalizer::add_to(&cluster, &shared);
    {
        let _reinstall = Reinstall(&cluster);
        cluster.ok(["delete", "namespace", NAMESPACE, "--timeout=120s"]);
        let deletion = cluster.kubectl(["delete", "seccompprofile", "stuck", "--timeout=2s"]);
        assert!(deletion.is_err(), "nobody holds it: {deletion:?}");
        let run = |command: &str| {
            let client = cluster.client();
            let path =
                format!("{}:{}", client.programs().directory().display(), std::env::var("PATH").unwrap());
            let mut shell = Command::new("sh");
            shell.args(["-eu", "-c", &documented_command(command)]);
            shell.env("KUBECONFIG", client.kubeconfig()).env("PATH", path);
            command::output(&mut shell).unwrap_or_else(|error| panic!("{error}"))
        };
        let policies = run("kubectl delete mutatingadmissionpolicy");
        assert_eq!(policies.lines().count(), 2, "{policies}");
        let lift = || run("finalizer=");
        let said = lift();
        assert_eq!(said.lines().count(), 3, "{said}");
        assert_eq!(finalizers(&cluster), [("held-by-others".to_owned(), vec![OTHERS.to_owned()])]);
        cluster.ok(["wait", "--for=delete", "seccompprofile/stuck", "--timeout=30s"]);
        assert_eq!(lift(), "", "nothing is left to do");
        for (number, profile) in [&kept, &shared, &stuck].into_iter().enumerate() {
            assert_on_every_disk(profile, number);
        }
    }
    cluster.wait_rolled_out();
    kept.wait_ready();
    until("stuck being swept", LIMIT, || {
        stuck.on_disks().iter().all(|(_, found)| found.is_none()).then_some(())
    });
}

/// The account of the uninstallation with its rights and its policy; all are removed when this is dropped.
struct Account<'a>(&'a Session, String);

impl<'a> Account<'a> {
    fn new(session: &'a Session) -> Self {
        let chart = repository().join("charts").join(NAMESPACE).display().to_string();
        let shown = ["templates/uninstall/rbac.yaml", "templates/uninstall/policy.yaml"];
        let [rbac, policy] = shown.map(|file| format!("--show-only={file}"));
        let template = ["template", NAMESPACE, &chart, "--namespace", NAMESPACE, &rbac, &policy];
        let objects = session.helm(template).unwrap();
        let account = Account(session, objects);
        session.kubectl_input(["apply", "-f", "-"], &account.1).unwrap_or_else(|error| panic!("{error}"));
        account
    }
}

impl Drop for Account<'_> {
    fn drop(&mut self) {
        expect_cleanup(self.0.kubectl_input(["delete", "--ignore-not-found", "-f", "-"], &self.1).map(drop));
    }
}

#[test]
fn a_stolen_account_of_the_uninstallation_can_remove_our_finalizer_and_do_nothing_else() {
    const OWN_ONLY: &str = "the uninstallation changes nothing in a profile's metadata but its own finalizer";
    let cluster = shared();
    let profile = cluster.profile("orphaned", &allow_all(0));
    let before = profile.wait_ready();
    let account = Account::new(&cluster);
    let token = cluster.ok(["-n", NAMESPACE, "create", "token", UNINSTALLATION]);
    let holder = TokenHolder::new(&cluster, &token);
    let patch = |patch: Value| holder.send(RawRequest::merge("/seccompprofiles/orphaned", &patch));
    let mut tries = 0;
    until("the API server knowing the rights and the policy", LIMIT, || {
        // A different value each time: until the policy is in force, it succeeds.
        tries += 1;
        let answer = patch(json!({ "metadata": { "labels": { "a": tries.to_string() } } }));
        answer.message.contains(OWN_ONLY).then_some(())
    });
    // What its Role allows in the release's namespace comes to the API server apart from the ClusterRole.
    until("the API server knowing the rights in the namespace", LIMIT, || {
        let pods = format!("/api/v1/namespaces/{NAMESPACE}/pods");
        (holder.send(RawRequest::get(&pods)).code == 200).then_some(())
    });
    rights::try_everything("the uninstallation", &holder, &rights::granted_by_chart(UNINSTALLATION));
    for (change, words) in [
        (
            json!({ "spec": { "contents": allow_all(1) } }),
            "the uninstallation does not change the spec of a profile",
        ),
        (json!({ "metadata": { "annotations": { api::names::DELETE_IN_USE: "true" } } }), OWN_ONLY),
        (
            json!({ "metadata": { "ownerReferences": [
            { "apiVersion": "v1", "kind": "Node", "name": "gone", "uid": "0" },
        ] } }),
            OWN_ONLY,
        ),
        (json!({ "metadata": { "finalizers": [OTHERS] } }), OWN_ONLY),
    ] {
        let answer = patch(change);
        assert!(answer.code == 422 && answer.message.contains(words), "{answer}\nshould contain: {words}");
    }
    let none = patch(json!({ "metadata": { "finalizers": [] } }));
    assert_eq!(none.code, 200, "{none}");
    // The account may not add it either; the operator may.
    let again = patch(json!({ "metadata": { "finalizers": [api::names::FINALIZER] } }));
    assert!(
        again.message.contains("the uninstallation removes the operator's finalizer and adds none"),
        "{again}"
    );
    let back = until("the operator's finalizer", LIMIT, || {
        finalizers(&cluster).into_iter().find(|(name, _)| name == "orphaned")
    });
    assert_eq!(back.1, [api::names::FINALIZER]);
    drop(account);
    assert_eq!(profile.wait_ready().json()["spec"], before.json()["spec"]);
}
