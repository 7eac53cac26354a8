//! The webhook under a certificate that another program makes: the test does what cert-manager and its cainjector do.

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

/// The Secret of the chart's Certificate.
const SECRET: &str = "seccomp-profile-admission-certificate";
/// How the program is told of it.
const ARGUMENT: &str = "--certificate-secret=seccomp-profile-admission-certificate";

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

    /// Puts a new certificate and its key into the Secret.
    async fn issue(&self, scene: &Scene) {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let secret = json!({
            "apiVersion": "v1", "kind": "Secret", "type": "kubernetes.io/tls", "metadata": { "name": SECRET },
            "data": {
                "tls.crt": ByteString(certificate.pem().into_bytes()),
                "tls.key": ByteString(key.serialize_pem().into_bytes()),
                "ca.crt": ByteString(self.pem.clone().into_bytes()),
            },
        });
        let secrets: Api<Secret> = Api::namespaced(scene.environment.admin.clone(), NAMESPACE);
        secrets.patch(SECRET, &PatchParams::apply("cert-manager"), &Patch::Apply(&secret)).await.unwrap();
    }
}

/// Writes these authorities into a webhook configuration, in the place of those that it has, as the cainjector does.
async fn inject(configurations: &Api<impl Webhooks>, name: &str, authorities: &[&Authority]) {
    let bundle = authorities.iter().map(|authority| authority.pem.as_str()).collect::<String>();
    let bundle = ByteString(bundle.into_bytes());
    let change = json!([{ "op": "add", "path": "/webhooks/0/clientConfig/caBundle", "value": bundle }]);
    let patch: Patch<()> = Patch::Json(serde_json::from_value(change).unwrap());
    configurations.patch(name, &PatchParams::default(), &patch).await.unwrap();
}

/// One of the two kinds of webhook configurations.
trait Webhooks: Clone + std::fmt::Debug + serde::de::DeserializeOwned {}
impl Webhooks for ValidatingWebhookConfiguration {}
impl Webhooks for MutatingWebhookConfiguration {}

/// The configuration about profiles.
async fn inject_first(scene: &Scene, authorities: &[&Authority]) {
    let configurations: Api<ValidatingWebhookConfiguration> = Api::all(scene.environment.admin.clone());
    inject(&configurations, &format!("{NAMESPACE}-admission"), authorities).await;
}

/// The one about pods.
async fn inject_second(scene: &Scene, authorities: &[&Authority]) {
    let configurations: Api<MutatingWebhookConfiguration> = Api::all(scene.environment.admin.clone());
    inject(&configurations, &format!("{NAMESPACE}-admission-images"), authorities).await;
}

async fn has_logged(scene: &Scene, text: &str) {
    until(text, LIMIT, async || scene.replicas[0].process.program.log().contains(text).then_some(())).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_ready_once_both_configurations_trust_the_certificate_that_it_was_given_and_writes_nothing()
 {
    let values = [&VALUES[..], &["admission.images.enabled=true"]].concat();
    let mut scene = Scene::new(&values).await;
    let log = scene.environment.server.audit();
    let (first, other) = (Authority::new("first"), Authority::new("other"));
    let images = format!("--images-configuration={NAMESPACE}-admission-images");
    scene.start(0, &[ARGUMENT, "--settle=1s", &images, "--architecture=amd64"]);
    first.issue(&scene).await;
    inject_first(&scene, &[&other]).await;
    inject_second(&scene, &[&other]).await;
    has_logged(&scene, "the API server does not trust the certificate").await;
    inject_first(&scene, &[&other, &first]).await;
    let trusted = "a certificate that the API server trusts";
    assert!(!scene.replicas[0].process.program.log().contains(trusted), "the configuration about pods");
    assert_eq!(scene.balancer.ready(), 0);
    inject_second(&scene, &[&first]).await;
    has_logged(&scene, trusted).await;
    scene.until_answered().await;

    // An authority that it is not of makes it useless.
    inject_first(&scene, &[&other]).await;
    until("no replica that is ready", LIMIT, async || (scene.balancer.ready() == 0).then_some(())).await;

    let written = log.writes().unwrap();
    let by_webhook: Vec<_> = written.iter().filter(|write| write.account().ends_with("-admission")).collect();
    assert!(by_webhook.is_empty(), "{by_webhook:?}");
    let admin = &scene.environment.admin;
    let secrets: Api<Secret> = Api::namespaced(admin.clone(), NAMESPACE);
    let names: Vec<_> = secrets.list(&ListParams::default()).await.unwrap().items;
    assert_eq!(names.iter().filter_map(|it| it.metadata.name.as_deref()).collect::<Vec<_>>(), [SECRET]);
    let leases: Api<Lease> = Api::namespaced(admin.clone(), NAMESPACE);
    assert_eq!(leases.list(&ListParams::default()).await.unwrap().items.len(), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_request_fails_while_the_certificate_is_replaced_and_its_authority_before_or_after_it() {
    let mut scene = Scene::new(&VALUES).await;
    let (first, second, third) = (Authority::new("first"), Authority::new("second"), Authority::new("third"));
    first.issue(&scene).await;
    inject_first(&scene, &[&first]).await;
    scene.start(0, &[ARGUMENT, "--settle=3s"]);
    until("a replica that is ready", 4 * LIMIT, async || (scene.balancer.ready() == 1).then_some(())).await;
    scene.until_answered().await;
    let scene = Arc::new(scene);
    let requests = Requests::start(&scene);
    let said = async |what: &str, times: usize| {
        until(what, 2 * LIMIT, async || {
            let count = scene.replicas[0].process.program.log().matches(what).count();
            (count >= times).then_some(())
        })
        .await;
    };
    let (used, waits) = ("a certificate that the API server trusts", "the one before stays in use");
    // Another certificate of the same authority, which has to settle, too.
    first.issue(&scene).await;
    said(waits, 1).await;
    said(used, 2).await;
    // The certificate first: the one before is served until the API server knows the other authority.
    second.issue(&scene).await;
    said(waits, 2).await;
    let before = requests.sent.load(Ordering::Relaxed);
    until("requests", LIMIT, async || (requests.sent.load(Ordering::Relaxed) > before + 20).then_some(()))
        .await;
    inject_first(&scene, &[&first, &second]).await;
    said(used, 3).await;
    // The authority first.
    inject_first(&scene, &[&second, &third]).await;
    third.issue(&scene).await;
    said(used, 4).await;
    let (sent, failures) = requests.end().await;
    assert_eq!(failures, Vec::new());
    assert!(sent >= 20, "{sent} requests");
}

#[tokio::test(flavor = "multi_thread")]
async fn after_the_authority_was_replaced_at_once_the_next_request_is_answered() {
    let mut scene = Scene::new(&VALUES).await;
    let mut authority = Authority::new("0");
    authority.issue(&scene).await;
    inject_first(&scene, &[&authority]).await;
    scene.start(0, &[ARGUMENT]);
    until("a replica that is ready", 4 * LIMIT, async || (scene.balancer.ready() == 1).then_some(())).await;
    scene.until_answered().await;
    for number in 1..=3 {
        authority = Authority::new(&number.to_string());
        authority.issue(&scene).await;
        inject_first(&scene, &[&authority]).await;
        // Less than the time for which a new certificate settles while the present one is trusted.
        until("an answer", Duration::from_secs(5), async || {
            (scene.dry_run(&sound(number)).await.0 == 201).then_some(())
        })
        .await;
    }
}
