//! `denials`: which objects it asks for, once and continuously.

use cli::error::CliError;
use cli::run;
use http::Response;
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};

use super::{AGENTS, OURS, Server, answer, ask, forbidden, list, node, profile};

/// An observation in which the container of the pod `web-1` has made a call so often.
fn observation(count: u32) -> Value {
    let call = json!({
        "architecture": "x86_64", "number": 165, "name": "mount", "action": "SCMP_ACT_ERRNO", "count": count,
        "first": "2026-01-01T00:00:00Z", "last": "2026-01-01T00:01:00Z", "program": "/bin/web",
    });
    let container = json!({
        "namespace": "shop", "pod": "web-1", "podUid": "u1", "container": "main", "containerId": "c", "calls": [call],
    });
    json!({
        "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompObservation",
        "metadata": { "name": "node-1", "uid": "o1", "resourceVersion": "6" }, "spec": {},
        "status": { "report": {
            "observerVersion": "0.1.0", "state": "Observing", "containers": [container], "outside": 0, "unknown": 2,
            "forgotten": 0, "lost": 0, "boot": "b",
        } },
    })
}

/// The pod `web-1` under the profile `audit`.
fn web_pod() -> Value {
    json!({
        "metadata": { "name": "web-1", "namespace": "shop", "uid": "u1" }, "status": { "phase": "Running" },
        "spec": { "containers": [{ "name": "main", "securityContext": {
            "seccompProfile": { "type": "Localhost", "localhostProfile": "profiles/audit.json" } } }] },
    })
}

#[tokio::test]
async fn denials_reads_observations_and_pods_and_then_the_profiles_that_matter() {
    let answer = ask(["denials", "audit", "-n", "shop", "-o", "json"], async |server| {
        server.expect(&format!("{OURS}/seccompprofiles?&limit=20"), list(&[profile("audit", "True")])).await;
        server.expect(&format!("{OURS}/nodeprofilestatuses?&limit=250"), list(&[node(&json!({}))])).await;
        server.expect(AGENTS, forbidden("pods")).await;
        server.expect(&format!("{OURS}/seccompobservations?&limit=20"), list(&[observation(3)])).await;
        server.expect("/api/v1/namespaces/shop/pods?&limit=250", list(&[web_pod()])).await;
        server.expect(&format!("{OURS}/seccompprofiles/audit"), (200, profile("audit", "True"))).await;
    });
    let answer = answer.await.unwrap();
    let shown: Value = serde_json::from_str(&answer.text).unwrap();
    let denial = &shown["denials"][0];
    assert_eq!((&denial["profile"], &denial["call"]), (&json!("audit"), &json!("mount")), "{shown}");
    assert_eq!((&denial["count"], &denial["pods"]), (&json!(3), &json!(["web-1"])), "{shown}");
    assert_eq!(shown["allowing"][0]["call"], "mount", "{shown}");
    assert_eq!(answer.remarks, ["incomplete: node-1: 2 calls of unknown containers"]);
}

#[tokio::test]
async fn denials_that_may_not_be_read_are_an_error_that_names_the_role() {
    let answer = ask(["denials"], async |server| {
        server.expect(&format!("{OURS}/seccompprofiles?&limit=20"), list(&[])).await;
        server.expect(&format!("{OURS}/nodeprofilestatuses?&limit=250"), list(&[])).await;
        server.expect(AGENTS, forbidden("pods")).await;
        server
            .expect(&format!("{OURS}/seccompobservations?&limit=20"), forbidden("seccompobservations"))
            .await;
    });
    let error = answer.await.unwrap_err().to_string();
    assert!(error.contains("seccompobservations") && error.contains("seccomp-profile-viewer"), "{error}");
}

/// Fails at the second answer, which ends the watch.
#[derive(Default)]
struct TwoAnswers(Vec<i64>);

impl run::Screen for TwoAnswers {
    fn show(&mut self, view: &cli::denials::DenialsView) -> Result<(), CliError> {
        self.0.extend(view.denials.iter().map(|it| it.count));
        let end = std::io::Error::from(std::io::ErrorKind::BrokenPipe);
        if self.0.len() < 2 { Ok(()) } else { Err(CliError::Output(end)) }
    }
}

#[tokio::test(start_paused = true)]
async fn denials_are_shown_again_when_an_observation_has_changed() {
    let (service, handle) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let mut server = Server(handle);
    let server = async {
        let (mut watches, mut open) = (0, Vec::new());
        while let Some((request, send)) = server.0.next_request().await {
            if !request.uri().query().unwrap_or_default().contains("watch=true") {
                let (status, body) = match request.uri().path().rsplit_once('/').unwrap().1 {
                    "seccompprofiles" => list(&[profile("audit", "True")]),
                    "audit" => (200, profile("audit", "True")),
                    "seccompobservations" => list(&[observation(if watches == 0 { 3 } else { 5 })]),
                    "pods" if request.uri().query().unwrap().contains("labelSelector") => forbidden("pods"),
                    "pods" => list(&[web_pod()]),
                    _ => list(&[]),
                };
                send.send_response(answer(status, &body));
                continue;
            }
            watches += 1;
            if watches == 1 {
                let event = json!({ "type": "MODIFIED", "object": observation(5) }).to_string() + "\n";
                send.send_response(Response::new(Body::from(event.into_bytes())));
            } else {
                open.push(send);
            }
        }
    };
    let mut screen = TwoAnswers::default();
    let ended = tokio::select! {
        () = server => panic!("nobody asks any more"),
        ended = run::watch_denials(&client, None, None, &mut screen) => ended,
    };
    assert!(matches!(ended, Err(CliError::Output(_))), "{ended:?}");
    assert_eq!(screen.0, [3, 5]);
}
