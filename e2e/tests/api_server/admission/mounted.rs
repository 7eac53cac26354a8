//! The webhook under a certificate that another program makes: the test does what cert-manager and its cainjector do.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use k8s_openapi::ByteString;
use k8s_openapi::api::coordination::v1::Lease;
use k8s_openapi::api::core::v1::Secret;
use kube::api::ListParams;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};

use super::requests::Requests;
use super::*;

const VALUES: [&str; 2] = ["admission.certManager.enabled=true", "admission.certManager.issuerRef.name=it"];

/// An issuer of certificates.
struct Authority {
    pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    fn new(name: &str) -> Self {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let pem = params.self_signed(&key).unwrap().pem();
        Self { pem, issuer: Issuer::new(params, key) }
    }

    /// Puts a new certificate and its key into the directory, as the kubelet does: both at once.
    fn issue(&self, directory: &Path) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let new = directory.with_extension("new");
        fs::create_dir(&new).unwrap();
        fs::write(new.join("tls.crt"), certificate.pem()).unwrap();
        fs::write(new.join("tls.key"), key.serialize_pem()).unwrap();
        if directory.exists() {
            fs::remove_dir_all(directory).unwrap();
        }
        fs::rename(new, directory).unwrap();
    }
}

/// Writes these authorities into the webhook configuration.
async fn inject(scene: &Scene, authorities: &[&Authority]) {
    let bundle = authorities.iter().map(|authority| authority.pem.as_str()).collect::<String>();
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(scene.environment.admin.clone());
    let bundle = ByteString(bundle.into_bytes());
    let change = json!([{ "op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle }]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(change).unwrap());
    let name = format!("{NAMESPACE}-admission");
    configurations.patch(&name, &PatchParams::default(), &patch).await.unwrap();
}

async fn has_logged(scene: &Scene, text: &str) {
    until(text, LIMIT, async || scene.replicas[0].process.program.log().contains(text).then_some(())).await;
}

async fn scene() -> (Scene, PathBuf, String) {
    let scene = Scene::new(&VALUES).await;
    let directory = scene.environment.server.directory().join("certificate");
    let argument = format!("--certificate-directory={}", directory.display());
    (scene, directory, argument)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_ready_once_the_api_server_trusts_a_certificate_that_it_was_given_and_writes_nothing() {
    let (mut scene, directory, argument) = scene().await;
    let log = scene.environment.server.audit();
    let (first, other) = (Authority::new("first"), Authority::new("other"));
    scene.start(0, &[&argument, "--settle=1s"]);
    has_logged(&scene, "tls.crt").await;
    first.issue(&directory);
    inject(&scene, &[&other]).await;
    has_logged(&scene, "the API server does not trust the certificate").await;
    let trusted = "a certificate that the API server trusts";
    assert!(!scene.replicas[0].process.program.log().contains(trusted));
    assert_eq!(scene.balancer.ready(), 0);
    inject(&scene, &[&other, &first]).await;
    has_logged(&scene, trusted).await;
    scene.until_answered().await;

    // An authority that it is not of makes it useless, which it says.
    inject(&scene, &[&other]).await;
    until("no replica that is ready", LIMIT, async || (scene.balancer.ready() == 0).then_some(())).await;

    let written = log.writes().unwrap();
    let by_webhook: Vec<_> = written.iter().filter(|write| write.account().ends_with("-admission")).collect();
    assert!(by_webhook.is_empty(), "{by_webhook:?}");
    let admin = &scene.environment.admin;
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), NAMESPACE);
    assert_eq!(secrets.list(&ListParams::default()).await.unwrap().items.len(), 0);
    let leases: Api<Lease> = Api::namespaced(admin.clone(), NAMESPACE);
    assert_eq!(leases.list(&ListParams::default()).await.unwrap().items.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_the_certificate_and_its_authority_are_replaced_in_either_order() {
    let (mut scene, directory, argument) = scene().await;
    let (first, second, third) = (Authority::new("first"), Authority::new("second"), Authority::new("third"));
    first.issue(&directory);
    inject(&scene, &[&first]).await;
    scene.start(0, &[&argument, "--settle=1s"]);
    until("a replica that is ready", 4 * LIMIT, async || (scene.balancer.ready() == 1).then_some(())).await;
    scene.until_answered().await;
    let scene = Arc::new(scene);
    let requests = Requests::start(&scene);
    let served = async |times: usize| {
        let text = "a certificate that the API server trusts";
        until("the next certificate", 2 * LIMIT, async || {
            let count = scene.replicas[0].process.program.log().matches(text).count();
            (count >= times).then_some(())
        })
        .await;
    };
    // Another certificate of the same authority.
    first.issue(&directory);
    served(2).await;
    // The file first: the present certificate is served until the API server knows the other authority.
    second.issue(&directory);
    has_logged(&scene, "the one before stays in use").await;
    let before = requests.sent.load(Ordering::Relaxed);
    until("requests", LIMIT, async || (requests.sent.load(Ordering::Relaxed) > before + 20).then_some(()))
        .await;
    inject(&scene, &[&first, &second]).await;
    served(3).await;
    // The authority first.
    inject(&scene, &[&second, &third]).await;
    third.issue(&directory);
    served(4).await;
    let (sent, failures) = requests.end().await;
    assert_eq!(failures, Vec::<String>::new());
    assert!(sent >= 20, "{sent} requests");
}
