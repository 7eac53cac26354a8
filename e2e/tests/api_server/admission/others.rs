//! Other people's policy in the namespace: a second mutating webhook before or after ours, and PodSecurity `restricted`.

use std::sync::Arc;

use k8s_openapi::ByteString;
use kube::api::{DeleteParams, PostParams};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::super::pods::create_namespace;
use super::images::{Shop, of};
use super::*;

/// The namespace with PodSecurity.
const STRICT: &str = "strict";

/// A webhook of somebody else, which adds a container to each new pod, and its certificate.
struct Injector {
    port: u16,
    certificate: String,
    task: JoinHandle<()>,
}

impl Injector {
    /// One that adds a container with these fields to each pod that lacks one of its name, and answers with `others`.
    async fn start(container: Value, others: Value) -> Self {
        let identity = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(identity.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder().with_no_client_auth();
        let config = config.with_single_cert(vec![identity.cert.der().clone()], key).unwrap();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, container, others) = (acceptor.clone(), container.clone(), others.clone());
                connections.spawn(async move {
                    // The API server may close the connection at any time.
                    if let Ok(stream) = acceptor.accept(stream).await {
                        let _ = answer(stream, &container, &others).await;
                    }
                });
            }
        });
        Self { port, certificate: identity.cert.pem(), task }
    }

    /// Has the API server call it, in the order of the names of the configurations.
    async fn register(&self, scene: &Scene, name: &str) {
        let configuration = json!({
            "metadata": { "name": name },
            "webhooks": [{
                "name": "injector.example.org", "admissionReviewVersions": ["v1"], "sideEffects": "None",
                "failurePolicy": "Fail", "reinvocationPolicy": "IfNeeded",
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": STRICT } },
                "rules": [{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }],
                "clientConfig": {
                    "url": format!("https://127.0.0.1:{}/", self.port),
                    "caBundle": ByteString(self.certificate.clone().into_bytes()),
                },
            }],
        });
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(scene.environment.admin.clone());
        let object = serde_json::from_value(configuration).unwrap();
        configurations.create(&PostParams::default(), &object).await.unwrap();
    }
}

impl Drop for Injector {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Answers the API server's questions on one connection.
async fn answer(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    container: &Value,
    others: &Value,
) -> std::io::Result<()> {
    loop {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(stream.read_u8().await?);
        }
        let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
        let length = head.lines().find_map(|line| line.strip_prefix("content-length: ")).unwrap();
        let mut body = vec![0; length.parse().unwrap()];
        stream.read_exact(&mut body).await?;
        let review: Value = serde_json::from_slice(&body).unwrap();
        let all = review["request"]["object"]["spec"]["containers"].as_array().unwrap();
        let mut patch = Vec::new();
        if !all.iter().any(|it| it["name"] == container["name"]) {
            patch.push(json!({ "op": "add", "path": "/spec/containers/-", "value": container }));
            patch.extend(others.as_array().unwrap().iter().cloned());
        }
        let response = json!({
            "uid": review["request"]["uid"], "allowed": true, "patchType": "JSONPatch",
            "patch": ByteString(json!(patch).to_string().into_bytes()),
        });
        let answer =
            json!({ "apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response })
                .to_string();
        let head = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
            answer.len()
        );
        stream.write_all((head + &answer).as_bytes()).await?;
    }
}

/// What PodSecurity `restricted` demands of a container, but for the profile.
fn restricted(mut container: Value) -> Value {
    container["securityContext"] = json!({
        "allowPrivilegeEscalation": false, "runAsNonRoot": true, "capabilities": { "drop": ["ALL"] },
    });
    container
}

/// A shop whose namespace [`STRICT`] holds pods to PodSecurity `restricted`.
async fn strict() -> Shop {
    let secrets = format!("--secrets-in={STRICT}");
    let shop = Shop::new(&["admission.images.secrets.everywhere=true"], &[&secrets]).await;
    let labels = json!({
        api::names::INCLUDED_NAMESPACE: "true", "pod-security.kubernetes.io/enforce": "restricted",
    });
    create_namespace(&shop.scene.environment.admin, STRICT, &json!({ "labels": labels })).await;
    let secrets = |namespace: &str| {
        Api::<k8s_openapi::api::core::v1::Secret>::namespaced(shop.scene.environment.admin.clone(), namespace)
    };
    let mut login = secrets(super::images::SHOP).get("login").await.unwrap();
    login.metadata = kube::api::ObjectMeta { name: Some("login".to_owned()), ..Default::default() };
    secrets(STRICT).create(&PostParams::default(), &login).await.unwrap();
    shop
}

#[tokio::test(flavor = "multi_thread")]
async fn what_another_webhook_adds_gets_its_profile_too_whichever_comes_first() {
    let shop = strict().await;
    let injector = Injector::start(restricted(shop.container("sidecar", "writes")), json!([])).await;
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(shop.scene.environment.admin.clone());
    // The API server calls webhooks in the order of the names of their configurations.
    for name in ["aaa-injector", "zzz-injector"] {
        injector.register(&shop.scene, name).await;
        let pod = Shop::pod(name, json!([restricted(shop.container("main", "reads"))]));
        let containers = until("a pod with a container of the other webhook", LIMIT, async || {
            let (pod, _) = shop.create_in(STRICT, &pod, "?dryRun=All").await;
            let containers = pod["spec"]["containers"].as_array().unwrap().clone();
            (containers.len() == 2).then_some(containers)
        })
        .await;
        let given: Vec<_> = containers.iter().map(of).collect();
        assert!(
            given.iter().all(|it| it.starts_with("profiles/sha256-")) && given[0] != given[1],
            "{name}: {given:?}"
        );
        assert!(containers.iter().all(|it| it["image"].as_str().unwrap().contains("@sha256:")), "{name}");
        let (created, warnings) = shop.create_in(STRICT, &pod, "").await;
        assert_eq!(created["spec"]["containers"], json!(containers), "{name}");
        assert!(warnings.is_empty(), "{warnings:?}");
        configurations.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_that_sets_a_profile_for_the_pod_wins_where_it_comes_first_and_never_loosens() {
    let shop = strict().await;
    let default = json!([{
        "op": "add", "path": "/spec/securityContext", "value": { "seccompProfile": { "type": "RuntimeDefault" } },
    }]);
    let injector = Injector::start(restricted(shop.container("sidecar", "writes")), default).await;
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(shop.scene.environment.admin.clone());
    for (name, given) in [("aaa-injector", ["none", "none"]), ("zzz-injector", ["image", "none"])] {
        injector.register(&shop.scene, name).await;
        let pod = Shop::pod(name, json!([restricted(shop.container("main", "reads"))]));
        let created = until("a pod with a container of the other webhook", LIMIT, async || {
            let (pod, _) = shop.create_in(STRICT, &pod, "?dryRun=All").await;
            (pod["spec"]["containers"].as_array().unwrap().len() == 2).then_some(pod)
        })
        .await;
        assert_eq!(created["spec"]["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
        let containers = created["spec"]["containers"].as_array().unwrap();
        let kind = |it: &Value| if of(it).starts_with("profiles/sha256-") { "image" } else { "none" };
        assert_eq!([kind(&containers[0]), kind(&containers[1])], given, "{name}: {containers:?}");
        configurations.delete(name, &DeleteParams::default()).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pod_security_accepts_the_profile_of_an_image_and_refuses_a_pod_that_gets_none() {
    let shop = strict().await;
    let pod = |name: &str, tag: &str| Shop::pod(name, json!([restricted(shop.container("main", tag))]));
    let (created, _) = shop.create_in(STRICT, &pod("reads", "reads"), "").await;
    assert!(of(&created["spec"]["containers"][0]).starts_with("profiles/sha256-"), "{created}");
    // A profile that cannot be used means the default, which PodSecurity accepts, too.
    let (created, _) = shop.create_in(STRICT, &pod("bad", "bad"), "").await;
    assert_eq!(of(&created["spec"]["containers"][0]), "RuntimeDefault");
    let path = format!("/api/v1/namespaces/{STRICT}/pods");
    let (code, _, answer) = shop.scene.send("POST", &path, "application/json", &pod("plain", "plain")).await;
    assert_eq!(code, 403, "{answer}");
    assert!(answer["message"].as_str().unwrap().contains("seccompProfile"), "{answer}");
}
