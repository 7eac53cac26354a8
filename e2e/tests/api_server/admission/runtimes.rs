//! Profiles that runtimes get themselves, on an API server that does not take the type: 1.37.

use bench::api_server::Behaviour;
use e2e::rights::admission;

use super::super::stolen::{thief, try_attempt};
use super::super::support::send;
use super::images::{SHOP, Shop, of};
use super::*;

const AUTO: [&str; 2] = ["admission.images.secrets.everywhere=true", "admission.images.mode=auto"];

/// Where a test asks about pod templates.
const TEMPLATES: &str = "/api/v1/namespaces/seccomp-profile/podtemplates";

/// What the API server answers if it does not know the type.
const UNSUPPORTED: &str = "Unsupported value: \"OCI\"";

fn template(profile: &Value) -> Value {
    let container = json!({
        "name": "asks", "image": "example.com/none", "securityContext": { "seccompProfile": profile },
    });
    json!({
        "apiVersion": "v1", "kind": "PodTemplate", "metadata": { "generateName": "asks-" },
        "template": { "spec": { "containers": [container] } },
    })
}

impl Shop {
    async fn node(&self, name: &str, pool: &str) {
        let metadata = json!({ "name": name, "labels": { "pool": pool } });
        let node = json!({ "apiVersion": "v1", "kind": "Node", "metadata": metadata });
        let (code, _, answer) = self.scene.send("POST", "/api/v1/nodes", "application/json", &node).await;
        assert_eq!(code, 201, "{answer}");
    }

    async fn declare(&self, name: &str, features: &[&str]) {
        let status = json!({ "status": { "declaredFeatures": features } });
        let path = format!("/api/v1/nodes/{name}/status");
        let (code, _, answer) =
            self.scene.send("PATCH", &path, "application/merge-patch+json", &status).await;
        assert_eq!((code, &answer["status"]["declaredFeatures"]), (200, &json!(features)), "{answer}");
    }

    /// Waits until the webhook has logged something.
    async fn logs(&self, text: &str) {
        until(text, LIMIT, async || {
            self.scene.replicas[0].process.program.log().contains(text).then_some(())
        })
        .await;
    }

    /// What becomes of a pod with an image of this tag: the profile that it has, or why it is refused.
    async fn becomes(&self, tag: &str, pool: Option<&str>) -> Result<String, String> {
        let mut pod = Self::pod("tried", json!([self.container("main", tag)]));
        if let Some(pool) = pool {
            pod["spec"]["nodeSelector"] = json!({ "pool": pool });
        }
        let path = format!("/api/v1/namespaces/{SHOP}/pods?dryRun=All");
        let (code, _, answer) = self.scene.send("POST", &path, "application/json", &pod).await;
        match code {
            201 => Ok(of(&answer["spec"]["containers"][0]).to_owned()),
            422 => Err(answer["message"].as_str().unwrap().to_owned()),
            _ => panic!("{code}: {answer}"),
        }
    }

    /// Whether the webhook tells the runtime to get the artifact: this API server then refuses the pod.
    async fn is_told(&self, pool: Option<&str>) -> bool {
        match self.becomes("attached", pool).await {
            Ok(profile) => {
                assert!(profile.starts_with("profiles/sha256-"), "{profile}");
                false
            }
            Err(refusal) => {
                assert!(refusal.contains(UNSUPPORTED), "{refusal}");
                true
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_api_server_that_does_not_take_the_type_is_recognised_and_no_pod_is_refused() {
    let values = ["admission.images.secrets.everywhere=true", "admission.images.mode=oci"];
    let shop = Shop::new(&values, &["--mode=oci"]).await;
    // What the webhook asks, and what this API server answers.
    let thief = thief(&shop.scene.environment, "admission").await;
    let digest = format!("sha256:{}", "0".repeat(64));
    let artifact = json!({ "type": "OCI", "oci": { "ref": format!("example.com/none@{digest}") } });
    let dry = format!("{TEMPLATES}?dryRun=All");
    let ask = async |path: &str, profile: &Value| {
        send(&thief, "POST", path, "application/json", &template(profile)).await
    };
    let (code, answer) = ask(&dry, &json!({ "type": "RuntimeDefault" })).await;
    assert_eq!(code, 201, "{answer}");
    let (code, answer) = ask(&dry, &artifact).await;
    assert_eq!((code, answer["message"].as_str().unwrap().contains(UNSUPPORTED)), (422, true), "{answer}");
    // Its right to ask is none to store.
    for attempt in admission::attempts_about_runtimes() {
        try_attempt(&thief, &attempt, attempt.path).await;
    }

    shop.logs("the API server does not take profiles of the type OCI").await;
    assert!(!shop.is_told(None).await);
}

#[tokio::test(flavor = "multi_thread")]
async fn auto_looks_at_the_features_of_every_node_that_the_pod_can_land_on() {
    let shop = Shop::behind(Behaviour::KnowTemplates, &AUTO, &["--mode=auto"]).await;
    // Before it has asked, the answer is a file in any case.
    shop.logs("the API server takes profiles of the type OCI").await;
    assert!(!shop.is_told(None).await, "there is no node");
    shop.node("new", "new").await;
    shop.node("old", "old").await;
    shop.declare("new", &["GuaranteedQoSPodCPUResize", "SecurityProfileOCI"]).await;
    until("the new node", LIMIT, async || shop.is_told(Some("new")).await.then_some(())).await;
    assert!(!shop.is_told(Some("old")).await);
    assert!(!shop.is_told(None).await);
    assert!(!shop.is_told(Some("none")).await);
    // Not an artifact, and nothing at all.
    assert!(shop.becomes("reads", Some("new")).await.unwrap().starts_with("profiles/sha256-"));
    assert_eq!(shop.becomes("plain", Some("new")).await.unwrap(), "none");
    assert_eq!(shop.becomes("bad", Some("new")).await.unwrap(), "RuntimeDefault");

    shop.declare("old", &["SecurityProfileOCI"]).await;
    until("both nodes", LIMIT, async || shop.is_told(None).await.then_some(())).await;
    shop.declare("new", &["GuaranteedQoSPodCPUResize"]).await;
    until("a node that does not declare it any more", LIMIT, async || {
        (!shop.is_told(None).await).then_some(())
    })
    .await;
    assert!(shop.is_told(Some("old")).await);

    // PodSecurity refuses the type there, so that the webhook must not write it.
    let labels = json!({ "pod-security.kubernetes.io/enforce": "baseline" });
    let path = format!("/api/v1/namespaces/{SHOP}");
    let change = json!({ "metadata": { "labels": labels } });
    let (code, _, answer) = shop.scene.send("PATCH", &path, "application/merge-patch+json", &change).await;
    assert_eq!(code, 200, "{answer}");
    until("the namespace's level", LIMIT, async || (!shop.is_told(Some("old")).await).then_some(())).await;
}
