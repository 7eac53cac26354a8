//! What `kubectl apply` of a profile prints and refuses.

use serde_json::{Value, json};

use super::*;

fn misspelt() -> Value {
    let mut contents = sound(0);
    contents["syscalls"][0]["names"] = json!(["epol_wait"]);
    contents
}

const MISSPELT: &str = "error: spec.contents.syscalls[0].names[0]: epol_wait is no system call";

#[tokio::test(flavor = "multi_thread")]
async fn findings_are_warnings_of_new_contents_alone_and_a_dry_run_leaves_no_trace() {
    let mut scene = Scene::new(&[]).await;
    scene.start(0, &[]);
    scene.until_answered().await;
    let log = scene.environment.server.audit();
    let (code, warnings, _) = scene.dry_run(&misspelt()).await;
    assert_eq!((code, warnings.len()), (201, 1), "{warnings:?}");
    assert!(warnings[0].contains(MISSPELT), "{warnings:?}");
    assert!(scene.environment.get("dry").await.is_none());
    let (code, warnings, _) = scene.create("web", &misspelt(), "").await;
    assert_eq!((code, warnings.len()), (201, 1));
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles/web";
    let merge = async |body: Value| scene.send("PATCH", path, "application/merge-patch+json", &body).await;
    let (code, warnings, _) = merge(json!({ "metadata": { "labels": { "a": "b" } } })).await;
    assert_eq!((code, warnings), (200, vec![]), "the contents are the same");
    let (code, warnings, _) = merge(json!({ "spec": { "contents": sound(2) } })).await;
    assert_eq!((code, warnings), (200, vec![]), "nothing is wrong any more");
    let (code, warnings, _) = merge(json!({ "spec": { "contents": misspelt() } })).await;
    assert_eq!((code, warnings.len()), (200, 1));
    let (code, warnings, _) = scene.create("well", &sound(1), "").await;
    assert_eq!((code, warnings), (201, vec![]));
    let ours: Vec<_> = log.writes().unwrap();
    let ours = ours.iter().filter(|request| request.account().ends_with("-admission"));
    assert!(ours.clone().all(|request| request.resource() == "leases"), "{:?}", ours.collect::<Vec<_>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn with_the_option_errors_are_refused_and_warnings_are_not() {
    let mut scene = Scene::new(&[]).await;
    scene.start(0, &["--refuse-errors"]);
    scene.until_answered().await;
    let (code, _, answer) = scene.dry_run(&misspelt()).await;
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(code == 422 && message.contains(MISSPELT), "{code} {answer}");
    let (code, warnings, _) = scene
        .dry_run(&json!({
            "defaultAction": "SCMP_ACT_LOG", "architectures": ["SCMP_ARCH_X86_64"],
        }))
        .await;
    assert_eq!((code, warnings.len()), (201, 2), "{warnings:?}");
}
