//! The reports that the operator creates and deletes for nodes, and the conditions that it writes to them.

use operator::facts::{Cause, PodStartFailure};

use super::*;

async fn reconcile_node(context: &Context) -> Result<(), WriteError> {
    try_reconcile(&WorkKey::Node("n1".to_owned()), context).await.map(|_| ())
}

#[tokio::test]
async fn after_a_conflict_a_report_is_neither_written_nor_deleted_before_it_is_updated() {
    let reports = "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/n1";
    let files = json!({ "audit": &HASH[7..39] });
    // The node owns the report and has every profile, or the report belongs to an earlier node of its name.
    for (owner, method, path) in
        [("nu1", Method::PATCH, &*format!("{reports}/status")), ("gone", Method::DELETE, reports)]
    {
        let (context, mut server) = start(cluster(&with_finalizer("10"), Some(files.clone())));
        let update = |version: &str| {
            let report = report(version, owner, &files);
            context.shared.change(|index| index.apply_report(report, UpdateSource::Watch, Timestamp::now()));
        };
        update("6");
        let answer = json!({ "metadata": { "name": "n1", "uid": "ru1", "resourceVersion": "8" } });
        let conversation = async {
            let is_bound = |request: &Value, version| {
                let bound = [&request[0]["value"], &request["preconditions"]["resourceVersion"]];
                assert!(bound.contains(&&json!(version)), "{request}");
            };
            server
                .expect(method.clone(), path, failure(409, "Conflict"), |request| is_bound(&request, "6"))
                .await;
            server.expect(method.clone(), path, (200, answer), |request| is_bound(&request, "7")).await;
        };
        let reconciliations = async {
            for _ in 0..10 {
                let result = reconcile_node(&context).await;
                assert!(matches!(result, Err(WriteError::Conflict)), "{result:?}");
            }
            update("7");
            reconcile_node(&context).await.unwrap();
        };
        tokio::join!(reconciliations, conversation);
    }
}

#[tokio::test]
async fn the_report_of_a_node_that_does_not_exist_is_deleted_with_the_seen_version_as_precondition_and_only_after_the_grace()
 {
    let (context, mut server) = start(cluster(&with_finalizer("10"), None));
    let files = json!({ "audit": &HASH[7..39] });
    let key = WorkKey::Orphan("n2".to_owned());
    let orphan = || try_reconcile(&key, &context);
    let update = |version: &str, ago: u64| {
        let report = ReportFacts { node: "n2".into(), ..report(version, "gone", &files) };
        let then = Timestamp::now() - Duration::from_secs(ago);
        context.shared.change(|index| index.apply_report(report, UpdateSource::Watch, then));
    };
    update("6", 290);
    // No answer is prepared: a request would fail.
    assert!(orphan().await.unwrap().is_some(), "it is due again");
    context.shared.change(|index| index.delete_report("n2", "ru1", Timestamp::now()));
    update("7", 301);
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/n2";
    let answer = json!({ "metadata": { "name": "n2", "uid": "ru1", "resourceVersion": "8" } });
    let conversation = async {
        server
            .expect(Method::DELETE, path, (200, answer), |request| {
                assert_eq!(request["preconditions"], json!({ "uid": "ru1", "resourceVersion": "7" }));
            })
            .await;
        server
            .expect(Method::POST, EVENTS, (201, json!({ "metadata": { "name": "e" } })), |event| {
                assert_eq!((&event["reason"], &event["type"]), (&json!("NoSuchNode"), &json!("Warning")));
                assert_eq!(event["regarding"]["name"], "n2");
            })
            .await;
    };
    let (result, ()) = tokio::join!(orphan(), conversation);
    result.unwrap();
}

#[tokio::test]
async fn a_report_without_a_node_keeps_its_cooldown_when_the_node_is_reconciled() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), None));
    let report = ReportFacts { node: "n2".into(), ..report("6", "gone", &json!({ "audit": &HASH[7..39] })) };
    let then = Timestamp::now() - Duration::from_secs(301);
    context.shared.change(|index| index.apply_report(report, UpdateSource::Watch, then));
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/n2";
    let (orphan, node) = (WorkKey::Orphan("n2".to_owned()), WorkKey::Node("n2".to_owned()));
    let conversation = server.expect(Method::DELETE, path, failure(409, "Conflict"), |_| {});
    let (waits, ()) = tokio::join!(reconcile(&orphan, &context), conversation);
    assert!(waits.is_some(), "it is tried again later");
    for key in [&node, &orphan] {
        reconcile(key, &context).now_or_never().expect("nothing is sent meanwhile");
    }
}

#[tokio::test]
async fn a_selected_node_gets_a_report_that_it_owns() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), None));
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses";
    let mut created = json!(null);
    let conversation = async {
        let (request, send) = server.0.next_request().await.unwrap();
        assert_eq!((request.method(), request.uri().path()), (&Method::POST, path));
        created = serde_json::from_slice(&request.into_body().collect_bytes().await.unwrap()).unwrap();
        let mut answer = created.clone();
        answer["metadata"]["uid"] = json!("ru1");
        answer["metadata"]["resourceVersion"] = json!("7");
        send.send_response(
            Response::builder().status(201).body(Body::from(answer.to_string().into_bytes())).unwrap(),
        );
    };
    let (result, ()) = tokio::join!(reconcile_node(&context), conversation);
    result.unwrap();
    assert_eq!(created["metadata"]["name"], "n1");
    let owner = &created["metadata"]["ownerReferences"][0];
    assert_eq!(
        (&owner["kind"], &owner["uid"], &owner["blockOwnerDeletion"]),
        (&json!("Node"), &json!("nu1"), &json!(false))
    );
    // Another reconciliation finds the report, although no watch has delivered it yet.
    reconcile_node(&context).await.unwrap();
}

#[tokio::test]
async fn a_node_that_has_every_profile_gets_a_true_condition() {
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(json!({ "audit": &HASH[7..39] }))));
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/n1/status";
    let answer = json!({ "metadata": { "name": "n1", "uid": "ru1", "resourceVersion": "6" } });
    let conversation = server.expect(Method::PATCH, path, (200, answer), |patch| {
        precondition(&patch, "5");
        assert_eq!(patch[1]["path"], "/status/conditions");
        assert_eq!(
            (&patch[1]["value"][0]["status"], &patch[1]["value"][0]["reason"]),
            (&json!("True"), &json!("AllProfiles"))
        );
    });
    let (result, ()) = tokio::join!(reconcile_node(&context), conversation);
    result.unwrap();
}

#[tokio::test]
async fn a_node_on_which_no_container_starts_gets_a_condition_beside_ready_and_an_event() {
    let cluster = cluster(&with_finalizer("10"), Some(json!({ "audit": &HASH[7..39] })));
    let (before, since) = (Timestamp::now() - 1.hour(), Timestamp::now() - 1.minute());
    cluster.change(|index| {
        let start = PodStartFailure {
            profile: "audit".into(),
            cause: Cause::FileNotFound,
            place: Some("/data/kubelet/seccomp/profiles".into()),
            at: None,
            until: None,
        };
        let pod = PodFacts {
            uid: "p1".into(),
            namespaced_name: "shop/web".into(),
            node: Some("n1".into()),
            created: before,
            kind: PodKind::User(BTreeSet::from(["audit".into()])),
            failed_starts: vec![start],
            running: Vec::new(),
        };
        index.apply_pod(pod, since);
        index.advance_time("n1", since);
    });
    let (context, mut server) = start(cluster);
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/n1";
    let answer = json!({ "metadata": { "name": "n1", "uid": "ru1", "resourceVersion": "6" } });
    let conversation = async {
        server
            .expect(Method::PATCH, &format!("{path}/status"), (200, answer), |patch| {
                precondition(&patch, "5");
                assert_eq!(patch[1]["path"], "/status/conditions");
                let conditions = patch[1]["value"].as_array().unwrap();
                let conditions: Vec<_> =
                    conditions.iter().map(|it| (&it["type"], &it["status"], &it["reason"])).collect();
                assert_eq!(
                    conditions,
                    [
                        (&json!("Ready"), &json!("True"), &json!("AllProfiles")),
                        (&json!("ContainersStart"), &json!("False"), &json!("FileNotFound")),
                    ]
                );
                assert_eq!(patch[2]["path"], "/status/startFailures");
                let failure = &patch[2]["value"][0];
                assert_eq!(
                    (&failure["profile"], &failure["reason"]),
                    (&json!("audit"), &json!("FileNotFound"))
                );
                assert_eq!(patch.as_array().unwrap().len(), 3);
            })
            .await;
        server
            .expect(Method::POST, EVENTS, (201, json!({ "metadata": { "name": "e" } })), |event| {
                assert_eq!((&event["reason"], &event["type"]), (&json!("FileNotFound"), &json!("Warning")));
                let about = &event["regarding"];
                assert_eq!((&about["kind"], &about["name"]), (&json!("NodeProfileStatus"), &json!("n1")));
            })
            .await;
    };
    let (result, ()) = tokio::join!(reconcile_node(&context), conversation);
    result.unwrap();
}
