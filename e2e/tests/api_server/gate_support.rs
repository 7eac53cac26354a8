//! What the tests of both parts of the gate share.

use bench::api_server::{Account, OperatorOptions, OperatorProcess};
use cluster::NAMESPACE;
use e2e::rights::attempts::{Answer, Attempt};
use e2e::rights::events::{OTHERS, event};
use kube::client::Body;
use kube::{Client, Config};
use serde_json::{Value, json};

use super::support::{Environment, LIMIT, operator, until};

/// An operator that is not elected.
pub(super) fn start_operator(environment: &Environment) -> OperatorProcess {
    let options = OperatorOptions { number: 0, url: None, lease: None };
    OperatorProcess::start(&operator(), &environment.server, &options).unwrap()
}

/// A client with a real token of an account of the chart, such as `gate`, as its pods get one.
pub(super) async fn thief(environment: &Environment, account: &str) -> Client {
    let client = environment.server.command_line().unwrap();
    let token =
        client.kubectl(["-n", NAMESPACE, "create", "token", &format!("{NAMESPACE}-{account}")]).unwrap();
    let mut config: Config = environment.server.config(Account::Admin, None).await.unwrap();
    config.auth_info.token = Some(token.trim().to_owned().into());
    Client::try_from(config).unwrap()
}

/// Sends a request; the code of the answer and its message, or the object.
pub(super) async fn send(
    client: &Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: &Value,
) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
    let answer = client.send(request.body(Body::from(body.to_string().into_bytes())).unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect_bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap())
}

/// Sends a request that an account must not be able to make anything of, to `path`, and compares the answer with the promised
/// one.
pub(super) async fn try_attempt(client: &Client, attempt: &Attempt, path: &str) {
    let (code, answer) = send(client, attempt.method, path, attempt.content_type, &attempt.body).await;
    let message = answer["message"].as_str().unwrap_or_default();
    let as_promised = match attempt.answer {
        Answer::Refused(expected, words) => code == expected && message.contains(words),
        Answer::NoEffect => code == 200,
    };
    assert!(as_promised, "{}: {code} {message}\npromised: {:?}", attempt.what, attempt.answer);
}

/// Tries, beside this Event of the kubelet, what an account must not be able to make of its right to publish Events, as soon
/// as its policy is in effect.
pub(super) async fn try_events(
    environment: &Environment,
    thief: &Client,
    of_kubelet: &Value,
    attempts: &[Attempt],
) {
    let namespace = of_kubelet["metadata"]["namespace"].as_str().unwrap();
    let path = format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events");
    let (code, answer) = send(&environment.admin, "POST", &path, "application/json", of_kubelet).await;
    assert_eq!(code, 201, "{answer}");
    let list = async || {
        let (_, list) = send(&environment.admin, "GET", &path, "application/json", &json!({})).await;
        list["items"].clone()
    };
    let before = list().await;
    // The policy takes effect a moment after the installation. Without it, the name would be taken.
    let dry_run = format!("{path}?dryRun=All");
    until("the policy", LIMIT, async || {
        (send(thief, "POST", &dry_run, "application/json", of_kubelet).await.0 == 422).then_some(())
    })
    .await;
    for attempt in attempts {
        try_attempt(thief, attempt, attempt.path).await;
    }
    assert_eq!(list().await, before, "to the last field");
}

/// An Event of the kubelet about the pod of the attempts.
pub(super) fn of_kubelet() -> Value {
    event(OTHERS, "kubelet", "Killing", json!({}))
}
