//! The chart's accounts in the wrong hands: what they are refused.

use bench::api_server::Account;
use cluster::NAMESPACE;
use e2e::rights::attempts::{Answer, Attempt};
use e2e::rights::events::{OTHERS, event};
use kube::{Client, Config};
use serde_json::{Value, json};

use super::support::{Environment, LIMIT, send, until};

/// A client with a real token of an account of the chart, such as `gate`, as its pods get one.
pub(super) async fn thief(environment: &Environment, account: &str) -> Client {
    thief_with(environment, account, &[]).await
}

/// The same, of the token that this pod of the account gets.
pub(super) async fn thief_of_pod(environment: &Environment, account: &str, pod: &str) -> Client {
    thief_with(environment, account, &["--bound-object-kind", "Pod", "--bound-object-name", pod]).await
}

async fn thief_with(environment: &Environment, account: &str, arguments: &[&str]) -> Client {
    let account = format!("{NAMESPACE}-{account}");
    let command = ["-n", NAMESPACE, "create", "token", &account];
    let command_line = environment.server.command_line().unwrap();
    let token = command_line.kubectl(command.iter().chain(arguments).copied().collect::<Vec<_>>()).unwrap();
    let mut config: Config = environment.server.config(Account::Admin, None).await.unwrap();
    config.auth_info.token = Some(token.trim().to_owned().into());
    until_policies_apply(environment).await;
    Client::try_from(config).unwrap()
}

/// The client of an account whose credentials the API server knows without a token.
pub(super) async fn thief_of(environment: &Environment, account: Account) -> Client {
    let config = environment.server.config(account, None).await.unwrap();
    until_policies_apply(environment).await;
    Client::try_from(config).unwrap()
}

/// Waits until the policies that the chart brought are in effect. The API server compiles policies about a second after
/// their creation, those of one kind in the order in which it learns of them: one that is created now is in effect after
/// all others.
async fn until_policies_apply(environment: &Environment) {
    let api = "/apis/admissionregistration.k8s.io/v1";
    let spec = json!({
        "failurePolicy": "Fail",
        "matchConstraints": { "resourceRules": [
            { "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["configmaps"] },
        ] },
        "validations": [{ "expression": "object.metadata.name != 'last-policy'" }],
    });
    let binding = json!({ "policyName": "last-policy", "validationActions": ["Deny"] });
    for (resource, kind, spec) in [
        ("validatingadmissionpolicies", "ValidatingAdmissionPolicy", spec),
        ("validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding", binding),
    ] {
        let object = json!({
            "apiVersion": "admissionregistration.k8s.io/v1", "kind": kind,
            "metadata": { "name": "last-policy" }, "spec": spec,
        });
        let path = format!("{api}/{resource}");
        let (code, answer) = send(&environment.admin, "POST", &path, "application/json", &object).await;
        // A test with two accounts creates it once.
        assert!(code == 201 || code == 409, "{code} {answer}");
    }
    let refused = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "last-policy" } });
    let path = "/api/v1/namespaces/default/configmaps?dryRun=All";
    until("the policies being in effect", LIMIT, async || {
        (send(&environment.admin, "POST", path, "application/json", &refused).await.0 == 422).then_some(())
    })
    .await;
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

/// Tries, beside this Event of the kubelet, what an account must not be able to make of its right to publish Events.
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
    for attempt in attempts {
        try_attempt(thief, attempt, attempt.path).await;
    }
    assert_eq!(list().await, before, "to the last field");
}

/// An Event of the kubelet about the pod of the attempts.
pub(super) fn of_kubelet() -> Value {
    event(OTHERS, "kubelet", "Killing", json!({}))
}
