//! The chart is uninstalled while the admission webhook is enabled.

use cluster::NAMESPACE;
use serde_json::json;

use super::removal::Reinstall;
use super::support::{LIMIT, Session, alone, sleeper, until};
use super::webhook::{self, IncludedNamespace};

/// The namespace whose pods the API server asks the webhook about.
const SHOP: &str = "shop-without-webhook";
const WEBHOOK: &str = "seccomp-profile-admission";
const CONFIGURATIONS: &str = "mutatingwebhookconfigurations,validatingwebhookconfigurations";

/// Creates a pod without a profile, or tries whether it could be created.
fn create_pod(cluster: &Session, dry_run: &str) -> Result<String, String> {
    let mut pod = sleeper("web", "none");
    pod["metadata"]["namespace"] = json!(SHOP);
    pod["spec"]["containers"][0]["securityContext"] = json!({});
    let dry_run = format!("--dry-run={dry_run}");
    let create = ["--namespace", SHOP, "create", &dry_run, "--filename=-"];
    cluster.kubectl_input(create, &pod.to_string()).map_err(|error| error.to_string())
}

#[test]
fn uninstalling_leaves_no_webhook_that_stops_pods_although_its_deployment_has_gone_before() {
    let cluster = alone();
    let _reinstall = Reinstall(&cluster);
    webhook::install(
        &cluster,
        None,
        &["failurePolicy=Fail", "images.enabled=true", "images.failurePolicy=Fail"],
    );
    let _shop = IncludedNamespace::create(&cluster, SHOP);
    until("the webhook answering", LIMIT, || create_pod(&cluster, "server").ok());

    cluster.ok(["--namespace", NAMESPACE, "delete", "deployment", WEBHOOK, "--timeout=60s"]);
    let refused =
        until("pods being refused without the webhook", LIMIT, || create_pod(&cluster, "server").err());
    assert!(refused.contains("failed calling webhook"), "{refused}");

    cluster.helm(["uninstall", NAMESPACE, "--namespace", NAMESPACE]).unwrap();
    let left = cluster.ok(["get", CONFIGURATIONS, "--output=name"]);
    assert!(!left.contains("seccomp"), "{left}");
    let secrets = cluster.ok(["--namespace", NAMESPACE, "get", "secrets", "--output=name"]);
    assert!(!secrets.contains(WEBHOOK), "{secrets}");
    until("pods being created", LIMIT, || create_pod(&cluster, "none").ok());
    cluster.ok(["--namespace", SHOP, "wait", "--for=condition=Ready", "pod/web", "--timeout=120s"]);
}
