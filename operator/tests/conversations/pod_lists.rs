//! What is asked before a file goes from the nodes: which pods there are, and on which nodes.

use super::*;

/// A profile that is being deleted.
fn going(name: &str, version: &str) -> Value {
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

/// A list of Nodes without anything but their metadata.
fn nodes(next: &str, names: &[&str]) -> Value {
    let items: Vec<_> = names.iter().map(|name| json!({ "metadata": { "name": name } })).collect();
    json!({
        "apiVersion": "meta.k8s.io/v1", "kind": "PartialObjectMetadataList",
        "metadata": { "resourceVersion": "99", "continue": next }, "items": items
    })
}

impl Server {
    /// Answers one page of a list of pods, and says what was asked.
    async fn list(&mut self, page: Value) -> String {
        self.list_of("/api/v1/pods", (200, page)).await
    }

    /// Answers one page of a list, in whatever way, and says what was asked.
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
    /// Takes leave to remove the file, as it was judged.
    async fn approves(&mut self) {
        self.expect(Method::PATCH, &format!("{PROFILE}/status"), (200, going("audit", "11")), |patch| {
            precondition(&patch, "10");
            assert_eq!(patch[1]["value"]["removal"], "Approved");
        })
        .await;
    }
}

/// Reconciles the profile three times: the first list does not suffice, the second does, and then it is written.
async fn waits_once_and_is_approved(context: &Context) {
    let waits = try_reconcile(&profile("audit"), context).await.unwrap();
    assert!(waits.is_some(), "it is due again");
    reconcile_profile(context).await.unwrap();
    reconcile_profile(context).await.unwrap();
}

#[tokio::test]
async fn no_file_goes_before_a_list_as_of_now_has_named_every_pod_to_the_last_page() {
    let (context, mut server) = start(cluster(&going("audit", "10"), Some(json!({}))));
    let conversation = async {
        let first = server.list(pods("more", "other")).await;
        // Without a version it is as of now, and not as of what some cache holds.
        assert!(!first.contains("resourceVersion") && first.contains("limit=100"), "{first}");
        let second = server.list(pods("", "audit")).await;
        assert!(second.contains("continue=more"), "{second}");
        // Nothing was written. The watch brings the pod, and it goes.
        let second = server.list(pods("", "other")).await;
        assert!(!second.contains("continue"), "{second}");
        server.approves().await;
    };
    tokio::join!(waits_once_and_is_approved(&context), conversation);
}

#[tokio::test]
async fn no_file_goes_while_a_pod_is_on_a_node_of_which_only_a_list_as_of_now_knows() {
    let (context, mut server) = start(cluster(&going("audit", "10"), Some(json!({}))));
    let web = PodFacts {
        uid: "web".into(),
        display: "shop/web".into(),
        node: Some("joined".into()),
        created: Timestamp::now(),
        kind: PodKind::User(BTreeSet::from(["audit".to_owned()])),
        failed_starts: Vec::new(),
    };
    context.cluster.change(|index| index.apply_pod(web, Timestamp::now()));
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
        // Nothing was written. By the next look the node is gone for good.
        server.list(page()).await;
        server.list_of("/api/v1/nodes", (200, nodes("", &["n1"]))).await;
        server.approves().await;
    };
    tokio::join!(waits_once_and_is_approved(&context), conversation);
}

#[tokio::test]
async fn pods_that_cannot_be_listed_are_no_failed_write() {
    let (context, mut server) = start(cluster(&going("audit", "10"), Some(json!({}))));
    let conversation = server
        .expect(Method::GET, "/api/v1/pods", failure(403, "Forbidden"), |body| assert_eq!(body, Value::Null));
    let (result, ()) = tokio::join!(reconcile_profile(&context), conversation);
    let error = result.unwrap_err();
    assert!(matches!(error, WriteError::Unlisted(_)), "{error}");
}

/// Profiles that are being deleted, and nothing else.
fn all_going(number: usize) -> (Arc<Cluster>, Vec<String>) {
    let cluster = cluster(&going("p0", "10"), Some(json!({})));
    let names: Vec<_> = (0..number).map(|number| format!("p{number}")).collect();
    for name in &names {
        let mut profile = going(name, "10");
        profile["metadata"]["uid"] = name.as_str().into();
        let profile = facts(&profile);
        cluster.change(|index| index.apply_profile(profile, Source::List, Timestamp::now()));
    }
    (cluster, names)
}

/// Reconciles each of them, at most `at_once` at the same time, and again those that are due again soon, as the controller
/// does.
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
async fn profiles_that_are_deleted_together_share_a_list_that_began_after_each_was_known_to_be() {
    // All of them are reconciled at once, or as many as the controller reconciles: they must not take turns.
    for at_once in [200, 32] {
        let (cluster, names) = all_going(200);
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
async fn while_one_profile_waits_for_a_list_no_other_waits_for_it() {
    let (cluster, names) = all_going(3);
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
    assert!(result.expect("the next one does not try at once what has just failed").unwrap().is_some());
}
