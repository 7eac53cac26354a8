//! The admission webhook on a real API server, which calls it by a URL: there is no network of Services here.

mod account;
mod balancer;
mod certificates;
mod gated;
mod given;
mod images;
mod killed;
mod measured;
mod others;
mod removal;
mod requests;
mod rotation;
mod runtimes;
mod signed;
mod templates;
mod warnings;

use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use bench::api_server::{AdmissionProcess, OperatorOptions, Options, build_admission};
use cluster::NAMESPACE;
use k8s_openapi::api::admissionregistration::v1::{
    MutatingWebhookConfiguration, ValidatingWebhookConfiguration,
};
use kube::Api;
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use serde_json::{Value, json};

use super::support::{Environment, LIMIT, until};
use balancer::Balancer;

/// The webhook's program, built once.
fn binary() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build_admission(false).unwrap_or_else(|error| panic!("{error}"))).clone()
}

/// An API server with the chart's webhook, which it calls through a balancer, and replicas of the program.
struct Scene {
    // First, so that they end before the server.
    replicas: Vec<AdmissionProcess>,
    balancer: Balancer,
    environment: Environment,
    /// The program of the replicas, if it is not the one that is built quickly.
    program: Option<PathBuf>,
}

impl Scene {
    /// A scene without a replica. The API server refuses profiles that no replica has answered for.
    async fn new(values: &[&str]) -> Self {
        let values = ["admission.enabled=true"]
            .iter()
            .chain(values)
            .flat_map(|value| ["--set", value])
            .map(String::from);
        let environment = Environment::with(Options { values: values.collect(), ..Options::default() }).await;
        let balancer = Balancer::start().await;
        Self::call_about_pods(&environment, balancer.port).await;
        let url = format!("https://127.0.0.1:{}/profiles", balancer.port);
        let configurations: Api<ValidatingWebhookConfiguration> = Api::all(environment.admin.clone());
        let change = json!([
            { "op": "replace", "path": "/webhooks/0/clientConfig", "value": { "url": url } },
            // Not before: the installation tries whether profiles get a finalizer.
            { "op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Fail" },
        ]);
        let patch: Patch<()> = Patch::Json(serde_json::from_value(change).unwrap());
        let name = format!("{NAMESPACE}-admission");
        configurations.patch(&name, &PatchParams::default(), &patch).await.unwrap();
        Self { replicas: Vec::new(), balancer, environment, program: None }
    }

    /// Has the API server call the webhook about pods, too, if the chart has it.
    async fn call_about_pods(environment: &Environment, port: u16) {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(environment.admin.clone());
        let name = format!("{NAMESPACE}-admission-images");
        let Some(configuration) = configurations.get_opt(&name).await.unwrap() else { return };
        let webhooks = configuration.webhooks.unwrap_or_default();
        let change = webhooks.iter().enumerate().map(|(at, webhook)| {
            let called = &webhook.client_config;
            let of_service = called.service.as_ref().and_then(|service| service.path.clone());
            // Changed before.
            let of_url = || called.url.as_ref()?.parse::<http::Uri>().ok().map(|url| url.path().to_owned());
            let url = format!("https://127.0.0.1:{port}{}", of_service.or_else(of_url).unwrap());
            json!({ "op": "replace", "path": format!("/webhooks/{at}/clientConfig"), "value": { "url": url } })
        });
        let patch: Patch<()> = Patch::Json(serde_json::from_value(change.collect()).unwrap());
        configurations.patch(&name, &PatchParams::default(), &patch).await.unwrap();
    }

    /// Starts a replica of this number.
    fn start(&mut self, number: usize, arguments: &[&str]) {
        self.start_at(number, None, arguments);
    }

    /// The same, which reaches the API server at this URL if one is given.
    fn start_at(&mut self, number: usize, url: Option<String>, arguments: &[&str]) {
        // No test waits for its end.
        let lease = Some([15_000, 10_000, 2_000].map(Duration::from_millis));
        let options = OperatorOptions { number, url, lease };
        let program = self.program.clone().unwrap_or_else(binary);
        let replica =
            AdmissionProcess::start(&program, &self.environment.server, &options, arguments).unwrap();
        self.balancer.add(&replica.process.endpoint, replica.port);
        self.replicas.push(replica);
    }

    /// Waits until the API server accepts a profile, for which it needs an answer of a replica once it knows the changed
    /// configuration. A replica is ready after that: the leader changes the configuration again, and waits.
    async fn until_answered(&self) {
        until("an answer of the webhook", 4 * LIMIT, async || {
            let is_ready = self.balancer.ready() > 0;
            let (code, _, _) = self.dry_run(&sound(0)).await;
            (is_ready && code == 201).then_some(())
        })
        .await;
    }

    /// Sends a profile as a dry run: the code, the warnings and the answer.
    async fn dry_run(&self, contents: &Value) -> (u16, Vec<String>, Value) {
        self.create("dry", contents, "?dryRun=All").await
    }

    async fn create(&self, name: &str, contents: &Value, query: &str) -> (u16, Vec<String>, Value) {
        let profile = json!({
            "apiVersion": "seccomp.imjasonh.dev/v1alpha1", "kind": "SeccompProfile",
            "metadata": { "name": name }, "spec": { "contents": contents },
        });
        let path = format!("/apis/seccomp.imjasonh.dev/v1alpha1/seccompprofiles{query}");
        self.send("POST", &path, "application/json", &profile).await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        content_type: &str,
        body: &Value,
    ) -> (u16, Vec<String>, Value) {
        let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
        let request = request.body(Body::from(body.to_string().into_bytes())).unwrap();
        let answer = self.environment.admin.send(request).await.unwrap();
        let warnings = answer.headers().get_all("warning").iter();
        let warnings =
            warnings.map(|warning| String::from_utf8_lossy(warning.as_bytes()).into_owned()).collect();
        let code = answer.status().as_u16();
        let bytes = answer.into_body().collect_bytes().await.unwrap();
        (code, warnings, serde_json::from_slice(&bytes).unwrap())
    }
}

/// Contents without findings, which differ for each number.
fn sound(number: usize) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"],
        "syscalls": [{ "names": ["acct"], "action": "SCMP_ACT_ERRNO", "errnoRet": number % 100 + 1 }],
    })
}
