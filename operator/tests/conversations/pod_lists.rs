//! The lists of pods and nodes that the operator makes before it approves the removal of a file.

use super::*;

/// A profile that is being deleted.
fn being_deleted(name: &str, version: &str) -> Value {
    object(
        version,
        json!({ "metadata": {
            "name": name, "uid": name, "deletionTimestamp": "2026-01-01T00:00:00Z",
            "finalizers": ["seccomp.imjasonh.dev/node-files"]
        } }),
    )
}

/// A page of a list of pods: one that uses `profile`.
fn pods(next: &str, profile: &str) -> Value {
    let path = format!("profiles/{profile}.json");
    let seccomp = json!({ "seccompProfile": { "type": "Localhost", "localhostProfile": path } });
    json!({
        "apiVersion": "v1", "kind": "PodList", "metadata": { "resourceVersion": "99", "continue": next },
        "items": [{
            "metadata": { "name": "web", "namespace": "shop", "uid": "web" },
            "spec": { "nodeName": "n1", "securityContext": seccomp }, "status": { "phase": "Running" }
        }]
    })
}

/// A list of the metadata of Nodes.
fn nodes(next: &str, names: &[&str]) -> Value {
    let items: Vec<_> = names.iter().map(|name| json!({ "metadata": { "name": name } })).collect();
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
        "metadata": { "resourceVersion": "99", "continue": next }, "items": items
    })
}

impl Server {
    /// Answers one page of a list of pods, and returns the query of the request.
    async fn list(&mut self, page: Value) -> String {
        self.list_of("/api/v1/pods", (200, page)).await
    }

    /// Answers one page of a list, and returns the query of the request.
    async fn list_of(&mut self, path: &str, (code, answer): (u16, Value)) -> String {
        let (request, send) = self.0.next_request().await.expect("no list is made");
        assert_eq!((request.method(), request.uri().path()), (&Method::GET, path));
        send.send_response(
            Response::builder().status(code).body(Body::from(answer.to_string().into_bytes())).unwrap(),
        );
        request.uri().query().unwrap().to_owned()
    }
}

impl Server {
    /// Expects the approval to remove the file, bound to the version on which it is based.
    async fn approves(&mut self) {
        self.expect(
            Method::PATCH,
            &format!("{PROFILE}/status"),
            (200, being_deleted("audit", "11")),
            |patch| {
                precondition(&patch, "10");
                assert_eq!(patch[1]["value"]["removal"], "Approved");
            },
        )
        .await;
    }
}

/// Reconciles the profile three times: the first list has a user, the second has none, and then the status is written.
async fn waits_once_and_is_approved(context: &Context) {
    let waits = try_reconcile(&profile("audit"), context).await.unwrap();
    assert!(waits.is_some(), "it is due again");
    reconcile_profile(context).await.unwrap();
    reconcile_profile(context).await.unwrap();
}

#[tokio::test]
async fn no_removal_is_approved_before_every_page_of_a_present_list_of_pods_was_read() {
    let (context, mut server) = start(cluster(&being_deleted("audit", "10"), Some(json!({}))));
    let conversation = async {
        let first = server.list(pods("more", "other")).await;
        // Without a resource version, the list has the present state and not that of a cache.
        assert!(!first.contains("resourceVersion") && first.contains("limit=100"), "{first}");
        let second = server.list(pods("", "audit")).await;
        assert!(second.contains("continue=more"), "{second}");
        // Nothing was written. By the next list the pod is gone.
        let second = server.list(pods("", "other")).await;
        assert!(!second.contains("continue"), "{second}");
        server.approves().await;
    };
    tokio::join!(waits_once_and_is_approved(&context), conversation);
}

#[tokio::test]
async fn no_removal_is_approved_while_a_pod_is_on_a_node_that_only_a_present_list_has() {
    let (context, mut server) = start(cluster(&being_deleted("audit", "10"), Some(json!({}))));
    let web = PodFacts {
        uid: "web".into(),
        namespaced_name: "shop/web".into(),
        node: Some("joined".into()),
        created: Timestamp::now(),
        kind: PodKind::User(BTreeSet::from(["audit".to_owned()])),
        failed_starts: Vec::new(),
        running: Vec::new(),
    };
    context.shared.change(|index| index.apply_pod(web, Timestamp::now()));
    let page = || {
        let mut page = pods("", "audit");
        page["items"][0]["spec"]["nodeName"] = json!("joined");
        page
    };
    let conversation = async {
        server.list(page()).await;
        let asked = server.list_of("/api/v1/nodes", (200, nodes("more", &["n1"]))).await;
        assert!(!asked.contains("resourceVersion") && asked.contains("limit="), "{asked}");
        server.list_of("/api/v1/nodes", (200, nodes("", &["joined"]))).await;
        // Nothing was written. By the next list the node is gone.
        server.list(page()).await;
        server.list_of("/api/v1/nodes", (200, nodes("", &["n1"]))).await;
        server.approves().await;
    };
    tokio::join!(waits_once_and_is_approved(&context), conversation);
}

#[tokio::test]
async fn a_failed_list_of_pods_is_not_a_failed_write() {
    let (context, mut server) = start(cluster(&being_deleted("audit", "10"), Some(json!({}))));
    let conversation = server
        .expect(Method::GET, "/api/v1/pods", failure(403, "Forbidden"), |body| assert_eq!(body, Value::Null));
    let (result, ()) = tokio::join!(reconcile_profile(&context), conversation);
    let error = result.unwrap_err();
    assert!(matches!(error, WriteError::Unlisted(_)), "{error}");
}

/// Profiles that are being deleted, and nothing else.
fn all_being_deleted(number: usize) -> (Arc<SharedState>, Vec<String>) {
    let cluster = cluster(&being_deleted("p0", "10"), Some(json!({})));
    let names: Vec<_> = (0..number).map(|number| format!("p{number}")).collect();
    for name in &names {
        let mut profile = being_deleted(name, "10");
        profile["metadata"]["uid"] = name.as_str().into();
        let profile = facts(&profile);
        cluster.change(|index| index.apply_profile(profile, UpdateSource::List, Timestamp::now()));
    }
    (cluster, names)
}

/// Reconciles each profile, at most `at_once` at the same time, and again while it is requeued, as the controller does.
async fn reconcile_all(mut names: Vec<String>, context: &Context, at_once: usize) {
    while !names.is_empty() {
        let reconciliations = names.into_iter().map(|name| async move {
            let waits = try_reconcile(&profile(&name), context).await.unwrap();
            waits.map(|_| name)
        });
        let waiting: Vec<_> =
            futures::stream::iter(reconciliations).buffer_unordered(at_once).collect().await;
        names = waiting.into_iter().flatten().collect();
    }
}

#[tokio::test]
async fn profiles_that_are_deleted_together_share_a_list_that_began_after_each_deletion_was_known() {
    // With all of them reconciled at once, or as many as by the controller, they must not each make a list.
    for at_once in [200, 16] {
        let (cluster, names) = all_being_deleted(200);
        let (context, mut server) = start(cluster);
        let mut lists = 0;
        let conversation = async {
            loop {
                server.list(pods("", "other")).await;
                lists += 1;
            }
        };
        tokio::select! {
            () = reconcile_all(names, &context, at_once) => {}
            () = conversation => {}
        }
        assert!((1..=3).contains(&lists), "{lists} lists");
    }
}

#[tokio::test]
async fn while_one_profile_makes_a_list_no_other_waits_for_it() {
    let (cluster, names) = all_being_deleted(3);
    let (context, mut server) = start(cluster);
    let keys: Vec<_> = names.iter().map(|name| profile(name)).collect();
    let mut first = std::pin::pin!(try_reconcile(&keys[0], &context));
    assert!(futures::poll!(&mut first).is_pending(), "its list is under way");
    for key in &keys[1..] {
        let result = try_reconcile(key, &context).now_or_never().expect("nothing to wait for");
        assert!(result.unwrap().is_some(), "it is due again soon");
    }
    let (result, _) = tokio::join!(first, server.list_of("/api/v1/pods", failure(500, "InternalError")));
    result.unwrap_err();
    let result = try_reconcile(&keys[1], &context).now_or_never();
    assert!(result.expect("no list is made right after one that failed").unwrap().is_some());
}

#[tokio::test]
async fn a_profile_is_excluded_from_a_node_after_a_list_without_a_pod_that_needs_it_there_and_bound_to_what_was_judged()
 {
    let files = json!({ "audit": &HASH[7..39] });
    let (context, mut server) = start(cluster(&with_finalizer("10"), Some(files)));
    let mut selecting = with_finalizer("11");
    selecting["spec"]["nodeSelector"] = json!({ "matchLabels": { "pool": "db" } });
    context.shared.change(|index| {
        index.settle_exclusions("n1");
        let then = Timestamp::now() - 10.seconds();
        index.apply_profile(facts(&selecting), UpdateSource::Watch, then);
    });
    let path = "/apis/seccomp.imjasonh.dev/v1alpha1/nodeprofilestatuses/n1";
    let conversation = async {
        // The watch has not delivered this pod yet.
        server.list(pods("", "audit")).await;
        let mut none = pods("", "audit");
        none["items"] = json!([]);
        server.list(none).await;
        let answer = json!({
            "metadata": {
                "name": "n1", "uid": "ru1", "resourceVersion": "6",
                "ownerReferences": [{ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "nu1" }]
            },
            "spec": { "excludedProfiles": { "audit": "u1" } }, "status": {}
        });
        server
            .expect(Method::PATCH, path, (200, answer), |patch| {
                precondition(&patch, "5");
                let add =
                    json!({ "op": "add", "path": "/spec/excludedProfiles", "value": { "audit": "u1" } });
                assert_eq!(patch[1], add);
            })
            .await;
    };
    let reconciliations = async {
        for _ in 0..3 {
            try_reconcile(&WorkKey::Node("n1".to_owned()), &context).await.unwrap();
        }
    };
    tokio::join!(reconciliations, conversation);
    let excluded = context.shared.read(|index| index.node_standing("n1").unwrap().missing.len());
    assert_eq!(excluded, 0);
}
