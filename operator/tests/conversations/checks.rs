//! What was found in a profile's contents rides on its status; contents that were checked before are read again.

use syscalls::Architecture;

use super::*;

fn condition<'s>(status: &'s Value, kind: &str) -> &'s Value {
    status["conditions"].as_array().unwrap().iter().find(|condition| condition["type"] == kind).unwrap()
}

/// A second node, of this architecture, joins.
fn join(context: &Context, name: &str, architecture: Architecture) {
    let now = Timestamp::now();
    let node = NodeFacts {
        name: name.to_owned(),
        uid: name.to_owned(),
        created: now,
        selected: true,
        reachable: true,
        answers: true,
        architecture: Some(architecture),
        labels: std::collections::BTreeMap::new(),
    };
    context.shared.change(|index| index.apply_node(node, now));
}

#[tokio::test]
async fn the_status_that_calls_a_profile_ready_says_what_was_found_in_it() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({ "audit": &HASH[7..39] }))));
    let conversation = async {
        server
            .expect(Method::PATCH, &format!("{PROFILE}/status"), (200, with_finalizer("11")), |patch| {
                let status = &patch[1]["value"];
                assert_eq!(condition(status, "Ready")["status"], "True");
                let sound = condition(status, "Sound");
                assert_eq!((&sound["status"], &sound["reason"]), (&json!("True"), &json!("Warnings")));
                assert_eq!(status["warnings"][0]["rule"], "log-left-in");
                assert_eq!(status["warnings"][0]["path"], "spec.contents.defaultAction");
            })
            .await;
        // One Event, as ever.
        server.expect(Method::POST, EVENTS, (201, json!({ "metadata": { "name": "e" } })), |_| {}).await;
    };
    let (result, ()) = tokio::join!(reconcile_profile(&context), conversation);
    result.unwrap();
}

#[tokio::test]
async fn contents_are_read_again_only_for_a_node_of_another_architecture() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({}))));
    let status = format!("{PROFILE}/status");
    let warnings = |patch: &Value| patch[1]["value"]["warnings"].as_array().unwrap().len();
    let conversation = async {
        server
            .expect(Method::PATCH, &status, (200, with_finalizer("11")), |patch| {
                assert_eq!(warnings(&patch), 2);
            })
            .await;
        server.expect(Method::GET, PROFILE, (200, with_finalizer("11")), |_| {}).await;
        // No 32-bit programs run on RISC-V.
        server
            .expect(Method::PATCH, &status, (200, with_finalizer("12")), |patch| {
                assert_eq!(warnings(&patch), 1);
            })
            .await;
        server.expect(Method::PATCH, &status, (200, with_finalizer("13")), |_| {}).await;
    };
    let reconciliations = async {
        reconcile_profile(&context).await.unwrap();
        join(&context, "n2", Architecture::Riscv64);
        reconcile_profile(&context).await.unwrap();
        join(&context, "n3", Architecture::Riscv64);
        reconcile_profile(&context).await.unwrap();
    };
    tokio::join!(reconciliations, conversation);
}

#[tokio::test]
async fn contents_that_cannot_be_read_hold_up_no_status_and_are_tried_again() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({}))));
    let status = format!("{PROFILE}/status");
    let conversation = async {
        server.expect(Method::PATCH, &status, (200, with_finalizer("11")), |_| {}).await;
        server.expect(Method::GET, PROFILE, failure(500, "InternalError"), |_| {}).await;
        server
            .expect(Method::PATCH, &status, (200, with_finalizer("12")), |patch| {
                let status = &patch[1]["value"];
                assert_eq!(condition(status, "Sound")["reason"], "Warnings", "what was found before");
            })
            .await;
    };
    let reconciliations = async {
        reconcile_profile(&context).await.unwrap();
        join(&context, "n2", Architecture::Riscv64);
        let again = try_reconcile(&profile("audit"), &context).await.unwrap();
        assert!(again.is_some_and(|again| again <= Duration::from_secs(30)), "{again:?}");
    };
    tokio::join!(reconciliations, conversation);
}
