//! Somebody with a token and nothing else, who asks the API server directly: kubectl would first ask for what it is
//! about to change, and be refused that.

use kube::api::{Api, ApiResource, DeleteParams, DynamicObject, ListParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::core::GroupVersionKind;
use kube::{Client, Config, Error};
use serde_json::{Value, json};
use tokio::runtime::{Builder, Runtime};

use super::support::Session;

pub(crate) struct Thief {
    runtime: Runtime,
    client: Client,
}

impl Thief {
    pub(crate) fn new(cluster: &Session, token: &str) -> Self {
        // Another test may have been first.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let admin = cluster.json(["config", "view", "--raw", "--minify"]);
        let config = json!({
            "clusters": [{ "name": "it", "cluster": {
                "server": admin["clusters"][0]["cluster"]["server"],
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
        Thief { runtime, client }
    }

    /// Objects of a kind of ours, or of the core.
    fn all(&self, kind: &str) -> Api<DynamicObject> {
        let ours = ["SeccompProfile", "NodeProfileStatus"].contains(&kind);
        let (group, version) = if ours { (api::names::GROUP, "v1alpha1") } else { ("", "v1") };
        let resource = ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind));
        Api::all_with(self.client.clone(), &resource)
    }

    fn wait<T>(&self, request: impl Future<Output = Result<T, Error>>) -> Result<(), String> {
        self.runtime.block_on(request).map(drop).map_err(|error| match error {
            Error::Api(status) => status.message,
            other => panic!("{other}"),
        })
    }

    pub(crate) fn list(&self, kind: &str) -> Result<(), String> {
        self.wait(self.all(kind).list(&ListParams::default()))
    }

    pub(crate) fn delete(&self, kind: &str, name: &str) -> Result<(), String> {
        self.wait(self.all(kind).delete(name, &DeleteParams::default()))
    }

    pub(crate) fn patch(&self, kind: &str, name: &str, patch: &Value) -> Result<(), String> {
        self.wait(self.all(kind).patch(name, &PatchParams::default(), &Patch::Merge(patch)))
    }

    pub(crate) fn patch_status(&self, kind: &str, name: &str, patch: &Value) -> Result<(), String> {
        self.wait(self.all(kind).patch_status(name, &PatchParams::default(), &Patch::Merge(patch)))
    }
}
