//! Templates of pods get digests, where no controller owns them and for the images that a request changes.

use super::super::pods::create_namespace;
use super::images::{SHOP, Shop};
use super::*;

const VALUES: [&str; 2] = ["admission.images.secrets.everywhere=true", "admission.images.templates=true"];

/// The kinds with a template: the path of their API, what they need besides it, and where it is.
fn kinds() -> Vec<(&'static str, &'static str, Value, &'static str)> {
    let selector = json!({ "selector": { "matchLabels": { "app": "a" } } });
    let stateful = json!({ "selector": { "matchLabels": { "app": "a" } }, "serviceName": "a" });
    let plain = json!({ "selector": { "app": "a" } });
    let schedule = json!({ "schedule": "0 0 1 1 *" });
    vec![
        ("apis/apps/v1", "deployments", selector.clone(), "/spec/template"),
        ("apis/apps/v1", "statefulsets", stateful, "/spec/template"),
        ("apis/apps/v1", "daemonsets", selector.clone(), "/spec/template"),
        ("apis/apps/v1", "replicasets", selector, "/spec/template"),
        ("apis/batch/v1", "jobs", json!({}), "/spec/template"),
        ("apis/batch/v1", "cronjobs", schedule, "/spec/jobTemplate/spec/template"),
        ("api/v1", "replicationcontrollers", plain, "/spec/template"),
    ]
}

/// An object with a template of one container.
fn object(shop: &Shop, tag: &str, more: &Value, place: &str, metadata: &Value) -> Value {
    let restart = if more.get("selector").is_some() { "Always" } else { "Never" };
    let template = json!({
        "metadata": { "labels": { "app": "a" } },
        "spec": {
            "containers": [shop.container("main", tag)], "imagePullSecrets": [{ "name": "login" }],
            "restartPolicy": restart,
        },
    });
    let mut spec = more.clone();
    match place {
        "/spec/template" => spec["template"] = template,
        _ => spec["jobTemplate"] = json!({ "spec": { "template": template } }),
    }
    json!({ "metadata": metadata, "spec": spec })
}

/// The image of the only container.
fn image<'a>(object: &'a Value, place: &str) -> &'a str {
    object.pointer(&format!("{place}/spec/containers/0/image")).unwrap().as_str().unwrap()
}

impl Shop {
    async fn ask(&self, method: &str, path: &str, body: &Value) -> (Value, Vec<String>) {
        let content_type =
            if method == "PATCH" { "application/strategic-merge-patch+json" } else { "application/json" };
        let (code, warnings, answer) = self.scene.send(method, path, content_type, body).await;
        assert!([200, 201].contains(&code), "{method} {path}: {answer}");
        (answer, warnings)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn every_kind_of_template_gets_digests_and_what_a_controller_owns_is_left_alone() {
    let shop = Shop::new(&VALUES, &[]).await;
    create_namespace(&shop.scene.environment.admin, "other", &json!({})).await;
    for (api, kind, more, place) in kinds() {
        let path = format!("/{api}/namespaces/{SHOP}/{kind}");
        let new = object(&shop, "reads", &more, place, &json!({ "name": "a" }));
        let (tried, _) = shop.ask("POST", &format!("{path}?dryRun=All"), &new).await;
        let (created, warnings) = shop.ask("POST", &path, &new).await;
        assert!(image(&created, place).starts_with(&format!("{}@sha256:", shop.image("reads"))), "{created}");
        assert_eq!(image(&tried, place), image(&created, place), "{kind}");
        assert!(warnings.iter().all(|it| !it.contains("container main")), "{warnings:?}");
        // No profile: each pod gets that when it is created.
        let container = created.pointer(&format!("{place}/spec/containers/0")).unwrap();
        assert_eq!(container["securityContext"], Value::Null, "{container}");

        // Something else is changed: the template stays, even if the tag meant another digest by now.
        let path = format!("{path}/a");
        let label = json!({ "metadata": { "annotations": { "a": "b" } } });
        let (same, _) = shop.ask("PATCH", &path, &label).await;
        assert_eq!(same["spec"], created["spec"], "{kind}");

        let owner = json!([{ "apiVersion": "apps/v1", "kind": "Deployment", "name": "a", "uid": "u", "controller": true }]);
        let owned =
            object(&shop, "reads", &more, place, &json!({ "name": "owned", "ownerReferences": owner }));
        let (owned, _) = shop.ask("POST", &format!("/{api}/namespaces/{SHOP}/{kind}"), &owned).await;
        assert_eq!(image(&owned, place), shop.image("reads"), "{kind}");
        for namespace in ["other", "kube-system", NAMESPACE] {
            let path = format!("/{api}/namespaces/{namespace}/{kind}?dryRun=All");
            let (left, _) = shop.ask("POST", &path, &new).await;
            assert_eq!(image(&left, place), shop.image("reads"), "{kind} in {namespace}");
        }
    }
    assert_eq!(shop.profiles().await, Vec::<Value>::new(), "templates create no profile");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_update_moves_only_the_images_that_it_changes_and_a_missing_image_keeps_its_tag() {
    let shop = Shop::new(&VALUES, &[]).await;
    let (api, kind, more, place) = kinds().swap_remove(0);
    let path = format!("/{api}/namespaces/{SHOP}/{kind}");
    let mut new = object(&shop, "reads", &more, place, &json!({ "name": "a" }));
    let containers = json!([shop.container("main", "reads"), shop.container("log", "plain")]);
    new["spec"]["template"]["spec"]["containers"] = containers;
    let (created, _) = shop.ask("POST", &path, &new).await;
    let images = |object: &Value| {
        let containers = object["spec"]["template"]["spec"]["containers"].as_array().unwrap();
        containers.iter().map(|it| it["image"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let path = format!("{path}/a");
    let change = |tag: &str| json!({ "spec": { "template": { "spec": { "containers": [shop.container("main", tag)] } } } });
    let (updated, _) = shop.ask("PATCH", &path, &change("writes")).await;
    assert!(images(&updated)[0].starts_with(&format!("{}@sha256:", shop.image("writes"))), "{updated}");
    assert_eq!(images(&updated)[1], images(&created)[1]);

    let (scaled, _) = shop.ask("PATCH", &path, &json!({ "spec": { "replicas": 3 } })).await;
    assert_eq!(images(&scaled), images(&updated));
    let (missing, warnings) = shop.ask("PATCH", &path, &change("missing")).await;
    assert_eq!(images(&missing)[0], shop.image("missing"));
    assert!(warnings.iter().any(|it| it.contains("it keeps its tag")), "{warnings:?}");
    // Applied again with the tag, it gets the digest that the tag has: the same one, so that nothing is rolled out.
    let (again, _) = shop.ask("PATCH", &path, &change("writes")).await;
    assert_eq!(images(&again), images(&updated));
}
