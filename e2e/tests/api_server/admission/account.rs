//! What the webhook's account may do: write its own Secret, and the authorities in its own configuration.

use e2e::rights::admission;

use super::super::gate_support::{thief, try_attempt};
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
