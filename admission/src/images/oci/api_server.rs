//! Whether the API server takes profiles of the type `OCI`.
//!
//! One before 1.38, or without the gate, refuses every pod with the type. Neither its version nor its OpenAPI schema shows
//! the gate. So it is asked by a dry run of a PodTemplate, which it checks as it checks a pod, and by which nothing runs.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use k8s_openapi::api::core::v1::PodTemplate;
use kube::api::PostParams;
use kube::core::request::Request;
use kube::{Client, Resource};
use link::chain;
use link::client::within;
use serde_json::{Value, json};
use tokio::time::sleep;
use tracing::{info, warn};

use super::artifact::{Artifact, Base};

/// How often it is asked: the API server may be updated, or its gates changed.
const ASK: Duration = Duration::from_mins(1);

/// What is known of the API server.
#[derive(Debug, Default)]
pub struct ApiServer {
    takes: AtomicBool,
}

impl ApiServer {
    /// Whether it takes the type, as far as is known.
    #[must_use]
    pub fn takes(&self) -> bool {
        self.takes.load(Ordering::Relaxed)
    }

    pub(super) fn learn(&self, takes: bool) {
        self.takes.store(takes, Ordering::Relaxed);
    }

    /// Asks it again and again, with a PodTemplate of this namespace.
    pub async fn follow(&self, client: Client, namespace: &str) {
        let mut told = None;
        loop {
            match ask(&client, namespace).await {
                Ok(takes) => {
                    self.learn(takes);
                    if told.replace(takes) != Some(takes) {
                        tell(takes);
                    }
                }
                // It stays as it was: who does not answer now refuses no pod.
                Err(error) => {
                    warn!(error, "it is not known whether the API server takes profiles of the type OCI");
                }
            }
            sleep(ASK).await;
        }
    }
}

fn tell(takes: bool) {
    match takes {
        true => info!("the API server takes profiles of the type OCI"),
        false => warn!(
            "the API server does not take profiles of the type OCI; containers get files on their nodes"
        ),
    }
}

async fn ask(client: &Client, namespace: &str) -> Result<bool, String> {
    let params = PostParams { dry_run: true, ..PostParams::default() };
    let request = Request::new(PodTemplate::url_path(&(), Some(namespace)));
    let request = request.create(&params, template().to_string().into_bytes());
    let request = request.map_err(|error| error.to_string())?;
    match within(client.request::<Value>(request)).await {
        Ok(answer) => Ok(has_kept(&answer)),
        Err(kube::Error::Api(status)) if [400, 422].contains(&status.code) => Ok(false),
        Err(error) => Err(chain(&error)),
    }
}

/// Where the profile of the template is.
const PLACE: &str = "/template/spec/containers/0/securityContext/seccompProfile";

fn profile() -> Value {
    Artifact::example().seccomp_profile(&Base::RuntimeDefault)
}

fn template() -> Value {
    let container = json!({
        "name": "asks", "image": "example.com/none", "securityContext": { "seccompProfile": profile() },
    });
    json!({
        "apiVersion": PodTemplate::api_version(&()), "kind": PodTemplate::kind(&()),
        "metadata": { "generateName": "takes-oci-" }, "template": { "spec": { "containers": [container] } },
    })
}

/// Whether the API server has kept the profile: it drops fields that it does not know.
fn has_kept(answer: &Value) -> bool {
    answer.pointer(PLACE) == Some(&profile())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_api_server_that_drops_a_field_does_not_take_the_type() {
        let mut answer = template();
        assert!(has_kept(&answer));
        let profile = answer.pointer_mut(PLACE).unwrap();
        profile["oci"]["baseProfile"].take();
        assert!(!has_kept(&answer));
        answer.pointer_mut(PLACE).unwrap().as_object_mut().unwrap().remove("oci");
        assert!(!has_kept(&answer));
        assert!(!has_kept(&json!({})));
    }
}
