//! The exact requests of the commands to the API server, and their results.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "clippy allows panics in tests, but not in the helpers of an integration test"
)]

mod denials;
mod waiting;

use std::io::Write;

use clap::Parser;
use cli::error::CliError;
use cli::options::Options;
use cli::run::{self, Answer};
use cli::show::Paint;
use http::{Method, Request, Response};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use tower_test::mock::Handle;

const OURS: &str = "/apis/seccomp.imjasonh.dev/v1alpha1";
const HASH: &str = "sha256:ada4d9a50895dd58cd1fd2a2deb4d6c96fd3a0126a4dd1da48ab9cb4fbc7b9f1";

/// The API server's side of the conversation.
struct Server(Handle<Request<Body>, Response<Body>>);

impl Server {
    /// Takes the next request, which must be a GET of this path and query, and answers.
    async fn expect(&mut self, uri: &str, (status, body): (u16, Value)) {
        let (request, send) = self.0.next_request().await.unwrap();
        assert_eq!((request.method(), request.uri().to_string().as_str()), (&Method::GET, uri));
        send.send_response(answer(status, &body));
    }

    /// Answers every request by its path, as long as there are any; watches stay open without events.
    async fn serve(&mut self, of: impl Fn(&str) -> (u16, Value)) {
        let mut open = Vec::new();
        while let Some((request, send)) = self.0.next_request().await {
            assert_eq!(request.method(), Method::GET, "{}", request.uri());
            if request.uri().query().unwrap_or_default().contains("watch=true") {
                open.push(send);
            } else {
                let (status, body) = of(request.uri().path());
                send.send_response(answer(status, &body));
            }
        }
    }
}

fn answer(status: u16, body: &Value) -> Response<Body> {
    Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).unwrap()
}

fn list(items: &[Value]) -> (u16, Value) {
    page(items, "")
}

fn page(items: &[Value], next: &str) -> (u16, Value) {
    (
        200,
        json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": "5", "continue": next }, "items": items }),
    )
}

fn failure(code: u16, reason: &str, message: &str) -> (u16, Value) {
    (
        code,
        json!({ "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": message }),
    )
}

fn forbidden(what: &str) -> (u16, Value) {
    failure(
        403,
        "Forbidden",
        &format!(
            r#"{what} is forbidden: User "eve" cannot list resource "{what}" in API group "" at the cluster scope"#
        ),
    )
}

fn profile(name: &str, ready: &str) -> Value {
    json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile",
        "metadata": { "name": name, "uid": name, "resourceVersion": "3", "generation": 1 },
        "spec": { "contents": { "defaultAction": "SCMP_ACT_LOG" } },
        "status": {
            "observedGeneration": 1, "contentHash": HASH, "localhostProfile": format!("profiles/{name}.json"),
            "state": if ready == "True" { "Ready" } else { "Progressing" }, "ready": "1/1", "inUse": false,
            "conditions": [{
                "type": "Ready", "status": ready, "reason": "R", "message": "1 of 1 nodes hold it", "observedGeneration": 1,
                "lastTransitionTime": "2026-01-01T00:00:00Z"
            }],
        },
    })
}

fn node(files: &Value) -> Value {
    json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "NodeProfileStatus",
        "metadata": { "name": "node-1", "uid": "r1", "resourceVersion": "4" },
        "status": { "report": { "agentVersion": "0.1.0", "directory": "/d", "files": files, "fileCount": 1 } },
    })
}

/// Runs the command with these arguments, while `conversation` answers.
async fn ask<const N: usize>(
    arguments: [&str; N],
    conversation: impl AsyncFnOnce(&mut Server),
) -> Result<Answer, CliError> {
    let options = Options::try_parse_from(std::iter::once("kubectl-seccomp").chain(arguments)).unwrap();
    let (service, handle) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let mut server = Server(handle);
    let (answer, ()) =
        tokio::join!(run::answer(&options.task, &client, Paint::Plain), conversation(&mut server));
    answer
}

const AGENTS: &str = "/api/v1/pods?&labelSelector=app.kubernetes.io%2Fname%3Dseccomp-profile%2Capp.kubernetes.io%2Fcomponent%3Dnode-agent&limit=250";

#[tokio::test]
async fn status_asks_for_the_two_kinds_page_by_page_and_for_the_agents_pods() {
    let answer = ask(["status", "-o", "json"], async |server| {
        server
            .expect(&format!("{OURS}/seccompprofiles?&limit=20"), page(&[profile("audit", "True")], "more"))
            .await;
        server
            .expect(
                &format!("{OURS}/seccompprofiles?&limit=20&continue=more"),
                list(&[profile("trace", "False")]),
            )
            .await;
        server
            .expect(
                &format!("{OURS}/nodeprofilestatuses?&limit=250"),
                list(&[node(&json!({ "audit": &HASH[7..39] }))]),
            )
            .await;
        let pod = json!({ "metadata": { "name": "a", "namespace": "n" }, "spec": { "nodeName": "node-1" }, "status": {} });
        server.expect(AGENTS, list(&[pod])).await;
    });
    let shown: Value = serde_json::from_str(&answer.await.unwrap().text).unwrap();
    assert_eq!(shown.pointer("/profiles/0/nodes/0/state"), Some(&json!("Ready")));
    let lacking = &shown["profiles"][1]["nodes"][0];
    assert_eq!(lacking["message"], "it has no file yet; the pod of its agent, n/a, is not ready");
}

#[tokio::test]
async fn one_profile_is_read_by_name_and_agents_that_may_not_be_listed_are_omitted() {
    let answer = ask(["status", "audit"], async |server| {
        server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
        server
            .expect(
                &format!("{OURS}/nodeprofilestatuses?&limit=250"),
                list(&[node(&json!({ "audit": &HASH[7..39] }))]),
            )
            .await;
        server.expect(AGENTS, forbidden("pods")).await;
    });
    let text = answer.await.unwrap().text;
    assert!(text.ends_with("NODE     STATE   SINCE   WHY\nnode-1   Ready\n"), "{text}");
}

#[tokio::test]
async fn an_error_names_the_object_and_says_what_to_do() {
    let of = async |answer: (u16, Value)| {
        let asked = ask(["status", "audit"], async |server| {
            server.expect(&format!("{OURS}/seccompprofiles/audit"), answer).await;
        });
        asked.await.unwrap_err().to_string()
    };
    let mut none = failure(404, "NotFound", r#"seccompprofiles.seccomp.imjasonh.dev "audit" not found"#);
    none.1["details"] =
        json!({ "name": "audit", "group": "seccomp.imjasonh.dev", "kind": "seccompprofiles" });
    insta::assert_snapshot!(of(none).await);
    insta::assert_snapshot!("no_definitions", of(failure(404, "NotFound", "404 page not found")).await);
    insta::assert_snapshot!("no_right", of(forbidden("seccompprofiles.seccomp.imjasonh.dev")).await);
    insta::assert_snapshot!("no_login", of(failure(401, "Unauthorized", "Unauthorized")).await);
    insta::assert_snapshot!("other_answer", of(failure(503, "ServiceUnavailable", "etcd is away")).await);
}

#[tokio::test]
async fn a_definition_without_a_body_is_distinguished_from_a_profile_that_does_not_exist() {
    // The API server answers a path that it does not know with text.
    let asked = ask(["status"], async |server| {
        let (request, send) = server.0.next_request().await.unwrap();
        assert_eq!(request.uri().path(), format!("{OURS}/seccompprofiles"));
        send.send_response(
            Response::builder().status(404).body(Body::from(b"404 page not found\n".to_vec())).unwrap(),
        );
    });
    assert!(matches!(asked.await, Err(CliError::NotInstalled { what: "seccompprofiles" })));
}

#[tokio::test]
async fn users_shows_what_it_may_list_and_names_what_it_may_not() {
    let using = |profile: &str| json!({ "containers": [{ "securityContext": { "seccompProfile": { "type": "Localhost", "localhostProfile": format!("profiles/{profile}.json") } } }] });
    let of = |path: &str| match path.rsplit_once('/').unwrap().1 {
        "seccompprofiles" => list(&[profile("audit", "True")]),
        "nodeprofilestatuses" => list(&[]),
        "pods" => list(&[
            json!({ "metadata": { "name": "web-1", "namespace": "shop" }, "spec": using("audit"), "status": { "phase": "Pending" } }),
        ]),
        "deployments" => list(&[
            json!({ "metadata": { "name": "web", "namespace": "shop" }, "spec": { "template": { "spec": using("adult") } } }),
        ]),
        plural @ ("jobs" | "cronjobs") => forbidden(plural),
        _ => list(&[]),
    };
    let options = Options::try_parse_from(["kubectl-seccomp", "users"]).unwrap();
    let (service, handle) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let mut server = Server(handle);
    let answer = tokio::select! {
        () = server.serve(of) => panic!("nobody asks any more"),
        answer = run::answer(&options.task, &client, Paint::Plain) => answer.unwrap(),
    };
    insta::assert_snapshot!(answer.text);
    insta::assert_snapshot!("kinds_not_listed", answer.remarks.join("\n"));
    assert!(answer.success);
}

#[tokio::test]
async fn the_exit_code_of_diff_shows_whether_the_filters_differ() {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(br#"{ "defaultAction": "SCMP_ACT_LOG", "syscalls": [{ "names": ["bpf"], "action": "SCMP_ACT_TRAP" }] }"#).unwrap();
    let path = file.path().to_str().unwrap().to_owned();
    let mut differ = ask(["diff", "audit", "-f", &path], async |server| {
        server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
    })
    .await
    .unwrap();
    differ.text = differ.text.replace(&path, "FILE");
    assert!(!differ.success);
    insta::assert_snapshot!(differ.text);
    std::fs::write(&path, "defaultAction: SCMP_ACT_LOG").unwrap();
    let same = ask(["diff", "audit", "-f", &path], async |server| {
        server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
    });
    assert_eq!(
        same.await.unwrap(),
        Answer { text: String::new(), remarks: vec![], errors: vec![], success: true }
    );
    std::fs::write(&path, "defaultAction: LOG").unwrap();
    let wrong = ask(["diff", "audit", "-f", &path], async |server| {
        server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
    });
    assert!(wrong.await.unwrap_err().to_string().contains("defaultAction: unknown action \"LOG\""));
}

#[tokio::test]
async fn a_name_that_no_file_has_is_linted_in_the_cluster() {
    for name in ["audit", "seccompprofile/audit"] {
        let answer = ask(["lint", name], async |server| {
            server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
        });
        let answer = answer.await.unwrap();
        assert!(!answer.success);
        let text = answer.text;
        assert!(text.contains("[log-left-in]") && text.contains(" --> seccompprofile/audit:"), "{text}");
    }
}

#[tokio::test]
async fn verify_fails_if_a_report_differs_although_the_status_is_ready() {
    let verify = async |files: Value| {
        let asked = ask(["verify", "audit", "-o", "yaml"], async |server| {
            server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
            server.expect(&format!("{OURS}/nodeprofilestatuses?&limit=250"), list(&[node(&files)])).await;
            server.expect(AGENTS, forbidden("pods")).await;
            server.expect("/api/v1/nodes?&limit=250", forbidden("nodes")).await;
        });
        asked.await.unwrap()
    };
    let right = verify(json!({ "audit": &HASH[7..39] })).await;
    assert!(right.success && right.text.starts_with("verified: true\n"), "{}", right.text);
    assert_eq!(right.remarks.len(), 1, "the agents are not known: {:?}", right.remarks);
    let wrong = verify(json!({ "audit": "0".repeat(32) })).await;
    assert!(!wrong.success && wrong.text.contains("kind: OtherContents"), "{}", wrong.text);
}

#[tokio::test]
async fn verify_ignores_the_report_of_a_node_that_does_not_exist() {
    let mut ghost = node(&json!({}));
    ghost["metadata"]["name"] = json!("node-2");
    let asked = ask(["verify", "audit"], async |server| {
        server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
        let reports = list(&[node(&json!({ "audit": &HASH[7..39] })), ghost]);
        server.expect(&format!("{OURS}/nodeprofilestatuses?&limit=250"), reports).await;
        let pod = json!({ "metadata": { "name": "a", "namespace": "n" }, "spec": { "nodeName": "node-1" },
            "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
        server.expect(AGENTS, list(&[pod])).await;
        let nodes = list(&[json!({ "metadata": { "name": "node-1" }, "spec": {}, "status": {} })]);
        server.expect("/api/v1/nodes?&limit=250", nodes).await;
    });
    let answer = asked.await.unwrap();
    assert!(answer.success, "{}", answer.text);
    assert_eq!(
        answer.remarks,
        ["not checked: the NodeProfileStatus node-2, because no such Node exists; the operator removes it"]
    );
}

#[tokio::test]
async fn users_asks_for_runtime_classes_only_where_a_pod_has_one() {
    let answer = |class: Option<&'static str>| async move {
        let of = move |path: &str| match path.rsplit_once('/').unwrap().1 {
            "seccompprofiles" => list(&[profile("audit", "True")]),
            "pods" => list(&[json!({
                "metadata": { "name": "web", "namespace": "shop" }, "status": { "phase": "Running" },
                "spec": { "runtimeClassName": class, "containers": [{ "name": "main", "securityContext": {
                    "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/audit.json" } } }] },
            })]),
            "runtimeclasses" => match class {
                Some("boxed") => list(&[json!({ "metadata": { "name": "boxed" }, "handler": "runsc" })]),
                Some(_) => forbidden("runtimeclasses"),
                None => panic!("nobody has one"),
            },
            _ => list(&[]),
        };
        let options = Options::try_parse_from(["kubectl-seccomp", "users"]).unwrap();
        let (service, handle) = tower_test::mock::pair();
        let client = Client::new(service, "default");
        let mut server = Server(handle);
        tokio::select! {
            () = server.serve(of) => panic!("nobody asks any more"),
            answer = run::answer(&options.task, &client, Paint::Plain) => answer.unwrap(),
        }
    };
    let plain = answer(None).await;
    assert!(plain.text.ends_with("Running\n") && plain.remarks.is_empty(), "{plain:?}");
    let boxed = answer(Some("boxed")).await;
    assert!(boxed.text.contains("RuntimeClass boxed (handler runsc) is gVisor"), "{boxed:?}");
    let hidden = answer(Some("hidden")).await;
    assert!(hidden.text.contains("RuntimeClass hidden, which could not be read"), "{hidden:?}");
    assert_eq!(hidden.remarks.len(), 1, "{hidden:?}");
    assert!(hidden.remarks[0].starts_with("not checked: runtimeclasses.node.k8s.io: "), "{hidden:?}");
}

#[tokio::test]
async fn a_number_that_kubectl_would_round_is_combined_as_the_cluster_has_it() {
    let mask =
        json!({ "index": 0, "op": "SCMP_CMP_MASKED_EQ", "value": "18446744073709551614", "valueTwo": 0 });
    let rule = json!({ "names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [mask] });
    let mut object = profile("audit", "True");
    object["spec"]["contents"] = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
    let mut file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    file.write_all(b"defaultAction: SCMP_ACT_ALLOW\n").unwrap();
    let path = file.path().to_str().unwrap();
    let answer =
        ask(["merge", "--intersect", "-o", "yaml", "--name", "both", "audit", path], async |server| {
            server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, object)).await;
        });
    let text = answer.await.unwrap().text;
    assert!(text.contains("value: \"18446744073709551614\""), "{text}");
}

#[tokio::test]
async fn a_profile_in_the_cluster_is_converted_as_the_cluster_has_it() {
    let equal = json!({ "index": 0, "op": "SCMP_CMP_EQ", "value": "18446744073709551615" });
    let rule = json!({ "names": ["personality"], "action": "SCMP_ACT_ALLOW", "args": [equal] });
    let contents = json!({ "defaultAction": "SCMP_ACT_ERRNO", "syscalls": [rule] });
    for name in ["audit", "seccompprofile/audit"] {
        let mut object = profile("audit", "True");
        object["spec"]["contents"] = contents.clone();
        let answer = ask(["convert", "--to", "oci", name], async |server| {
            server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, object)).await;
        });
        let Answer { text, remarks, success, .. } = answer.await.unwrap();
        assert!(success && remarks.is_empty(), "{remarks:?}");
        assert!(text.contains(r#""value": 18446744073709551615"#), "{text}");
    }
    let mut file = tempfile::NamedTempFile::with_suffix(".yaml").unwrap();
    file.write_all(b"defaultAction: SCMP_ACT_ALLOW\n").unwrap();
    let path = file.path().to_str().unwrap();
    let answer = ask(["convert", "audit", path, "--only", "audit"], async |server| {
        server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
    });
    let text = answer.await.unwrap().text;
    assert!(text.contains("name: audit\n") && text.contains("defaultAction: SCMP_ACT_LOG\n"), "{text}");
}

#[test]
fn a_file_is_checked_without_a_cluster_and_a_finding_is_a_negative_result() {
    let answer = |text: &str, more: &[&str]| {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let path = file.path().to_str().unwrap();
        let words = ["kubectl-seccomp", "lint", path].into_iter().chain(more.iter().copied());
        run::without_cluster(&Options::try_parse_from(words).unwrap().task, Paint::Plain).map(Option::unwrap)
    };
    let profile = "defaultAction: SCMP_ACT_ERRNO\narchitectures: [SCMP_ARCH_PPC64LE]\nsyscalls:\n\
                   - {names: [read, cachestat], action: SCMP_ACT_ALLOW}\n";
    let Answer { text, success, .. } = answer(profile, &["-o", "json"]).unwrap();
    assert!(!success);
    let view: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(view["findings"][0]["rule"], "not-yet-known-syscall");
    assert_eq!((&view["findings"][0]["line"], &view["findings"][0]["column"]), (&json!(4), &json!(18)));
    for clean in [&["--libseccomp", "2.6.1"], &["--ignore", "not-yet-known-syscall"]] {
        assert!(answer(profile, clean).unwrap().success);
    }
    let Answer { text, errors, .. } = answer("kind: ConfigMap", &[]).unwrap();
    assert!(text.is_empty() && errors[0].contains("found: ConfigMap"), "{text}{errors:?}");
    assert!(Options::try_parse_from(["kubectl-seccomp", "lint"]).is_err());
    assert!(Options::try_parse_from(["kubectl-seccomp", "rule", "no-such-rule"]).is_err());
}
