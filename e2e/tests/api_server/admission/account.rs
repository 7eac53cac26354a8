//! What the webhook's account may do: write its own Secret, and the authorities in its own configuration.

use e2e::rights::admission;
use e2e::rights::attempts::Answer;
use kube::{Client, Config};

use super::super::gate_support::send;
use super::*;
use bench::api_server::Account;

/// A client with a real token of the webhook's account.
async fn thief(environment: &Environment) -> Client {
    let client = environment.server.command_line().unwrap();
    let token =
        client.kubectl(["-n", NAMESPACE, "create", "token", &format!("{NAMESPACE}-admission")]).unwrap();
    let mut config: Config = environment.server.config(Account::Admin, None).await.unwrap();
    config.auth_info.token = Some(token.trim().to_owned().into());
    Client::try_from(config).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_webhook_writes_its_authorities_and_neither_other_secrets_nor_the_rest_of_its_configuration()
{
    let mut scene = Scene::new(&[]).await;
    scene.start(0, &[]);
    // By now it has done what it is for: its Secret and the bundle are written.
    scene.until_answered().await;
    let thief = thief(&scene.environment).await;
    for attempt in admission::attempts() {
        let (code, answer) =
            send(&thief, attempt.method, attempt.path, attempt.content_type, &attempt.body).await;
        let Answer::Refused(expected, words) = attempt.answer else { panic!("{}", attempt.what) };
        let message = answer["message"].as_str().unwrap_or_default();
        assert!(code == expected && message.contains(words), "{}: {code} {message}", attempt.what);
    }
}
