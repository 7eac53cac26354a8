//! An attacker with nothing but a token, who sends requests directly: kubectl would first read the object that it is
//! about to change, and that request would be refused.

use std::fmt;
use std::fs;

use cluster::Cluster;
use e2e::rights::attempts::Attempt;
use e2e::rights::request::Request;
use futures::StreamExt;
use futures::stream;
use kube::client::Body;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::support::Session;

/// The path of our kinds' group and version.
pub(crate) const API_PATH: &str = "/apis/seccomp.imjasonh.dev/v1alpha1";

/// How many requests are sent at once.
const AT_ONCE: usize = 16;

pub(crate) struct TokenHolder {
    runtime: Runtime,
    client: Client,
}

/// The server's response.
#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) code: u16,
    /// What was refused and why; empty if it was granted.
    pub(crate) message: String,
    /// The body; null for a watch.
    pub(crate) body: Value,
}

impl fmt::Display for Response {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.code, self.message)
    }
}

/// A request as it goes over the wire.
pub(crate) struct RawRequest {
    pub(crate) method: &'static str,
    pub(crate) path: String,
    pub(crate) content_type: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) headers: Vec<(&'static str, &'static str)>,
}

impl RawRequest {
    pub(crate) fn get(path: &str) -> Self {
        RawRequest {
            method: "GET",
            path: path.to_owned(),
            content_type: "application/json",
            body: Vec::new(),
            headers: Vec::new(),
        }
    }

    /// A merge patch of an object of our kinds.
    pub(crate) fn merge(path: &str, patch: &Value) -> Self {
        RawRequest {
            method: "PATCH",
            path: format!("{API_PATH}{path}"),
            content_type: "application/merge-patch+json",
            body: patch.to_string().into(),
            headers: Vec::new(),
        }
    }
}

impl From<&Request> for RawRequest {
    fn from(request: &Request) -> Self {
        RawRequest {
            method: request.method(),
            content_type: request.content_type(),
            body: request.body().into(),
            ..RawRequest::get(&request.path())
        }
    }
}

impl From<&Attempt> for RawRequest {
    fn from(attempt: &Attempt) -> Self {
        RawRequest {
            method: attempt.method,
            content_type: attempt.content_type,
            body: attempt.body.to_string().into(),
            ..RawRequest::get(&format!("{API_PATH}{}", attempt.path))
        }
    }
}

impl TokenHolder {
    /// A client of the API server with this token.
    pub(crate) fn new(cluster: &Session, token: &str) -> Self {
        let admin = cluster.json(["config", "view", "--raw", "--minify"]);
        let server = admin["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
        Self::at(cluster, &server, token)
    }

    /// A client of another server of the cluster with this token.
    pub(crate) fn at(cluster: &Session, server: &str, token: &str) -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let config = json!({
            "clusters": [{ "name": "it", "cluster": {
                "server": server,
                "certificate-authority": cluster.directory().join("pki/ca.crt"),
            } }],
            "users": [{ "name": "thief", "user": { "token": token.trim() } }],
            "contexts": [{ "name": "it", "context": { "cluster": "it", "user": "thief" } }],
            "current-context": "it",
        });
        let config: Kubeconfig = serde_json::from_value(config).unwrap();
        let runtime = Builder::new_current_thread().enable_all().build().unwrap();
        let client = runtime.block_on(async {
            let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await.unwrap();
            Client::try_from(config).unwrap()
        });
        TokenHolder { runtime, client }
    }

    /// Sends one request.
    pub(crate) fn send(&self, request: RawRequest) -> Response {
        self.runtime.block_on(send(self.client.clone(), request))
    }

    /// Sends many requests at once; the responses are in the order of the requests.
    pub(crate) fn send_all(&self, requests: impl IntoIterator<Item = RawRequest>) -> Vec<Response> {
        let asked = requests.into_iter().map(|request| send(self.client.clone(), request));
        self.runtime.block_on(stream::iter(asked).buffered(AT_ONCE).collect())
    }
}

async fn send(client: Client, raw: RawRequest) -> Response {
    let request = http::Request::builder().method(raw.method).uri(&raw.path);
    let request =
        raw.headers.iter().fold(request.header("content-type", raw.content_type), |request, (key, value)| {
            request.header(*key, *value)
        });
    let response = client.send(request.body(Body::from(raw.body)).unwrap()).await;
    let response = response.unwrap_or_else(|error| panic!("{} {}: {error}", raw.method, raw.path));
    let code = response.status().as_u16();
    let granted = response.status().is_success();
    if granted && raw.path.contains("watch=true") {
        // A watch does not end.
        return Response { code, message: String::new(), body: Value::Null };
    }
    let bytes = response.into_body().collect_bytes().await.unwrap();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let message = match body["message"].as_str() {
        _ if granted => String::new(),
        Some(message) => message.to_owned(),
        None => String::from_utf8_lossy(&bytes).into_owned(),
    };
    Response { code, message, body }
}

/// The token that a running program of ours holds: the agent of a node, or one of the operators.
pub(crate) fn token_of_program(cluster: &Cluster, words: &[&str]) -> String {
    let pid = pid_of(cluster, words);
    // The machine's root can read files in the container, like an attacker who broke out of it or into the node.
    fs::read_to_string(format!("/proc/{pid}/root/var/run/secrets/kubernetes.io/serviceaccount/token"))
        .unwrap()
}

/// The process of the cluster whose command line has all these words. Another cluster may have one of the same words.
pub(crate) fn pid_of(cluster: &Cluster, words: &[&str]) -> u32 {
    let found = cluster.processes().unwrap().into_iter().find(|pid| {
        // A process that has ended meanwhile has no words.
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let held: Vec<&[u8]> = line.split(|byte| *byte == 0).collect();
        words.iter().all(|word| held.contains(&word.as_bytes()))
    });
    found.unwrap_or_else(|| panic!("no process with {words:?}"))
}
