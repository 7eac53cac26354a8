//! The API server under test, our programs around it, and the profiles that a test applies.

use std::io::Write;
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use api::{SeccompProfile, Untrusted};
use bench::api_server::{
    Account, Agents, ApiServer, OperatorOptions, OperatorProcess, Options, build_operator,
};
use kube::api::{Patch, PatchParams};
use kube::client::Body;
use kube::{Api, Client};
use profile::Profile;
use serde_json::{Value, json};
use tokio::time::sleep;

/// The limit for what takes a second on an idle machine.
pub(crate) const LIMIT: Duration = Duration::from_secs(30);

/// The API server of one test, and its admin's client.
pub(crate) struct Environment {
    pub(crate) server: ApiServer,
    pub(crate) admin: Client,
    pub(crate) profiles: Api<Untrusted<SeccompProfile>>,
}

impl Environment {
    pub(crate) async fn new() -> Self {
        Self::with(Options::default()).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        // Another test may have installed it already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let server = ApiServer::start(options).unwrap_or_else(|error| panic!("{error}"));
        let admin = server.admin().await.unwrap();
        Self { profiles: Api::all(admin.clone()), server, admin }
    }

    /// Agents that connect to the API server directly, or to `url`.
    pub(crate) async fn agents(&self, url: Option<&str>) -> Agents {
        let config = self.server.config(Account::Admin, url).await.unwrap();
        Agents::new(config, self.admin.clone(), &self.server.directory().join("nodes"))
    }

    /// Applies a profile.
    pub(crate) async fn apply(&self, name: &str, contents: &Value) {
        let object = json!({
            "apiVersion": "seccomp.imjasonh.dev/v1alpha1",
            "kind": "SeccompProfile",
            "metadata": { "name": name },
            "spec": { "contents": contents },
        });
        self.profiles.patch(name, &PatchParams::apply("test").force(), &Patch::Apply(&object)).await.unwrap();
    }

    /// A profile as JSON.
    pub(crate) async fn get(&self, name: &str) -> Option<Value> {
        let found: Option<Untrusted<SeccompProfile>> = self.profiles.get_opt(name).await.unwrap();
        found.map(|found| serde_json::to_value(found).unwrap())
    }
}

/// The operator, built once.
pub(crate) fn operator() -> PathBuf {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| build_operator(false).unwrap_or_else(|error| panic!("{error}"))).clone()
}

/// An operator that is not elected.
pub(crate) fn start_operator(environment: &Environment) -> OperatorProcess {
    let options = OperatorOptions { number: 0, url: None, lease: None };
    OperatorProcess::start(&operator(), &environment.server, &options).unwrap()
}

/// Sends a request; the code of the answer and its message, or the object.
pub(crate) async fn send(
    client: &Client,
    method: &str,
    path: &str,
    content_type: &str,
    body: &Value,
) -> (u16, Value) {
    let request = http::Request::builder().method(method).uri(path).header("content-type", content_type);
    let answer = client.send(request.body(Body::from(body.to_string().into_bytes())).unwrap()).await.unwrap();
    let code = answer.status().as_u16();
    let bytes = answer.into_body().collect_bytes().await.unwrap();
    (code, serde_json::from_slice(&bytes).unwrap())
}

/// Polls until there is a value.
pub(crate) async fn until<T>(what: &str, limit: Duration, mut poll: impl AsyncFnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = poll().await {
            return answer;
        }
        assert!(start.elapsed() < limit, "{what}: timed out after {limit:?}");
        sleep(Duration::from_millis(20)).await;
    }
}

/// Contents that differ for each number, with a call that does not exist.
pub(crate) fn contents(number: usize) -> Value {
    json!({
        "defaultAction": "SCMP_ACT_ALLOW",
        "syscalls": [{ "names": [format!("never_called_{number}")], "action": "SCMP_ACT_LOG" }],
    })
}

/// The canonical bytes of `contents`.
pub(crate) fn bytes_of(contents: &Value) -> Vec<u8> {
    Profile::from_value(contents).unwrap().canonical().bytes().to_vec()
}

/// Their hash, as a status shows it.
pub(crate) fn hash_of(contents: &Value) -> String {
    Profile::from_value(contents).unwrap().canonical().hash().to_string()
}

/// Prints a line even if the test passes.
pub(crate) fn print_line(text: &str) {
    // Not `eprintln!`, whose output the harness captures.
    let _ = writeln!(std::io::stderr(), "{text}");
}
