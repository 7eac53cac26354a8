//! The connection to the API server.

use std::time::Duration;

use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};

/// How long a request other than a watch may take before it counts as failed.
///
/// The client itself sets no limit on answers, because a watch is one: callers wrap each other request in [`within`].
pub const REQUEST_TIMEOUT: Duration = Duration::from_secs(15);

/// A connection on which an answer is awaited may be silent for the longest watch plus this time. Without a limit, the
/// client would wait for ever for an API server that died silently or whose network is cut. The limit must be longer
/// than the watch, because a watch may be silent until its end: where no object of its kind has changed since it began,
/// it sends no bookmark either (`process` in k8s.io/apiserver 0.37, `pkg/storage/cacher/cache_watcher.go`).
const IDLE_MARGIN: Duration = Duration::from_secs(10);

/// The maximum duration of a watch of a client whose caller does not name another limit.
pub const DEFAULT_WATCH_LIMIT: Duration = Duration::from_mins(2);

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Neither a kubeconfig nor a service account was found.
    #[error("no connection to the API server: {0}; run in a pod with a service account, or set KUBECONFIG")]
    Config(#[from] kube::config::InferConfigError),
    /// The kubeconfig asks for a proxy.
    #[error(transparent)]
    Proxy(#[from] ProxyUnsupported),
    /// The configuration could not be used.
    #[error("the API server's configuration cannot be used: {0}")]
    Client(#[from] kube::Error),
}

/// A kubeconfig asks for a proxy, and this client connects to the API server directly.
#[derive(Debug, thiserror::Error)]
#[error("the kubeconfig's cluster has a proxy-url, and proxies are not supported")]
pub struct ProxyUnsupported;

/// A client from the kubeconfig that `KUBECONFIG` names or, in a pod, from its service account, for watches that last
/// `watch` at most.
///
/// # Errors
/// No configuration was found, or it cannot be used. No request is sent to the API server.
pub async fn connect(watch: Duration) -> Result<Client, ConnectError> {
    // One provider for the whole process; a second call fails because it is already installed.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let mut config = Config::infer().await?;
    // In a pod there is no kubeconfig, and kube ignores proxies: the API server is in the same network.
    if config.proxy_url.is_some()
        && let Ok(kubeconfig) = Kubeconfig::read()
    {
        config = direct(config, &kubeconfig, &KubeConfigOptions::default())?;
    }
    Ok(Client::try_from(with_timeouts(config, watch))?)
}

/// The configuration that was made from a kubeconfig, without the proxy that kube takes from `HTTPS_PROXY`: the
/// variable is for other programs, too, and kube cannot make a client of a configuration with a proxy.
///
/// # Errors
/// The kubeconfig itself asks for a proxy.
fn direct(
    mut config: Config,
    kubeconfig: &Kubeconfig,
    options: &KubeConfigOptions,
) -> Result<Config, ProxyUnsupported> {
    config.proxy_url = None;
    match proxy_url(kubeconfig, options) {
        // The URL is not shown, because it may hold a password.
        Some(_) => Err(ProxyUnsupported),
        None => Ok(config),
    }
}

/// The `proxy-url` of the chosen cluster in a kubeconfig; kube's own value may come from the environment.
#[must_use]
pub fn proxy_url<'a>(kubeconfig: &'a Kubeconfig, options: &KubeConfigOptions) -> Option<&'a str> {
    let context = options.context.as_ref().or(kubeconfig.current_context.as_ref())?;
    let context = kubeconfig.contexts.iter().find(|it| it.name == *context)?.context.as_ref()?;
    let cluster = options.cluster.as_ref().unwrap_or(&context.cluster);
    let cluster = kubeconfig.clusters.iter().find(|it| it.name == *cluster)?.cluster.as_ref()?;
    cluster.proxy_url.as_deref().filter(|url| !url.is_empty())
}

/// A client that neither retries by itself nor waits for ever.
///
/// # Errors
/// The configuration cannot be used.
pub fn client(config: Config) -> Result<Client, kube::Error> {
    Client::try_from(with_timeouts(config, DEFAULT_WATCH_LIMIT))
}

/// The configuration of such a client, whose watches last `watch` at most, for callers that add layers of their own.
#[must_use]
pub fn with_timeouts(mut config: Config, watch: Duration) -> Config {
    // Kube would retry for minutes within one request, and each caller has a back-off of its own.
    config.default_retry = false;
    config.read_timeout = Some(watch + IDLE_MARGIN);
    // Otherwise the time in which no request used the connection would count, too.
    config.reset_reader_on_write = true;
    config
}

/// Waits for the answer to one request, for [`REQUEST_TIMEOUT`] at most.
///
/// # Errors
/// The error of the request, or [`kube::Error::Service`] with a time-out.
pub async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, kube::Error> {
    match tokio::time::timeout(REQUEST_TIMEOUT, request).await {
        Ok(answer) => answer,
        Err(elapsed) => Err(kube::Error::Service(Box::new(elapsed))),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Namespace;
    use kube::Api;
    use kube::api::ListParams;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;
    use tokio::time::timeout;

    use super::*;

    /// Requests a list from a server that sends `start` and then nothing more, and keeps the connection open; returns
    /// whether the request ends with an error.
    async fn fails(start: &'static str) -> bool {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let silent = tokio::spawn(async move {
            let (mut connection, _) = listener.accept().await.unwrap();
            let mut request = [0; 1024];
            while connection.read(&mut request).await.unwrap() > 0 {
                connection.write_all(start.as_bytes()).await.unwrap();
            }
        });
        let namespaces = Api::<Namespace>::all(client(Config::new(url)).unwrap());
        let answer = timeout(Duration::from_hours(1), namespaces.list(&ListParams::default())).await;
        silent.abort();
        answer.is_ok_and(|answer| answer.is_err())
    }

    #[tokio::test]
    async fn a_proxy_of_the_environment_is_ignored_and_one_of_the_chosen_cluster_is_an_error() {
        let kubeconfig = Kubeconfig::from_yaml(
            "
            current-context: near
            clusters:
            - { name: near, cluster: { server: 'http://127.0.0.1:1' } }
            - { name: far, cluster: { server: 'http://127.0.0.1:1', proxy-url: 'http://proxy:3128' } }
            contexts:
            - { name: near, context: { cluster: near } }
            - { name: far, context: { cluster: far } }
            ",
        )
        .unwrap();
        let taken = |context: Option<&str>, cluster: Option<&str>| {
            let mut config = Config::new("http://127.0.0.1:1".parse().unwrap());
            config.proxy_url = Some("http://proxy:3128".parse().unwrap());
            let (context, cluster) = (context.map(str::to_owned), cluster.map(str::to_owned));
            let options = KubeConfigOptions { context, cluster, user: None };
            direct(config, &kubeconfig, &options).map_err(|error| error.to_string())
        };
        let refused = "the kubeconfig's cluster has a proxy-url, and proxies are not supported";
        client(taken(None, None).unwrap()).unwrap();
        client(taken(Some("far"), Some("near")).unwrap()).unwrap();
        assert_eq!(taken(Some("far"), None).unwrap_err(), refused);
        assert_eq!(taken(None, Some("far")).unwrap_err(), refused);
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_server_times_out() {
        assert!(fails("").await);
        assert!(fails("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n{").await);
    }
}
