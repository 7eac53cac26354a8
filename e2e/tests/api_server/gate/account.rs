//! What the gate's account may do: take our gate off a pod, with required node affinity, and nothing else.

use bench::api_server::Account;
use cluster::NAMESPACE;
use e2e::rights::attempts::Answer;
use e2e::rights::gate::{self, OTHERS, leave_out, lift, target};
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::*;

/// A client with a real token of the gate's account, as its pods get one.
async fn thief(environment: &Environment) -> Client {
    let client = environment.server.command_line().unwrap();
    let token = client.kubectl(["-n", NAMESPACE, "create", "token", &format!("{NAMESPACE}-gate")]).unwrap();
    let mut config: Config = environment.server.config(Account::Admin, None).await.unwrap();
    config.auth_info.token = Some(token.trim().to_owned().into());
    Client::try_from(config).unwrap()
}

/// Sends a request; the code of the answer and its message, or the object.
async fn send(client: &Client, method: &str, path: &str, content_type: &str, body: &Value) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
    let answer = client.send(request.body(Body::from(body.to_string().into_bytes())).unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect_bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_gate_lifts_its_own_gate_with_node_affinity_and_changes_nothing_else_of_a_pod() {
    let environment = environment().await;
    let (admin, thief) = (&environment.admin, thief(&environment).await);
    create(admin, SHOP, &target()).await;
    let before = get(admin, "web").await;
    for attempt in gate::attempts() {
        let (code, answer) =
            send(&thief, attempt.method, attempt.path, attempt.content_type, &attempt.body).await;
        let Answer::Refused(expected, words) = attempt.answer else { panic!("{}", attempt.what) };
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(code == expected && message.contains(words), "{}: {code} {message}", attempt.what);
    }
    assert_eq!(get(admin, "web").await, before, "to the last field");

    // What it is for, and then nothing more.
    let patch = async |operations: Value| {
        let path = format!("/api/v1/namespaces/{SHOP}/pods/web");
        send(&thief, "PATCH", &path, "application/json-patch+json", &operations).await
    };
    let (code, lifted) = patch(json!([lift(), leave_out("n1")])).await;
    assert_eq!((code, gates(&lifted)), (200, vec![OTHERS]), "{lifted}");
    let required =
        &lifted["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"];
    assert_eq!(*required, leave_out("n1")["value"]);
    for operations in [json!([]), json!([{ "op": "remove", "path": "/spec/schedulingGates/0" }])] {
        let (code, answer) = patch(operations).await;
        assert_eq!(code, 422, "{answer}");
    }
}
