//! `wait`: when it ends, and how.

use std::time::Duration;

use cli::error::CliError;
use cli::run;
use cli::wait::WaitFor;
use kube::Client;
use serde_json::{Value, json};
use tokio::time::Instant;

use super::{Server, forbidden, list, node, profile};

/// Waits for `audit`, with an API server on which the profile never changes.
async fn wait(object: Option<Value>, names: &[&str], goal: WaitFor) -> (Result<bool, CliError>, String) {
    let (service, handle) = tower_test::mock::pair();
    let client = Client::new(service, "default");
    let mut server = Server(handle);
    let items: Vec<_> = object.into_iter().collect();
    let of = |path: &str| match path.rsplit_once('/').unwrap().1 {
        "seccompprofiles" => list(&items),
        "nodeprofilestatuses" => list(&[node(&json!({}))]),
        _ => forbidden("pods"),
    };
    let names: Vec<_> = names.iter().map(ToString::to_string).collect();
    let mut said = String::new();
    let mut say = |line: &str| {
        said += line;
        Ok(())
    };
    let until = Instant::now() + Duration::from_millis(200);
    let result = tokio::select! {
        () = server.serve(of) => panic!("nobody asks any more"),
        result = run::wait(&client, &names, goal, until, &mut say) => result,
    };
    (result, said)
}

#[tokio::test]
async fn waiting_ends_at_once_if_the_goal_is_reached_or_impossible() {
    let (result, said) = wait(Some(profile("audit", "True")), &["audit"], WaitFor::Ready).await;
    assert!(result.unwrap());
    assert_eq!(said, "audit is ready: 1 of 1 nodes hold it\n");
    let (result, said) = wait(None, &["audit"], WaitFor::Deleted).await;
    assert!(result.unwrap());
    assert_eq!(said, "audit is gone\n");
    let (result, _) = wait(None, &["audit"], WaitFor::Ready).await;
    assert!(matches!(result, Err(CliError::NoProfile(name)) if name == "audit"));
    let (result, _) = wait(None, &[], WaitFor::Ready).await;
    assert!(result.unwrap(), "there is nothing to wait for");
}

#[tokio::test]
async fn waiting_fails_when_the_time_is_up() {
    let (result, said) = wait(Some(profile("audit", "False")), &[], WaitFor::Ready).await;
    assert!(!result.unwrap());
    assert_eq!(said, "");
}
