//! What a stolen token of one of our programs allows: every request of `e2e::rights`, with the tokens that
//! running pods hold.

use std::collections::BTreeSet;
use std::os::unix::fs::MetadataExt;

use cluster::NAMESPACE;
use e2e::rendered;
use e2e::rights::attempts::{self, Answer as Expected, Attempt};
use e2e::rights::kinds::{ApiResource, SERVED};
use e2e::rights::request::{self, Request};
use e2e::rights::rules::{self, Rights};
use serde_json::{Value, json};

use super::stolen_token::{API_PATH, RawRequest, TokenHolder, token_of_program};
use super::support::{
    AppliedProfile, LIMIT, Session, allow_all, expect_cleanup, object, print_line, shared, until,
};

const AGENT: &str = "seccomp-profile-node-agent";
const OPERATOR: &str = "seccomp-profile-operator";

/// The token of a node's agent.
fn agents_token(cluster: &Session, node: &str) -> String {
    token_of_program(cluster, &["/node-agent", &format!("--node-name={node}")])
}

fn operators_token(cluster: &Session) -> String {
    token_of_program(cluster, &["/operator", &format!("--lease={OPERATOR}")])
}

/// The rights that the chart grants to one of its accounts.
pub(crate) fn granted_by_chart(account: &str) -> Rights {
    let accounts = rendered::accounts(&rendered::objects([""; 0]).unwrap());
    accounts.into_iter().find(|held| held.name == account).unwrap().rights
}

/// Sends every request of the grid. Each that no role grants must be refused with the expected message; each that reads
/// and is granted must be answered.
pub(crate) fn try_everything(whose: &str, holder: &TokenHolder, rights: &Rights) {
    let everybody = rules::of_everybody();
    let all: Vec<Request> = request::all().collect();
    let granted = |request: &Request| rights.allow(request) || everybody.allow(request);
    let (granted, refused): (Vec<&Request>, Vec<&Request>) = all.iter().partition(|request| granted(request));
    let answers = holder.send_all(refused.iter().map(|request| RawRequest::from(*request)));
    let wrong: Vec<String> = refused
        .iter()
        .zip(&answers)
        .filter(|(request, answer)| answer.code != 403 || !answer.message.contains(&request.refusal()))
        .map(|(request, answer)| format!("{} {}: {answer}", request.method(), request.path()))
        .collect();
    assert!(wrong.is_empty(), "not refused for lack of a right to it:\n{}", wrong.join("\n"));
    let reads: Vec<_> = granted.iter().filter(|request| request.verb.reads()).collect();
    let answers = holder.send_all(reads.iter().map(|request| RawRequest::from(**request)));
    for (request, answer) in reads.iter().zip(answers) {
        // No object has the requested name.
        assert!([200, 404].contains(&answer.code), "{}: {answer}", request.path());
    }
    print_line(&format!("{whose}: {} requests refused, {} granted by a role", refused.len(), granted.len()));
    assert!(refused.len() > 1000, "{}", refused.len());
}

/// Sends each attempt and compares the response with the expected one.
#[track_caller]
fn try_attempts(holder: &TokenHolder, attempts: &[Attempt]) {
    for attempt in attempts {
        let answer = holder.send(attempt.into());
        let as_promised = match attempt.answer {
            Expected::Refused(code, says) => answer.code == code && answer.message.contains(says),
            Expected::NoEffect => answer.code == 200,
        };
        assert!(as_promised, "{}: {answer}\npromised: {:?}", attempt.what, attempt.answer);
    }
}

/// A node's object without the conditions, which the operator may write at any time.
fn without_conditions(cluster: &Session, node: &str) -> Value {
    let mut object = cluster.json(["get", "nodeprofilestatus", node]);
    for moving in ["resourceVersion", "managedFields"] {
        object["metadata"].as_object_mut().unwrap().remove(moving);
    }
    object["status"].as_object_mut().unwrap().remove("conditions");
    object
}

/// The parts of a report that no agent may change.
fn protected_parts(cluster: &Session, node: &str) -> Value {
    let mut object = without_conditions(cluster, node);
    object["status"].as_object_mut().unwrap().remove("report");
    object
}

fn report(cluster: &Session, node: &str) -> Value {
    cluster.json(["get", "nodeprofilestatus", node])["status"]["report"].take()
}

/// Writes a forged report of node-1 and waits until its agent has corrected it.
fn forged_report_is_corrected(cluster: &Session, holder: &TokenHolder) {
    let truth = report(cluster, "node-1");
    let forged_report = json!({ "status": { "report": attempts::forged_report() } });
    let answer = holder.send(RawRequest::merge("/nodeprofilestatuses/node-1/status", &forged_report));
    assert_eq!(answer.code, 200, "{answer}");
    until("the true report of node-1", LIMIT, || (report(cluster, "node-1") == truth).then_some(()));
}

#[test]
fn a_stolen_agent_can_forge_reports_of_its_own_node_and_do_nothing_else() {
    let cluster = shared();
    let profile = cluster.profile("coveted", &allow_all(0));
    profile.wait_ready();
    let holder = TokenHolder::new(&cluster, &agents_token(&cluster, "node-1"));
    try_everything("the agent of node-1", &holder, &granted_by_chart(AGENT));

    let other = without_conditions(&cluster, "node-2");
    let own = protected_parts(&cluster, "node-1");
    let refusal = r#"the agent of node "node-1" reports for its own node only, not for "node-2""#;
    try_attempts(&holder, &attempts::on_another_node(Expected::Refused(422, refusal)));
    try_attempts(&holder, &attempts::on_its_own_node());
    assert_eq!(without_conditions(&cluster, "node-2"), other);
    assert_eq!(protected_parts(&cluster, "node-1"), own);
    forged_report_is_corrected(&cluster, &holder);
    profile.wait_ready();
}

#[test]
fn an_agents_token_that_is_bound_to_no_pod_reads_the_two_kinds_and_writes_nothing() {
    let cluster = shared();
    let holder = TokenHolder::new(&cluster, &cluster.ok(["-n", NAMESPACE, "create", "token", AGENT]));
    try_everything("an agent in no pod", &holder, &granted_by_chart(AGENT));
    let unbound = Expected::Refused(422, "the token is bound to no node");
    let other = without_conditions(&cluster, "node-2");
    try_attempts(&holder, &attempts::on_another_node(unbound));
    assert_eq!(without_conditions(&cluster, "node-2"), other);
    let own =
        RawRequest::merge("/nodeprofilestatuses/node-1/status", &json!({ "status": { "report": null } }));
    let answer = holder.send(own);
    assert!(answer.code == 422 && answer.message.contains("the token is bound to no node"), "{answer}");
}

#[test]
fn the_token_of_an_agent_on_another_node_is_refused_this_nodes_report() {
    let cluster = shared();
    let holder = TokenHolder::new(&cluster, &agents_token(&cluster, "node-2"));
    try_everything("the agent of node-2", &holder, &granted_by_chart(AGENT));
    let before = without_conditions(&cluster, "node-1");
    let forged_report = json!({ "status": { "report": attempts::forged_report() } });
    let answer = holder.send(RawRequest::merge("/nodeprofilestatuses/node-1/status", &forged_report));
    let words = r#"the agent of node "node-2" reports for its own node only, not for "node-1""#;
    assert!(answer.code == 422 && answer.message.contains(words), "{answer}");
    assert_eq!(without_conditions(&cluster, "node-1"), before);
}

/// A profile that also has another program's finalizer; both are removed when this is dropped.
struct HeldProfile<'a> {
    session: &'a Session,
    profile: AppliedProfile<'a>,
}

impl<'a> HeldProfile<'a> {
    fn new(session: &'a Session, name: &str) -> Self {
        let profile = session.existing(name);
        let mut object = object(name, &allow_all(0));
        object["metadata"]["finalizers"] = json!([attempts::FOREIGN_FINALIZER]);
        session.try_apply(&object).unwrap();
        HeldProfile { session, profile }
    }
}

impl Drop for HeldProfile<'_> {
    fn drop(&mut self) {
        // Our finalizer stays; the operator removes it when the profile is deleted.
        let ours = json!({ "metadata": { "finalizers": [api::names::FINALIZER] } }).to_string();
        let patch = ["patch", "seccompprofile", &self.profile.name, "--type=merge", "--patch", &ours];
        expect_cleanup(self.session.kubectl(patch).map(drop));
    }
}

#[test]
fn a_stolen_operator_cannot_change_the_contents_of_a_profile() {
    let cluster = shared();
    let held = HeldProfile::new(&cluster, attempts::PROFILE);
    let before = held.profile.wait_ready();
    let holder = TokenHolder::new(&cluster, &operators_token(&cluster));
    try_everything("the operator", &holder, &granted_by_chart(OPERATOR));
    try_attempts(&holder, &attempts::of_the_operator());
    let after = held.profile.wait_ready();
    assert_eq!(after.json()["spec"], before.json()["spec"]);
    for field in ["finalizers", "labels", "annotations", "ownerReferences", "deletionTimestamp", "uid"] {
        assert_eq!(after.json()["metadata"][field], before.json()["metadata"][field], "{field}");
    }
}

/// It may write the approval into the status: agents also require the deletion timestamp, which only an authorized
/// delete sets.
#[test]
fn a_stolen_operator_cannot_remove_the_file_of_a_profile_that_is_not_deleted() {
    let cluster = shared();
    let profile = cluster.profile("not-deleted", &allow_all(0));
    profile.wait_ready();
    let files = || -> Vec<_> {
        let files = cluster.node_list().into_iter().map(|node| profile.path(&node).metadata().unwrap());
        files.map(|file| (file.ino(), file.ctime(), file.ctime_nsec())).collect()
    };
    let before = files();
    let holder = TokenHolder::new(&cluster, &operators_token(&cluster));
    let approve = json!({ "status": { "removal": "Approved" } });
    let answer = holder.send(RawRequest::merge("/seccompprofiles/not-deleted/status", &approve));
    assert_eq!((answer.code, &answer.body["status"]["removal"]), (200, &json!("Approved")), "{answer}");
    profile.until("being without leave to go", LIMIT, |view| view.json()["status"]["removal"].is_null());
    // When this one is Ready, the agents have processed everything before it.
    cluster.profile("after-not-deleted", &allow_all(1)).wait_ready();
    assert_eq!(files(), before, "the same files, never removed");
    profile.wait_ready();
}

#[test]
fn none_of_our_accounts_may_impersonate_another_or_read_server_internals() {
    let cluster = shared();
    for (whose, token) in
        [("agent", agents_token(&cluster, "node-1")), ("operator", operators_token(&cluster))]
    {
        let holder = TokenHolder::new(&cluster, &token);
        for (header, value) in [
            ("impersonate-user", "admin"),
            ("impersonate-user", "system:node:node-2"),
            ("impersonate-user", "system:serviceaccount:seccomp-profile:seccomp-profile-operator"),
            ("impersonate-user", "system:serviceaccount:kube-system:generic-garbage-collector"),
        ] {
            for more in [None, Some(("impersonate-group", "system:masters")), Some(("impersonate-uid", "0"))]
            {
                let headers = [(header, value)].into_iter().chain(more).collect();
                let answer = holder
                    .send(RawRequest { headers, ..RawRequest::get(&format!("{API_PATH}/seccompprofiles")) });
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
            let answer = holder.send(RawRequest::get(path));
            let words = format!("cannot get path \"{path}\"");
            assert!(answer.code == 403 && answer.message.contains(&words), "{whose}: {answer}");
        }
    }
}

#[test]
fn a_kubelet_refuses_every_request_of_our_accounts() {
    let cluster = shared();
    for (whose, token) in
        [("agent", agents_token(&cluster, "node-1")), ("operator", operators_token(&cluster))]
    {
        for node in cluster.node_list() {
            let holder = TokenHolder::at(&cluster, &format!("https://{}:10250", node.address()), &token);
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
                let answer = holder.send(RawRequest { method, ..RawRequest::get(path) });
                assert!(answer.code == 403, "{whose} {method} {path}: {answer}");
            }
        }
    }
}

/// Verbs that no request has by itself: an access review asks the API server whether it would grant them.
#[test]
fn none_of_our_accounts_may_escalate_a_role_or_sign_for_others() {
    const REVIEWS: &str = "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    let cluster = shared();
    for (whose, token) in
        [("agent", agents_token(&cluster, "node-1")), ("operator", operators_token(&cluster))]
    {
        let holder = TokenHolder::new(&cluster, &token);
        let may = |verb: &str, group: &str, resource: &str| -> bool {
            let attributes = json!({ "verb": verb, "group": group, "resource": resource });
            let review = json!({
                "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview",
                "spec": { "resourceAttributes": attributes },
            });
            let answer = holder.send(RawRequest {
                method: "POST",
                body: review.to_string().into(),
                ..RawRequest::get(REVIEWS)
            });
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
fn words(kind: &ApiResource) -> Vec<String> {
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
    // The namespace's default account has no role.
    let holder = TokenHolder::new(&cluster, &cluster.ok(["-n", NAMESPACE, "create", "token", "default"]));
    try_everything("an account without a role", &holder, &Rights::default());
}
