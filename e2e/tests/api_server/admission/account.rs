//! What the webhook's account may do: write its own Secret, and the authorities in its own configuration.

use e2e::rights::admission;

use super::super::stolen::{thief, try_attempt};
use super::super::support::{contents, send};
use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_webhook_writes_its_authorities_and_neither_other_secrets_nor_the_rest_of_its_configuration()
{
    let mut scene = Scene::new(&[]).await;
    scene.start(0, &[]);
    // By now it has done what it is for: its Secret and the bundle are written.
    scene.until_answered().await;
    let thief = thief(&scene.environment, "admission").await;
    for attempt in admission::attempts() {
        try_attempt(&thief, &attempt, attempt.path).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stolen_webhook_creates_profiles_whose_name_states_their_contents_and_changes_none() {
    let mut scene = Scene::new(&["admission.images.enabled=true"]).await;
    scene.start(0, &[]);
    scene.until_answered().await;
    scene.environment.apply("entrusted", &contents(0)).await;
    let before = scene.environment.get("entrusted").await.unwrap();
    let thief = thief(&scene.environment, "admission").await;
    for attempt in admission::attempts_about_images() {
        try_attempt(&thief, &attempt, attempt.path).await;
    }
    assert_eq!(scene.environment.get("entrusted").await.unwrap()["spec"], before["spec"]);
    // What it is for. No node writes a file of it, because its name states other contents.
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles";
    let profile = admission::profile_of_image(&json!({}), &json!({}));
    let (code, answer) = send(&thief, "POST", path, "application/json", &profile).await;
    assert_eq!(code, 201, "{answer}");
}
