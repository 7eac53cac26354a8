//! What a stolen token of one of our programs is good for: every request of `e2e::rights`, with the tokens that
//! running pods hold.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use cluster::NAMESPACE;
use e2e::rendered;
use e2e::rights::attempts::{self, Answer as Expected, Attempt};
use e2e::rights::kinds::{Kind, SERVED};
use e2e::rights::request::{self, Request};
use e2e::rights::rules::{self, Rights};
use serde_json::{Value, json};

use super::stolen_token::{OURS, Raw, Thief, token_of_program};
use super::support::{Applied, LIMIT, Session, complain, harmless, object, say, shared, until};

const AGENT: &str = "seccomp-profile-node-agent";
const OPERATOR: &str = "seccomp-profile-operator";

/// The token that the agent of a node holds.
fn agents_token(node: &str) -> String {
    token_of_program(&["/node-agent", &format!("--node-name={node}")])
}

fn operators_token() -> String {
    token_of_program(&["/operator", &format!("--lease={OPERATOR}")])
}

/// What the chart grants to an account of its own.
pub(crate) fn granted_by_chart(account: &str) -> Rights {
    let accounts = rendered::accounts(&rendered::objects([""; 0]).unwrap());
    accounts.into_iter().find(|held| held.name == account).unwrap().rights
}

/// Sends every request of the grid. Each that no role grants must be refused in so many words; each that reads and is
/// granted must be answered.
pub(crate) fn try_everything(whose: &str, thief: &Thief, rights: &Rights) {
    let everybody = rules::of_everybody();
    let all: Vec<Request> = request::all().collect();
    let granted = |request: &Request| rights.allow(request) || everybody.allow(request);
    let (granted, refused): (Vec<&Request>, Vec<&Request>) = all.iter().partition(|request| granted(request));
    let answers = thief.ask_all(refused.iter().map(|request| Raw::from(*request)));
    let wrong: Vec<String> = refused
        .iter()
        .zip(&answers)
        .filter(|(request, answer)| answer.code != 403 || !answer.message.contains(&request.refusal()))
        .map(|(request, answer)| format!("{} {}: {answer}", request.method(), request.path()))
        .collect();
    assert!(wrong.is_empty(), "not refused for lack of a right to it:\n{}", wrong.join("\n"));
    let reads: Vec<_> = granted.iter().filter(|request| request.verb.reads()).collect();
    let answers = thief.ask_all(reads.iter().map(|request| Raw::from(**request)));
    for (request, answer) in reads.iter().zip(answers) {
        // There is no object of the name that is asked for.
        assert!([200, 404].contains(&answer.code), "{}: {answer}", request.path());
    }
    say(&format!("{whose}: {} requests refused, {} granted by a role", refused.len(), granted.len()));
    assert!(refused.len() > 1000, "{}", refused.len());
}

/// Sends each attempt and compares the answer with what is promised.
#[track_caller]
fn try_attempts(thief: &Thief, attempts: &[Attempt]) {
    for attempt in attempts {
        let answer = thief.ask(attempt.into());
        let as_promised = match attempt.answer {
            Expected::Refused(code, says) => answer.code == code && answer.message.contains(says),
            Expected::NoEffect => answer.code == 200,
        };
        assert!(as_promised, "{}: {answer}\npromised: {:?}", attempt.what, attempt.answer);
    }
}

/// What of a report no agent may change.
fn kept(cluster: &Session, node: &str) -> Value {
    let mut object = cluster.json(["get", "nodeprofilestatus", node]);
    for moving in ["resourceVersion", "managedFields"] {
        object["metadata"].as_object_mut().unwrap().remove(moving);
    }
    object["status"].as_object_mut().unwrap().remove("report");
    object
}

fn report(cluster: &Session, node: &str) -> Value {
    cluster.json(["get", "nodeprofilestatus", node])["status"]["report"].take()
}

/// Writes a lie about node-1 and waits until its true agent has said the truth again.
fn lie_is_put_right(cluster: &Session, thief: &Thief) {
    let truth = report(cluster, "node-1");
    let lie = json!({ "status": { "report": attempts::lie() } });
    let answer = thief.ask(Raw::merge("/nodeprofilestatuses/node-1/status", &lie));
    assert_eq!(answer.code, 200, "{answer}");
    until("the true report of node-1", LIMIT, || (report(cluster, "node-1") == truth).then_some(()));
}

#[test]
fn a_stolen_agent_can_lie_about_its_own_node_and_nothing_else() {
    let cluster = shared();
    let profile = cluster.profile("coveted", &harmless(0));
    profile.ready();
    let thief = Thief::new(&cluster, &agents_token("node-1"));
    try_everything("the agent of node-1", &thief, &granted_by_chart(AGENT));

    let other = cluster.json(["get", "nodeprofilestatus", "node-2"]);
    let own = kept(&cluster, "node-1");
    let refusal = r#"the agent of node "node-1" reports for its own node only, not for "node-2""#;
    try_attempts(&thief, &attempts::on_another_node(Expected::Refused(422, refusal)));
    try_attempts(&thief, &attempts::on_its_own_node());
    assert_eq!(cluster.json(["get", "nodeprofilestatus", "node-2"]), other, "to the last field");
    assert_eq!(kept(&cluster, "node-1"), own);
    lie_is_put_right(&cluster, &thief);
    profile.ready();
}

#[test]
fn an_agents_token_that_is_bound_to_no_pod_reads_the_two_kinds_and_writes_nothing() {
    let cluster = shared();
    let thief = Thief::new(&cluster, &cluster.ok(["-n", NAMESPACE, "create", "token", AGENT]));
    try_everything("an agent in no pod", &thief, &granted_by_chart(AGENT));
    let unbound = Expected::Refused(422, "the token is bound to no node");
    let other = cluster.json(["get", "nodeprofilestatus", "node-2"]);
    try_attempts(&thief, &attempts::on_another_node(unbound));
    assert_eq!(cluster.json(["get", "nodeprofilestatus", "node-2"]), other);
    let own = Raw::merge("/nodeprofilestatuses/node-1/status", &json!({ "status": { "report": null } }));
    let answer = thief.ask(own);
    assert!(answer.code == 422 && answer.message.contains("the token is bound to no node"), "{answer}");
}

#[test]
fn the_token_of_an_agent_on_another_node_is_refused_this_nodes_report() {
    let cluster = shared();
    let thief = Thief::new(&cluster, &agents_token("node-2"));
    try_everything("the agent of node-2", &thief, &granted_by_chart(AGENT));
    let before = cluster.json(["get", "nodeprofilestatus", "node-1"]);
    let lie = json!({ "status": { "report": attempts::lie() } });
    let answer = thief.ask(Raw::merge("/nodeprofilestatuses/node-1/status", &lie));
    let words = r#"the agent of node "node-2" reports for its own node only, not for "node-1""#;
    assert!(answer.code == 422 && answer.message.contains(words), "{answer}");
    assert_eq!(cluster.json(["get", "nodeprofilestatus", "node-1"]), before);
}

/// A profile that somebody else's finalizer holds too, until this is dropped.
struct Held<'a> {
    session: &'a Session,
    profile: Applied<'a>,
}

impl<'a> Held<'a> {
    fn new(session: &'a Session, name: &str) -> Self {
        let profile = session.applied(name);
        let mut object = object(name, &harmless(0));
        object["metadata"]["finalizers"] = json!([attempts::FOREIGN_FINALIZER]);
        session.try_apply(&object).unwrap();
        Held { session, profile }
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // Ours stays, for the operator to take off when the profile is deleted.
        let ours = json!({ "metadata": { "finalizers": [api::names::FINALIZER] } }).to_string();
        let patch = ["patch", "seccompprofile", &self.profile.name, "--type=merge", "--patch", &ours];
        complain(self.session.kubectl(patch).map(drop));
    }
}

#[test]
fn a_stolen_operator_cannot_change_what_a_profile_says() {
    let cluster = shared();
    let held = Held::new(&cluster, attempts::PROFILE);
    let before = held.profile.ready();
    let thief = Thief::new(&cluster, &operators_token());
    try_everything("the operator", &thief, &granted_by_chart(OPERATOR));
    try_attempts(&thief, &attempts::of_the_operator());
    let after = held.profile.ready();
    assert_eq!(after.json()["spec"], before.json()["spec"]);
    for field in ["finalizers", "labels", "annotations", "ownerReferences", "deletionTimestamp", "uid"] {
        assert_eq!(after.json()["metadata"][field], before.json()["metadata"][field], "{field}");
    }
}

/// It may say so in the status: agents look for a deletion by somebody too, whom the API server let do it.
#[test]
fn a_stolen_operator_cannot_take_away_the_file_of_a_profile_that_nobody_deleted() {
    let cluster = shared();
    let profile = cluster.profile("not-deleted", &harmless(0));
    profile.ready();
    let files = || -> Vec<_> {
        let files = cluster.disks().into_iter().map(|node| profile.path(&node).metadata().unwrap());
        files.map(|file| (file.ino(), file.ctime(), file.ctime_nsec())).collect()
    };
    let before = files();
    let thief = Thief::new(&cluster, &operators_token());
    let approve = json!({ "status": { "removal": "Approved" } });
    let answer = thief.ask(Raw::merge("/seccompprofiles/not-deleted/status", &approve));
    assert_eq!((answer.code, &answer.body["status"]["removal"]), (200, &json!("Approved")), "{answer}");
    profile.until("being without leave to go", LIMIT, |view| view.json()["status"]["removal"].is_null());
    // The agents have seen all that came before it.
    cluster.profile("after-not-deleted", &harmless(1)).ready();
    assert_eq!(files(), before, "the same files, never removed");
    profile.ready();
}

#[test]
fn nobody_of_ours_may_be_somebody_else_or_look_behind_the_api() {
    let cluster = shared();
    for (whose, token) in [("agent", agents_token("node-1")), ("operator", operators_token())] {
        let thief = Thief::new(&cluster, &token);
        for (header, value) in [
            ("impersonate-user", "admin"),
            ("impersonate-user", "system:node:node-2"),
            ("impersonate-user", "system:serviceaccount:seccomp-profile:seccomp-profile-operator"),
            ("impersonate-user", "system:serviceaccount:kube-system:generic-garbage-collector"),
        ] {
            for more in [None, Some(("impersonate-group", "system:masters")), Some(("impersonate-uid", "0"))]
            {
                let headers = [(header, value)].into_iter().chain(more).collect();
                let answer = thief.ask(Raw { headers, ..Raw::get(&format!("{OURS}/seccompprofiles")) });
                assert!(
                    answer.code == 403 && answer.message.contains("cannot impersonate"),
                    "{whose}: {answer}"
                );
            }
        }
        for path in [
            "/metrics",
            "/logs/",
            "/logs/kube-apiserver.log",
            "/debug/pprof/",
            "/debug/pprof/heap",
            "/debug/flags/v",
            "/debug/api_priority_and_fairness/dump_priority_levels",
            "/flagz",
            "/statusz",
            "/metrics/slis",
        ] {
            let answer = thief.ask(Raw::get(path));
            let words = format!("cannot get path \"{path}\"");
            assert!(answer.code == 403 && answer.message.contains(&words), "{whose}: {answer}");
        }
    }
}

#[test]
fn a_kubelet_tells_nobody_of_ours_anything_and_runs_nothing_for_it() {
    let cluster = shared();
    for (whose, token) in [("agent", agents_token("node-1")), ("operator", operators_token())] {
        for node in cluster.disks() {
            let thief = Thief::at(&cluster, &format!("https://{}:10250", node.id().address()), &token);
            for (method, path) in [
                ("GET", "/pods"),
                ("GET", "/runningpods/"),
                ("GET", "/metrics"),
                ("GET", "/metrics/cadvisor"),
                ("GET", "/stats/summary"),
                ("GET", "/configz"),
                ("GET", "/logs/"),
                ("GET", "/debug/pprof/"),
                ("GET", "/containerLogs/kube-system/a/b"),
                ("POST", "/run/kube-system/a/b?cmd=id"),
                ("POST", "/exec/kube-system/a/b?command=id&output=1"),
                ("POST", "/attach/kube-system/a/b"),
                ("POST", "/checkpoint/kube-system/a/b"),
            ] {
                let answer = thief.ask(Raw { method, ..Raw::get(path) });
                assert!(answer.code == 403, "{whose} {method} {path}: {answer}");
            }
        }
    }
}

/// Verbs that no request carries by itself: the API server is asked whether it would grant them.
#[test]
fn nobody_of_ours_may_widen_a_role_or_sign_for_others() {
    const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let cluster = shared();
    for (whose, token) in [("agent", agents_token("node-1")), ("operator", operators_token())] {
        let thief = Thief::new(&cluster, &token);
        let may = |verb: &str, group: &str, resource: &str| -> bool {
            let attributes = json!({ "verb": verb, "group": group, "resource": resource });
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": { "resourceAttributes": attributes },
            });
            let answer =
                thief.ask(Raw { method: "POST", body: review.to_string().into(), ..Raw::get(REVIEWS) });
            answer.body["status"]["allowed"].as_bool().unwrap_or_else(|| panic!("{answer}"))
        };
        assert!(may("list", api::names::GROUP, "seccompprofiles"), "the question is understood");
        for (verbs, group, resources) in [
            (
                ["escalate", "bind"].as_slice(),
                "rbac.authorization.k8s.io",
                ["roles", "clusterroles"].as_slice(),
            ),
            (&["impersonate"], "", &["users", "groups", "serviceaccounts"]),
            (&["impersonate"], "authentication.k8s.io", &["uids", "userextras"]),
            (&["approve", "sign", "attest"], "certificates.k8s.io", &["signers"]),
            (
                &["get", "create"],
                "",
                &["nodes/metrics", "nodes/stats", "nodes/log", "nodes/pods", "nodes/exec"],
            ),
            (&["*"], "*", &["*"]),
        ] {
            for (verb, resource) in verbs.iter().flat_map(|verb| resources.iter().map(move |on| (verb, on))) {
                assert!(!may(verb, group, resource), "{whose} {verb} {resource}");
            }
        }
    }
}

#[test]
fn the_grid_has_every_kind_that_the_api_server_serves() {
    let cluster = shared();
    let served = served(&cluster);
    let listed: BTreeSet<String> = SERVED.iter().flat_map(words).collect();
    let missing: Vec<_> = served.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(&served).collect();
    assert!(missing.is_empty() && gone.is_empty(), "not in the grid: {missing:?}; not served: {gone:?}");
}

/// A line for a kind and for each of its parts.
fn words(kind: &Kind) -> Vec<String> {
    let line =
        |part: &str| format!("{}/{} {}{part} {}", kind.group, kind.version, kind.plural, kind.namespaced);
    let parts = kind.parts.iter().map(|part| line(&format!("/{part}")));
    [line("")].into_iter().chain(parts).collect()
}

fn served(cluster: &Session) -> BTreeSet<String> {
    let raw = |path: &str| -> Value { serde_json::from_str(&cluster.ok(["get", "--raw", path])).unwrap() };
    let groups = raw("/apis");
    let groups = groups["groups"].as_array().unwrap().iter();
    let versions = groups.map(|group| group["preferredVersion"]["groupVersion"].as_str().unwrap());
    let paths = versions.map(|version| (version.to_owned(), format!("/apis/{version}")));
    let paths = [("/v1".to_owned(), "/api/v1".to_owned())].into_iter().chain(paths);
    let resources = paths.flat_map(|(version, path)| {
        let list = raw(&path);
        let line = |resource: &Value| {
            format!("{version} {} {}", resource["name"].as_str().unwrap(), resource["namespaced"])
        };
        list["resources"].as_array().unwrap().iter().map(line).collect::<Vec<_>>()
    });
    resources.collect()
}

#[test]
fn what_everybody_may_do_is_what_the_grid_leaves_out() {
    let cluster = shared();
    // It has no role of its own: the release's namespace has it from the start.
    let thief = Thief::new(&cluster, &cluster.ok(["-n", NAMESPACE, "create", "token", "default"]));
    try_everything("an account without a role", &thief, &Rights::default());
}
