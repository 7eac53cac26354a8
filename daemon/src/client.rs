//! The connection to the API server.

use std::time::Duration;

use kube::{Client, Config};

/// How long a request other than a watch may take before it counts as failed.
///
/// The client itself sets no limit on answers, because a watch is one: whoever sends a request wraps it in
/// [`within`].
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a service account was found.
    #[error("no way to the API server: {0}; run in a pod with a service account, or set KUBECONFIG")]
    Config(#[from] kube::config::InferConfigError),
    /// The configuration could not be used.
    #[error("the API server's configuration cannot be used: {0}")]
    Client(#[from] kube::Error),
}

/// A client from the kubeconfig that `KUBECONFIG` names or, in a pod, from its service account.
///
/// # Errors
/// No configuration was found, or it cannot be used. Whether the API server answers is not tried.
pub async fn connect() -> Result<Client, ConnectError> {
    // One provider for the whole process; a second call finds it in place, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = Config::infer().await?;
    // It would try again for minutes within one request, where each caller has a back-off of its own.
    config.default_retry = false;
    Ok(Client::try_from(config)?)
}

/// Waits for the answer to one request, for [`REQUEST_TIMEOUT`] at most.
///
/// # Errors
/// What the request gave, or [`kube::Error::Service`] with a time-out.
pub async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(kube::Error::Service(Box::new(elapsed))),
    }
}
