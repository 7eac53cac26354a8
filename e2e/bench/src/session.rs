//! A client of the cluster under measurement, and the profiles that are applied to it.

use std::io;
use std::path::Path;
use std::sync::Arc;

use api::{SeccompProfile, Untrusted};
use cluster::wait::WaitError;
use futures::{StreamExt, TryStreamExt};
use kube::api::{DeleteParams, Patch, PatchParams};
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Api, Client, Config, ResourceExt};
use serde_json::{Value, json};
use syscalls::{Architecture, Syscall};

use crate::api_server::ApiServerError;

/// Why a measurement failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The kubeconfig cannot be used.
    #[error("kubeconfig: {0}")]
    Kubeconfig(#[from] kube::config::KubeconfigError),
    /// The API server refused or did not answer.
    #[error("API server: {0}")]
    Api(#[from] kube::Error),
    /// What is measured does not start, or has ended.
    #[error(transparent)]
    Server(#[from] ApiServerError),
    /// A file or directory could not be read.
    #[error("{what}: {source}")]
    Io {
        /// What was read.
        what: String,
        /// Why it failed.
        source: io::Error,
    },
    /// Something did not happen in time.
    #[error("{0}: not in time")]
    TooLate(String),
    /// Something is not as expected.
    #[error("{0}")]
    Unexpected(String),
    /// The wait was too long, or the process was asked to end.
    #[error(transparent)]
    Wait(#[from] WaitError),
    /// A bar of the design was not reached.
    #[error("not reached: {0}")]
    Bar(String),
}

impl BenchError {
    pub(crate) fn io(what: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let what = what.into();
        |source| Self::Io { what, source }
    }
}

/// The profiles that a measurement applies carry this label, so that it finds and removes all of them.
const LABEL: &str = "seccomp-profile-bench";

/// A client and the profiles that it applied.
#[derive(Clone)]
pub(crate) struct Session {
    pub(crate) client: Client,
    pub(crate) profiles: Api<Untrusted<SeccompProfile>>,
}

impl Session {
    pub(crate) async fn open(kubeconfig: &Path) -> Result<Self, BenchError> {
        // A second call finds the provider installed, which is fine.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        Ok(Self::of(Client::try_from(config)?))
    }

    pub(crate) fn of(client: Client) -> Self {
        Self { profiles: Api::all(client.clone()), client }
    }

    /// Applies a profile as `kubectl apply --server-side` does; returns its generation.
    pub(crate) async fn apply(&self, name: &str, contents: &Value) -> Result<Option<i64>, BenchError> {
        let object = json!({
            "apiVersion": "seccomp.imjasonh.dev/v1alpha1",
            "kind": "SeccompProfile",
            "metadata": { "name": name, "labels": { LABEL: "true" } },
            "spec": { "contents": contents }
        });
        let params = PatchParams::apply("seccomp-profile-bench").force();
        Ok(self.profiles.patch(name, &params, &Patch::Apply(&object)).await?.metadata.generation)
    }

    /// Applies many profiles, eight at once.
    pub(crate) async fn apply_all(&self, all: Vec<(String, Arc<Value>)>) -> Result<(), BenchError> {
        futures::stream::iter(all)
            .map(|(name, contents)| async move { self.apply(&name, &contents).await })
            .buffer_unordered(8)
            .try_for_each(|_| async { Ok(()) })
            .await
    }

    /// Deletes every profile that a measurement applied and waits until they are gone.
    pub(crate) async fn clear(&self) -> Result<(), BenchError> {
        let ours = kube::api::ListParams::default().labels(LABEL);
        self.profiles.delete_collection(&DeleteParams::default(), &ours).await?;
        self.until("profiles are gone", 120, async || {
            Ok(self.profiles.list_metadata(&ours).await?.items.is_empty())
        })
        .await
    }

    /// Removes the finalizers of every profile that a measurement applied. The API server adds the operator's to each new
    /// one, whether an operator runs or not.
    pub(crate) async fn remove_finalizers(&self) -> Result<(), BenchError> {
        let ours = kube::api::ListParams::default().labels(LABEL);
        let patch = Patch::Merge(json!({ "metadata": { "finalizers": null } }));
        for profile in self.profiles.list_metadata(&ours).await? {
            self.profiles.patch_metadata(&profile.name_any(), &PatchParams::default(), &patch).await?;
        }
        Ok(())
    }

    /// Polls `holds` until it is true, for at most `seconds`.
    pub(crate) async fn until(
        &self,
        what: &str,
        seconds: u64,
        mut holds: impl AsyncFnMut() -> Result<bool, BenchError>,
    ) -> Result<(), BenchError> {
        let ask = async {
            while !holds().await? {
                tokio::time::sleep(std::time::Duration::from_millis(200)).await;
            }
            Ok(())
        };
        let limit = std::time::Duration::from_secs(seconds);
        tokio::time::timeout(limit, ask).await.map_err(|_| BenchError::TooLate(what.to_owned()))?
    }
}

/// A profile of about 3 KB, as people write them; different for each `number`.
pub(crate) fn realistic(number: usize) -> Value {
    sized(number, 3 << 10)
}

/// Like [`realistic`], with about `bytes` bytes: the calls of x86_64 by name, and in what is left of the bytes conditions
/// about some of them. Names that no kernel has would not do: they make the operator search for similar names, and their
/// findings make the status longer than that of other profiles.
pub(crate) fn sized(number: usize, bytes: usize) -> Value {
    /// Calls with conditions, and the index of the argument that is compared.
    const CONDITIONAL: [(&str, u32); 6] =
        [("fcntl", 1), ("ioctl", 1), ("madvise", 2), ("personality", 0), ("prctl", 0), ("socket", 0)];
    let condition = |(name, index): (&str, u32), value: usize| {
        json!({ "names": [name], "action": "SCMP_ACT_ALLOW",
                "args": [{ "index": index, "value": value, "op": "SCMP_CMP_EQ" }] })
    };
    let mut left = bytes.saturating_sub(250);
    let names: Vec<_> = Syscall::all()
        .filter(|call| call.number(Architecture::X86_64).is_some())
        .map(Syscall::name)
        .filter(|name| CONDITIONAL.iter().all(|(conditional, _)| conditional != name))
        .take_while(|name| take(&mut left, name.len() + 3))
        .collect();
    let mut rules =
        vec![json!({ "names": names, "action": "SCMP_ACT_ALLOW" }), condition(("personality", 0), number)];
    let conditions = (0..).map(|i| condition(CONDITIONAL[i % CONDITIONAL.len()], 1_000_000 + i));
    rules.extend(conditions.take_while(|rule| take(&mut left, rule.to_string().len() + 1)));
    json!({
        "defaultAction": "SCMP_ACT_ERRNO",
        "defaultErrnoRet": number % 4095,
        "architectures": ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86", "SCMP_ARCH_X32"],
        "syscalls": rules
    })
}

/// Whether `size` was left; it no longer is.
fn take(left: &mut usize, size: usize) -> bool {
    let rest = left.checked_sub(size);
    *left = rest.unwrap_or(0);
    rest.is_some()
}

/// The largest profile that the schema admits.
pub(crate) fn largest() -> Value {
    let rules: Vec<_> = (0..512)
        .map(|rule| {
            let names: Vec<_> = (0..8).map(|name| format!("{:x<64}", format!("syscall_{rule}_{name}_"))).collect();
            let argument = |index| json!({ "index": index, "value": u64::MAX.to_string(), "valueTwo": u64::MAX.to_string(), "op": "SCMP_CMP_MASKED_EQ" });
            json!({ "names": names, "action": "SCMP_ACT_ERRNO", "errnoRet": 4094, "args": [argument(0), argument(5)] })
        })
        .collect();
    json!({ "defaultAction": "SCMP_ACT_KILL_PROCESS", "syscalls": rules })
}
